"""What a process forked from the zygote does before it is a worker.

Owns everything that must differ between siblings, or must not be passed on: session and parent,
descriptors, signals, limits, random numbers. Must not know the control protocol, nor what the
worker does then. Runs in the child alone, once.
"""

import gc
import os
import sys
import traceback
from _signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGTERM, set_wakeup_fd, signal
from collections.abc import Callable, Mapping
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import Any, NoReturn

from . import descriptors, orphans

# From _signal, as what the signal module adds (enumerations) would unshare 45 pages of memory in
# each child: a fifth of the time from the fork to `ready`.
NOT_STARTED_STATUS = 70
"""The exit status of a child that failed on its way (EX_SOFTWARE); its stderr says why."""

_ERRNO_BYTES = 4


class Heritage:
    """What the zygote changed for itself, for its children to undo."""

    def __init__(self, null: int) -> None:
        self.zygote = os.getpid()
        self.null = null
        self._collects = gc.isenabled()
        self._handlers: dict[int, Any] = {}
        self._open_files = getrlimit(RLIMIT_NOFILE)
        self.wakeup: tuple[int, ...] = ()
        """The two ends of what tells which signals came."""

    def take_over(self, on_signal: Callable[[int, Any], None], *, collects: bool = True) -> int:
        """Make this process a zygote; returns a descriptor that tells which signals came.

        A terminal's signals are for the service to act on, and a collection would only unshare
        memory that the workers share. ``collects``: before that, once, what is garbage.
        """
        if collects:
            gc.collect()
        gc.freeze()
        gc.disable()
        hard = self._open_files[1]
        setrlimit(RLIMIT_NOFILE, (hard, hard))
        self.wakeup = wakeup, notify = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        set_wakeup_fd(notify, warn_on_full_buffer=False)
        for number in (SIGINT, SIGHUP):
            self._handlers[number] = signal(number, SIG_IGN)
        for number in (SIGCHLD, SIGTERM):
            self._handlers[number] = signal(number, on_signal)
        return wakeup

    def give_back(self) -> None:
        """Undo `take_over`, in a child."""
        set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            # None: a handler that C code installed, which Python cannot put back.
            signal(number, SIG_DFL if handler is None else handler)
        setrlimit(RLIMIT_NOFILE, self._open_files)
        if self._collects:
            gc.enable()


def leave_zygote(heritage: Heritage, passed: list[int], *, inheritable: bool) -> None:
    """Become a session of one's own, with the descriptors of the layout and no others.

    ``passed``: protocol, stdout, stderr, control page; all at least `FIRST_UNRESERVED`.
    """
    orphans.die_with_parent(heritage.zygote)
    orphans.become_subreaper()
    os.setsid()
    protocol, stdout, stderr, control_page = passed
    os.dup2(heritage.null, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    # Programs that user code runs have no business with these two.
    os.dup2(protocol, descriptors.PROTOCOL, inheritable=inheritable)
    os.dup2(control_page, descriptors.CONTROL_PAGE, inheritable=inheritable)
    heritage.give_back()


def reseed() -> None:
    """Give this child random numbers of its own.

    The random module sees to itself (it has a hook at fork), and tempfile looks at the process id.
    Generators that warm-up code made for itself stay shared: nobody can find them.
    """
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def execute_worker(configuration: bytes, boot: list[str], failure: int) -> NoReturn:
    """Replace this process with a fresh interpreter; ``failure`` hears the errno if that fails.

    ``failure`` closes by itself when the new program runs.
    """
    keep = descriptors.CONFIGURATION + 1
    try:
        os.dup2(failure, keep, inheritable=False)
        content = os.memfd_create("pyrepl3-configuration", os.MFD_CLOEXEC)
        os.write(content, configuration)
        os.lseek(content, 0, os.SEEK_SET)
        os.dup2(content, descriptors.CONFIGURATION)
        descriptors.close_all_from(keep + 1)
        environment = {
            **os.environ,
            "PYREPL_PROTOCOL_FDS": f"{descriptors.PROTOCOL},{descriptors.PROTOCOL}",
            "PYREPL3_CONTROL_FD": str(descriptors.CONTROL_PAGE),
            "PYREPL3_CONFIG_FD": str(descriptors.CONFIGURATION),
        }
        os.execve(sys.executable, [sys.executable, *boot], environment)
    except OSError as error:
        os.write(keep, (error.errno or 0).to_bytes(_ERRNO_BYTES, "big"))
    finally:
        os._exit(NOT_STARTED_STATUS)


def wait_for_execution(failure: int) -> int:
    """The errno with which `execute_worker` failed, or 0: the new program runs."""
    data = os.read(failure, _ERRNO_BYTES)
    return int.from_bytes(data, "big")


def exit_status(state: Any) -> Mapping[str, int | None]:
    """``status`` and ``signal`` of a ``waitid`` result: one of the two is None."""
    if state.si_code == os.CLD_EXITED:
        return {"status": state.si_status, "signal": None}
    return {"status": None, "signal": state.si_status}


def die_of_exception() -> NoReturn:
    """End a child that must not return into the zygote's code; its stderr says why."""
    # Not by sys.stderr, which may be a stream that has nowhere to go yet.
    os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    os._exit(NOT_STARTED_STATUS)
