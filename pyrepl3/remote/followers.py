"""Who follows the executions of a session on a service, and what each is told.

Owns which event belongs to whom, and that none waits for what cannot come. Must not know requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import attrs
from anyio.abc import TaskGroup

from pyrepl3.errors import ExecutionNotFound, PyreplError, SessionNotFound
from pyrepl3.events import Error, Event, Gap, Result
from pyrepl3.remote.endings import event_not_understood, forgotten, gone
from pyrepl3.remote.event_stream import EventStream
from pyrepl3.remote.inbox import Inbox
from pyrepl3.remote.link import Link
from pyrepl3.remote.link_state import LAST, Message
from pyrepl3.remote.told_errors import NOT_KNOWN_ANY_MORE, as_error
from pyrepl3.wire.client_events import Respond, from_map

OnEvent = Callable[[Event], object]


@attrs.define(eq=False)
class Followers:
    """Of one session. ``find`` asks how an execution stands, ``respond`` answers an input, and
    ``on_event`` hears of all."""

    _link: Link
    _find: Callable[[str], Awaitable[Message]]
    _respond: Respond
    _on_event: OnEvent | None
    _streams: dict[str, EventStream] = attrs.field(factory=dict, init=False)
    end: PyreplError | None = attrs.field(default=None, init=False)
    """Why nothing more comes, once that is so."""
    has_ended: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    def follow(self, execution: str) -> EventStream:
        """Its events, from now on."""
        stream = self._streams[execution] = EventStream(execution, self.lost)
        return stream

    def leave(self, execution: str) -> None:
        """Nobody follows it any more."""
        self._streams.pop(execution, None)

    async def read(self, inbox: Inbox) -> None:
        """Pass events on to whoever follows them, until there are no more."""
        async with anyio.create_task_group() as group:
            await inbox.pass_on(lambda message: self._take(message, group))
            group.cancel_scope.cancel()
        self.over(self._link.failure)

    def _take(self, message: Message, group: TaskGroup) -> None:
        kind = message["type"]
        if kind == "refused":
            # A new connection could not attach to it: it is no more.
            error = as_error(message)
            self.over(gone(NOT_KNOWN_ANY_MORE if isinstance(error, SessionNotFound) else error.why))
        elif kind in LAST:
            self.over(gone(str(message.get("cause") or f"it is {message.get('reason')}")))
        elif kind == "gap":
            # Of whose events some are lost is not known: of all that were under way, perhaps.
            if self._on_event is not None:
                self._on_event(Gap("", message["bytes"]))
            for id in list(self._streams):
                self.tell(id, Gap(id, message["bytes"]))
                group.start_soon(self._find_out, id, message["to_seq"])
        else:
            self._tell_of(message)

    def _tell_of(self, message: Message) -> None:
        try:
            event = from_map(message, self._respond)
        except (KeyError, TypeError) as error:
            self.over(event_not_understood(message["type"], error))
        else:
            if event is not None:
                if self._on_event is not None:
                    self._on_event(event)
                self.tell(event.execution, event)

    async def _find_out(self, execution: str, to_seq: int) -> None:
        """Whether its end is still to come. If it was lost in a gap, up to that event, its outcome
        is not known any more; not to be sent again, lest it ran a second time."""
        try:
            told = await self._find(execution)
        except ExecutionNotFound:
            self.tell(execution, forgotten(execution))
        except PyreplError:
            return  # the session or the link is no more, which is told to all
        else:
            if told["state"] == "ended" and told["last_seq"] <= to_seq:
                self.tell(execution, forgotten(execution))

    def tell(self, execution: str, event: Event) -> None:
        """One of its events, to whoever follows it."""
        stream = self._streams.get(execution)
        if stream is None:
            return
        if isinstance(event, Result | Error):
            del self._streams[execution]
        stream.put(event)

    def over(self, error: PyreplError) -> None:
        """Nothing more comes of it; the first reason counts."""
        if self.end is None:
            self.end = error
        self.has_ended.set()
        while self._streams:
            self._streams.popitem()[1].cut()

    def lost(self) -> PyreplError:
        """Why nothing more comes."""
        return self.end or self._link.failure
