"""What a client has asked and not been answered, and how far it has come in each session.

Pure: messages in, what they mean out. Decides what is sent again on a new connection: everything
that was not answered, in such words that it comes to the same when it comes twice. An execution
has its id, and is sent with the last event that was known when it was first sent, so that a
service that has forgotten what came since does not run it again; so is what begins and ends a
transaction, undoes or redoes, forks or keeps a snapshot, by a key. A session that was opened has a
name of its own, so that a second request for it finds it. An interrupt of whatever runs becomes one
of what ran then.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from pyrepl3.errors import Code
from pyrepl3.wire.client_events import TERMINAL

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
    """Another request, instead of one whose answer was lost or is not wanted any more."""

    message: Message


Meaning = Answered | Told | ToSend


@attrs.frozen
class Resumption:
    """What a new connection begins with."""

    messages: list[Message]
    """All that it has to be sent first."""
    unanswerable: list[int]
    """Requests that cannot be sent twice: whether they were heard is not known."""


FOLLOWS = ("session_opened", "attached")
"""Answers behind which a session's events come."""
KEYED_KINDS = ("begin", "commit", "rollback", "undo", "redo", "fork", "snapshot")
"""Carried out once for each key."""
LAST = ("session_died", "session_closed")
"""Events that are a session's last."""


@attrs.define(eq=False)
class _Asked:
    """A request that is not answered."""

    message: dict[str, Any]
    kind: str
    """What it was at first: a request for a session may go on as one to attach to it."""
    has_own_name: bool
    since: int | None
    """The last event that was known of its session when it was asked."""
    running: str | None
    """What ran there then, as far as it was known."""
    was_sent: bool = False
    is_again: bool = False
    """Whether it was sent on more than one connection."""
    is_wanted: bool = True


