"""The zygote: one quiet process a template, from which the workers are forked.

Owns the worker processes, from fork to reaping, and whatever they leave behind. Must not know the
workers' protocol, nor what a session is; the service talks to it over one SOCK_SEQPACKET socket,
a msgpack map to a packet, and that socket's end is the end of everything here.

Single-threaded, so that a fork copies a process in a known state. It waits for two things, the
control socket and SIGCHLD; every change of every child comes by SIGCHLD, so it needs no
descriptor for each worker.
"""

import errno
import os
import socket
import sys
from _signal import SIGTERM
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from select import POLLIN, poll
from time import monotonic, sleep
from typing import Any

from . import descriptors, orphans
from .birth import (
    Heritage,
    die_of_exception,
    execute_worker,
    exit_status,
    leave_zygote,
    wait_for_execution,
)
from .codec import decode_message, pack
from .handover import KEPT, MOST_KEPT, SURVIVOR, WORD_BYTES

MAX_PACKET_BYTES = 4096
DESCRIPTORS_PER_WORKER = 4
SWEEP_S = 1.5
"""How long an ending zygote waits for what it has killed; a process in an uninterruptible system
call would take longer."""


class _ServiceGone(Exception):
    """The control socket has ended, or the service; or SIGTERM says that the zygote should."""


