"""Simulation: the pool's decisions under every order of events."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from random import Random

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyrepl3.config import PoolConfig
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.pool.breaker import Position
from pyrepl3.pool.pool_records import Effect, HandOver, Phase, Refuse, Start, Stop
from pyrepl3.pool.pool_state import PoolState

FAILURE = WorkerSpawnFailed(what="no process", why="no memory", how="Buy some")
TEMPLATES = ("a", "b", "c")


@attrs.define
class Given:
    """A session in a caller's hands."""

    waiter: int
    session: str
    used: bool = False


class PoolMachine(RuleBasedStateMachine):
    """Callers, processes and a clock, each as inconvenient as can be.

    The machine keeps its own books of who holds and who waits, and never reads the pool's for
    them, so a mistake in those is seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.asked: dict[str, dict[int, float]] = {name: {} for name in TEMPLATES}
        self.given: dict[str, Given] = {}
        self.template_of: dict[str, str] = {}
        self.phase: dict[str, Phase] = {}
        self.ever_used: set[str] = set()
        self.dead: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.numbers = itertools.count(1)
        self.stopped = False

    @initialize(
        min_idle=st.integers(0, 2),
        max_sessions=st.integers(6, 9) | st.integers(1, 3),
        failures=st.integers(1, 3),
        templates=st.integers(1, 3),
        seed=st.integers(0, 2**16),
    )
    def open(
        self, min_idle: int, max_sessions: int, failures: int, templates: int, seed: int
    ) -> None:
        if max_sessions < min_idle * templates:
            min_idle = 0
        config = PoolConfig(
            min_idle=min_idle,
            max_sessions=max_sessions,
            breaker_failures=failures,
            idle_lifetime_s=50.0,
        )
        self.config = config
        self.names = TEMPLATES[:templates]
        self.state = PoolState.of(config, dict.fromkeys(self.names), Random(seed))
        self.perform(self.state.tick(now=self.now))

    # --- what the effects do ----------------------------------------------------------------

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start():
                    assert not self.stopped
                    assert effect.session not in self.phase
                    assert effect.session not in self.dead
                    self.phase[effect.session] = Phase.STARTING
                    self.template_of[effect.session] = effect.template
                case Stop():
                    assert self.phase[effect.session] is not Phase.STOPPING
                    assert effect.graceful is (self.phase[effect.session] is Phase.LEASED)
                    self.phase[effect.session] = Phase.STOPPING
                    self.given.pop(effect.session, None)
                case HandOver():
                    self.hand_over(effect)
                case Refuse():
                    (template,) = (n for n in self.names if effect.waiter in self.asked[n])
                    del self.asked[template][effect.waiter]
                    self.seen["refused"] += 1
        assert len(self.phase) <= self.config.max_sessions

    def hand_over(self, effect: HandOver) -> None:
        template = self.template_of[effect.session]
        assert not self.stopped
        assert effect.session not in self.dead | self.ever_used
        assert effect.session not in self.given, "one session, one owner"
        assert self.phase[effect.session] is Phase.IDLE
        assert next(iter(self.asked[template])) == effect.waiter, "first come, first served"
        del self.asked[template][effect.waiter]
        self.phase[effect.session] = Phase.LEASED
        self.given[effect.session] = Given(effect.waiter, effect.session)
        self.seen["given"] += 1

    def of_phase(self, *phases: Phase) -> list[str]:
        return [session for session, phase in self.phase.items() if phase in phases]

    # --- callers ----------------------------------------------------------------------------

    @rule(data=st.data(), timeout_s=st.sampled_from([0.5, 5.0, 1e9, math.inf]))
    def acquire(self, data: st.DataObject, timeout_s: float) -> None:
        template = data.draw(st.sampled_from(self.names))
        waiter = next(self.numbers)
        deadline = self.now + timeout_s
        self.asked[template][waiter] = deadline
        before = self.state.statistics()
        refused = self.seen["refused"]
        self.perform(self.state.acquire(waiter, template, deadline=deadline, now=self.now))
        after = self.state.statistics()
        counted = after.hits + after.misses - before.hits - before.misses
        turned_away = self.seen["refused"] - refused
        assert counted + turned_away == 1

    @precondition(lambda self: any(self.asked.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = [(name, waiter) for name in self.names for waiter in self.asked[name]]
        template, waiter = data.draw(st.sampled_from(waiting))
        del self.asked[template][waiter]
        self.perform(self.state.cancel(waiter, now=self.now))

    @rule(waiter=st.integers(-1, 5))
    def cancel_who_does_not_wait(self, waiter: int) -> None:
        if not any(waiter in waiting for waiting in self.asked.values()):
            self.perform(self.state.cancel(waiter, now=self.now))

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.given)))
        self.given[session].used = True
        self.ever_used.add(session)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), late=st.booleans())
    def release(self, data: st.DataObject, late: bool) -> None:
        """Also of a session that died in the caller's hands, and twice."""
        session = data.draw(st.sampled_from(sorted(self.given)))
        given = self.given.pop(session)
        if session in self.phase and not given.used:
            self.phase[session] = Phase.IDLE
        if late:
            self.now += 1.0
        self.perform_release(given)
        if given.used:
            self.perform_release(given)

    def perform_release(self, given: Given) -> None:
        stops = given.used and self.phase.get(given.session) is Phase.LEASED
        effects = self.state.release(given.session, given.waiter, used=given.used, now=self.now)
        assert not stops or Stop(given.session, graceful=True) in effects
        self.perform(effects)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), used=st.booleans())
    def release_by_a_stranger(self, data: st.DataObject, used: bool) -> None:
        """A lease that is over gives back nothing, whoever has the session now."""
        session = data.draw(st.sampled_from(sorted(self.given)))
        stranger = self.given[session].waiter - 1
        assert self.state.release(session, stranger, used=used, now=self.now) == []
        assert self.state.take_back(session, stranger, now=self.now) == []

    @precondition(lambda self: any(not given.used for given in self.given.values()))
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        """The caller had gone in the tick of the hand-over."""
        unused = sorted(name for name, given in self.given.items() if not given.used)
        session = data.draw(st.sampled_from(unused))
        given = self.given.pop(session)
        if session in self.phase:
            self.phase[session] = Phase.IDLE
        self.perform(self.state.take_back(session, given.waiter, now=self.now))

    # --- processes --------------------------------------------------------------------------

    @precondition(lambda self: self.of_phase(Phase.STARTING))
    @rule(data=st.data())
    def start_succeeds(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.of_phase(Phase.STARTING)))
        self.phase[session] = Phase.IDLE
        self.seen["started"] += 1
        self.perform(self.state.start_succeeded(session, now=self.now))

    @precondition(lambda self: self.of_phase(Phase.STOPPING))
    @rule(data=st.data())
    def start_succeeds_too_late(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.of_phase(Phase.STOPPING)))
        assert self.state.start_succeeded(session, now=self.now) == []

    @precondition(lambda self: self.of_phase(Phase.STARTING))
    @rule(data=st.data())
    def start_fails(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.of_phase(Phase.STARTING)))
        del self.phase[session]
        self.dead.add(session)
        self.seen["failed"] += 1
        self.perform(self.state.start_failed(session, FAILURE, now=self.now))

    @precondition(lambda self: self.phase)
    @rule(data=st.data())
    def process_ends(self, data: st.DataObject) -> None:
        """Asked to or not: also while it starts, idles, or is in a caller's hands."""
        session = data.draw(st.sampled_from(sorted(self.phase)))
        if self.phase.pop(session) is not Phase.STOPPING:
            self.seen["died"] += 1
        self.dead.add(session)
        self.perform(self.state.session_ended(session, now=self.now))

    @precondition(lambda self: self.of_phase(Phase.STARTING, Phase.IDLE, Phase.LEASED))
    @rule(data=st.data())
    def process_dies(self, data: st.DataObject) -> None:
        """Told before it is reaped: nobody gets it, and its place is still taken."""
        alive = self.of_phase(Phase.STARTING, Phase.IDLE, Phase.LEASED)
        session = data.draw(st.sampled_from(alive))
        self.phase[session] = Phase.STOPPING
        self.given.pop(session, None)
        self.dead.add(session)
        self.seen["died"] += 1
        self.perform(self.state.session_died(session, now=self.now))
        assert self.state.session_died(session, now=self.now) == []

    @precondition(lambda self: self.dead - self.phase.keys())
    @rule(data=st.data())
    def end_is_told_again(self, data: st.DataObject) -> None:
        """A place that was given back is not given back twice."""
        session = data.draw(st.sampled_from(sorted(self.dead - self.phase.keys())))
        assert self.state.session_ended(session, now=self.now) == []
        assert self.state.start_failed(session, FAILURE, now=self.now) == []
        assert self.state.start_succeeded(session, now=self.now) == []

    # --- time -------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 2.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        """The alarm may come late, but it comes for all that is due."""
        self.now += seconds
        if self.state.next_deadline() <= self.now:
            self.wake()

    @precondition(lambda self: self.state.next_deadline() < math.inf)
    @rule()
    def alarm_rings(self) -> None:
        self.now = max(self.now, self.state.next_deadline())
        self.wake()

    def wake(self) -> None:
        self.perform(self.state.tick(now=self.now))
        assert self.state.next_deadline() > self.now
        for waiting in self.asked.values():
            assert all(deadline > self.now for deadline in waiting.values())

    @precondition(lambda self: not self.stopped)
    @rule(chance=st.integers(0, 9))
    def shut_down(self, chance: int) -> None:
        if chance:
            return
        effects = self.state.shut_down(now=self.now)
        self.perform(effects)
        self.stopped = True
        assert not any(self.asked.values())
        assert set(self.of_phase(Phase.STOPPING)) == set(self.phase)

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def the_pool_and_the_world_agree(self) -> None:
        if not hasattr(self, "state"):
            return
        assert {name: record.phase for name, record in self.state.sessions.items()} == self.phase
        assert set(self.state.waiters) == set().union(*map(set, self.asked.values()))
        for name, record in self.state.templates.items():
            assert list(record.waiters) == list(self.asked[name])
            mine = [session for session in self.phase if self.template_of[session] == name]
            assert set(record.idle) == {s for s in mine if self.phase[s] is Phase.IDLE}
            assert set(record.starting) == {s for s in mine if self.phase[s] is Phase.STARTING}

    @invariant()
    def the_figures_add_up(self) -> None:
        if not hasattr(self, "state"):
            return
        figures = self.state.statistics()
        places = figures.starting + figures.idle + figures.leased + figures.stopping
        assert places == len(self.phase) <= self.config.max_sessions
        assert figures.waiting == sum(map(len, self.asked.values()))
        assert figures.started == self.seen["started"]
        assert figures.start_failures == self.seen["failed"]
        assert figures.deaths == self.seen["died"]
        assert figures.hits <= self.seen["given"] <= figures.hits + figures.misses
        assert figures.breaker_openings <= figures.start_failures

    @invariant()
    def nobody_waits_without_a_reason(self) -> None:
        """While somebody waits, no session of the template idles, and something will change."""
        if not hasattr(self, "state") or self.stopped:
            return
        for name in self.names:
            if not self.asked[name]:
                continue
            record = self.state.templates[name]
            assert not record.idle
            paused = self.now < record.breaker.retry_at
            full = len(self.phase) == self.config.max_sessions
            assert record.starting or paused or full
            if paused:
                assert self.state.next_deadline() <= record.breaker.retry_at
            elif full and not record.starting:
                # Those of others that idle give way; those that are leased come back one day.
                assert self.of_phase(Phase.STOPPING) or not self.of_phase(Phase.IDLE)

    @invariant()
    def every_deadline_has_its_alarm(self) -> None:
        if not hasattr(self, "state"):
            return
        wake_at = self.state.next_deadline()
        for waiting in self.asked.values():
            assert all(wake_at <= deadline for deadline in waiting.values())
        for record in self.state.sessions.values():
            assert record.phase is not Phase.IDLE or wake_at <= record.expires

    @invariant()
    def an_open_breaker_starts_nothing(self) -> None:
        if not hasattr(self, "state"):
            return
        for record in self.state.templates.values():
            if record.breaker.position is Position.OPEN:
                assert not record.waiters

    def teardown(self) -> None:
        """After all that, a pool that is stopped comes to its end."""
        if hasattr(self, "state"):
            if not self.stopped:
                self.perform(self.state.shut_down(now=self.now))
                self.stopped = True
            for session in list(self.phase):
                assert not self.state.finished
                del self.phase[session]
                self.perform(self.state.session_ended(session, now=self.now))
            assert self.state.finished


PoolMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=60, deadline=None, derandomize=True
)
TestPoolMachine = PoolMachine.TestCase