@attrs.define(eq=False)
class LinkState:
    """Of one client, across its connections."""

    _ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _pending: dict[int, _Asked] = attrs.field(factory=dict, init=False)
    """In the order in which they were asked."""
    _followed: dict[str, int] = attrs.field(factory=dict, init=False)
    """Sessions, and the last event that came of each."""
    _running: dict[str, str] = attrs.field(factory=dict, init=False)
    """Sessions, and the execution that runs there, as far as it was told."""
    _attaching: dict[int, str] = attrs.field(factory=dict, init=False)
    """Requests of this module's own, and their sessions."""

    def ask(
        self, kind: str, fields: Mapping[str, Any], *, has_own_name: bool = False
    ) -> dict[str, Any]:
        """A new request, to be sent. ``has_own_name``: of a session whose name nobody else uses."""
        message = {"type": kind, "id": next(self._ids), **fields}
        session = fields.get("session", "")
        self._pending[message["id"]] = _Asked(
            message,
            kind,
            has_own_name,
            since=self._followed.get(session),
            running=self._running.get(session),
        )
        return message

    def sent(self, id: int) -> None:
        """That request is on its way: it may be heard."""
        asked = self._pending.get(id)
        if asked is not None:
            asked.was_sent = True

    def drop(self, id: int) -> None:
        """That request was not sent, and will not be."""
        self._pending.pop(id, None)

    def forget(self, id: int) -> None:
        """Nobody waits for that answer any more. What comes of it is given back."""
        asked = self._pending.get(id)
        if asked is None:
            return
        if asked.kind in ("open_session", "attach"):
            asked.is_wanted = False
        else:
            del self._pending[id]

    @property
    def owed(self) -> list[int]:
        """What is to be heard by the service whether or not anybody waits for an answer."""
        return [id for id, asked in self._pending.items() if asked.kind != "attach"]

    def unfollow(self, session: str) -> Message | None:
        """Its events are wanted no more: what tells the service so, while it is connected."""
        self._running.pop(session, None)
        if self._followed.pop(session, None) is None:
            return None
        return {"type": "detach", "id": next(self._ids), "session": session}

    # --- a new connection -------------------------------------------------------------------------

    def reconnected(self) -> Resumption:
        """Nothing that was sent before has an answer to come."""
        self._attaching.clear()
        messages: list[Message] = []
        unanswerable: list[int] = []
        for session, since in self._followed.items():
            id = next(self._ids)
            self._attaching[id] = session
            messages.append({"type": "attach", "id": id, "session": session, "since": since})
        for id, asked in list(self._pending.items()):
            if not asked.is_wanted:
                del self._pending[id]
                messages.extend(self._given_back(asked))
            elif asked.was_sent and not self._can_come_twice(asked):
                del self._pending[id]
                unanswerable.append(id)
            else:
                asked.is_again = asked.is_again or asked.was_sent
                messages.append(asked.message)
        return Resumption(messages, unanswerable)

    def _given_back(self, asked: _Asked) -> Iterator[Message]:
        """A session that the lost connection may have opened is closed by its name, where that is
        nobody else's. Any other one ends on the service, when it is idle for long enough."""
        if asked.kind == "open_session" and asked.has_own_name and asked.was_sent:
            yield self.ask("close_session", {"session": asked.message.get("name", "")})

    def _can_come_twice(self, asked: _Asked) -> bool:
        """Whether it comes to the same when it comes twice, in the words that it has then."""
        message = asked.message
        if asked.kind == "execute":
            message["again_since"] = asked.since
        elif asked.kind in KEYED_KINDS:
            message["again_since"] = asked.since
            return message.get("key") is not None
        elif asked.kind == "input_response":
            message["again"] = True
        elif asked.kind == "interrupt" and message.get("execution") is None:
            message["execution"] = asked.running
            return asked.running is not None
        return True

    # --- what comes -------------------------------------------------------------------------------

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
        self._note_running(session, message)
        if message["type"] in LAST:
            del self._followed[session]
        return Told(session, message)

    def _note_running(self, session: str, message: Message) -> None:
        kind = message["type"]
        if kind == "started":
            self._running[session] = message["execution"]
        elif kind in TERMINAL or kind in LAST or kind == "gap":
            self._running.pop(session, None)

    def _answer(self, id: int, message: Message) -> Meaning | None:
        attached = self._attaching.pop(id, None)
        if attached is not None:
            # That it is attached again is what was expected; that it is gone is the last event.
            if message["type"] != "refused" or attached not in self._followed:
                return None
            del self._followed[attached]
            return Told(attached, message)
        asked = self._pending.get(id)
        if asked is None:
            return None
        if self._was_opened_before(asked, message):
            name = asked.message["name"]
            asked.message = {"type": "attach", "id": id, "session": name, "since": 0}
            return ToSend(asked.message)
        if not asked.is_wanted:
            del self._pending[id]
            return self._unwanted(asked, message)
        if message["type"] in FOLLOWS:
            # Its events come right behind this.
            since = asked.message.get("since", 0 if message["type"] == "session_opened" else None)
            known = message["seq"] if since is None else since
            self._followed.setdefault(message["session"], known)
        del self._pending[id]
        return Answered(id, message)

    def _was_opened_before(self, asked: _Asked, message: Message) -> bool:
        """Whether our own first request opened it, whose answer was lost with its connection. Of a
        name that others may use, that cannot be known."""
        return (
            asked.has_own_name
            and asked.is_again
            and message["type"] == "refused"
            and message.get("code") == Code.ID_CONFLICT
        )

    def _unwanted(self, asked: _Asked, message: Message) -> Meaning | None:
        """A session that nobody waits for any more: closed, or let go of."""
        if message["type"] not in FOLLOWS:
            return None
        session = message["session"]
        if asked.kind == "open_session":
            return ToSend(self.ask("close_session", {"session": session}))
        if session in self._followed:
            return None  # somebody else here follows it
        return ToSend({"type": "detach", "id": next(self._ids), "session": session})