class Zygote:
    """Forks workers on request, and reports their ends."""

    def __init__(
        self,
        control: socket.socket,
        configuration: bytes,
        heritage: Heritage,
        boot: list[str],
        *,
        service: int | None,
        is_copy: bool = False,
    ) -> None:
        """``is_copy``: of a session, and no program of its own (`branches.py`)."""
        self._control = control
        self._control_fd = control.fileno()
        self._configuration = configuration
        self._executes = decode_message(configuration)["spawn"] == "exec"
        self.heritage = heritage
        self._boot = boot
        self._workers: dict[int, int] = {}
        """By their ids their control pages, on which each names who would take over from it."""
        self._stopped: set[int] = set()
        self._copies: dict[int, int] = {}
        """Copies of sessions that outlive them, by their ids their pidfds."""
        # What preloaded modules have started is theirs to keep.
        self._spared = set(orphans.children())
        # A session's garbage may take long to find, and whoever asked for its copy waits.
        self._wakeup = heritage.take_over(lambda number, frame: None, collects=not is_copy)
        self._service = service

    def serve(self) -> list[int] | None:
        """Work until the service has gone, then None. In a forked child: what it was passed."""
        poller = poll()
        poller.register(self._control.fileno(), POLLIN)
        poller.register(self._wakeup, POLLIN)
        if self._service is not None:
            poller.register(self._service, POLLIN)
        version = ".".join(map(str, sys.version_info[:3]))
        try:
            self._tell({"type": "zygote_ready", "pid": os.getpid(), "version": version})
            # SIGCHLD may have come before there was anyone to hear it.
            self._reap()
            while True:
                for descriptor, _ in poller.poll():
                    if descriptor == self._wakeup:
                        self._on_signals()
                    elif descriptor == self._service:
                        raise _ServiceGone
                    elif (passed := self._take_packet()) is not None:
                        return passed
        except (_ServiceGone, BrokenPipeError, ConnectionResetError):
            return None

    def end(self) -> None:
        """Kill every worker and everything that workers have left, and wait until it is gone.

        Copies have control sockets of their own to end by.
        """
        deadline = monotonic() + SWEEP_S
        while monotonic() < deadline:
            self._forget_copies()
            if self._copies.keys() >= set(orphans.children()):
                return
            orphans.kill_orphans(spared=self._copies)
            try:
                while state := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    orphans.kill_group_of_zombie(state.si_pid)
                    os.waitid(os.P_PID, state.si_pid, os.WEXITED)
            except ChildProcessError:
                return
            sleep(0.001)

    def descriptors(self) -> list[int]:
        """All that are this zygote's own, and none of its workers'."""
        opened = [self._control_fd, self.heritage.null, *self.heritage.wakeup]
        if self._service is not None:
            opened.append(self._service)
        return [*opened, *self._workers.values(), *self._copies.values()]

    def _take_packet(self) -> list[int] | None:
        data, passed, truncated = descriptors.receive_packet(self._control, MAX_PACKET_BYTES)
        if not data:
            raise _ServiceGone
        message = decode_message(data)
        if message["type"] == "start":
            if truncated:
                self._refuse(message["id"], passed, OSError(errno.EMFILE, "too many open files"))
                return None
            return self._start(message["id"], passed)
        descriptors.close_each(passed)
        if message["type"] == "kill" and message["pid"] in self._workers:
            # It is not reaped yet, so the number is its own.
            orphans.kill_child(message["pid"])
        elif message["type"] == "spare":
            self._spare(message["id"], message["worker"], message["pid"])
        return None

    def _spare(self, request: int, worker: int, copy: int) -> None:
        """A copy of a worker of ours is to outlive it, or one of a copy's that came from us."""
        self._forget_copies()
        pidfd, is_copy = -1, False
        with suppress(OSError):  # too many descriptors are open, say
            if self._is_copy(copy, worker):
                pidfd = os.pidfd_open(copy)
                # By now the number is that of whoever the pidfd is of, or of nobody.
                is_copy = self._is_copy(copy, worker)
        if not is_copy:
            if pidfd >= 0:
                os.close(pidfd)
            self._tell({"type": "not_spared", "id": request})
            return
        self._copies[copy] = pidfd
        self._tell({"type": "spared", "id": request, "pid": copy}, [pidfd])

    def _is_copy(self, copy: int, worker: int) -> bool:
        """Whether it is that worker's child, and that one comes from here."""
        own = os.getpid()
        if copy in self._copies or orphans.parent_of(copy) != worker:
            return False
        above: int | None = worker
        while above and above != own:
            above = orphans.parent_of(above)
        return above == own

    def _start(self, start: int, passed: list[int]) -> list[int] | None:
        """Fork a worker; returns None here, and in the child what it was passed."""
        try:
            if len(passed) != DESCRIPTORS_PER_WORKER:
                raise OSError(errno.EBADF, f"{len(passed)} descriptors came with the request")
            child = self._fork_and_execute(passed) if self._executes else os.fork()
        except OSError as error:
            self._refuse(start, passed, error)
            return None
        if child == 0:
            self._control.detach()
            return passed
        try:
            pidfd = os.pidfd_open(child)
        except OSError as error:
            orphans.kill_child(child)
            self._refuse(start, passed, error)
            return None
        self._workers[child] = passed.pop()
        try:
            self._tell({"type": "started", "id": start, "pid": child}, [pidfd])
        finally:
            descriptors.close_each([pidfd, *passed])
        return None

    def _refuse(self, start: int, passed: list[int], error: OSError) -> None:
        descriptors.close_each(passed)
        self._tell(
            {
                "type": "start_failed",
                "id": start,
                "errno": error.errno or 0,
                "message": str(error.strerror or error),
            }
        )

    def _fork_and_execute(self, passed: list[int]) -> int:
        """Fork and exec a fresh interpreter; returns once it runs. Raises OSError if it does not.

        The wait is short: nothing of the user's runs before the exec.
        """
        failure, report = os.pipe2(os.O_CLOEXEC)
        try:
            child = os.fork()
        except OSError:
            descriptors.close_each([failure, report])
            raise
        if child == 0:
            try:
                leave_zygote(self.heritage, passed, inheritable=True)
                execute_worker(self._configuration, self._boot, report)
            finally:
                die_of_exception()
        os.close(report)
        number = wait_for_execution(failure)
        os.close(failure)
        if number:
            raise OSError(number, f"{sys.executable}: {os.strerror(number)}")
        return child

    def _on_signals(self) -> None:
        if SIGTERM in os.read(self._wakeup, 4096):
            raise _ServiceGone
        self._reap()

    def _reap(self) -> None:
        """Take every child's change of state."""
        changes = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        try:
            while state := os.waitid(os.P_ALL, 0, changes):
                if state.si_code == os.CLD_STOPPED:
                    self._on_stopped(state.si_pid)
                else:
                    self._on_dead(state)
        except ChildProcessError:
            return

    def _on_stopped(self, child: int) -> None:
        """A worker that stopped itself answers nobody any more."""
        os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOHANG)
        if child not in self._spared:
            self._stopped.add(child)
            orphans.kill_child(child)

    def _on_dead(self, state: Any) -> None:
        child = state.si_pid
        is_worker = child in self._workers
        if is_worker:
            orphans.kill_group_of_zombie(child)
        os.waitid(os.P_PID, child, os.WEXITED)
        was_stopped = child in self._stopped
        self._stopped.discard(child)
        self._spared.discard(child)
        if child in self._copies:
            os.close(self._copies.pop(child))
        survivor = self._adopt_survivor(child)
        # Its own children are ours by now.
        self._kill_orphans()
        if not is_worker:
            return
        report = {"type": "exited", "pid": child, "stopped": was_stopped, **exit_status(state)}
        if survivor is None:
            self._tell(report)
            return
        pid, pidfd = survivor
        try:
            self._tell({**report, "survivor": pid}, [pidfd])
        finally:
            os.close(pidfd)

    def _adopt_survivor(self, dead: int) -> tuple[int, int] | None:
        """The snapshot that a worker has named to take over from it: a worker from now on.

        It names what it likes. Whoever is its descendant has come to us by its death; and of those
        that are ours another session's has another control page.
        """
        page = self._workers.pop(dead, None)
        if page is None:
            return None
        named = _survivor_on(page)
        others = self._workers.keys() | self._spared | self._copies.keys()
        if named in orphans.children() and named not in others and _has_page(named, page):
            try:
                pidfd = os.pidfd_open(named)
            except OSError:
                pidfd = -1  # too many descriptors are open: it cannot be handed on
            if pidfd >= 0:
                self._workers[named] = page
                return named, pidfd
        os.close(page)
        return None

    def _kill_orphans(self) -> None:
        """But for those whose original has died too, of which we have yet to hear."""
        self._forget_copies()
        # Listed before the names are read: whoever is an orphan by then has an original that is
        # dead, and names nobody else any more. Read first, a name may be that of the snapshot
        # before, and the one that has outlived its original meanwhile would be killed.
        found = orphans.children()
        known = self._workers.keys() | self._spared | self._copies.keys()
        strays = [child for child in found if child not in known]
        if not strays:
            return
        named = {
            pid
            for page in self._workers.values()
            for pid in _named_on(page)
            if _has_page(pid, page)
        }
        for child in strays:
            if child not in named:
                orphans.kill_child(child)

    def _forget_copies(self) -> None:
        """Those that have ended while their original lived, who has reaped them."""
        poller = poll()
        numbers = {pidfd: pid for pid, pidfd in self._copies.items()}
        for pidfd in numbers:
            poller.register(pidfd, POLLIN)
        for pidfd, _ in poller.poll(0) if numbers else ():
            del self._copies[numbers[pidfd]]
            os.close(pidfd)

    def _tell(self, message: dict[str, Any], passed: Sequence[int] = ()) -> None:
        descriptors.send_packet(self._control, pack(message), passed)


def _survivor_on(page: int) -> int:
    """Who is named on a control page to take over; 0: nobody."""
    return int.from_bytes(os.pread(page, WORD_BYTES, SURVIVOR * WORD_BYTES), sys.byteorder)


def _has_page(pid: int, page: int) -> bool:
    """Whether that process is one of the session with this control page."""
    try:
        return os.path.samestat(
            os.stat(f"/proc/{pid}/fd/{descriptors.CONTROL_PAGE}"), os.fstat(page)
        )
    except OSError:  # it has ended, or has closed it
        return False


def _named_on(page: int) -> Iterator[int]:
    """The snapshots that a session has, by its control page."""
    words = array("Q", os.pread(page, WORD_BYTES * (KEPT + MOST_KEPT), 0))
    yield words[SURVIVOR]
    for word in words[KEPT:]:
        if not word:
            return
        yield word
