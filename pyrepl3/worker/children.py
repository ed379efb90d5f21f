"""What child processes print keeps its place among what Python prints.

Python's output travels by message, that of children by the pipes behind the descriptors 1 and 2:
two ways, of which a busy service may read the later piece first. So two things wait, for a bounded
time: the start of a child, until the service has read what was printed before it; and Python's
next line, until the service has emptied the pipes. Sessions without children pay nothing.

Owns the functions that start children, which it wraps. Must not know executions. What C code
writes in this same process is not covered: nothing tells when it does.
"""

import _posixsubprocess
import os
import termios
from fcntl import ioctl
from struct import Struct
from time import monotonic, sleep
from typing import Any

from .interrupts import Interrupts
from .snapshots import Snapshots
from .streams import Output

WAIT_AT_MOST_S = 0.05
"""A service that has not read by then is held up by a slow client: order is not worth more."""
LOOK_EVERY_S = 0.0001

_SIOCOUTQ = termios.TIOCOUTQ
_FIONREAD = termios.FIONREAD
_INT = Struct("i")
_ZERO = bytes(_INT.size)


def keep_order_with_children(output: Output, snapshots: Snapshots) -> None:
    """From now on whatever starts a child waits for its turn. Once a process, before user code."""
    waiter = _Waiter(output)

    def before_fork() -> None:
        if not snapshots.is_forking:  # a snapshot prints nothing while its original lives
            waiter.before_child()

    os.register_at_fork(before=before_fork)
    for module, name in (
        (_posixsubprocess, "fork_exec"),
        (os, "system"),
        (os, "posix_spawn"),
        (os, "posix_spawnp"),
    ):
        setattr(module, name, _wrapped(getattr(module, name), waiter, output.interrupts))


def _wrapped(function: Any, waiter: "_Waiter", interrupts: Interrupts) -> Any:
    def start_child(*arguments: Any, **options: Any) -> Any:
        waiter.before_child()
        if interrupts.pending:
            # It came while we waited, and user code may be about to wait for its child.
            interrupts.deliver()
        return function(*arguments, **options)

    start_child.__name__ = start_child.__qualname__ = function.__name__
    start_child.__doc__ = function.__doc__
    return start_child


class _Waiter:
    def __init__(self, output: Output) -> None:
        self._output = output

    def before_child(self) -> None:
        """Let the service read what was printed; from now on children may print as well."""
        output = self._output
        link = output.link
        if link is None or not link.descriptors:
            return  # the zygote, or a child itself
        output.flush()
        _wait_until_read(_SIOCOUTQ, link.write_fd)
        output.call_before_lines(self.before_line)

    def before_line(self) -> None:
        """Let the service read what children have printed."""
        if not _wait_until_read(_FIONREAD, 1, 2):
            # A slow client, or a pipe of the user's own: until the next child it is not tried.
            self._output.call_before_lines(None)


def _wait_until_read(request: int, *descriptors: int) -> bool:
    """Whether nothing waits in the descriptors any more, within the time."""
    deadline = 0.0
    for descriptor in descriptors:
        while _waiting_bytes(request, descriptor):
            now = monotonic()
            deadline = deadline or now + WAIT_AT_MOST_S
            if now >= deadline:
                return False
            sleep(LOOK_EVERY_S)
    return True


def _waiting_bytes(request: int, descriptor: int) -> int:
    try:
        answer: bytes = ioctl(descriptor, request, _ZERO)
    except OSError:
        return 0  # closed, or nothing that has a queue
    waiting: int
    (waiting,) = _INT.unpack(answer)
    return waiting
