"""A zygote that is a copy of a session: what makes a snapshot something to open sessions from.

Owns the handle of that process, which is there already when it comes to us, and lives once. Must
not know how it was made. What runs in it was a session's, so it is trusted with nothing.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import trio

from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.transport.process import is_child
from pyrepl3.transport.zygote_link import ZygoteBroke, ZygoteLink, ZygoteReady


@attrs.define(eq=False)
class CopiedZygote:
    """The process, from when it is spared to its end. Its receiver is to `open` or `discard` it."""

    pid: int
    """For people and logs. Never signal it."""
    _pidfd: int
    _control: socket.socket
    link: ZygoteLink = attrs.field(init=False)
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when no session can be forked from it any more."""
    _is_open: bool = attrs.field(default=False, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def stderr_tail(self) -> str:
        """It has none: its streams lead nowhere."""
        return ""

    def has_forked(self, pid: int, pidfd: int) -> bool:
        """Whether that is what it says: a child of its own.

        A pidfd of any process can be opened, and ours is the hand that kills by it.
        """
        return is_child(pid, pidfd, of=self.pid)

    def private_bytes(self) -> int:
        """The memory that would be free without it; 0 when it has ended."""
        try:
            lines = Path(f"/proc/{self.pid}/smaps_rollup").read_bytes().split(b"\n")
        except OSError:
            return 0
        return 1024 * sum(int(each.split()[1]) for each in lines if each.startswith(b"Private_"))

    def discard(self) -> None:
        """End it, and give everything back. It may have been ended before.

        Where it is open, that is left first: who opened it has the descriptors in use.
        """
        self.ended.set()
        if self._is_closed:
            return
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        if not self._is_open:
            self._is_closed = True
            os.close(self._pidfd)
            self._control.close()

    @asynccontextmanager
    async def open(
        self, start_timeout_s: float, stop_timeout_s: float
    ) -> AsyncIterator[CopiedZygote]:
        """It takes starts; when the block is left, it and all its sessions are dead.

        Once: raises WorkerSpawnFailed when it is dead. Takes at most ``stop_timeout_s`` to leave.
        """
        if self.ended.is_set():
            raise _gone()
        self._is_open = True
        try:
            with trio.socket.from_stdlib_socket(self._control) as control:
                self.link = ZygoteLink(control)
                await self._wait_ready(start_timeout_s)
                try:
                    yield self
                finally:
                    control.close()
                    await self._end(stop_timeout_s)  # noqa: ASYNC102  # shielded and bounded inside
        finally:
            self._is_open = False
            self.discard()

    async def _wait_ready(self, timeout_s: float) -> None:
        ready = None
        with trio.move_on_after(timeout_s), suppress(ZygoteBroke):
            ready = await self.link.receive()
        if not isinstance(ready, ZygoteReady):
            raise _gone()

    async def _end(self, timeout_s: float) -> None:
        """It has heard the end of its control socket: bounded wait; `discard` kills."""
        with trio.CancelScope(deadline=trio.current_time() + timeout_s, shield=True):
            await trio.lowlevel.wait_readable(self._pidfd)


def _gone() -> WorkerSpawnFailed:
    return WorkerSpawnFailed(
        what="no session could be opened from the snapshot",
        why="its process has ended",
        how="Take the snapshot again",
    )
