"""A connection's way out: what its client is told, in order, many messages in one write.

Owns the one task that writes, and the time that a client has to take what was written. A write
wakes the client's process, which costs more than the message: so what can wait for a moment goes
out with what cannot. That is written where it is told, if the client takes it at once; the task
writes what it does not. Must not know what a message says.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

Frame = str | bytes

WRITE_BYTES = 64 * 2**10
"""Of one write, if not one message is larger; and of what may wait before its writer is held up."""
PATIENCE_S = 0.0005
"""How long a message that can wait does so for the next one: what runs quickly has ended by then,
and nobody notices it otherwise."""
FINISH_S = 1.0
"""For a write that is under way when it is too slow, or nothing is to be written any more: behind
half a message nothing can be said, not even why the connection ends."""


class Written(enum.Enum):
    """What became of frames that were to be written without waiting."""

    ALL = enum.auto()
    A_PART = enum.auto()
    """The next write begins with the rest."""
    NOTHING = enum.auto()


def never(frames: Sequence[Frame]) -> Written:
    """Of a client to whom nothing can be written without waiting."""
    return Written.NOTHING


@attrs.define(eq=False)
class Outbox:
    """Of one connection. ``write`` sends frames; it raises where the client has gone.
    ``write_nowait`` may send them without waiting, and raises nothing."""

    write: Callable[[Sequence[Frame]], Awaitable[None]]
    slow_client_s: float
    write_nowait: Callable[[Sequence[Frame]], Written] = never
    _frames: deque[Frame] = attrs.field(factory=deque, init=False)
    _waiting_bytes: int = attrs.field(default=0, init=False)
    _urgent: trio.Event = attrs.field(factory=trio.Event, init=False)
    _patience: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    """Of the wait for what is urgent: ends when something else has waited for long enough."""
    _written: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set by the next write, and made anew by whoever waits for it then."""
    _is_idle: bool = attrs.field(default=False, init=False)
    """Whether the task that writes has nothing to do."""
    _has_rest: bool = attrs.field(default=False, init=False)
    _is_writing: bool = attrs.field(default=False, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)
    is_torn: bool = attrs.field(default=False, init=False)
    """Whether a message was written in part, and the connection is good for nothing any more."""
    _write_scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def post(self, frame: Frame, *, can_wait: bool = False) -> None:
        """Have it sent, behind all others. Never waits: who posts much asks for room before.

        ``can_wait``: for a moment, for company.
        """
        if self._is_closed:
            return
        self._frames.append(frame)
        self._waiting_bytes += len(frame)
        if not can_wait:
            if not (self._is_idle and self._write_now()):
                self._urgent.set()
        elif self._patience.deadline == math.inf:
            # The writer sleeps on: to wake it for this alone would be a task switch too many.
            self._patience.deadline = trio.current_time() + PATIENCE_S

    def _write_now(self) -> bool:
        """Whether nothing is left to be written."""
        if self._urgent.is_set() or self._waiting_bytes > WRITE_BYTES:
            return False
        written = self.write_nowait(self._frames)
        if written is Written.NOTHING:
            return False
        self._frames.clear()
        self._waiting_bytes = 0
        self._patience.deadline = math.inf
        self._has_rest = written is Written.A_PART
        if not self._has_rest:
            self._written.set()
        return not self._has_rest

    @property
    def has_room(self) -> bool:
        """Whether little waits."""
        return self._waiting_bytes < WRITE_BYTES

    async def wait_room(self) -> None:
        """Until it has room. Lets others run only where it has not; cancelled in any case."""
        while not self.has_room:
            await self._wait_written()
        await trio.lowlevel.checkpoint_if_cancelled()  # who has detached is not to be told more

    async def wait_sent(self) -> None:
        """Until all that was posted is sent, or nothing is any more."""
        self._urgent.set()
        while self._frames or self._has_rest or self._is_writing:
            await self._wait_written()

    async def _wait_written(self) -> None:
        if self._written.is_set():
            self._written = trio.Event()
        await self._written.wait()

    def close(self) -> None:
        """Nobody writes any more: what waits is dropped, and so is what is posted from now on."""
        self._is_closed, self._is_writing, self._has_rest = True, False, False
        self._frames.clear()
        self._waiting_bytes = 0
        self._written.set()

    async def run(self) -> None:
        """Write until cancelled.

        Raises, in a group, TooSlowError where the client does not take it, and what ``write``
        raises.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hasten)
            while True:
                await self._wait_due()
                if self._frames or self._has_rest:
                    await self._write(self._take())
                else:
                    self._urgent = trio.Event()  # set by who waited for what was written by then

    async def _wait_due(self) -> None:
        with trio.CancelScope() as self._patience:
            if self._frames:
                self._patience.deadline = trio.current_time() + PATIENCE_S
            self._is_idle = True
            try:
                await self._urgent.wait()
            finally:
                self._is_idle = False

    async def _write(self, frames: Sequence[Frame]) -> None:
        self._is_writing = True
        late_at = trio.current_time() + self.slow_client_s
        with trio.CancelScope(shield=True, deadline=late_at + FINISH_S) as self._write_scope:
            await self.write(frames)
        self.is_torn = self._write_scope.cancelled_caught
        await trio.lowlevel.checkpoint_if_cancelled()
        if trio.current_time() >= late_at:
            raise trio.TooSlowError
        self._is_writing = self._has_rest = False
        self._written.set()

    async def _hasten(self) -> None:
        """When all is cancelled, so is what is being written, a moment later."""
        try:
            await trio.sleep_forever()
        finally:
            soon = trio.current_time() + FINISH_S
            self._write_scope.deadline = min(self._write_scope.deadline, soon)

    def _take(self) -> list[Frame]:
        """The frames of the next write; none, where only a rest is to be written."""
        frames: list[Frame] = []
        left_bytes = WRITE_BYTES
        while self._frames and (not frames or len(self._frames[0]) <= left_bytes):
            frame = self._frames.popleft()
            left_bytes -= len(frame)
            frames.append(frame)
        self._waiting_bytes -= sum(map(len, frames))
        if not self._frames:
            self._urgent = trio.Event()
        return frames
