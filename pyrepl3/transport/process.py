"""One worker process as the service sees it: a pidfd, and a control page shared with it.

Owns every difference between platforms: this module alone names pidfds, memfds and signals.
Must not know the protocol, nor what is an execution beyond its number. Only pidfds are ever
signalled, never process ids, so that no signal can reach a stranger that got a dead worker's id
(faults.md, row 66).
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import signal
from pathlib import Path
from struct import Struct

import attrs
import trio

NOTES_OFFSET, NOTES_BYTES = 2048, 2048
"""As in worker/last_notes.py."""
STACK_OFFSET = 4096
STACK_BYTES = 4096
CONTROL_PAGE_BYTES = STACK_OFFSET + STACK_BYTES + 128 * 2**10
"""As in worker/handover.py: behind the stack is what one process of a session leaves to the next.
No memory is taken for what is not written to."""

_WORD = Struct("=Q")
_WANTED_OFFSET = 0
_CONSUMED_OFFSET = _WORD.size
_BEGUN_OFFSET = 4 * _WORD.size
_MARK_OFFSET = 7 * _WORD.size
_TAKEN_OFFSET = 128 * _WORD.size
_PID_SHIFT = 40

LEAVE = signal.SIGRTMIN + 7
"""As in worker/snapshots.py."""

# linux/pidfd.h; Linux 6.9 and newer. The signal module has no name for it yet.
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2


def open_control_page() -> int:
    """The descriptor of a new, zeroed control page; it is not inherited by programs.

    Its size is sealed: a worker can neither let it grow into a hoard of memory that no limit
    counts, nor cut it off under the service.

    Raises OSError (EMFILE, ENOMEM).
    """
    descriptor = os.memfd_create("pyrepl3-control", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, CONTROL_PAGE_BYTES)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@functools.cache
def can_signal_process_groups() -> bool:
    """Whether a pidfd can carry a signal to the whole process group (Linux 6.9).

    Where it cannot, interrupts reach the worker alone, and not the programs that it runs.
    """
    own = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(own, 0, None, _PIDFD_SIGNAL_PROCESS_GROUP)
    except OSError as error:
        # ESRCH: the flag is known, and this process leads no group. EINVAL: it is not known.
        return error.errno != errno.EINVAL
    finally:
        os.close(own)
    return True


def is_child(pid: int, pidfd: int, *, of: int) -> bool:
    """Whether that is the pidfd of process ``pid``, and its parent is ``of``."""
    try:
        about = Path(f"/proc/self/fdinfo/{pidfd}").read_bytes()
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    # The name in parentheses may hold anything, parentheses too.
    parent = int(stat.rpartition(b")")[2].split()[1])
    return f"\nPid:\t{pid}\n".encode() in about and parent == of


@attrs.define(eq=False)
class WorkerProcess:
    """A running or ended worker.

    Every method but `wait` only makes short system calls, and is harmless when the process has
    ended or the object is closed.
    """

    pid: int
    """For people and logs. Never signal it."""
    _pidfd: int
    _control_page: int
    _closed: bool = attrs.field(default=False, init=False)

    def fileno(self) -> int:
        """The pidfd, readable once the process is dead. Raises trio.ClosedResourceError."""
        if self._closed:
            raise trio.ClosedResourceError("this worker's process handle is closed")
        return self._pidfd

    async def wait(self) -> None:
        """Wait until the process is dead; what it died of is told by the `WorkerExit`.

        One task at a time. Raises trio.ClosedResourceError when closed, also while it waits.
        """
        await trio.lowlevel.wait_readable(self.fileno())

    def interrupt(self, number: int) -> bool:
        """Send SIGINT on behalf of that execution, to the worker and the programs it runs.

        The number goes to the control page first, so that a worker which has gone on to another
        execution by then can tell that it is not meant. False when the process is dead.
        """
        if self._closed:
            return False
        os.pwrite(self._control_page, _WORD.pack(number), _WANTED_OFFSET)
        return self._signal(signal.SIGINT, group=can_signal_process_groups())

    def consumed_interrupt(self) -> int:
        """The last execution's number whose interrupt the worker says it has taken; 0 for none."""
        if self._closed:
            return 0
        word = os.pread(self._control_page, _WORD.size, _CONSUMED_OFFSET)
        (number,) = _WORD.unpack(word)
        return int(number)

    def begun(self) -> int:
        """The number of the last job that it has taken from its socket; 0 for none."""
        if self._closed:
            return 0
        (number,) = _WORD.unpack(os.pread(self._control_page, _WORD.size, _BEGUN_OFFSET))
        return int(number)

    def taken_before(self) -> int:
        """The number of the job before which it was copied, where it is a snapshot; 0: it is none,
        or one that was kept for the session's history."""
        if self._closed:
            return 0
        page = os.pread(self._control_page, 2 * _WORD.size, _TAKEN_OFFSET)
        for (word,) in _WORD.iter_unpack(page):
            if word >> _PID_SHIFT == self.pid:
                return int(word) & ((1 << _PID_SHIFT) - 1)
        return 0

    def dump_stack(self) -> bool:
        """Have the interpreter write its stack to the control page; `read_stack` has it soon."""
        if self._closed:
            return False
        os.pwrite(self._control_page, bytes(STACK_BYTES), STACK_OFFSET)
        # The worker writes at this offset: it holds the same open file description.
        os.lseek(self._control_page, STACK_OFFSET, os.SEEK_SET)
        return self._signal(signal.SIGUSR1, group=False)

    def read_stack(self) -> str:
        """What the last `dump_stack` gave: at most 4 KiB, innermost frames first, or ""."""
        if self._closed:
            return ""
        data = os.pread(self._control_page, STACK_BYTES, STACK_OFFSET)
        return data.partition(b"\0")[0].decode("utf-8", "replace")

    def read_notes(self) -> bytes:
        """What it has noted of what it runs, as `wire.worker_reports.read_notes` reads it."""
        if self._closed:
            return b""
        return os.pread(self._control_page, NOTES_BYTES, NOTES_OFFSET)

    def resume(self) -> bool:
        """SIGCONT for all of the process group, which someone has stopped."""
        return self._signal(signal.SIGCONT, group=can_signal_process_groups())

    def survived_by(self, pid: int, pidfd: int) -> WorkerProcess:
        """The handle of a snapshot that takes over from it, on the same control page."""
        page = fcntl.fcntl(self._control_page, fcntl.F_DUPFD_CLOEXEC, 0)
        return WorkerProcess(pid, pidfd, page)

    def let_speak(self, mark: bytes) -> bool:
        """Let a snapshot take over: it waits for this signal, and blocks all others until then.

        ``mark``: up to which it is to throw away what it reads.
        """
        if self._closed:
            return False
        os.pwrite(self._control_page, mark, _MARK_OFFSET)
        return self._signal(LEAVE, group=False)

    def kill(self) -> bool:
        """SIGKILL for the worker and for what is left of its process group.

        Descendants that left the group are killed by the zygote when it finds the worker dead.
        """
        alive = self._signal(signal.SIGKILL, group=False)
        # Also where the leader is dead, or still on its way to its own group: the pidfd names
        # the group as long as anyone is in it.
        if can_signal_process_groups():
            self._signal(signal.SIGKILL, group=True)
        return alive

    def _signal(self, number: int, *, group: bool) -> bool:
        if self._closed:
            return False
        flags = _PIDFD_SIGNAL_PROCESS_GROUP if group else 0
        try:
            signal.pidfd_send_signal(self._pidfd, number, None, flags)
        except (ProcessLookupError, PermissionError):
            # Dead; or it has become a program of another user, which is the zygote's to see.
            return False
        return True

    def close(self) -> None:
        """Give the descriptors back. The process itself is not touched."""
        if self._closed:
            return
        self._closed = True
        trio.lowlevel.notify_closing(self._pidfd)
        os.close(self._pidfd)
        os.close(self._control_page)
