"""One client's place in one session's journal, and the task that sends it what comes.

Owns that place. A client reads at its own pace; what it has not read waits in the journal and
nowhere else. Must not know how a message becomes bytes on the wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from pyrepl3.hosting.hosting_messages import Attached, Detached, Opened
from pyrepl3.journal.journal_state import Entry, Stretch

DETACH_S = 5.0
"""For a notice to a session that waits for nothing but its mailbox: far more than it takes."""


@attrs.define(eq=False)
class Attachment:
    """From an event on, until it is detached or the session's journal has ended."""

    opened: Opened
    since: int
    send_entry: Callable[[Entry], Awaitable[None]]
    send_gap: Callable[[str, Stretch], Awaitable[None]]
    _is_counted: bool = attrs.field(default=False, init=False)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    async def run(self) -> None:
        """Send what comes, until there is nothing more to come."""
        with self.scope:
            try:
                await self._attach()
                while (batch := await self.opened.journal.read(self.since)) is not None:
                    if batch.gap is not None:
                        await self.send_gap(self.opened.session, batch.gap)
                        self.since = batch.gap.last
                    for entry in batch.entries:
                        await self.send_entry(entry)
                        self.since = entry.seq
            finally:
                if self._is_counted:
                    await self._detach()  # noqa: ASYNC102  # shielded and bounded inside

    async def _attach(self) -> None:
        try:
            await self.opened.address.send(Attached())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the session is forgotten; its journal says how far it goes
        self._is_counted = True

    async def _detach(self) -> None:
        with trio.CancelScope(deadline=trio.current_time() + DETACH_S, shield=True):
            try:
                await self.opened.address.send(Detached())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
