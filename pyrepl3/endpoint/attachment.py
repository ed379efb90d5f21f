"""One client's place in one session's journal, and the task that sends it what comes.

Owns that place. A client reads at its own pace; what it has not read waits in the journal, but for
what its connection's outbox takes at once. Must not know how a message becomes bytes on the wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from pyrepl3.hosting.hosting_messages import Attached, Detached, Opened
from pyrepl3.journal.journal import Batch
from pyrepl3.journal.journal_state import Entry, Stretch

DETACH_S = 5.0
"""For a notice to a session that waits for nothing but its mailbox: far more than it takes."""


@attrs.define(eq=False)
class Attachment:
    """From an event on, until it is detached or the session's journal has ended.

    What a client asks for later on that lies before that event is sent too, each event once. One
    that ``is_held`` counts with the session, and sends nothing until `reach_back` says from where.
    """

    opened: Opened
    since: int
    send_entry: Callable[[Entry], Awaitable[None]]
    send_gap: Callable[[str, Stretch], Awaitable[None]]
    send_nowait: Callable[[Entry], bool] | None = attrs.field(default=None, kw_only=True)
    """The same as ``send_entry``, where it can be done without waiting; False where it cannot."""
    _begin: int = attrs.field(
        default=attrs.Factory(lambda self: self.since, takes_self=True), init=False
    )
    """Of all that is behind it, nothing is sent again."""
    _wanted: int = attrs.field(
        default=attrs.Factory(lambda self: self.since, takes_self=True), init=False
    )
    """Where it is to begin: before `_begin` when something earlier is still to be sent."""
    _waits: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    """Of the wait for what comes next."""
    _is_counted: bool = attrs.field(default=False, init=False)
    is_held: bool = False
    may_end: bool = False
    """Whether ``scope`` is cancelled where all has been sent that was asked for: then its client
    has not left, as far as the session is concerned."""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    is_over: bool = attrs.field(default=False, init=False)
    """Whether it sends nothing any more: whoever wants earlier events needs another one."""
    told: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when the session has been told of it, or will not be."""
    _begun: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(self) -> None:
        """Send what comes, until there is nothing more to come."""
        with self.scope:
            try:
                await self._attach()
                self.told.set()
                if self.is_held:
                    await self._begun.wait()
                while await self._send_next():
                    pass
            finally:
                self.is_over = True
                self.told.set()
                if self._is_counted:
                    await self._detach()  # noqa: ASYNC102  # shielded and bounded inside

    def reach_back(self, since: int) -> None:
        """Send the events from behind ``since`` on too, but for those that it sends anyway."""
        if self.is_held:
            self.is_held, self.since, self._begin, self._wanted = False, since, since, since
            self._begun.set()
        elif since < self._wanted:
            self._wanted = since
            self._waits.cancel()

    async def _send_next(self) -> bool:
        """What comes next. False when there is nothing more to come."""
        if self._wanted < self._begin:
            await self._send_earlier()
        batch: Batch | None = None
        with trio.CancelScope() as self._waits:
            batch = await self.opened.journal.read(self.since, self._take)
        if batch is None:
            return self._wanted < self._begin
        if batch.gap is not None:
            await self.send_gap(self.opened.session, batch.gap)
            self.since = batch.gap.last
        for entry in batch.entries:
            await self.send_entry(entry)
            self.since = entry.seq
        return True

    def _take(self, entry: Entry) -> bool:
        if self.send_nowait is None or self.scope.cancel_called or not self.send_nowait(entry):
            return False
        self.since = entry.seq
        return True

    async def _send_earlier(self) -> None:
        place, end = self._wanted, self._begin
        self._begin = place
        while place < end and (batch := await self.opened.journal.read(place)) is not None:
            if batch.gap is not None:
                place = min(batch.gap.last, end)
                await self.send_gap(self.opened.session, attrs.evolve(batch.gap, last=place))
            for entry in batch.entries:
                if entry.seq <= end:
                    await self.send_entry(entry)
                place = entry.seq

    async def _attach(self) -> None:
        try:
            await self.opened.address.send(Attached())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the session is forgotten; its journal says how far it goes
        self._is_counted = True

    async def _detach(self) -> None:
        with trio.CancelScope(deadline=trio.current_time() + DETACH_S, shield=True):
            try:
                may_end = self.may_end or self.is_held
                has_left = not (may_end and self.scope.cancel_called)
                await self.opened.address.send(Detached(has_left=has_left))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
