"""Snapshots of the session's process, by fork: what it can go back to, and outlive.

Owns the keepers. A keeper is a forked copy that waits; the original goes on, and commonly ends it.
When the original dies instead, however that comes, its keeper takes over the session: the same
link, the same streams, the memory of the moment of the fork. Must not know when a snapshot is
wanted, nor what runs.

A take-over has three parties. The original has named its keeper on the control page. The zygote
finds it there when the original has died, spares it in its sweep, and reports it. The service reads
all that the original had written, and then gives the keeper leave to speak, by a signal. So two
processes never speak for one session. A keeper whose zygote has died ends itself.
"""

import os
import sys
from _signal import (
    SIG_SETMASK,
    SIGKILL,
    SIGRTMIN,
    pidfd_send_signal,
    pthread_sigmask,
    sigtimedwait,
    sigwait,
    valid_signals,
)
from collections.abc import Callable
from contextlib import suppress
from posix import _exit, close, fork, getppid, lseek, pipe2, read, setsid, write
from select import POLLIN, poll
from stat import S_ISREG
from time import perf_counter, time
from typing import Any

from . import orphans
from .descriptors import CONFIGURATION
from .handover import Handover
from .huge_pages import HugePages

LEAVE = SIGRTMIN + 7
"""By which the service lets a keeper speak; as in transport/process.py."""
ORPHANED = SIGRTMIN + 8
"""By which the kernel tells a keeper that its parent has died."""

_PF_EXITING = 0x4
"""Of include/linux/sched.h."""

READY = b"."
"""What a copy writes when its original may go on."""
READY_MS = 10_000
"""For that: what user code has to be done at each fork may take its time, or hang."""


class SnapshotUnavailable(Exception):
    """This process cannot be copied as it is; the text says why."""


class Keeper:
    """One snapshot, as whoever can go back to it sees it."""

    def __init__(self, pid: int) -> None:
        """Raises OSError where there is no such process."""
        self.pid = pid
        self.taken_at = time()
        # By this, as user code may have waited for it, and its number be another's then.
        self._pidfd = os.pidfd_open(pid)

    @property
    def has_ended(self) -> bool:
        """Whether somebody has killed it."""
        poller = poll()
        poller.register(self._pidfd, POLLIN)
        return bool(poller.poll(0))

    @property
    def is_dying(self) -> bool:
        """Whether somebody has killed it, also where that has not come about yet: to end takes a
        process as long as it is large. Looks into /proc, which takes 40 µs."""
        return self.has_ended or _is_dying(self.pid)

    def end(self) -> None:
        """Nobody goes back to it any more."""
        with suppress(ProcessLookupError):  # it has been killed
            pidfd_send_signal(self._pidfd, SIGKILL)
        self.forget()

    def forget(self) -> None:
        """It is another process's to see to, or this one."""
        close(self._pidfd)


