"""Unit tests: what is asked about a history comes to one end, whatever becomes of its session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from actors import Answer, NoReply, Reply, open_reply
from pyrepl3.client.history_requests import HistoryRequests
from pyrepl3.errors import (
    ConfigInvalid,
    ExecutionNotFound,
    InternalError,
    PyreplError,
    SessionLost,
    TransactionActive,
)
from pyrepl3.messages import Query

UNDONE = {"type": "undone", "id": 1, "execution": "e"}


def lost() -> SessionLost:
    return SessionLost(what="", why="it ended", how="")


@attrs.define(eq=False)
class Actor:
    """A session's actor, which answers as it is told."""

    answer: Mapping[str, Any] | PyreplError | None = None
    """None: it closes the reply, as one that ends does."""
    is_full: bool = False
    """Whether it takes nothing."""
    asked: list[Query] = attrs.field(factory=list)
    retraced: list[str] = attrs.field(factory=list)

    async def send(self, query: Query) -> None:
        self.asked.append(query)
        if self.is_full:
            await trio.sleep_forever()
        if isinstance(self.answer, PyreplError):
            query.reply.fail(self.answer)
        elif self.answer is None:
            query.reply.close()
        else:
            query.reply.answer(self.answer)

    def requests(self) -> HistoryRequests:
        return HistoryRequests(self.send, lost, self.retraced.append)


async def test_an_undo_is_answered_with_the_execution_and_noted() -> None:
    actor = Actor(UNDONE)

    assert await actor.requests().undo("to") == "e"
    assert (actor.asked[0].kind, actor.asked[0].fields) == ("undo", {"to": "to"})
    assert actor.retraced == ["undo"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("EXECUTION_NOT_FOUND", ExecutionNotFound),
        ("TRANSACTION_ACTIVE", TransactionActive),
        ("WHATEVER", InternalError),
    ],
)
async def test_what_is_refused_raises_and_is_not_noted(code: str, error: type[Exception]) -> None:
    actor = Actor({"type": "failed", "id": 1, "name": code, "value": "why"})
    with pytest.raises(error, match="why"):
        await actor.requests().redo()

    assert actor.retraced == []


@pytest.mark.parametrize("answer", [None, lost()])
async def test_a_session_that_ends_meanwhile_is_told_as_lost(answer: PyreplError | None) -> None:
    with pytest.raises(SessionLost, match="it ended"):
        await Actor(answer).requests().tell()


async def test_a_session_that_takes_no_more_is_told_to_who_waits_for_the_reply() -> None:
    async def refuse(_: Query) -> None:
        raise lost()

    reply: Reply[Mapping[str, Any]]
    answer: Answer[Mapping[str, Any]]
    reply, answer = open_reply()
    await HistoryRequests(refuse, lost, lambda _: None).request("undo", {"to": None}, reply)
    with pytest.raises(SessionLost):
        answer.take_nowait()


async def test_cancelled_while_it_is_sent_it_leaves_nobody_waiting() -> None:
    actor = Actor(is_full=True)
    reply: Reply[Mapping[str, Any]]
    answer: Answer[Mapping[str, Any]]
    reply, answer = open_reply()
    with trio.move_on_after(0) as scope:
        await actor.requests().request("redo", {}, reply)

    assert scope.cancelled_caught
    with pytest.raises((SessionLost, NoReply)):
        answer.take_nowait()


async def test_cancelled_while_it_waits_its_answer_goes_to_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked: list[Query] = []

    async def keep(query: Query) -> None:
        asked.append(query)

    requests = HistoryRequests(keep, lost, lambda _: None)
    with trio.move_on_after(1) as scope:
        await requests.undo(None)
    asked[0].reply.answer(UNDONE)  # harmless

    assert scope.cancelled_caught


@pytest.mark.parametrize("count", [-1, 64, True, 1.0, "1"])
async def test_bounds_that_are_none_are_not_sent(count: Any) -> None:
    actor = Actor()
    with pytest.raises(ConfigInvalid):
        await actor.requests().keep(count)

    assert actor.asked == []
