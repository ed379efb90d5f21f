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
from collections.abc import Callable, Sequence
from contextlib import suppress
from posix import _exit, close, fork, getppid, lseek, pipe2, read, setsid, write
from stat import S_ISREG
from time import time
from typing import Any

from . import orphans
from .descriptors import CONFIGURATION

LEAVE = SIGRTMIN + 7
"""By which the service lets a keeper speak; as in transport/process.py."""
ORPHANED = SIGRTMIN + 8
"""By which the kernel tells a keeper that its parent has died."""
SURVIVOR, COUNT, BEGUN, KEPT = 2, 3, 4, 8
"""Words of the control page: who takes over when this process dies, and the execution count then;
the number of the last job that was taken from the socket, so that the service knows which it holds
still; and, from the last word on, those that are kept, up to a 0. The zygote reads SURVIVOR and
KEPT too."""
MOST_KEPT = 64

READY = b"."
"""What a copy writes when its original may go on."""


class SnapshotUnavailable(Exception):
    """This process cannot be copied as it is; the text says why."""


class _Keeper:
    """One snapshot, as its original sees it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.label = ""
        """The execution before which it was taken, where it is kept for that."""
        self.pages = 0
        """As many as the original has changed, about, while this was the last one."""
        self.taken_at = time()
        # By this, as user code may have waited for it, and its number be another's then.
        self._pidfd = os.pidfd_open(pid)

    def end(self) -> None:
        with suppress(ProcessLookupError):  # it has been killed
            pidfd_send_signal(self._pidfd, SIGKILL)
        self.forget()

    def forget(self) -> None:
        close(self._pidfd)


class Snapshots:
    """Those of one process; at most one of them is open."""

    def __init__(
        self,
        *,
        check: Callable[[], None],
        flush: Callable[[], None],
        taken_over: Callable[[int], None],
    ) -> None:
        self.is_forking = False
        """Whether what is forked now is a keeper, and no child of the user's."""
        self._check = check
        self._flush = flush
        self._taken_over = taken_over
        self._words: Any = ()
        self._zygote = 0
        self._keeper: _Keeper | None = None
        self._kept: list[_Keeper] = []
        """The oldest first."""
        self._ended: list[int] = []

    def attach(self, words: Any) -> None:
        """This process is the session's. ``words``: the control page."""
        self._words = words
        self._zygote = getppid()
        # Another session's, where this process was forked from a copy of one.
        self._keeper = None
        while self._kept:
            self._kept.pop().forget()
        self._ended.clear()

    def take(self) -> bool:
        """Make one. True in the original; False in a keeper, when it has taken over.

        Raises SnapshotUnavailable.
        """
        random = sys.modules.get("random")
        dice = None if random is None else random.getstate()
        pid = self._copy(self._keep)
        if not pid:
            if random is not None:
                # It throws its dice anew in every child.
                random.setstate(dice)
            return False
        self._keeper = _Keeper(pid)
        self._words[SURVIVOR] = pid
        return True

    @property
    def is_open(self) -> bool:
        """Whether there is one to go back to from what runs now."""
        return self._keeper is not None

    def release(self) -> None:
        """What was done since is to stay."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        # First of all: the zygote adopts only who is named there.
        self._words[SURVIVOR] = 0
        keeper.end()
        self._ended.append(keeper.pid)
        self._reap()

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
        if len(self._words) <= BEGUN:
            raise SnapshotUnavailable("it was not started by the service's zygote")
        self._check()
        _check_threads()
        self._reap()
        self._flush()
        try:
            ready, theirs = pipe2(os.O_CLOEXEC)
            pid = self._fork()
        except OSError as error:
            raise SnapshotUnavailable(f"it could not be copied: {error.strerror}") from error
        if not pid:
            close(ready)
            become(theirs)
            return 0
        close(theirs)
        is_ready = read(ready, 1)
        close(ready)
        if not is_ready:
            self._ended.append(pid)
            raise SnapshotUnavailable("its copy ended at once")
        return pid

    # --- history --------------------------------------------------------------------------------

    @property
    def kept(self) -> Sequence[_Keeper]:
        """Those that may be gone back to, the oldest first."""
        return self._kept

    def keep(self, label: str, pages: int) -> None:
        """What was done since is to stay, and can be undone later on by this name."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.label, keeper.pages = label, pages
        self._kept.append(keeper)
        self._write_kept()
        self._words[SURVIVOR] = 0

    def drop(self, keeper: _Keeper) -> None:
        """Nobody goes back to it any more."""
        self._kept.remove(keeper)
        self._write_kept()
        keeper.end()
        self._ended.append(keeper.pid)
        self._reap()

    def go_back_to(self, keeper: _Keeper) -> None:
        """It takes over when this process has ended, which is to be at once."""
        self.release()
        while self._kept[-1] is not keeper:
            self.drop(self._kept[-1])
        self._words[SURVIVOR] = keeper.pid

    def _write_kept(self) -> None:
        for place, keeper in enumerate(self._kept):
            self._words[KEPT + place] = keeper.pid
        self._words[KEPT + len(self._kept)] = 0

    def note_begun(self, number: int) -> None:
        """That job was taken from the socket."""
        if len(self._words) > BEGUN:
            self._words[BEGUN] = number
        if self._ended:
            self._reap()

    def note_count(self, count: int) -> None:
        """The session's executions are counted on, whoever goes on with it."""
        if len(self._words) > COUNT:
            self._words[COUNT] = count

    def _fork(self) -> int:
        self.is_forking = True
        try:
            return fork()
        finally:
            self.is_forking = False

    def _reap(self) -> None:
        for pid in list(self._ended):
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    self._ended.remove(pid)
            except ChildProcessError:  # user code has waited for all its children
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
        # Of two that wait, the leave comes first; the other would kill when it is let through.
        sigtimedwait({ORPHANED}, 0)
        orphans.become_subreaper()
        self._words[SURVIVOR] = 0
        self._ended.clear()
        self._write_kept()
        for descriptor, offset in offsets:
            with suppress(OSError):  # its file has become a pipe, say, by another name for it
                lseek(descriptor, offset, os.SEEK_SET)
        self._taken_over(int(self._words[COUNT]))
        pthread_sigmask(SIG_SETMASK, mask)


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
