"""What is done for each request of a client on a WebSocket, and how it is answered.

Owns the mapping from the wire's requests to the host's and the sessions' messages. Each request
has two parts: one that is done in the order in which requests came, so that a session gets them in
that order, and one that waits for the answer. Code, of which there is most, is answered by whoever
has the answer: no task waits for it. Must not know how anything is sent to the client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

import attrs

from actors import Address, Answer, Gone, Outcome, Reply, ask, reply_to
from pyrepl3.client.editing import Completeness, Completion, Inspection
from pyrepl3.client.history import History
from pyrepl3.endpoint.access import Principal
from pyrepl3.errors import PyreplError, UnsupportedVersion
from pyrepl3.events import DroppedEntry, InterruptOutcome
from pyrepl3.hosting.asking import hand_to, send_to
from pyrepl3.hosting.hosting_messages import (
    Accepted,
    CloseHosted,
    DropSnapshot,
    Edit,
    ExecutionInfo,
    Find,
    FindExecution,
    Fork,
    HostMessage,
    InterruptHosted,
    KeepHistory,
    KeepSnapshot,
    ListHosted,
    ListSnapshots,
    Opened,
    OpenHosted,
    Respond,
    Retrace,
    SessionInfo,
    Submit,
    TellHistory,
    Transact,
)
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo
from pyrepl3.wire import client_requests as wire

T = TypeVar("T")

VERSION = 1
"""Of the protocol; the only one there is."""

TRANSACTION_ANSWERS = {"begin": "begun", "commit": "committed", "rollback": "rolled_back"}
RETRACE_ANSWERS = {"undo": "undone", "redo": "redone"}

Fields = Mapping[str, Any]
Finish = Callable[[], Awaitable[Fields]]
"""Waits for the answer and gives its fields; raises PyreplError, or Gone."""


@attrs.define(eq=False)
class ClientRequests:
    """Those of one client. ``attach`` has a session's events sent to it from behind a number on,
    but for those that are sent already; ``detach`` ends that. ``join`` only counts the client among
    those that are attached, unless it is one, and ``leave`` ends it where that is all."""

    principal: Principal
    host: Address[HostMessage]
    welcome: Callable[[], Fields]
    attach: Callable[[Opened, int], None]
    detach: Callable[[str], None]
    join: Callable[[Opened], Awaitable[None]]
    leave: Callable[[str], None]
    _known: dict[str, Opened] = attrs.field(factory=dict, init=False)
    """Sessions that were asked for, by what they were called, until they have ended: their names
    may be another's then, and their host may forget them."""

    async def begin(self, request: wire.Request) -> Finish:
        """The first part of a request, other than `execute`; what it returns is the second.

        Raises PyreplError.
        """
        if isinstance(request, wire.OpenSession):
            return partial(self._open, request)
        if isinstance(request, wire.Attach):
            return await self._attach(request)
        if isinstance(request, wire.OfSession):
            return await self._of_session(request)
        if isinstance(request, wire.ListSessions):
            return self._list
        if isinstance(request, wire.ListSnapshots):
            return self._list_snapshots
        if isinstance(request, wire.DropSnapshot):
            return partial(self._drop_snapshot, request.name)
        if isinstance(request, wire.Hello):
            return self._hello(request)
        return _pong

    # --- sessions -------------------------------------------------------------------------------

    async def _open(self, request: wire.OpenSession) -> Fields:
        opened: Opened = await ask(
            self.host,
            lambda reply: OpenHosted(
                self.principal.name, request, reply, at_most=self.principal.max_sessions
            ),
        )
        self._remember(opened.session, opened)
        self.attach(opened, 0)
        return {"type": "session_opened", **opened_fields(opened, request.name)}

    async def _attach(self, request: wire.Attach) -> Finish:
        opened = await self._session(request.session)
        journal = opened.journal
        # What is still to come, somebody cannot have: it is of another session, or of no one's.
        since = min(journal.last_seq if request.since is None else request.since, journal.last_seq)

        # In its turn, so that a `detach` behind it ends it.
        self.attach(opened, since)

        async def finish() -> Fields:
            return {
                "type": "attached",
                "session": opened.session,
                "template": opened.template,
                "pid": opened.pid,
                "seq": journal.last_seq,
                "oldest_seq": journal.oldest_seq,
            }

        return finish

    async def _list(self) -> Fields:
        infos: list[SessionInfo] = await ask(
            self.host, lambda reply: ListHosted(self.principal.name, reply)
        )
        return {"type": "sessions", "sessions": [attrs.asdict(info) for info in infos]}

    async def _list_snapshots(self) -> Fields:
        infos: Sequence[SnapshotInfo] = await ask(
            self.host, lambda reply: ListSnapshots(self.principal.name, reply)
        )
        return {"type": "snapshots", "snapshots": [attrs.asdict(info) for info in infos]}

    async def _drop_snapshot(self, name: str) -> Fields:
        await ask(self.host, lambda reply: DropSnapshot(self.principal.name, name, reply))
        return {"type": "snapshot_dropped", "name": name}

    async def _session(self, session: str) -> Opened:
        """Raises SessionNotFound."""
        known = self._known.get(session)
        if known is not None and not known.journal.is_closed:
            return known
        opened: Opened = await ask(
            self.host, lambda reply: Find(self.principal.name, session, reply)
        )
        self._remember(session, opened)
        return opened

    def _remember(self, name: str, opened: Opened) -> None:
        self._known = {
            known: each for known, each in self._known.items() if not each.journal.is_closed
        }
        self._known[name] = opened

    # --- what is asked of one session -----------------------------------------------------------

    async def execute(
        self, request: wire.Execute, tell: Callable[[Callable[[], Fields]], None]
    ) -> None:
        """Code has no second part: ``tell`` is called when its answer is there, in whatever task.

        What ``tell`` is given is a function that returns the answer's fields, and raises as a
        `Finish` does. Raises PyreplError, or Gone, where there is no session to ask.
        """
        opened = await self._session(request.session)
        # Before its code is there: whoever leaves the session meanwhile is not the last one.
        await self.join(opened)

        def on_answer(outcome: Outcome[Accepted]) -> None:
            tell(partial(self._accepted, opened, outcome))

        reply: Reply[Accepted] = reply_to(on_answer)
        try:
            await hand_to(opened, Submit(request, reply))
        except PyreplError as error:
            reply.fail(error)

    def _accepted(self, opened: Opened, outcome: Outcome[Accepted]) -> Fields:
        try:
            accepted = outcome.unwrap()
        except (PyreplError, Gone):
            self.leave(opened.session)
            raise
        self.attach(opened, accepted.since)
        return {
            "type": "accepted",
            "session": opened.session,
            "execution": accepted.execution,
            "position": accepted.position,
            "again": accepted.again,
        }

    async def _of_session(self, request: wire.OfSession) -> Finish:
        opened = await self._session(request.session)
        named: Fields = {"session": opened.session}
        if isinstance(request, wire.Detach):
            self.detach(opened.session)
            return partial(_told, {"type": "detached", **named})
        if isinstance(request, wire.CloseSession):
            closed: Answer[None] = await send_to(opened, CloseHosted)
            return partial(_when, closed, lambda _: {"type": "session_ended", **named})
        if isinstance(request, wire.InputResponse):
            number, data, again = request.input, request.data, request.again
            taken: Answer[None] = await send_to(
                opened, lambda reply: Respond(number, data, reply, again=again)
            )
            return partial(
                _when, taken, lambda _: {"type": "input_taken", "input": number, **named}
            )
        if isinstance(request, wire.Interrupt):
            execution, grace_s = request.execution, request.grace_s
            ended: Answer[tuple[str | None, InterruptOutcome]] = await send_to(
                opened, lambda reply: InterruptHosted(execution, grace_s, reply)
            )
            return partial(_when, ended, lambda outcome: {**_interrupted(outcome), **named})
        if isinstance(request, wire.Transact):
            return await self._transact(opened, request)
        if isinstance(request, wire.Retrace | wire.KeepHistory | wire.GetHistory):
            return await self._of_history(opened, request)
        if isinstance(request, wire.Fork):
            return await self._fork(opened, request)
        if isinstance(request, wire.Snapshot):
            name, key, again_since = request.name, request.key, request.again_since
            kept: Answer[SnapshotInfo] = await send_to(
                opened,
                lambda reply: KeepSnapshot(
                    name, key, reply, self.principal.max_sessions, again_since
                ),
            )
            return partial(
                _when, kept, lambda info: {"type": "snapshot_kept", **attrs.asdict(info)}
            )
        if isinstance(request, wire.GetExecution):
            wanted = request.execution
            found: Answer[ExecutionInfo] = await send_to(
                opened, lambda reply: FindExecution(wanted, reply)
            )
            return partial(
                _when, found, lambda info: {"type": "execution", **named, **attrs.asdict(info)}
            )
        assert isinstance(request, wire.Complete | wire.Inspect | wire.IsComplete)
        question = request
        edit: Answer[Completion | Inspection | Completeness] = await send_to(
            opened, lambda reply: Edit(question, reply)
        )
        return partial(_when, edit, lambda said: {**_edited(said), **named})

    async def _transact(self, opened: Opened, request: wire.Transact) -> Finish:
        """Whoever begins a transaction is attached: for as long as it is there, that stays open."""
        kind, key, again_since = request.kind, request.key, request.again_since
        of = request.of if isinstance(request, wire.EndTransaction) else None
        if kind == "begin":
            await self.join(opened)
        done: Answer[None] = await send_to(
            opened, lambda reply: Transact(kind, key, reply, again_since, of)
        )

        async def finish() -> Fields:
            try:
                await done.wait()
            except (PyreplError, Gone):
                self.leave(opened.session)
                raise
            if kind == "begin":
                self.attach(opened, opened.journal.last_seq)
            return {"type": TRANSACTION_ANSWERS[kind], "session": opened.session}

        return finish

    async def _fork(self, opened: Opened, request: wire.Fork) -> Finish:
        """Nobody is attached to what comes of it, but by a request for that."""
        count, names, key = request.count, request.names, request.key
        most, again_since = self.principal.max_sessions, request.again_since
        forked: Answer[Sequence[Opened]] = await send_to(
            opened, lambda reply: Fork(count, names, key, reply, most, again_since)
        )
        return partial(
            _when,
            forked,
            lambda branches: {
                "type": "forked",
                "session": opened.session,
                "sessions": branch_fields(branches, names),
            },
        )

    async def _of_history(
        self, opened: Opened, request: wire.Retrace | wire.KeepHistory | wire.GetHistory
    ) -> Finish:
        named: Fields = {"session": opened.session}
        if isinstance(request, wire.Retrace):
            kind, key, again_since = request.kind, request.key, request.again_since
            to = request.to if isinstance(request, wire.Undo) else None
            retraced: Answer[str] = await send_to(
                opened, lambda reply: Retrace(kind, to, key, reply, again_since)
            )
            told = {"type": RETRACE_ANSWERS[kind], **named}
            return partial(_when, retraced, lambda execution: {**told, "execution": execution})
        if isinstance(request, wire.KeepHistory):
            count, most_bytes = request.count, request.bytes
            kept: Answer[Sequence[DroppedEntry]] = await send_to(
                opened, lambda reply: KeepHistory(count, most_bytes, reply)
            )
            return partial(_when, kept, lambda dropped: {**_kept(count, dropped), **named})
        found: Answer[History] = await send_to(opened, TellHistory)
        return partial(_when, found, lambda history: {**history_fields(history), **named})

    # --- the connection itself ------------------------------------------------------------------

    def _hello(self, request: wire.Hello) -> Finish:
        if VERSION not in request.versions:
            raise UnsupportedVersion(
                what="none of these versions of the protocol is spoken here",
                why=f"this service speaks {VERSION}, and was asked for {request.versions[:10]}",
                how="Use a client of the same version, or update the service",
                details={"supported": [VERSION]},
            )
        return partial(_told, self.welcome())


