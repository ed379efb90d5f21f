"""Unit: what a session records, action by action."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actors import Reply, open_reply
from pyrepl3.config import Limits, Timeouts
from pyrepl3.errors import BadMessage
from pyrepl3.events import InterruptOutcome
from pyrepl3.messages import AnswerInput, Execute, Interrupt, Query, open_events
from pyrepl3.session.session_state import HANDED_AT_MOST, SessionState
from pyrepl3.session.session_trace import UNKNOWN, SessionAction, SessionTrace
from pyrepl3.wire.client_requests import read_request

TIMEOUTS = Timeouts(interrupt_grace_s=2.0, stack_dump_s=0.5, close_grace_s=1.0)


class World:
    """A session that is recorded."""

    def __init__(self, **limits: Any) -> None:
        self.events: list[Mapping[str, Any]] = []
        trace = SessionTrace(self.events.append, "s1")
        limits = {"execution_timeout_s": 30.0, "queued_executions": 16, **limits}
        self.state = SessionState(Limits(**limits), TIMEOUTS, trace)
        self.now = 0.0

    def execute(self, name: str, **options: Any) -> None:
        send, _ = open_events()
        self.state.execute(Execute(name, "secret", send, **options), now=self.now)

    def query(self) -> None:
        reply: Reply[Any]
        reply, _ = open_reply()
        self.state.query(Query("complete", {"code": "secret"}, reply), now=self.now)

    def interrupt(self, name: str | None = None, grace_s: float | None = None) -> None:
        reply: Reply[InterruptOutcome]
        reply, _ = open_reply()
        self.state.interrupt(Interrupt(name, grace_s, reply), now=self.now)

    def wake(self) -> None:
        self.now = self.state.next_deadline()
        self.state.tick(now=self.now)

    def news(self) -> list[dict[str, Any]]:
        """What was recorded since the last call, without what is in every event."""
        told = [{k: v for k, v in e.items() if k not in ("of", "session")} for e in self.events]
        self.events.clear()
        return told


def opened(**limits: Any) -> World:
    world = World(**limits)
    world.news()
    return world


def test_a_recording_begins_with_the_sessions_configuration() -> None:
    world = World(queued_executions=7)

    assert world.events == [
        {
            "of": "session",
            "session": "s1",
            "action": "Open",
            "queued": 7,
            "handed_at_most": HANDED_AT_MOST,
        }
    ]


def test_an_execution_is_recorded_from_its_acceptance_to_its_end() -> None:
    world = opened()
    world.execute("a", allow_input=True)
    world.execute("b", timeout_s=math.inf)
    world.query()
    world.state.answer_input(AnswerInput("b", "i", "secret"))
    world.state.answer_input(AnswerInput("a", "i", "secret"))
    world.state.ended(1, now=0.0)
    world.state.ended(1, now=0.0)

    execute = {"action": "Execute", "reads": True, "timed": True, "protected": False}
    assert world.news() == [
        {**execute, "job": 1, "execution": "a"},
        {"action": "Hand", "job": 1},
        {**execute, "job": 2, "execution": "b", "reads": False, "timed": False},
        {"action": "Query", "job": 3, "timed": True},
        {"action": "AnswerInput", "execution": "a"},
        {"action": "Ended", "job": 1, "rolled_back": False, "open": False},
        {"action": "Hand", "job": 2},
        {"action": "Hand", "job": 3},
    ]


def test_a_refusal_is_recorded_with_its_reason() -> None:
    world = opened(queued_executions=1)
    world.execute("a", allow_input=True)
    world.execute("b")
    world.news()

    world.execute("c")
    world.state.close(graceful=True, now=0.0)
    world.query()

    assert [e["reason"] for e in world.news() if e["action"] == "Refuse"] == ["full", "closed"]


def test_the_ladder_is_recorded_rung_by_rung_and_who_waits_by_number() -> None:
    world = opened()
    world.execute("a", timeout_s=1.0)
    world.news()

    world.interrupt(grace_s=math.inf)
    world.wake()
    world.wake()
    world.wake()
    world.state.died()

    assert world.news() == [
        {"action": "Interrupt", "execution": None, "reply": 1, "patient": True},
        {"action": "Signal", "job": 1, "reply": 1},
        {"action": "DeadlinePassed", "job": 1},
        {"action": "Join", "job": 1, "reply": 0},
        {"action": "GracePassed"},
        {"action": "DumpStack"},
        {"action": "DumpPassed"},
        {"action": "KillWorker", "job": 0},
        {"action": "Died"},
        {"action": "Settle", "reply": 1, "outcome": "lost"},
    ]


def test_an_interrupt_of_what_does_not_run_is_recorded_with_what_comes_of_it() -> None:
    world = opened()
    world.execute("a")
    world.execute("b", allow_input=True)
    world.execute("c")
    world.news()

    world.interrupt("b", grace_s=0.5)
    world.interrupt("c")
    world.interrupt("d")
    world.state.abandon("b", now=0.0)

    interrupt = {"action": "Interrupt", "patient": False}
    assert world.news() == [
        {**interrupt, "execution": "b", "reply": 1},
        {"action": "Postpone", "job": 2, "reply": 1},
        {**interrupt, "execution": "c", "reply": 2},
        {"action": "Drop", "job": 3},
        {"action": "Settle", "reply": 2, "outcome": "kept"},
        {**interrupt, "execution": UNKNOWN, "reply": 3},
        {"action": "Settle", "reply": 3, "outcome": "unknown"},
        {"action": "Abandon", "execution": "b"},
        {"action": "Postpone", "job": 2, "reply": 0},
    ]


def test_a_close_is_recorded_to_the_kill() -> None:
    world = opened()
    world.execute("a", allow_input=True)
    world.execute("b")
    world.state.narrow(Limits(queued_executions=3))
    world.news()

    world.state.narrow(Limits(queued_executions=2))
    world.state.close(graceful=True, now=0.0)
    world.state.close(graceful=True, now=0.0)
    world.wake()

    assert world.news() == [
        {"action": "Narrow", "queued": 2},
        {"action": "Close", "graceful": True},
        {"action": "Drop", "job": 2},
        {"action": "Signal", "job": 1, "reply": 0},
        {"action": "ShutWorkerDown"},
        {"action": "CloseGracePassed"},
        {"action": "KillWorker", "job": 0},
    ]


def test_a_break_is_recorded_with_its_kill() -> None:
    world = opened()
    world.execute("a")
    world.news()

    world.state.broke(1, now=0.0)

    assert world.news() == [{"action": "Broke", "job": 1}, {"action": "KillWorker", "job": 0}]


def test_a_kill_of_what_has_a_snapshot_is_recorded_with_its_job() -> None:
    world = opened()
    world.execute("a", guard=True)
    assert world.news()[0]["protected"]

    world.interrupt()
    for _ in range(2):
        world.wake()
    world.state.ended(1, rolled_back=True, now=0.0)

    assert world.news()[4:] == [
        {"action": "DumpPassed"},
        {"action": "KillWorker", "job": 1},
        {"action": "Ended", "job": 1, "rolled_back": True, "open": False},
        {"action": "Settle", "reply": 1, "outcome": "rolled_back"},
    ]


def test_the_end_of_a_transaction_by_a_death_between_executions_is_recorded() -> None:
    world = opened()
    world.query()
    world.state.ended(1, is_protected=True, now=0.0)
    world.state.survived(now=0.0)

    assert world.news()[2:] == [
        {"action": "Ended", "job": 1, "rolled_back": False, "open": True},
        {"action": "Survived"},
    ]


def test_every_action_is_recorded_by_one_of_these_tests() -> None:
    source = Path(__file__).read_text()

    assert [action for action in SessionAction if f'"{action}"' not in source] == []


def test_neither_code_nor_input_is_recorded() -> None:
    world = World()
    world.execute("a", allow_input=True)
    world.query()
    world.state.answer_input(AnswerInput("a", "i", "secret"))

    assert "secret" not in repr(world.events)


def test_nothing_is_recorded_of_an_id_that_no_job_has() -> None:
    world = opened()
    world.execute("a")
    world.state.ended(1, now=0.0)
    world.news()

    for name in ("PASSWORD = 'secret'", "x" * 2**20, "a"):
        world.interrupt(name)
        world.state.abandon(name, now=0.0)

    told = [e["execution"] for e in world.news() if "execution" in e]
    assert told == [UNKNOWN] * 6


def test_nothing_is_kept_of_an_interrupt_that_was_settled() -> None:
    world = World()
    world.execute("a")
    for _ in range(3):
        world.interrupt("never was")

    assert world.state.trace is not None
    assert world.state.trace._numbers == {}


def test_what_stands_for_such_an_id_is_no_id_that_a_client_may_give() -> None:
    with pytest.raises(BadMessage):
        read_request(
            {"type": "execute", "id": 1, "session": "s", "execution": UNKNOWN, "code": "1"}
        )
