"""Unit tests: what a worker says of its session's history, on its way up."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from test_uplink import World, kinds, output, result, shown, taken

from pyrepl3.events import Display, DroppedEntry, HistoryTrimmed, Result, Started
from pyrepl3.messages import EVENT_CAPACITY
from pyrepl3.transport.verdicts import Cause
from pyrepl3.wire.worker_messages import ProtocolViolation

DROPPED = {"execution": "e0", "bytes": 4096, "reason": "bytes"}


def trimmed(execution: str = "e1") -> dict[str, Any]:
    return {"type": "trimmed", "execution": execution, "dropped": [DROPPED]}


async def a_world_with_a_history() -> World:
    world = World()
    world.ask(1, "keep_history")
    await world.take({"type": "keeping", "id": 1, "count": 5, "dropped": []})
    world.notices()
    return world


async def test_what_gave_way_is_an_event_of_the_execution_that_it_gave_way_to() -> None:
    world = await a_world_with_a_history()
    events = world.run("e2", wants_started=True)
    await world.take(trimmed("e2"), result("e2"))
    told = taken(events)

    assert kinds(told) == [Started, HistoryTrimmed, Result]
    assert told[1] == HistoryTrimmed("e2", [DroppedEntry("e0", 4096, "bytes")])


@pytest.mark.parametrize("execution", ["e2", "e3"])
async def test_a_history_that_is_not_kept_or_another_executions_is_not_told_of(
    execution: str,
) -> None:
    world = await a_world_with_a_history() if execution == "e3" else World()
    world.run("e2")
    with pytest.raises(ProtocolViolation):
        await world.take(trimmed(execution))


async def test_it_waits_for_a_slow_client_and_comes_later_where_we_are_cancelled_then() -> None:
    world = await a_world_with_a_history()
    events = world.run("e2", wants_started=False)
    for _ in range(EVENT_CAPACITY):
        await world.take(shown("e2"))
    with trio.move_on_after(0) as scope:
        await world.take(trimmed("e2"))

    assert scope.cancelled_caught
    assert kinds(taken(events)) == [Display] * EVENT_CAPACITY
    await world.take(result("e2"))
    assert kinds(taken(events)) == [HistoryTrimmed, Result]


@pytest.mark.parametrize(("kind", "told"), [("undo", "undone"), ("redo", "redone")])
async def test_going_elsewhere_is_answered_when_another_process_has_taken_over(
    kind: Any, told: str
) -> None:
    world = await a_world_with_a_history()
    answer = world.ask(2, kind)
    ended: list[bool] = []
    world.uplink.rolling_back = lambda: ended.append(True)
    await world.take({"type": told, "id": 2, "execution": "e0"}, output("late", None))

    assert ended == [True]
    with pytest.raises(trio.WouldBlock):
        answer.take_nowait()
    assert world.uplink.may_survive(2)
    await world.uplink.survive(Cause("it ended"), 2, 1)
    assert answer.take_nowait()["execution"] == "e0"


@pytest.mark.parametrize(("kind", "told"), [("undo", "redone"), ("redo", "undone")])
async def test_going_the_other_way_is_a_violation(kind: Any, told: str) -> None:
    world = await a_world_with_a_history()
    world.ask(2, kind)
    with pytest.raises(ProtocolViolation):
        await world.take({"type": told, "id": 2, "execution": "e0"})
