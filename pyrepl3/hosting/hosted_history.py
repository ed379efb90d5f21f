"""A hosted session's history: what is asked is passed on in order, what comes of it is noted.

Owns the way from a request to the leased session and back to all who wait for it, and what all who
follow the session are told. Must not know which requests are the same (`keyed_requests.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from actors import Gone, Outcome, Reply, reply_to
from pyrepl3.client.history import History
from pyrepl3.client.session import Session
from pyrepl3.config import HISTORY_BYTES
from pyrepl3.errors import PyreplError
from pyrepl3.events import Result, dropped_entries
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosting_messages import KeepHistory, Retrace, TellHistory
from pyrepl3.hosting.keyed_requests import KeyedRequests, Requested
from pyrepl3.messages import RetraceKind
from pyrepl3.telemetry.observing import HistoryDropped, Observers, SessionReturned

Told = Mapping[str, Any]

RETRACED: Mapping[RetraceKind, str] = {"undo": "session_undone", "redo": "session_redone"}
"""The events that tell it to all who follow the session."""


@attrs.define(eq=False)
class HostedHistory:
    """That of one session. ``append`` writes an event into the journal, while it has not ended, and
    ``rest`` is called whenever a request comes or is answered."""

    id: str
    principal: str
    session: Session
    last_seq: Callable[[], int]
    append: Callable[[Told], None]
    rest: Callable[[], None]
    _requests: KeyedRequests
    _observers: Observers
    count: int = attrs.field(default=0, init=False)
    """How many executions it may have."""
    held_bytes: int = attrs.field(default=0, init=False)
    """What it held, about, when that was last told."""

    # --- requests -------------------------------------------------------------------------------

    async def retrace(self, message: Retrace, *, is_draining: bool) -> None:
        """Behind the executions that were sent before it."""
        kind, key, to = message.kind, message.key, message.to
        try:
            requested = self._requests.find(kind, key, message.again_since, to=to)
            if requested is None and is_draining:
                raise refusals.service_ending()
        except PyreplError as error:
            message.reply.fail(error)
            return
        if requested is not None:
            requested.tell(message.reply)
            return
        requested = self._requests.accept(kind, key, to=to)
        requested.tell(message.reply)
        self.rest()
        fields = {"to": to} if kind == "undo" else {}
        reply: Reply[Told] = reply_to(partial(self._retraced, requested, kind))
        await self.session.history_requests.request(kind, fields, reply)

    async def keep(self, message: KeepHistory) -> None:
        """Bounds hold from behind the executions that were sent before it."""
        most_bytes = HISTORY_BYTES if message.bytes is None else message.bytes
        fields = {"count": message.count, "bytes": most_bytes}
        reply: Reply[Told] = reply_to(partial(self._kept, message, most_bytes))
        await self.session.history_requests.request("keep_history", fields, reply)

    async def tell(self, message: TellHistory) -> None:
        """As it is behind the executions that were sent before it."""

        def answered(outcome: Outcome[Told]) -> None:
            told = _unwrapped(outcome, message.reply)
            if told is not None:
                message.reply.answer(History.of(told))

        reply: Reply[Told] = reply_to(answered)
        await self.session.history_requests.request("history", {}, reply)

    def refuse(self, message: Retrace | KeepHistory | TellHistory, standing: str) -> None:
        """What was answered under a key is answered again, also by a session that has ended."""
        if isinstance(message, Retrace):
            try:
                requested = self._requests.find(
                    message.kind, message.key, message.again_since, to=message.to
                )
            except PyreplError as error:
                message.reply.fail(error)
                return
            if requested is not None:
                requested.tell(message.reply)
                return
        message.reply.fail(refusals.session_over(standing))

    # --- what comes of them, and of executions ----------------------------------------------------

    def took(self, bounds: tuple[int, int], dropped: list[Any]) -> None:
        """Those bounds hold from here on."""
        self.count = bounds[0]
        self.held_bytes = min(self.held_bytes, bounds[1]) if self.count else 0
        self._note_dropped(dropped)
        self.append(
            {
                "type": "history_kept",
                "count": bounds[0],
                "bytes": bounds[1],
                "dropped": [attrs.asdict(each) for each in dropped],
            }
        )

    def note(self, event: Result) -> None:
        """What the history holds now."""
        if event.usage.history_bytes:
            self.held_bytes = event.usage.history_bytes

    def _retraced(self, requested: Requested, kind: RetraceKind, outcome: Outcome[Told]) -> None:
        refusal: PyreplError | None = None
        execution: str | None = None
        try:
            execution = outcome.unwrap()["execution"]
        except PyreplError as error:
            refusal = error
        except Gone:
            refusal = refusals.session_over("gone")
        else:
            self.append({"type": RETRACED[kind], "execution": execution})
            self._observers.notice(
                SessionReturned(session=self.id, principal=self.principal, by=kind)
            )
        self._requests.answered(requested, refusal, seq=self.last_seq(), answer=execution)
        self.rest()

    def _kept(self, message: KeepHistory, most_bytes: int, outcome: Outcome[Told]) -> None:
        told = _unwrapped(outcome, message.reply)
        if told is not None:
            dropped = dropped_entries(told["dropped"])
            self.took((message.count, most_bytes), dropped)
            message.reply.answer(dropped)

    def _note_dropped(self, dropped: list[Any]) -> None:
        for each in dropped:
            self._observers.notice(
                HistoryDropped(session=self.id, bytes=each.bytes, reason=each.reason)
            )


def _unwrapped(outcome: Outcome[Told], reply: Reply[Any]) -> Told | None:
    """The answer; None where there is none, and ``reply`` has failed for that."""
    try:
        return outcome.unwrap()
    except PyreplError as error:
        reply.fail(error)
    except Gone:
        reply.fail(refusals.session_over("gone"))
    return None
