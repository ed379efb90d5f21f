"""The channel of one execution's events, whose other end is the session's journal.

Owns the order in which executions come into the journal, and the wait for room in it. A request
carries one as it would carry a channel to a task; there is none here: whoever tells an event puts
it into the journal by that. Must not know connections, nor what is made of an event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import attrs
import trio

from pyrepl3.events import Event, Started
from pyrepl3.hosting import refusals
from pyrepl3.hosting.executions import Record
from pyrepl3.journal.journal import Journal
from pyrepl3.messages import EVENT_CAPACITY, Refused
from pyrepl3.telemetry.notes import bound, bound_fields
from pyrepl3.telemetry.observing import ObservedExecution


@attrs.define(eq=False)
class JournalChannel:
    """An `EventChannel` (messages.py). It raises WouldBlock while the journal has no room.

    ``write`` puts an event into the journal, ``end`` is told when there will be none any more.
    Nothing is written before `accept`, and none of an execution that has begun before those that
    were accepted earlier are through: they have ended by then, but are told by several tasks. What
    was dropped from the queue has no beginning, and waits for nobody.
    """

    record: Record
    observed: ObservedExecution | None
    journal: Journal
    write: Callable[[Record, Event], None]
    end: Callable[[Record], None]
    is_through: bool = attrs.field(default=False, init=False)
    """Whether it has ended, and all that were accepted before it."""
    _ids: Mapping[str, Any] = attrs.field(factory=bound_fields, init=False)
    """For the log: what is written here is written in other tasks."""
    _held: deque[Event | Refused] = attrs.field(factory=deque, init=False)
    _has_told: bool = attrs.field(default=False, init=False)
    _has_begun: bool = attrs.field(default=False, init=False)
    _is_accepted: bool = attrs.field(default=False, init=False)
    _is_first: bool = attrs.field(default=False, init=False)
    """Whether all those before it are through."""
    _is_closed: bool = attrs.field(default=False, init=False)
    _has_ended: bool = attrs.field(default=False, init=False)
    _after: JournalChannel | None = attrs.field(default=None, init=False)
    _turn: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when it is first."""

    # --- for who tells --------------------------------------------------------------------------

    def send_nowait(self, event: Event | Refused, /) -> None:
        """Raises WouldBlock, BrokenResourceError where the journal has ended."""
        if self.journal.is_closed:  # first: what was cut off, its teller has not closed
            raise trio.BrokenResourceError
        if self._is_closed:
            raise trio.ClosedResourceError
        self._has_begun = self._has_begun or isinstance(event, Started)
        if self._may_write:
            # The first one always finds room, as in any empty channel.
            if self._has_told and not self.journal.has_room:
                raise trio.WouldBlock
            self._write(event)
        elif len(self._held) < EVENT_CAPACITY:
            self._held.append(event)
        else:
            raise trio.WouldBlock
        self._has_told = True

    async def send(self, event: Event | Refused, /) -> None:
        """As soon as there is room. Raises BrokenResourceError."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                self.send_nowait(event)
            except trio.WouldBlock:
                await self._wait_room()
            else:
                return

    def close(self) -> None:
        """Nothing more comes. If that was no last event, its outcome is not known."""
        self._is_closed = True
        self._go_on()

    def __enter__(self) -> JournalChannel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- for the session that made it -------------------------------------------------------------

    def accept(self, before: JournalChannel | None) -> None:
        """Whoever sent the request knows that it was taken, behind that other one."""
        self._is_accepted = True
        if before is None or before.is_through:
            self._is_first = True
        else:
            before._after = self
        self._go_on()

    def cut_off(self) -> None:
        """Nobody waits for what it has not told by now."""
        self._is_accepted = self._is_first = True
        self.close()

    def leave(self) -> None:
        """Its journal is no more: who observes it hears that it was called off, and who waits to
        tell more, that nobody takes it."""
        self._turn.set()
        if self.observed is not None:
            self.observed.left()

    # --- between them -----------------------------------------------------------------------------

    @property
    def _may_write(self) -> bool:
        may_be_next = self._is_first or not self._has_begun
        return self._is_accepted and may_be_next and not self.journal.is_closed

    async def _wait_room(self) -> None:
        if not self._may_write:
            await self._turn.wait()
        else:
            await self.journal.wait_room()

    def _write(self, event: Event | Refused) -> None:
        """Its client first: it has what was written by then, and nobody waits for observers."""
        told = event
        if isinstance(told, Refused):
            told = refusals.as_outcome(self.record.execution, told.error)
        with bound(**self._ids):
            self.write(self.record, told)
            if self.observed is None:
                return
            if isinstance(event, Refused):
                self.observed.refused(event.error)
            self.observed.see(told)

    def _go_on(self) -> None:
        """Write what may be written by now, of this one and of those that waited for it."""
        channel: JournalChannel | None = self
        while channel is not None and channel._advance():  # not by recursion: thousands may wait
            channel = channel._after
            if channel is not None:
                channel._is_first = True

    def _advance(self) -> bool:
        """Whether it is through by this."""
        if not self._may_write:
            return False
        while self._held:
            self._write(self._held.popleft())
        if self._is_first:
            self._turn.set()
        if not self._is_closed:
            return False
        if not self._has_ended:
            self._has_ended = True
            if not self.record.ended:
                self._write(refusals.outcome_unknown(self.record.execution))
            self.end(self.record)
        if self.is_through or not self._is_first:
            return False
        self.is_through = True
        return True
