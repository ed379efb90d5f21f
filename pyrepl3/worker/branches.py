"""Branches: a copy of a session that is a zygote itself, from which other sessions are forked.

Owns what the copy gives up of its session, and what a session that is forked from it must have of
its own. Must not know how a copy is made, nor what the sessions are for. Loaded with the first of
them: most sessions have none.

The copy is the original's child while that one lives, and its zygote's afterwards, which spares it
where the service has said so. Its lifeline is its own control socket.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, F_GETFL, fcntl
from posix import _exit, close, dup2, lseek, setsid, write
from select import POLLIN, poll
from stat import S_ISREG

from . import descriptors, orphans
from .birth import Heritage, leave_zygote, reseed
from .codec import pack
from .refusals import Refusal
from .snapshots import READY, Snapshots, SnapshotUnavailable
from .zygote import Zygote

SPARED_MS = 5_000
"""For the service to have it spared: it takes as long as a start of a process."""
_CONFIGURATION = pack({"spawn": "fork"})
_KEPT_FLAGS = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC


def grow_zygote(
    snapshots: Snapshots,
    passed: list[int],
    *,
    detach: Callable[[], None],
    attach: Callable[[int, int, int | None], None],
) -> int:
    """Make the copy; its id. 0 in each session that is forked from it, which ``attach`` has begun.

    ``passed``: the control socket, a pidfd of the service, and what `wait_until_spared` waits for.
    Raises Refusal.
    """

    def become(ready: int) -> None:
        zygote = _become_zygote(passed, detach)
        write(ready, READY)
        close(ready)
        worker = zygote.serve()
        if worker is None:
            zygote.end()
            _exit(0)
        _become_session(zygote, worker)
        attach(descriptors.PROTOCOL, descriptors.PROTOCOL, descriptors.CONTROL_PAGE)

    if len(passed) != 3:
        raise Refusal("SNAPSHOT_UNAVAILABLE", "the service has too many descriptors open")
    try:
        return snapshots.plant(become)
    except SnapshotUnavailable as error:
        raise Refusal("SNAPSHOT_UNAVAILABLE", str(error)) from None


def wait_until_spared(passed: list[int]) -> None:
    """In the original: until the service closes its end of a pipe, the last that was passed."""
    poller = poll()
    poller.register(passed[-1], POLLIN)
    poller.poll(SPARED_MS)


def _become_zygote(passed: list[int], detach: Callable[[], None]) -> Zygote:
    setsid()
    orphans.become_subreaper()
    detach()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # All of the layout: what is opened from here on has higher numbers.
    for number in range(descriptors.CONTROL_PAGE + 1):
        dup2(null, number, inheritable=number < descriptors.PROTOCOL)
    _open_files_anew()
    control, service, spared = passed
    close(spared)
    control, service = _move_up(control), _move_up(service)
    return Zygote(
        socket.socket(fileno=control),
        _CONFIGURATION,
        Heritage(_move_up(null)),
        [],
        service=service,
        is_copy=True,
    )


def _become_session(zygote: Zygote, worker: list[int]) -> None:
    leave_zygote(zygote.heritage, worker, inheritable=False)
    descriptors.close_each([*worker, *zygote.descriptors()])
    _open_files_anew()
    reseed()


def _move_up(descriptor: int) -> int:
    """Out of the way of the layout; user code may have left gaps in it."""
    moved = fcntl(descriptor, F_DUPFD_CLOEXEC, descriptors.FIRST_UNRESERVED)
    close(descriptor)
    return moved


def _open_files_anew() -> None:
    """Give this process places of its own in the files that are open: a fork shares them."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number <= descriptors.CONTROL_PAGE:
            continue
        # What cannot be opened again, as it may not be, stays shared.
        with suppress(OSError):
            if S_ISREG(os.fstat(number).st_mode):
                _open_anew(number)


def _open_anew(number: int) -> None:
    own = os.open(f"/proc/self/fd/{number}", fcntl(number, F_GETFL) & _KEPT_FLAGS | os.O_CLOEXEC)
    try:
        lseek(own, lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
        dup2(own, number, inheritable=os.get_inheritable(number))
    finally:
        close(own)
