"""Simulation: the pool under load, in virtual time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from pyrepl3.config import PoolConfig
from pyrepl3.pool.pool_records import Effect, HandOver, Start, Stop
from pyrepl3.pool.pool_state import PoolState
from pyrepl3.pool.pool_statistics import PoolStatistics


class Load:
    """Callers that arrive by Poisson's law, use a session for a while, and go."""

    def __init__(self, *, rate: float, use_s: float, start_s: float, config: PoolConfig) -> None:
        self.random = Random("a seed")
        self.state = PoolState.of(config, {"a": None}, self.random)
        self.config = config
        self.rate = rate
        self.use_s = use_s
        self.start_s = start_s
        self.now = 0.0
        self.agenda: list[tuple[float, int, Callable[[], list[Effect]]]] = []
        self.numbers = itertools.count()
        self.wake_at = math.inf

    def later(self, seconds: float, act: Callable[[], list[Effect]]) -> None:
        heapq.heappush(self.agenda, (self.now + seconds, next(self.numbers), act))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            session = getattr(effect, "session", "")
            if isinstance(effect, Start):
                seconds = self.start_s * (0.5 + self.random.random())
                self.later(seconds, partial(self.started, session))
            elif isinstance(effect, HandOver):
                use_s = self.random.expovariate(1 / self.use_s)
                self.later(use_s, partial(self.used, session, effect.waiter))
            elif isinstance(effect, Stop):
                self.later(0.01, partial(self.ended, session))
        assert len(self.state.sessions) <= self.config.max_sessions
        if self.state.next_deadline() < self.wake_at:
            self.wake_at = self.state.next_deadline()
            self.later(self.wake_at - self.now, self.wake)

    def started(self, session: str) -> list[Effect]:
        return self.state.start_succeeded(session, now=self.now)

    def used(self, session: str, waiter: int) -> list[Effect]:
        return self.state.release(session, waiter, used=True, now=self.now)

    def ended(self, session: str) -> list[Effect]:
        return self.state.session_ended(session, now=self.now)

    def wake(self) -> list[Effect]:
        self.wake_at = math.inf
        return self.state.tick(now=self.now)

    def arrive(self) -> list[Effect]:
        self.later(self.random.expovariate(self.rate), self.arrive)
        deadline = self.now + self.config.acquire_timeout_s
        return self.state.acquire(next(self.numbers), "a", deadline=deadline, now=self.now)

    def run(self, until: float) -> PoolStatistics:
        while self.agenda and self.agenda[0][0] <= until:
            self.now, _, act = heapq.heappop(self.agenda)
            self.perform(act())
        return self.state.statistics()


def hit_rate(*, rate: float, use_s: float, start_s: float, max_sessions: int) -> float:
    """Hits of all acquisitions in 100 s of load, after 10 s to get used to it."""
    load = Load(
        rate=rate,
        use_s=use_s,
        start_s=start_s,
        config=PoolConfig(min_idle=2, max_sessions=max_sessions),
    )
    load.perform(load.state.tick(now=0.0))
    load.later(0.5, load.arrive)
    warm = load.run(10.0)
    end = load.run(110.0)
    asked = end.hits + end.misses - warm.hits - warm.misses
    assert asked > 50 * rate
    assert end.timeouts == 0
    return (end.hits - warm.hits) / asked


@pytest.mark.parametrize(
    ("rate", "use_s", "start_s", "max_sessions"),
    [(2, 1.0, 0.01, 20), (20, 0.5, 0.05, 60), (50, 0.3, 0.1, 100), (5, 1.0, 0.4, 60)],
)
def test_at_least_99_of_100_acquisitions_find_a_warm_session(
    rate: float, use_s: float, start_s: float, max_sessions: int
) -> None:
    rate_of_hits = hit_rate(rate=rate, use_s=use_s, start_s=start_s, max_sessions=max_sessions)

    assert rate_of_hits >= 0.99


def test_beyond_its_capacity_a_pool_serves_whom_it_can_in_order() -> None:
    """80 sessions' worth of work for 10: most callers give up, and the 10 are never idle."""
    load = Load(rate=80, use_s=1.0, start_s=0.01, config=PoolConfig(max_sessions=10))
    load.perform(load.state.tick(now=0.0))
    load.later(0.0, load.arrive)
    figures = load.run(60.0)

    assert figures.idle == 0
    assert figures.started >= 0.9 * 10 * 60
    assert figures.timeouts > 0
    assert figures.waiting <= 80 * 5 * 1.2


def test_idle_sessions_go_down_to_the_minimum_when_nobody_comes() -> None:
    config = PoolConfig(min_idle=2, max_sessions=50, idle_lifetime_s=30.0)
    load = Load(rate=40, use_s=0.2, start_s=0.2, config=config)
    load.perform(load.state.tick(now=0.0))
    load.later(0.0, load.arrive)
    busy = load.run(20.0)
    load.rate = 1e-9
    quiet = load.run(120.0)

    assert busy.idle > 5
    assert (quiet.idle, quiet.leased, quiet.waiting) == (2, 0, 0)
