"""The command's entry point: a process of its own, from its first line to its last.

Owns what the whole process is set to. Imports next to nothing before that is done.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status.

    Without ``words`` the command line is this process's own, and the process ends here.
    """
    if words is None:
        _be_the_process()
    from pyrepl3.cli.dispatch import serve

    return serve(words)


def _be_the_process() -> NoReturn:
    # Until a service catches signals there is nothing to clean up. Python's own handler would
    # raise in the midst of an import, whose machinery now and then swallows it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)
    # Nothing that an import makes is garbage: looking for some takes a tenth of the start.
    gc.disable()
    from pyrepl3.cli.dispatch import serve

    status = serve(sys.argv[1:])
    # Everything has ended and is written; python would take its own modules apart for 10 ms.
    os._exit(status)


def _end_at_once(*_: object) -> None:
    os._exit(INTERRUPTED)
