"""A connection's way out: what its client is told, in order, many messages in one write.

Owns the one task that writes, and the time that a client has to take what was written. A write
wakes the client's process, which costs more than the message: so what is told in the same moment
goes out at once. Must not know what a message says.
"""

from __future__ import annotations

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


@attrs.define(eq=False)
class Outbox:
    """Of one connection. ``write`` sends frames; it raises where the client has gone."""

    write: Callable[[Sequence[Frame]], Awaitable[None]]
    slow_client_s: float
    _frames: deque[Frame] = attrs.field(factory=deque, init=False)
    _waiting_bytes: int = attrs.field(default=0, init=False)
    _something: trio.Event = attrs.field(factory=trio.Event, init=False)
    _urgent: trio.Event = attrs.field(factory=trio.Event, init=False)
    _written: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set by the next write, and made anew by whoever waits for it then."""
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
        self._something.set()
        if not can_wait:
            self._urgent.set()

    async def wait_room(self) -> None:
        """Until little waits. Lets others run only where it does not; cancelled in any case."""
        while self._waiting_bytes >= WRITE_BYTES:
            await self._wait_written()
        await trio.lowlevel.checkpoint_if_cancelled()  # who has detached is not to be told more

    async def wait_sent(self) -> None:
        """Until all that was posted is sent, or nothing is any more."""
        self._urgent.set()
        while self._frames or self._is_writing:
            await self._wait_written()

    async def _wait_written(self) -> None:
        if self._written.is_set():
            self._written = trio.Event()
        await self._written.wait()

    def close(self) -> None:
        """Nobody writes any more: what waits is dropped, and so is what is posted from now on."""
        self._is_closed, self._is_writing = True, False
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
                await self._something.wait()
                if not self._urgent.is_set():
                    with trio.move_on_after(PATIENCE_S):
                        await self._urgent.wait()
                await self._write(self._take())

    async def _write(self, frames: Sequence[Frame]) -> None:
        self._is_writing = True
        late_at = trio.current_time() + self.slow_client_s
        with trio.CancelScope(shield=True, deadline=late_at + FINISH_S) as self._write_scope:
            await self.write(frames)
        self.is_torn = self._write_scope.cancelled_caught
        await trio.lowlevel.checkpoint_if_cancelled()
        if trio.current_time() >= late_at:
            raise trio.TooSlowError
        self._is_writing = False
        self._written.set()

    async def _hasten(self) -> None:
        """When all is cancelled, so is what is being written, a moment later."""
        try:
            await trio.sleep_forever()
        finally:
            soon = trio.current_time() + FINISH_S
            self._write_scope.deadline = min(self._write_scope.deadline, soon)

    def _take(self) -> list[Frame]:
        """The frames of the next write."""
        frames = [self._frames.popleft()]
        left_bytes = WRITE_BYTES - len(frames[0])
        while self._frames and len(self._frames[0]) <= left_bytes:
            frame = self._frames.popleft()
            left_bytes -= len(frame)
            frames.append(frame)
        self._waiting_bytes -= sum(map(len, frames))
        if not self._frames:
            self._something, self._urgent = trio.Event(), trio.Event()
        return frames
