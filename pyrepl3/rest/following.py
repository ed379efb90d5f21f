"""One session's events, as a request follows them: from the journal, in order, with its gaps.

Owns when there is nothing more to come for whoever follows one execution. Must not know HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import trio

from pyrepl3.endpoint.attachment import Attachment
from pyrepl3.errors import ExecutionNotFound, SessionLost, SessionNotFound
from pyrepl3.hosting.asking import ask_session
from pyrepl3.hosting.hosting_messages import ExecutionInfo, FindExecution, Opened
from pyrepl3.journal.journal_state import Entry, Stretch
from pyrepl3.rest.outcomes import forgotten
from pyrepl3.wire.client_codec import decode_msgpack
from pyrepl3.wire.client_events import TERMINAL

Event = Mapping[str, Any]
Tell = Callable[[Event], Awaitable[None]]


@attrs.define(eq=False)
class Following:
    """Counts as a connection that is attached to the session, for as long as it runs.

    With ``execution``: its events alone, until its terminal event, and one in its stead where the
    journal does not have that any more.
    """

    opened: Opened
    since: int
    tell: Tell
    execution: str | None = None
    until: int | None = None
    """The last number to be told: None where there is none."""
    _is_told: bool = attrs.field(default=False, init=False)
    """Whether there is nothing more to be told."""
    _attachment: Attachment = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._attachment = Attachment(self.opened, self.since, self._entry, self._gap, may_end=True)

    async def run(self, *, wait_s: float = math.inf) -> bool:
        """Until there is nothing more to be told; False where that takes longer."""
        if self.until is not None and self.since >= self.until:
            return True
        scope = self._attachment.scope
        scope.deadline = trio.current_time() + wait_s
        await self._attachment.run()
        return self._is_told or not scope.cancelled_caught

    async def _entry(self, entry: Entry) -> None:
        if self._is_told:
            return
        event = decode_msgpack(entry.body)
        if self.execution is None or event.get("execution") == self.execution:
            await self.tell(event)
            if self.execution is not None and event["type"] in TERMINAL:
                self._end()
        if self.until is not None and entry.seq >= self.until:
            self._end()

    async def _gap(self, session: str, gap: Stretch) -> None:
        await self.tell(
            {
                "type": "gap",
                "session": session,
                "from_seq": gap.first,
                "to_seq": gap.last,
                "bytes": gap.bytes,
            }
        )
        if self.execution is not None and await self._ended_within(self.execution, gap):
            await self.tell(forgotten(session, self.execution, gap.last))
            self._end()

    def _end(self) -> None:
        self._is_told = True
        self._attachment.scope.cancel()

    async def _ended_within(self, execution: str, gap: Stretch) -> bool:
        try:
            info = await find_execution(self.opened, execution)
        except (ExecutionNotFound, SessionNotFound, SessionLost):
            return True
        return info.last_seq is not None and info.last_seq <= gap.last


async def find_execution(opened: Opened, execution: str) -> ExecutionInfo:
    """How it stands. Raises ExecutionNotFound, SessionNotFound."""
    return await ask_session(opened, lambda reply: FindExecution(execution, reply))
