"""Unit tests: a hosted session's history is asked once, and everyone is told what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs
import pytest
import trio

from actors import Answer, NoReply, Reply, open_reply
from pyrepl3.client.history import History
from pyrepl3.client.session import Session
from pyrepl3.errors import ExecutionNotFound, IdConflict, SessionLost, ShuttingDown
from pyrepl3.events import DroppedEntry
from pyrepl3.hosting.hosted_history import HostedHistory
from pyrepl3.hosting.hosting_messages import KeepHistory, Retrace, TellHistory
from pyrepl3.hosting.keyed_requests import KeyedRequests
from pyrepl3.messages import HistoryKind, RetraceKind
from pyrepl3.telemetry.observing import Happening, HistoryDropped, Observers, SessionReturned

Told = Mapping[str, Any]
UNDONE = {"type": "undone", "id": 1, "execution": "e1"}
DROPPED = {"execution": "e1", "bytes": 4096, "reason": "count"}


@attrs.define(eq=False)
class MemorySession:
    """Takes what is asked, and answers when it is told to."""

    asked: list[tuple[HistoryKind, Told, Reply[Told]]] = attrs.field(factory=list)
    is_full: bool = False

    @property
    def history_requests(self) -> MemorySession:
        return self

    async def request(self, kind: HistoryKind, fields: Told, reply: Reply[Told]) -> None:
        self.asked.append((kind, fields, reply))
        try:
            if self.is_full:
                await trio.sleep_forever()
        except BaseException:
            reply.close()
            raise


class World:
    """A history, and all that it tells."""

    def __init__(self) -> None:
        self.session = MemorySession()
        self.events: list[Told] = []
        self.happenings: list[Happening] = []
        self.requests = KeyedRequests()
        self.rests = 0
        observers = Observers()
        observers._all = (self,)
        self.history = HostedHistory(
            "s",
            "ada",
            cast("Session", self.session),
            lambda: len(self.events),
            self.events.append,
            self.rest,
            self.requests,
            observers,
        )

    def notice(self, happening: Happening) -> None:
        self.happenings.append(happening)

    def rest(self) -> None:
        self.rests += 1

    async def retrace(
        self, kind: RetraceKind = "undo", key: str | None = None, **options: Any
    ) -> Answer[str]:
        reply: Reply[str]
        answer: Answer[str]
        reply, answer = open_reply()
        again_since = options.pop("again_since", None)
        message = Retrace(kind, options.pop("to", None), key, reply, again_since)
        await self.history.retrace(message, is_draining=options.pop("is_draining", False))
        return answer


async def test_an_undo_is_told_to_all_and_answered_with_its_execution() -> None:
    world = World()
    answer = await world.retrace(to="e0")
    ((kind, fields, reply),) = world.session.asked
    reply.answer(UNDONE)

    assert (kind, fields) == ("undo", {"to": "e0"})
    assert answer.take_nowait() == "e1"
    assert world.events == [{"type": "session_undone", "execution": "e1"}]
    assert world.happenings == [SessionReturned(session="s", principal="ada", by="undo")]
    assert (world.rests, len(world.requests)) == (2, 0)


async def test_under_one_key_it_is_asked_once_and_all_who_wait_are_answered() -> None:
    world = World()
    answers = [await world.retrace("redo", "k") for _ in range(2)]
    world.session.asked[0][2].answer({**UNDONE, "type": "redone"})
    answers.append(await world.retrace("redo", "k"))
    conflict = await world.retrace("undo", "k")

    assert [answer.take_nowait() for answer in answers] == ["e1"] * 3
    assert len(world.session.asked) == 1
    with pytest.raises(IdConflict):
        conflict.take_nowait()


async def test_what_is_refused_tells_nobody_else() -> None:
    world = World()
    answer = await world.retrace()
    world.session.asked[0][2].fail(ExecutionNotFound(what="", why="", how=""))
    with pytest.raises(ExecutionNotFound):
        answer.take_nowait()

    assert (world.events, world.happenings) == ([], [])


async def test_cancelled_while_it_is_passed_on_it_is_answered_as_lost() -> None:
    """The session has ended then, and its actor with it."""
    world = World()
    world.session.is_full = True
    with trio.move_on_after(0) as scope:
        await world.retrace(key="k")
    world.session.is_full = False
    again = await world.retrace(key="k")

    assert scope.cancelled_caught
    assert len(world.session.asked) == 1
    with pytest.raises(SessionLost):
        again.take_nowait()
    assert len(world.requests) == 0


@pytest.mark.parametrize("kind", ["keep_history", "history"])
async def test_cancelled_while_anything_else_is_passed_on_nobody_waits_for_it(kind: str) -> None:
    world = World()
    world.session.is_full = True
    reply: Reply[Any]
    answer: Answer[Any]
    reply, answer = open_reply()
    with trio.move_on_after(0):
        if kind == "history":
            await world.history.tell(TellHistory(reply))
        else:
            await world.history.keep(KeepHistory(1, None, reply))

    with pytest.raises((SessionLost, NoReply)):
        answer.take_nowait()


async def test_a_service_that_drains_undoes_no_more_but_tells_what_was() -> None:
    world = World()
    await world.retrace(key="k")
    world.session.asked[0][2].answer(UNDONE)
    known = await world.retrace(key="k", is_draining=True)
    new = await world.retrace(is_draining=True)

    assert known.take_nowait() == "e1"
    with pytest.raises(ShuttingDown):
        new.take_nowait()


async def test_new_bounds_are_told_with_what_gives_way_to_them() -> None:
    world = World()
    reply: Reply[Sequence[DroppedEntry]]
    answer: Answer[Sequence[DroppedEntry]]
    reply, answer = open_reply()
    await world.history.keep(KeepHistory(2, None, reply))
    ((kind, fields, asked),) = world.session.asked
    asked.answer({"type": "keeping", "id": 1, "count": 2, "dropped": [DROPPED]})

    assert (kind, fields) == ("keep_history", {"count": 2, "bytes": 256 * 2**20})
    assert answer.take_nowait() == [DroppedEntry("e1", 4096, "count")]
    assert world.events == [
        {"type": "history_kept", "count": 2, "bytes": 256 * 2**20, "dropped": [DROPPED]}
    ]
    assert world.happenings == [HistoryDropped(session="s", bytes=4096, reason="count")]
    assert world.history.count == 2


async def test_a_history_is_passed_on_as_it_is() -> None:
    world = World()
    reply: Reply[History]
    answer: Answer[History]
    reply, answer = open_reply()
    await world.history.tell(TellHistory(reply))
    told = {"entries": [], "undone": [], "dropped": 3, "count": 2, "bytes": 5}
    world.session.asked[0][2].answer({"type": "history", "id": 1, **told})

    assert answer.take_nowait() == History([], [], 3, 2, 5)
