"""What every test takes for granted of the process that it runs in."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup the end of the
# terminal; and so would all that they start: what the tests of signals send would be lost.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