class Snapshots:
    """Those of one process; at most one of them is open: it takes over when this process dies."""

    def __init__(
        self,
        *,
        check: Callable[[], None],
        flush: Callable[[], None],
        taken_over: Callable[[int, bytes], None],
    ) -> None:
        self.is_forking = False
        """Whether what is forked now is a keeper, and no child of the user's."""
        self.cost_s = 0.0
        """Of all so far: the time that this process was held up, and the processor's for those
        that have ended, which is mostly their end."""
        self.handover = Handover()
        self.huge_pages = HugePages()
        self.on_take_over: Callable[[], None] = lambda: None
        """Called in a keeper that has taken over, before anything else of the session's."""
        self._check = check
        self._flush = flush
        self._taken_over = taken_over
        self._zygote = 0
        self._open: Keeper | None = None
        self._ended: list[int] = []

    def attach(self, words: Any) -> None:
        """This process is the session's. ``words``: the control page."""
        self.handover.attach(words)
        self._zygote = getppid()
        # Another session's, where this process was forked from a copy of one.
        keeper = self.close()
        if keeper is not None:
            keeper.forget()
        self._ended.clear()
        self.huge_pages = HugePages()

    def take(self, number: int) -> bool:
        """Make one, before that job, and have it open. True in the original; False in a keeper,
        when it has taken over. One that was open stays so until there is the new one, or where
        there is none.

        Raises SnapshotUnavailable.
        """
        started_s = perf_counter()
        keeper = self.copy()
        if keeper is None:
            return False
        before, self._open = self._open, keeper
        self.handover.note_taken(keeper.pid, number, before=0 if before is None else before.pid)
        self.handover.name_survivor(keeper.pid)
        if before is not None:
            self.end(before)
        self.cost_s += perf_counter() - started_s
        return True

    def copy(self) -> Keeper | None:
        """Make one that takes over where it is named for that. None in the keeper, when it has.

        Raises SnapshotUnavailable.
        """
        random = sys.modules.get("random")
        dice = None if random is None else random.getstate()
        pid = self._copy(self._keep)
        if pid:
            return Keeper(pid)
        if random is not None:
            # It throws its dice anew in every child.
            random.setstate(dice)
        return None

    def plant(self, grow: Callable[[int], None]) -> int:
        """Make a copy that outlives this process, and is no part of its session. Its id; 0 in what
        comes of it: there ``grow`` is called, which is to write a byte when it is ready.

        Raises SnapshotUnavailable.
        """
        pid = self._copy(grow)
        if pid:
            self._ended.append(pid)  # once it has
        return pid

    def _copy(self, become: Callable[[int], None]) -> int:
        """Fork, and wait until the copy is ready; 0 in the copy, when ``become`` has returned."""
        if not self.handover.is_possible:
            raise SnapshotUnavailable("it was not started by the service's zygote")
        self._check()
        self._reap()
        self._flush()
        try:
            _check_threads()
            ready, theirs = pipe2(os.O_CLOEXEC)
            pid = self._fork()
        except OSError as error:
            raise SnapshotUnavailable(f"it could not be copied: {error.strerror}") from error
        if not pid:
            try:
                close(ready)
                become(theirs)
            except BaseException:
                # It must not go on as a second one of the session.
                _exit(1)
            return 0
        close(theirs)
        is_ready = _hears_within(ready, READY_MS)
        close(ready)
        if not is_ready:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)  # not reaped yet: the number is its own
            self._ended.append(pid)
            raise SnapshotUnavailable("its copy ended at once, or did not come to be in time")
        return pid

    def release(self) -> None:
        """What was done since the open one is to stay."""
        keeper = self.close()
        if keeper is not None:
            # First of all: the zygote adopts only who is named there.
            self.handover.name_survivor(0)
            self.end(keeper)

    @property
    def opened(self) -> Keeper | None:
        """The one that takes over when this process dies."""
        return self._open

    @property
    def has_copies(self) -> bool:
        """Whether this process shares its memory with one; those of its history do not count."""
        self._reap()
        return self._open is not None or bool(self._ended)

    def close(self) -> Keeper | None:
        """The open one, which is its caller's to name or to end: nothing is open from here on."""
        keeper, self._open = self._open, None
        return keeper

    def end(self, keeper: Keeper) -> None:
        """Nobody goes back to it any more."""
        keeper.end()
        self._ended.append(keeper.pid)
        self._reap()

    def note_begun(self, number: int) -> None:
        """That job is this process's from here on, whatever becomes of it."""
        self.handover.note_begun(number)
        if self._ended:
            self._reap()

    def _fork(self) -> int:
        self.is_forking = True
        started = perf_counter()
        try:
            return fork()
        finally:
            self.is_forking = False
            self.huge_pages.note_fork(perf_counter() - started)

    def _reap(self) -> None:
        for pid in list(self._ended):
            try:
                reaped, _, usage = os.wait4(pid, os.WNOHANG)
                if reaped:
                    self._ended.remove(pid)
                    self.cost_s += usage.ru_utime + usage.ru_stime
            except ChildProcessError:  # user code has waited for all its children, or it never was
                self._ended.remove(pid)

    # --- in the keeper --------------------------------------------------------------------------

    def _keep(self, ready: int) -> None:
        """Wait; return when the session is this process's."""
        original = getppid()
        mask = pthread_sigmask(SIG_SETMASK, valid_signals())
        # A group of its own: the original's is killed as one.
        setsid()
        orphans.hear_of_parents_death(ORPHANED)
        offsets = _offsets()
        write(ready, READY)
        close(ready)
        while True:
            if getppid() not in (original, self._zygote):
                _exit(0)
            if sigwait({LEAVE, ORPHANED}) == LEAVE:
                break
        orphans.die_with_parent(self._zygote)
        # Of those that wait the leave comes first; the others would kill when they are let through.
        # There is one for each thread that the original had when it died.
        while sigtimedwait({ORPHANED}, 0) is not None:
            pass
        orphans.become_subreaper()
        self.handover.name_survivor(0)
        self._ended.clear()
        before = self.close()
        if before is not None:
            # Whose place it took; its original may have died before it could end it.
            before.end()
        self.on_take_over()
        for descriptor, offset in offsets:
            with suppress(OSError):  # its file has become a pipe, say, by another name for it
                lseek(descriptor, offset, os.SEEK_SET)
        self._taken_over(self.handover.count, self.handover.mark)
        pthread_sigmask(SIG_SETMASK, mask)


def _is_dying(pid: int) -> bool:
    """Whether that child, which has not been waited for, has been sent a SIGKILL, or exits."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            pending = [line.split()[1] for line in file if line.startswith((b"SigPnd", b"ShdPnd"))]
        with open(f"/proc/{pid}/stat", "rb") as file:
            flags = int(file.read().rpartition(b")")[2].split()[6])
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:  # no descriptor is free, say: nothing is known
        return False
    return bool(flags & _PF_EXITING) or any(int(each, 16) >> (SIGKILL - 1) & 1 for each in pending)


def _hears_within(descriptor: int, milliseconds: int) -> bool:
    poller = poll()
    poller.register(descriptor, POLLIN)
    return bool(poller.poll(milliseconds)) and bool(read(descriptor, 1))


def _check_threads() -> None:
    """A fork has the thread that calls it, and no other."""
    count = len(os.listdir("/proc/self/task"))
    if count == 1:
        return
    threading = sys.modules.get("threading")
    main = None if threading is None else threading.main_thread()
    named = [] if threading is None else [t.name for t in threading.enumerate() if t is not main]
    unnamed = count - 1 - len(named)
    if unnamed > 0:
        named.append(f"{unnamed} of C code")
    raise SnapshotUnavailable("other threads are running in it: " + ", ".join(map(str, named)))


def _offsets() -> list[tuple[int, int]]:
    """Where each file is that can be read from elsewhere: the original moves it too."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor <= CONFIGURATION:
            continue
        try:
            if S_ISREG(os.fstat(descriptor).st_mode):
                found.append((descriptor, lseek(descriptor, 0, os.SEEK_CUR)))
        except OSError:
            continue  # of the listing itself, closed by now
    return found