def opened_fields(opened: Opened, name: str | None) -> Fields:
    """What is told of a new session, on every surface."""
    return {
        "session": opened.session,
        "name": name,
        "template": opened.template,
        "isolation": "process",
        "pid": opened.pid,
        "warm": opened.warm,
        "wait_s": opened.wait_s,
    }


def branch_fields(branches: Sequence[Opened], names: Sequence[str]) -> list[Fields]:
    """What is told of sessions that were forked, on every surface."""
    return [opened_fields(each, name) for each, name in zip_longest(branches, names)]


def history_fields(history: History) -> Fields:
    """What is told of a history, on every surface."""
    return {"type": "history", **attrs.asdict(history), "private_bytes": history.private_bytes}


def _kept(count: int, dropped: Sequence[DroppedEntry]) -> Fields:
    told = [attrs.asdict(each) for each in dropped]
    return {"type": "keeping", "count": count, "dropped": told}


async def _when(answer: Answer[T], tell: Callable[[T], Fields]) -> Fields:
    return tell(await answer.wait())


async def _told(fields: Fields) -> Fields:
    return fields


async def _pong() -> Fields:
    return {"type": "pong"}


def _interrupted(ended: tuple[str | None, InterruptOutcome]) -> Fields:
    execution, outcome = ended
    return {
        "type": "interrupted",
        "execution": execution,
        "by": outcome.by,
        "state": outcome.state,
    }


def _edited(said: Completion | Inspection | Completeness) -> Fields:
    names = {Completion: "completed", Inspection: "inspected", Completeness: "completeness"}
    return {"type": names[type(said)], **attrs.asdict(said)}
