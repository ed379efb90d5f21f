"""The orderly end of a session's process.

Owns its order, which is the interpreter's own: threads, atexit handlers, the names of
``__main__`` (so finalizers run while modules still work), the streams. The service gives it a
bounded time. Must not know the link.
"""

import atexit
import sys
from posix import _exit
from typing import Any, NoReturn

from .interrupts import call_user
from .namespace import Namespace
from .streams import Output
from .tracebacks import print_exception

_run_exit_functions = atexit._run_exitfuncs


def shut_down(namespace: Namespace, output: Output) -> NoReturn:
    """End the process with status 0."""
    threading = sys.modules.get("threading")
    if threading is not None:
        _guarded(getattr(threading, "_shutdown", None))
    _guarded(_run_exit_functions)
    _guarded(namespace.clear)
    output.flush()
    _exit(0)


def _guarded(step: Any) -> None:
    if step is None:
        return
    try:
        call_user(step)
    except BaseException as error:
        print_exception(error)
