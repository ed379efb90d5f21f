"""What a client has asked and not been answered, and how far it has come in each session.

Pure: messages in, what they mean out. Decides what is sent again on a new connection: everything
that was not answered, as each request comes to the same when it comes twice. An execution has its
id; a session that was opened has a name of its own, so that a second request for it finds it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from pyrepl3.errors import Code

Message = Mapping[str, Any]


@attrs.frozen
class Answered:
    """The answer to a request, by its id."""

    id: int
    message: Message


@attrs.frozen
class Told:
    """An event of a session that is followed, in order, each once."""

    session: str
    message: Message


@attrs.frozen
class ToSend:
    """Another request, instead of one whose answer was lost."""

    message: Message


Meaning = Answered | Told | ToSend

_FOLLOWS = ("session_opened", "attached")
"""Answers behind which a session's events come."""


@attrs.define(eq=False)
class LinkState:
    """Of one client, across its connections."""

    _ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _pending: dict[int, dict[str, Any]] = attrs.field(factory=dict, init=False)
    """Asked and not answered, in order."""
    _again: set[int] = attrs.field(factory=set, init=False)
    """Those that were sent on more than one connection."""
    _named: set[int] = attrs.field(factory=set, init=False)
    """Those for a session under a name that nobody else uses."""
    _unwanted: set[int] = attrs.field(factory=set, init=False)
    """Those for a session that nobody waits for any more."""
    _followed: dict[str, int] = attrs.field(factory=dict, init=False)
    """Sessions, and the last event that came of each."""
    _attaching: dict[int, str] = attrs.field(factory=dict, init=False)
    """Requests of this module's own, and their sessions."""

    def ask(
        self, kind: str, fields: Mapping[str, Any], *, has_own_name: bool = False
    ) -> dict[str, Any]:
        """A new request, to be sent. ``has_own_name``: of a session whose name nobody else uses."""
        message = {"type": kind, "id": next(self._ids), **fields}
        if has_own_name:
            self._named.add(message["id"])
        self._pending[message["id"]] = message
        return message

    def forget(self, id: int) -> None:
        """Nobody waits for that answer any more. A session that comes of it is closed."""
        asked = self._pending.get(id)
        if asked is not None and asked["type"] == "open_session":
            self._unwanted.add(id)
        self._settle(id)

    def _settle(self, id: int) -> None:
        self._pending.pop(id, None)
        self._again.discard(id)
        self._named.discard(id)

    def unfollow(self, session: str) -> None:
        """Its events are wanted no more."""
        self._followed.pop(session, None)

    def reconnected(self) -> list[Message]:
        """All that a new connection has to be sent first."""
        self._attaching.clear()
        # Nobody is attached to what came of those, so the service ends it when it is idle.
        self._unwanted.clear()
        messages: list[Message] = []
        for session, since in self._followed.items():
            id = next(self._ids)
            self._attaching[id] = session
            messages.append({"type": "attach", "id": id, "session": session, "since": since})
        self._again.update(self._pending)
        messages.extend(self._pending.values())
        return messages

    def take(self, message: Message) -> Meaning | None:
        """What a message means; None: nothing to anybody."""
        id = message.get("reply_to")
        if isinstance(id, int):
            return self._answer(id, message)
        session, seq = message.get("session"), message.get("seq", message.get("to_seq"))
        if session not in self._followed or not isinstance(seq, int):
            return None
        if seq <= self._followed[session]:
            return None  # it has come before, on another connection
        self._followed[session] = seq
        return Told(session, message)

    def _answer(self, id: int, message: Message) -> Meaning | None:
        attached = self._attaching.pop(id, None)
        if attached is not None:
            # That it is attached again is what was expected; that it is gone is the last event.
            return None if message["type"] != "refused" else Told(attached, message)
        if id in self._unwanted:
            self._unwanted.remove(id)
            if message["type"] == "session_opened":
                return ToSend(self.ask("close_session", {"session": message["session"]}))
            return None
        asked = self._pending.get(id)
        if asked is None:
            return None
        if self._was_opened_before(asked, message):
            asked = {"type": "attach", "id": id, "session": asked["name"], "since": 0}
            self._pending[id] = asked
            return ToSend(asked)
        self._settle(id)
        if message["type"] in _FOLLOWS:
            # Its events come right behind this.
            since = asked.get("since", 0 if message["type"] == "session_opened" else None)
            known = message["seq"] if since is None else since
            self._followed.setdefault(message["session"], known)
        return Answered(id, message)

    def _was_opened_before(self, asked: Message, message: Message) -> bool:
        """Whether our own first request opened it, whose answer was lost with its connection. Of a
        name that others may use, that cannot be known."""
        return (
            asked["id"] in self._named & self._again
            and message["type"] == "refused"
            and message.get("code") == Code.ID_CONFLICT
        )
