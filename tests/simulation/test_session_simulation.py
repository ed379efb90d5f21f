"""Simulation: the decisions of a session under every order of events."""

from __future__ import annotations

import itertools
import math
from collections import deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors import Reply, open_reply
from pyrepl3.config import Limits, Timeouts
from pyrepl3.events import Error, InterruptOutcome
from pyrepl3.messages import AnswerInput, Execute, Interrupt, Query, open_events
from pyrepl3.session import session_records as records
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
from pyrepl3.session.session_state import HANDED_AT_MOST, SessionState

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


class SessionMachine(RuleBasedStateMachine):
    """A client, a worker and a clock, each as inconvenient as can be.

    The machine keeps its own books, and checks every effect against them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.numbers = itertools.count(1)
        self.accepted: dict[int, Execute | Query] = {}
        self.timeouts_s: dict[int, float] = {}
        self.waiting: deque[int] = deque()
        self.at_worker: deque[int] = deque()
        self.terminals: dict[int, str] = {}
        self.interrupts: list[Interrupt] = []
        self.settled: list[Reply[InterruptOutcome]] = []
        self.signalled: list[int] = []
        self.rungs: dict[int, list[str]] = {}
        self.kills = 0
        self.closed = False
        self.died = False
        self.in_transaction = False

    @initialize(queued=st.integers(1, 16), timeout_s=st.sampled_from([None, 1.0, 30.0]))
    def open(self, queued: int, timeout_s: float | None) -> None:
        limits = Limits(queued_executions=queued, execution_timeout_s=timeout_s)
        self.limits = limits
        self.state = SessionState(limits, TIMEOUTS)

    # --- what the effects do ----------------------------------------------------------------

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Hand():
                    self.hand(effect.job)
                case Drop():
                    assert not isinstance(effect.error, Error) or effect.job.execution
                    self.waiting.remove(effect.job.number)
                    self.end(effect.job.number, "dropped")
                case Signal():
                    assert self.at_worker[0] == effect.number, "only what runs is interrupted"
                    assert effect.number not in self.signalled, "one signal per job"
                    self.signalled.append(effect.number)
                    self.rungs[effect.number] = ["signal"]
                case DumpStack():
                    assert self.rungs[self.at_worker[0]] == ["signal"]
                    self.rungs[self.at_worker[0]].append("dump")
                case KillWorker():
                    rungs = self.rungs.get(self.at_worker[0], []) if self.at_worker else []
                    if effect.number is not None:
                        assert effect.number == self.at_worker[0], "only what runs is killed"
                        assert rungs == ["signal", "dump"]
                        assert self.is_outlived()
                        rungs.append("kill")
                        continue
                    self.kills += 1
                    assert self.closed or rungs == ["signal", "dump"]
                    assert self.closed or not self.is_outlived()
                    self.closed = True
                case ShutWorkerDown():
                    assert self.closed
                case Settle():
                    assert not any(effect.reply is reply for reply in self.settled)
                    self.settled.append(effect.reply)
                case SendInput():
                    running = self.accepted[self.at_worker[0]]
                    assert isinstance(running, Execute)
                    assert running.execution == effect.answer.execution
                case Refuse():
                    raise AssertionError("a refusal is an answer to its request only")

    def hand(self, job: records.Job) -> None:
        assert self.waiting.popleft() == job.number, "in order"
        if self.at_worker:
            last = self.accepted[self.at_worker[-1]]
            assert not (isinstance(last, Execute) and last.allow_input)
        self.at_worker.append(job.number)
        assert len(self.at_worker) <= HANDED_AT_MOST

    def end(self, number: int, how: str) -> None:
        assert number not in self.terminals, "exactly one end"
        self.terminals[number] = how

    # --- the client -----------------------------------------------------------------------------

    def ask(self, request: Execute | Query, effects: list[Effect]) -> None:
        behind = len(self.waiting) + len(self.at_worker) - 1
        if effects and isinstance(effects[0], Refuse):
            assert len(effects) == 1
            assert self.closed or self.died or behind >= self.limits.queued_executions
            return
        assert not self.closed
        assert not self.died
        assert behind < self.limits.queued_executions
        number = next(self.numbers)
        self.accepted[number] = request
        timeout_s = request.timeout_s if isinstance(request, Execute) else None
        if timeout_s is None:
            timeout_s = self.limits.execution_timeout_s
        self.timeouts_s[number] = math.inf if timeout_s is None else timeout_s
        self.waiting.append(number)
        self.perform(effects)

    @rule(
        allow_input=st.booleans(),
        timeout_s=st.sampled_from([None, 0.5, 5.0, math.inf]),
        guard=st.booleans(),
    )
    def execute(self, allow_input: bool, timeout_s: float | None, guard: bool) -> None:
        name = f"e{len(self.accepted)}"
        request = execution(name, allow_input=allow_input, timeout_s=timeout_s, guard=guard)
        self.ask(request, self.state.execute(request, now=self.now))

    @rule()
    def question(self) -> None:
        request = query()
        self.ask(request, self.state.query(request, now=self.now))

    def names(self) -> list[str]:
        requests = self.accepted.values()
        return [r.execution for r in requests if isinstance(r, Execute)] + ["never was"]

    @rule(data=st.data(), grace_s=st.sampled_from([None, 0.1, 10.0, math.inf]))
    def interrupt(self, data: st.DataObject, grace_s: float | None) -> None:
        name = data.draw(st.none() | st.sampled_from(self.names()))
        request = interrupt(name, grace_s)
        self.interrupts.append(request)
        self.perform(self.state.interrupt(request, now=self.now))

    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.names()))
        self.perform(self.state.abandon(name, now=self.now))

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.names()))
        self.perform(self.state.answer_input(AnswerInput(name, "i", "line")))

    @rule(queued=st.integers(1, 16))
    def narrow(self, queued: int) -> None:
        self.limits = Limits(queued_executions=queued)
        self.perform(self.state.narrow(self.limits))

    @rule(graceful=st.booleans(), chance=st.integers(0, 5))
    def close(self, graceful: bool, chance: int) -> None:
        if not chance:
            self.closed = True
            self.perform(self.state.close(graceful=graceful, now=self.now))

    # --- the worker -------------------------------------------------------------------------------

    @precondition(lambda self: self.at_worker and not self.died)
    @rule(is_open=st.booleans())
    def job_ends(self, is_open: bool) -> None:
        number = self.at_worker.popleft()
        self.end(number, "ended")
        self.in_transaction = is_open
        self.perform(self.state.ended(number, is_protected=is_open, now=self.now))

    def is_outlived(self) -> bool:
        """Whether a snapshot goes on where what runs is killed."""
        request = self.accepted[self.at_worker[0]] if self.at_worker else None
        return self.in_transaction or (isinstance(request, Execute) and request.is_protected)

    @precondition(lambda self: not self.died and self.at_worker and self.is_outlived())
    @rule()
    def job_is_undone(self) -> None:
        number = self.at_worker.popleft()
        self.end(number, "undone")
        self.in_transaction = False
        effects = self.state.ended(number, rolled_back=True, now=self.now)
        told = [effect.outcome for effect in effects if isinstance(effect, Settle)]
        states = [one.state for one in told if isinstance(one, InterruptOutcome)]
        assert states == ["lost" if self.kills else "rolled_back"] * len(told)
        self.perform(effects)

    @precondition(lambda self: self.in_transaction and not self.died)
    @rule()
    def process_is_outlived_between_jobs(self) -> None:
        self.in_transaction = False
        if self.at_worker and "kill" in self.rungs.get(self.at_worker[0], []):
            self.rungs[self.at_worker[0]] = ["signal"]
        self.perform(self.state.survived(now=self.now))

    @rule(number=st.integers(0, 40))
    def an_end_that_is_not_due_is_told(self, number: int) -> None:
        if not self.at_worker or number != self.at_worker[0]:
            assert self.state.ended(number, now=self.now) == []

    @rule(chance=st.integers(0, 5))
    def process_dies(self, chance: int) -> None:
        if chance and not self.kills:
            return
        self.died = True
        for number in self.at_worker:
            self.end(number, "died")
        self.at_worker.clear()
        self.perform(self.state.died())

    # --- time -------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(5):
            if self.state.next_deadline() > self.now:
                return
            self.perform(self.state.tick(now=self.now))
        raise AssertionError("the alarm rings for ever")

    @precondition(lambda self: self.state.next_deadline() < math.inf)
    @rule()
    def alarm_rings(self) -> None:
        self.now = max(self.now, self.state.next_deadline())
        self.perform(self.state.tick(now=self.now))

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def every_job_is_somewhere(self) -> None:
        everywhere = [*self.terminals, *self.at_worker, *self.waiting]
        assert sorted(everywhere) == sorted(self.accepted)

    @invariant()
    def nothing_waits_without_a_reason(self) -> None:
        if self.waiting:
            assert not self.died
            last = self.accepted[self.at_worker[-1]]
            reads = isinstance(last, Execute) and last.allow_input
            assert reads or len(self.at_worker) == HANDED_AT_MOST

    @invariant()
    def an_interrupt_is_answered_or_its_job_is_under_way(self) -> None:
        open_ones = len(self.interrupts) - len(self.settled)
        assert open_ones >= 0
        if not self.at_worker:
            assert open_ones == 0

    @invariant()
    def what_runs_too_long_will_be_ended(self) -> None:
        if not self.at_worker or self.died or self.kills:
            return
        waits_for_ever = any(request.grace_s == math.inf for request in self.interrupts)
        is_killed = "kill" in self.rungs.get(self.at_worker[0], [])
        if self.timeouts_s[self.at_worker[0]] < math.inf and not waits_for_ever and not is_killed:
            assert self.state.next_deadline() < math.inf

    def teardown(self) -> None:
        """After all that, a death leaves nobody waiting."""
        if not hasattr(self, "state"):
            return
        for number in self.at_worker:
            self.end(number, "died")
        self.at_worker.clear()
        self.perform(self.state.died())
        assert sorted(self.terminals) == sorted(self.accepted)
        assert len(self.settled) == len(self.interrupts)


SessionMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=60, deadline=None, derandomize=True
)
TestSessionMachine = SessionMachine.TestCase
