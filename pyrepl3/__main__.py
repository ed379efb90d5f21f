"""``python -m pyrepl3``: the command, where its console script is not on the path."""

import sys

from pyrepl3.cli.main import main

sys.exit(main())
