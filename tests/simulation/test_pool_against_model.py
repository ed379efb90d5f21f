"""Simulation: the pool decides exactly what a naive model of it does, in any order of events.

`test_pool_simulation.py` checks what must never be; here each decision is predicted: who is
served, who is refused, what is started and what is stopped, action by action.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pyrepl3.config import PoolConfig
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.pool import pool
from pyrepl3.pool.demand import Demand
from pyrepl3.pool.pool_records import Effect, HandOver, Refuse, Start, Stop
from pyrepl3.pool.pool_state import PoolState

from .planted_bugs import POOL_BUGS
from .pool_model import PoolModel

FAILURE = WorkerSpawnFailed(what="no process", why="no memory", how="Buy some")
NAMES = ("a", "b", "c")


class NoJitter(Random):
    """Chance at its mean, so that times can be predicted."""

    def random(self) -> float:
        return 0.5


def said(effects: list[Effect]) -> set[tuple[str | int, ...]]:
    """Effects, as the model says them."""
    found: set[tuple[str | int, ...]] = set()
    for effect in effects:
        match effect:
            case HandOver():
                found.add(("serve", effect.waiter, effect.session))
            case Refuse():
                found.add(("refuse", effect.waiter))
            case Start():
                found.add(("start", effect.session, effect.template))
            case Stop():
                found.add(("stop", effect.session))
    assert len(found) == len(effects), "nothing is done twice"
    return found


class PoolAgainstModel(RuleBasedStateMachine):
    """Callers, processes and a clock drive both; the two are compared after each action."""

    @initialize(
        min_idle=st.integers(0, 2),
        max_sessions=st.integers(1, 7),
        failures=st.integers(1, 3),
        templates=st.integers(1, 3),
    )
    def open(self, min_idle: int, max_sessions: int, failures: int, templates: int) -> None:
        config = PoolConfig(
            min_idle=min_idle,
            max_sessions=max_sessions,
            breaker_failures=failures,
            idle_lifetime_s=20.0,
        )
        self.now = 0.0
        self.names = NAMES[:templates]
        self.demand = {name: Demand() for name in self.names}
        self.begun: dict[str, float] = {}
        self.waiters = itertools.count(1)
        # The one that the pool's actor would use, which may be a broken one: see below.
        state: type[PoolState] = vars(pool)["PoolState"]
        self.state = state.of(config, self.names, NoJitter())
        self.model = PoolModel(config, list(self.names), self.wanted_idle)
        self.check(self.state.tick(now=0.0), self.model.tick)

    def wanted_idle(self, template: str) -> int:
        minimum = self.model.config.min_idle
        return self.demand[template].wanted_idle(now=self.now, minimum=minimum)

    def check(self, effects: list[Effect], action: Callable[..., object], *about: object) -> None:
        predicted = self.model.after(self.now, action, *about)

        assert said(effects) == predicted
        for effect in effects:
            if isinstance(effect, Start):
                self.begun[effect.session] = self.now

    def draw(self, data: st.DataObject, place: str) -> str:
        return data.draw(st.sampled_from(self.model.at(place)))

    # --- callers ----------------------------------------------------------------------------

    @rule(data=st.data(), timeout_s=st.sampled_from([0.5, 5.0, math.inf]))
    def acquire(self, data: st.DataObject, timeout_s: float) -> None:
        template, waiter = data.draw(st.sampled_from(self.names)), next(self.waiters)
        deadline = self.now + timeout_s
        effects = self.state.acquire(waiter, template, deadline=deadline, now=self.now)
        if not self.model.shut:
            self.demand[template].arrived(now=self.now)
        self.check(effects, self.model.acquire, waiter, template, deadline)

    @rule(waiter=st.integers(0, 30))
    def cancel(self, waiter: int) -> None:
        """Also of somebody who does not wait."""
        effects = self.state.cancel(waiter, now=self.now)
        self.check(effects, self.model.waiting.pop, waiter, None)

    @precondition(lambda self: self.model.owner)
    @rule(data=st.data(), used=st.booleans())
    def give_back(self, data: st.DataObject, used: bool) -> None:
        """By its owner, or again by one that it was taken from."""
        session = data.draw(st.sampled_from(sorted(self.model.owner)))
        waiter = self.model.owner[session]
        effects = self.state.release(session, waiter, used=used, now=self.now)
        self.check(effects, self.model.give_back, session, waiter, used)

    @precondition(lambda self: self.model.owner)
    @rule(data=st.data(), stranger=st.integers(0, 30), used=st.booleans())
    def give_back_what_is_anothers(self, data: st.DataObject, stranger: int, used: bool) -> None:
        session = data.draw(st.sampled_from(sorted(self.model.owner)))
        effects = self.state.release(session, stranger, used=used, now=self.now)
        self.check(effects, self.model.give_back, session, stranger, used)

    # --- processes --------------------------------------------------------------------------

    @precondition(lambda self: self.model.at("starting"))
    @rule(data=st.data())
    def start_succeeds(self, data: st.DataObject) -> None:
        session = self.draw(data, "starting")
        effects = self.state.start_succeeded(session, now=self.now)
        template = self.model.template_of[session]
        self.demand[template].started(self.now - self.begun[session])
        self.check(effects, self.model.start_succeeds, session)

    @precondition(lambda self: self.model.at("starting"))
    @rule(data=st.data())
    def start_fails(self, data: st.DataObject) -> None:
        session = self.draw(data, "starting")
        effects = self.state.start_failed(session, FAILURE, now=self.now)
        self.check(effects, self.model.start_fails, session)

    @precondition(lambda self: self.model.at("idle") or self.model.at("leased"))
    @rule(data=st.data())
    def session_dies(self, data: st.DataObject) -> None:
        alive = self.model.at("idle") + self.model.at("leased")
        session = data.draw(st.sampled_from(alive))
        effects = self.state.session_died(session, now=self.now)
        self.check(effects, self.model.move, session, "stopping")

    @precondition(lambda self: self.model.at("stopping"))
    @rule(data=st.data())
    def session_ends(self, data: st.DataObject) -> None:
        session = self.draw(data, "stopping")
        effects = self.state.session_ended(session, now=self.now)
        self.check(effects, self.model.place.pop, session)

    # --- time -------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.075, 0.5, 5.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        """As far as the pool has asked to be woken, or until something else happens first."""
        self.now = min(self.now + seconds, self.state.next_deadline())

    @precondition(lambda self: self.state.next_deadline() <= self.now)
    @rule()
    def alarm_rings(self) -> None:
        self.check(self.state.tick(now=self.now), self.model.tick)

    @rule(chance=st.integers(0, 15))
    def shut_down(self, chance: int) -> None:
        if not chance:
            self.check(self.state.shut_down(now=self.now), self.model.shut_down)

    # --- what always holds ------------------------------------------------------------------

    @invariant()
    def both_have_everything_in_the_same_place(self) -> None:
        if not hasattr(self, "state"):
            return
        phases = {name: record.phase.name.lower() for name, record in self.state.sessions.items()}

        assert phases == self.model.place
        assert list(self.state.waiters) == list(self.model.waiting)

    @invariant()
    def the_pool_wakes_for_all_that_the_model_has_to_do(self) -> None:
        if not hasattr(self, "state") or self.model.shut:
            return
        due: list[Any] = [deadline for _, deadline in self.model.waiting.values()]
        due += [self.model.expires[session] for session in self.model.at("idle")]
        due += self.model.pause.values()

        assert self.state.next_deadline() <= min(due, default=math.inf)


SETTINGS = settings(max_examples=150, stateful_step_count=60, deadline=None, derandomize=True)
PoolAgainstModel.TestCase.settings = SETTINGS
TestPoolAgainstModel = PoolAgainstModel.TestCase


@pytest.mark.parametrize("bug", sorted(POOL_BUGS))
def test_a_broken_pool_does_not_decide_as_the_model_does(bug: str) -> None:
    unshrunk = settings(
        SETTINGS, max_examples=3000, phases=[Phase.generate], report_multiple_bugs=False
    )

    with POOL_BUGS[bug](), pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(PoolAgainstModel, settings=unshrunk)
