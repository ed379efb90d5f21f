"""Unit tests: each decision of a session, one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from actors import Reply, open_reply
from pyrepl3.config import Limits, Timeouts
from pyrepl3.errors import Code, ExecutionNotFound, QueueFull, SessionLost
from pyrepl3.events import Error, InterruptOutcome
from pyrepl3.messages import AnswerInput, Execute, Interrupt, Query, open_events
from pyrepl3.session.session_records import (
    Drop,
    DumpStack,
    Effect,
    Hand,
    KillWorker,
    Refuse,
    SendInput,
    Settle,
    ShutWorkerDown,
    Signal,
)
from pyrepl3.session.session_state import HANDED_AT_MOST, Phase, SessionState

TIMEOUTS = Timeouts(interrupt_grace_s=2.0, stack_dump_s=0.5, close_grace_s=1.0)


def execution(name: str, **options: Any) -> Execute:
    send, _ = open_events()
    return Execute(name, "1", send, **options)


def query() -> Query:
    reply: Reply[Any]
    reply, _ = open_reply()
    return Query("complete", {}, reply)


def interrupt(name: str | None = None, grace_s: float | None = None) -> Interrupt:
    reply: Reply[InterruptOutcome]
    reply, _ = open_reply()
    return Interrupt(name, grace_s, reply)


class World:
    """One session, and a clock that the test moves."""

    def __init__(self, **limits: Any) -> None:
        self.state = SessionState(Limits(**{"execution_timeout_s": 30.0, **limits}), TIMEOUTS)
        self.now = 0.0

    def execute(self, name: str, **options: Any) -> list[Effect]:
        return self.state.execute(execution(name, **options), now=self.now)

    def interrupt(self, request: Interrupt) -> list[Effect]:
        return self.state.interrupt(request, now=self.now)

    def ended(self, number: int, **how: bool) -> list[Effect]:
        return self.state.ended(number, now=self.now, **how)

    def wake(self) -> list[Effect]:
        self.now = self.state.next_deadline()
        assert self.now < math.inf
        return self.state.tick(now=self.now)


def handed(effects: list[Effect]) -> list[int]:
    return [effect.job.number for effect in effects if isinstance(effect, Hand)]


def dropped(effects: list[Effect]) -> dict[str | None, Any]:
    return {effect.job.execution: effect.error for effect in effects if isinstance(effect, Drop)}


def outcomes(effects: list[Effect]) -> list[tuple[Reply[InterruptOutcome], Any]]:
    return [(effect.reply, effect.outcome) for effect in effects if isinstance(effect, Settle)]


# --- the order of jobs ---------------------------------------------------------------------------


def test_jobs_are_handed_down_in_order_and_a_few_at_a_time() -> None:
    world = World()

    effects = [handed(world.execute(str(number))) for number in range(HANDED_AT_MOST + 2)]

    assert effects == [[number] for number in range(1, HANDED_AT_MOST + 1)] + [[], []]
    assert handed(world.ended(1)) == [HANDED_AT_MOST + 1]


def test_a_question_takes_its_turn_like_an_execution() -> None:
    world = World()
    world.execute("a", allow_input=True)
    assert world.state.query(query(), now=0.0) == []
    assert world.execute("b") == []

    assert handed(world.ended(1)) == [2, 3]


def test_nothing_is_ready_in_the_socket_behind_code_that_may_read_input_from_it() -> None:
    world = World()
    assert handed(world.execute("a")) == [1]
    assert handed(world.execute("b", allow_input=True)) == [2]
    assert handed(world.execute("c")) == []

    assert handed(world.ended(1)) == []
    assert handed(world.ended(2)) == [3]


def test_what_is_behind_the_running_job_is_limited() -> None:
    world = World(queued_executions=16)
    for number in range(17):
        assert not any(isinstance(e, Refuse) for e in world.execute(str(number)))

    (refusal,) = world.execute("one too many")
    (of_query,) = world.state.query(query(), now=0.0)

    assert isinstance(refusal, Refuse)
    assert isinstance(refusal.error, QueueFull)
    assert isinstance(of_query, Refuse)
    world.ended(1)
    assert not any(isinstance(e, Refuse) for e in world.execute("fits again"))


def test_an_end_that_is_not_of_the_running_job_changes_nothing() -> None:
    world = World()
    world.execute("a")
    world.execute("b")

    assert world.ended(2) == world.ended(99) == []
    assert world.ended(1) == []
    assert world.ended(1) == []


# --- input ---------------------------------------------------------------------------------------


def test_an_answer_goes_to_the_running_execution_only() -> None:
    world = World()
    world.execute("a", allow_input=True)
    world.execute("b", allow_input=True)
    answer, early = AnswerInput("a", "i", "line"), AnswerInput("b", "i", "line")

    assert world.state.answer_input(answer) == [SendInput(answer)]
    assert world.state.answer_input(early) == []
    world.ended(1)
    assert world.state.answer_input(answer) == []


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout_s", "expected"), [(None, 30.0), (5.0, 5.0), (100.0, 100.0), (math.inf, math.inf)]
)
def test_a_deadline_is_the_callers_or_the_limit(timeout_s: float | None, expected: float) -> None:
    world = World()
    world.execute("a", timeout_s=timeout_s)

    assert world.state.next_deadline() == expected


def test_without_a_limit_there_is_no_deadline() -> None:
    world = World(execution_timeout_s=None)
    world.execute("a")

    assert world.state.next_deadline() == math.inf


def test_a_deadline_counts_from_when_the_job_begins() -> None:
    world = World()
    world.execute("a", timeout_s=math.inf)
    world.execute("b", timeout_s=5.0)
    world.now = 100.0
    world.ended(1)

    assert world.state.next_deadline() == 105.0
    assert world.wake() == [Signal(2, Code.EXECUTION_TIMEOUT, 5.0)]


def test_narrower_limits_hold_for_what_is_asked_next() -> None:
    world = World()
    world.state.narrow(Limits(execution_timeout_s=1.0, queued_executions=1))
    world.execute("a")
    world.execute("b")

    assert world.state.next_deadline() == 1.0
    assert isinstance(world.execute("c")[0], Refuse)


# --- the ladder ----------------------------------------------------------------------------------


def test_the_ladder_is_a_signal_then_the_stack_then_a_kill() -> None:
    world = World()
    world.execute("a", timeout_s=10.0)

    climbed = [(world.wake(), world.now) for _ in range(3)]

    assert climbed == [
        ([Signal(1, Code.EXECUTION_TIMEOUT, 10.0)], 10.0),
        ([DumpStack()], 12.0),
        ([KillWorker()], 12.5),
    ]
    assert world.state.next_deadline() == math.inf


def test_a_ladder_ends_with_its_job() -> None:
    world = World()
    world.execute("a")
    request = interrupt()
    assert world.interrupt(request) == [Signal(1, Code.INTERRUPTED)]

    effects = world.ended(1)

    assert outcomes(effects) == [(request.reply, InterruptOutcome("kept", "signal"))]
    assert world.state.next_deadline() == math.inf


def test_an_interrupt_that_needed_a_kill_says_that_the_state_is_lost() -> None:
    world = World()
    world.execute("a")
    request = interrupt()
    world.interrupt(request)

    assert outcomes(world.state.died()) == [(request.reply, InterruptOutcome("lost", "kill"))]


def test_a_job_that_ends_as_it_is_killed_does_not_make_its_state_kept() -> None:
    world = World()
    world.execute("a")
    request = interrupt()
    world.interrupt(request)
    world.wake()
    assert world.wake() == [KillWorker()]

    effects = world.ended(1) + world.state.died()

    assert outcomes(effects) == [(request.reply, InterruptOutcome("lost", "kill"))]


def test_an_interrupt_may_bring_its_own_grace() -> None:
    world = World()
    world.execute("a")
    world.interrupt(interrupt(grace_s=0.25))

    assert world.state.next_deadline() == 0.25


@pytest.mark.parametrize(("second_s", "expected"), [(0.5, 1.5), (60.0, 2.0), (None, 2.0)])
def test_a_second_interrupt_signals_no_more_and_can_only_be_quicker(
    second_s: float | None, expected: float
) -> None:
    world = World()
    world.execute("a")
    first, second = interrupt(), interrupt(grace_s=second_s)
    world.interrupt(first)
    world.now = 1.0

    assert world.interrupt(second) == []
    assert world.state.next_deadline() == expected
    assert [reply for reply, _ in outcomes(world.ended(1))] == [first.reply, second.reply]


def test_an_interrupt_while_the_stack_is_dumped_does_not_delay_the_kill() -> None:
    world = World()
    world.execute("a")
    world.interrupt(interrupt())
    world.wake()

    assert world.interrupt(interrupt(grace_s=60.0)) == []
    assert world.state.next_deadline() == 2.5


def test_an_interrupt_after_the_deadline_joins_its_ladder() -> None:
    world = World()
    world.execute("a", timeout_s=1.0)
    world.wake()
    request = interrupt()

    assert world.interrupt(request) == []
    assert outcomes(world.ended(1)) == [(request.reply, InterruptOutcome("kept", "signal"))]


def test_a_deadline_behind_an_interrupt_signals_no_more() -> None:
    world = World()
    world.execute("a", timeout_s=1.0)
    world.interrupt(interrupt(grace_s=5.0))
    world.now = 1.0

    assert world.state.tick(now=world.now) == []


@pytest.mark.parametrize(("grace_s", "expected"), [(math.inf, 3.0), (5.0, 3.0), (2.5, 2.5)])
def test_no_grace_of_an_interrupt_puts_off_what_follows_a_deadline(
    grace_s: float, expected: float
) -> None:
    world = World()
    world.execute("a", timeout_s=1.0)
    world.interrupt(interrupt(grace_s=grace_s))

    assert world.state.next_deadline() == 1.0
    world.wake()
    assert world.state.next_deadline() == expected
    assert DumpStack() in world.wake()


def test_interrupting_where_nothing_runs_does_nothing() -> None:
    world = World()
    request = interrupt()

    assert world.interrupt(request) == [Settle(request.reply, InterruptOutcome("kept", "nothing"))]


def test_a_question_that_runs_is_interrupted_as_an_execution_is() -> None:
    world = World()
    world.state.query(query(), now=0.0)
    request = interrupt()

    assert world.interrupt(request) == [Signal(1, Code.INTERRUPTED)]
    assert DumpStack() in world.wake()
    assert world.wake() == [KillWorker()]
    assert outcomes(world.state.died()) == [(request.reply, InterruptOutcome("lost", "kill"))]


def test_an_interrupt_by_name_of_what_waits_drops_it() -> None:
    world = World()
    world.execute("a", allow_input=True)
    world.execute("b")
    request = interrupt("b")

    drop, settle = world.interrupt(request)

    assert isinstance(drop, Drop)
    assert isinstance(drop.error, Error)
    assert (drop.error.code, drop.error.state) == (Code.INTERRUPTED, "kept")
    assert settle == Settle(request.reply, InterruptOutcome("kept", "nothing"))
    assert handed(world.ended(1)) == []


def test_an_interrupt_by_name_of_what_is_ready_comes_when_it_begins() -> None:
    world = World()
    world.execute("a")
    world.execute("b")
    request = interrupt("b", grace_s=0.5)
    assert world.interrupt(request) == []
    world.now = 3.0

    assert world.ended(1) == [Signal(2, Code.INTERRUPTED)]
    assert world.state.next_deadline() == 3.5
    assert outcomes(world.ended(2)) == [(request.reply, InterruptOutcome("kept", "signal"))]


def test_of_several_interrupts_of_what_is_ready_the_quickest_counts() -> None:
    world = World()
    world.execute("a")
    world.execute("b")
    world.interrupt(interrupt("b", grace_s=0.5))
    world.interrupt(interrupt("b", grace_s=9.0))
    world.state.abandon("b", now=0.0)

    assert world.ended(1) == [Signal(2, Code.INTERRUPTED)]
    assert world.state.next_deadline() == 0.5


def test_an_interrupt_by_a_name_that_is_not_under_way_is_told_so() -> None:
    world = World()
    world.execute("a")
    world.ended(1)
    request = interrupt("a")

    ((reply, error),) = outcomes(world.interrupt(request))

    assert reply is request.reply
    assert isinstance(error, ExecutionNotFound)


# --- the client goes -----------------------------------------------------------------------------


def test_an_abandoned_execution_is_interrupted() -> None:
    world = World()
    world.execute("a")

    assert world.state.abandon("a", now=0.0) == [Signal(1, Code.INTERRUPTED)]
    assert world.state.abandon("a", now=0.0) == []


def test_an_abandoned_execution_that_waits_is_dropped() -> None:
    world = World()
    world.execute("a", allow_input=True)
    world.execute("b")

    assert list(dropped(world.state.abandon("b", now=0.0))) == ["b"]
    assert world.state.abandon("b", now=0.0) == []


# --- closing and dying ---------------------------------------------------------------------------


def test_closing_an_idle_session_gives_it_time_to_end() -> None:
    world = World()

    assert world.state.close(graceful=True, now=0.0) == [ShutWorkerDown(1.0)]
    assert world.wake() == [KillWorker()]
    assert world.now == 1.0


def test_closing_interrupts_what_runs_and_then_what_is_ready() -> None:
    world = World()
    world.execute("a")
    world.execute("b")

    effects = world.state.close(graceful=True, now=0.0)

    assert effects == [Signal(1, Code.INTERRUPTED), ShutWorkerDown(1.0)]
    assert world.ended(1) == [Signal(2, Code.INTERRUPTED)]


def test_closing_drops_what_waits() -> None:
    world = World()
    world.execute("a", allow_input=True)
    world.execute("b")
    world.state.query(query(), now=0.0)

    errors = dropped(world.state.close(graceful=True, now=0.0))

    assert errors["b"].code == Code.SESSION_LOST
    assert isinstance(errors[None], SessionLost)


def test_closing_at_once_kills() -> None:
    world = World()
    world.execute("a")

    assert world.state.close(graceful=False, now=0.0) == [KillWorker()]


@pytest.mark.parametrize("end", ["close", "died"])
def test_a_session_that_ends_takes_nothing_any_more(end: str) -> None:
    world = World()
    if end == "close":
        world.state.close(graceful=True, now=0.0)
        assert world.state.close(graceful=True, now=0.0) == []
    else:
        world.state.died()

    for (effect,) in (world.execute("a"), world.state.query(query(), now=0.0)):
        assert isinstance(effect, Refuse)
        assert isinstance(effect.error, SessionLost)


def test_at_a_death_all_who_wait_are_told_by_us_and_the_rest_by_the_transport() -> None:
    world = World()
    world.execute("handed", allow_input=True)
    world.execute("waits")
    request = interrupt()
    world.interrupt(request)

    effects = world.state.died()

    assert list(dropped(effects)) == ["waits"]
    assert outcomes(effects) == [(request.reply, InterruptOutcome("lost", "kill"))]
    assert world.state.phase is Phase.ENDED
    assert world.state.next_deadline() == math.inf
    assert world.state.died() == []


# --- what is lost --------------------------------------------------------------------------------


def test_an_interrupt_that_breaks_the_runner_says_that_the_state_is_lost() -> None:
    world = World()
    world.execute("a")
    request = interrupt()
    world.interrupt(request)

    effects = world.state.broke(1, now=0.0)

    assert outcomes(effects) == [(request.reply, InterruptOutcome("lost", "kill"))]
    assert effects[-1] == KillWorker()


def test_a_session_that_is_closed_at_once_keeps_no_state_for_an_interrupt() -> None:
    world = World()
    world.execute("a")
    request = interrupt()
    world.interrupt(request)
    world.state.close(graceful=False, now=0.0)

    effects = world.ended(1)

    assert outcomes(effects) == [(request.reply, InterruptOutcome("lost", "kill"))]


def lose_by_ladder(world: World) -> list[Effect]:
    world.interrupt(interrupt())
    world.wake()
    return world.wake()


def lose_by_break(world: World) -> list[Effect]:
    return world.state.broke(1, now=0.0)


def lose_by_close(world: World) -> list[Effect]:
    return world.state.close(graceful=False, now=0.0)


@pytest.mark.parametrize("lose", [lose_by_ladder, lose_by_break, lose_by_close])
def test_what_waits_does_not_wait_for_a_process_that_is_killed(
    lose: Callable[[World], list[Effect]],
) -> None:
    world = World()
    world.execute("a", allow_input=True)
    world.execute("b")

    effects = lose(world)

    assert list(dropped(effects)) == ["b"]
    assert effects[-1] == KillWorker()
    (refusal,) = world.execute("c")
    assert isinstance(refusal, Refuse)
    assert isinstance(refusal.error, SessionLost)
    assert world.state.next_deadline() == math.inf
    assert world.state.tick(now=1e9) == []


@pytest.mark.parametrize("told_of_its_death", [False, True])
def test_an_interrupt_of_nothing_says_that_the_state_is_lost_where_it_is(
    told_of_its_death: bool,
) -> None:
    world = World()
    world.state.close(graceful=False, now=0.0)
    if told_of_its_death:
        world.state.died()
    request = interrupt()

    assert world.interrupt(request) == [Settle(request.reply, InterruptOutcome("lost", "nothing"))]


def test_a_break_that_is_not_of_the_running_job_changes_nothing() -> None:
    world = World()
    world.execute("a")
    world.execute("b")

    assert world.state.broke(2, now=0.0) == []
    assert world.state.phase is Phase.OPEN


# --- what has a snapshot -------------------------------------------------------------------------


def kill_alone(world: World) -> Interrupt:
    """Climb to the kill of the first job, which has a snapshot."""
    request = interrupt()
    world.interrupt(request)
    assert world.wake() == [DumpStack()]
    assert world.wake() == [KillWorker(1)]
    return request


def test_what_has_a_snapshot_is_killed_alone_and_the_rest_goes_on() -> None:
    world = World()
    world.execute("a", guard=True, allow_input=True)
    world.execute("b")

    request = kill_alone(world)

    assert world.state.phase is Phase.OPEN
    assert world.execute("c") == []
    assert world.state.next_deadline() == math.inf
    effects = world.ended(1, rolled_back=True)
    assert outcomes(effects) == [(request.reply, InterruptOutcome("rolled_back", "kill"))]
    assert handed(effects) == [2, 3]


def test_within_a_transaction_everything_has_a_snapshot() -> None:
    world = World()
    world.state.query(query(), now=0.0)
    world.ended(1, is_protected=True)
    world.execute("a")
    world.interrupt(interrupt())
    world.wake()

    assert world.wake() == [KillWorker(2)]
    assert world.state.phase is Phase.OPEN


@pytest.mark.parametrize("end", ["committed", "rolled back", "died idle"])
def test_behind_a_transaction_a_kill_is_for_good_again(end: str) -> None:
    world = World()
    world.state.query(query(), now=0.0)
    world.ended(1, is_protected=True)
    if end == "died idle":
        assert world.state.survived(now=0.0) == []
    else:
        world.state.query(query(), now=0.0)
        world.ended(2, rolled_back=end == "rolled back")
    world.execute("a")
    world.interrupt(interrupt())
    world.wake()

    assert world.wake() == [KillWorker()]
    assert world.state.phase is Phase.LOST


def test_what_was_undone_by_its_own_crash_says_so_to_who_interrupts_it() -> None:
    world = World()
    world.execute("a", guard=True)
    request = interrupt()
    world.interrupt(request)

    effects = world.ended(1, rolled_back=True)

    assert outcomes(effects) == [(request.reply, InterruptOutcome("rolled_back", "signal"))]


def test_a_job_that_ended_before_its_kill_came_was_not_killed() -> None:
    world = World()
    world.execute("a", guard=True)
    request = kill_alone(world)

    effects = world.ended(1)

    assert outcomes(effects) == [(request.reply, InterruptOutcome("kept", "signal"))]


def test_who_asks_for_an_interrupt_under_the_kill_is_told_of_it_too() -> None:
    world = World()
    world.execute("a", guard=True)
    first, second = kill_alone(world), interrupt("a")
    assert world.interrupt(second) == []

    told = [outcome for _, outcome in outcomes(world.ended(1, rolled_back=True))]

    assert told == [InterruptOutcome("rolled_back", "kill")] * 2
    assert first is not second


def test_a_death_behind_a_kill_of_one_job_loses_the_session() -> None:
    world = World()
    world.execute("a", guard=True, allow_input=True)
    world.execute("b")
    request = kill_alone(world)

    effects = world.state.died()

    assert list(dropped(effects)) == ["b"]
    assert outcomes(effects) == [(request.reply, InterruptOutcome("lost", "kill"))]
    assert world.state.phase is Phase.ENDED


def test_a_session_that_is_closed_under_the_kill_of_one_job_ends() -> None:
    world = World()
    world.execute("a", guard=True)
    world.execute("b")
    kill_alone(world)

    assert world.state.close(graceful=True, now=world.now) == [ShutWorkerDown(1.0)]
    assert Signal(2, Code.INTERRUPTED) in world.ended(1, rolled_back=True)
    assert world.wake() == [KillWorker()]
    assert world.state.phase is Phase.LOST


def test_what_is_undone_as_its_session_is_closed_at_once_is_lost_with_it() -> None:
    world = World()
    world.execute("a", guard=True)
    request = kill_alone(world)
    assert world.state.close(graceful=False, now=world.now) == [KillWorker()]

    effects = world.ended(1, rolled_back=True)

    assert outcomes(effects) == [(request.reply, InterruptOutcome("lost", "kill"))]


def test_what_the_kill_did_not_strike_is_given_its_time_where_it_begins() -> None:
    world = World()
    world.state.query(query(), now=0.0)
    world.ended(1, is_protected=True)
    world.execute("a")
    request = interrupt()
    world.interrupt(request)
    world.wake()
    assert world.wake() == [KillWorker(2)]

    assert world.state.survived(now=10.0) == []
    assert world.state.next_deadline() == 12.0
    assert world.wake() == [DumpStack()]
    assert world.wake() == [KillWorker()]
    assert outcomes(world.state.died()) == [(request.reply, InterruptOutcome("lost", "kill"))]
