"""Unit tests: how the pool keeps itself up: failed starts, expiry, and warm sessions ahead."""

from __future__ import annotations

import math
from random import Random

import pytest
from pool_world import FAILURE, World, given, refused, starts, stops

from pyrepl3.config import PoolConfig
from pyrepl3.errors import PoolDegraded, WorkerSpawnFailed
from pyrepl3.pool.breaker import JITTER, Breaker, Position
from pyrepl3.pool.demand import Demand
from pyrepl3.pool.pool_records import Effect, Phase, Stop
from pyrepl3.pool.pool_state import IDLE_LIFETIME_JITTER

# --- failed starts -------------------------------------------------------------------------------


def test_a_failed_start_is_followed_by_a_pause_and_another_start() -> None:
    world = World(backoff_initial_s=1.0)
    assert world.failed(starts(world.acquire(1))[0]) == []
    pause = world.state.next_deadline()
    assert 1.0 * (1 - JITTER) <= pause <= 1.0

    assert len(starts(world.wake())) == 1


def test_pauses_double_up_to_their_maximum() -> None:
    config = PoolConfig(breaker_failures=10_000, backoff_initial_s=0.1, backoff_max_s=3.0)
    breaker = Breaker(config, Random("no jitter"))
    breaker.random.random = lambda: 0.0  # type: ignore[method-assign]
    pauses = []
    for now in range(2_000):
        breaker.failed(FAILURE, now=now + 0.5)
        pauses.append(round(breaker.retry_at - now - 0.5, 6))

    assert pauses[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.0]
    assert set(pauses[5:]) == {3.0}


def test_only_one_start_is_tried_after_a_failure() -> None:
    world = World(backoff_initial_s=1.0)
    first, _ = (starts(world.acquire(waiter))[0] for waiter in (1, 2))
    world.now = 0.1
    world.failed(first)
    world.failed("s2")

    (retry,) = starts(world.wake())
    assert len(starts(world.started(retry))) == 1


def test_starts_that_fail_together_are_one_failure() -> None:
    """A zygote that dies takes all its starts along: that is no restart storm."""
    world = World(breaker_failures=2)
    for waiter in range(5):
        world.acquire(waiter)
    world.now = 0.1

    for number in range(1, 6):
        assert refused(world.failed(f"s{number}")) == {}
    assert world.state.statistics().open_breakers == ()
    assert world.state.statistics().start_failures == 5


def open_breaker(world: World) -> list[Effect]:
    """Have starts of template a fail until its breaker opens; returns what that decided."""
    effects = world.acquire(100, timeout_s=1e6)
    while not refused(effects):
        for session in starts(effects):
            world.now += 0.01
            effects = world.failed(session)
        if not starts(effects) and not refused(effects):
            effects = world.wake()
    return effects


def test_enough_failures_in_a_row_open_the_breaker_and_refuse_who_waits() -> None:
    world = World(breaker_failures=3, breaker_reset_s=5.0)

    error = refused(open_breaker(world))[100]

    assert isinstance(error, WorkerSpawnFailed)
    assert "no process: no memory" in error.why
    statistics = world.state.statistics()
    assert (statistics.start_failures, statistics.breaker_openings) == (3, 1)
    assert statistics.open_breakers == ("a",)


def test_an_open_breaker_refuses_at_once_and_says_when_to_come_back() -> None:
    world = World(breaker_failures=1, breaker_reset_s=5.0)
    open_breaker(world)
    world.now += 1.0

    error = refused(world.acquire(1))[1]

    assert isinstance(error, PoolDegraded)
    assert error.details["retry_after_s"] == 4.0


def test_an_open_breaker_does_not_concern_other_templates() -> None:
    world = World(breaker_failures=1)
    open_breaker(world)

    assert world.lease(1, "b")


def test_idle_sessions_are_handed_out_while_the_breaker_is_open() -> None:
    world = World(breaker_failures=1)
    session = world.idle()
    assert given(world.acquire(1)) == [(1, session)]
    open_breaker(world)
    world.release(session, used=False)

    assert given(world.acquire(2)) == [(2, session)]


def test_after_its_time_the_breaker_lets_one_start_through() -> None:
    world = World(breaker_failures=1, breaker_reset_s=5.0)
    open_breaker(world)
    world.now += 5.0

    (session,) = starts(world.acquire(1))
    assert world.acquire(2) == []
    assert world.state.statistics().open_breakers == ("a",)
    effects = world.started(session)

    assert given(effects) == [(1, session)]
    assert len(starts(effects)) == 1
    assert world.state.statistics().open_breakers == ()


def test_a_trial_that_fails_opens_the_breaker_again() -> None:
    world = World(breaker_failures=3, breaker_reset_s=5.0)
    open_breaker(world)
    world.now += 5.0
    (session,) = starts(world.acquire(1))
    world.now += 0.1

    assert list(refused(world.failed(session))) == [1]
    assert isinstance(refused(world.acquire(2))[2], PoolDegraded)
    assert world.state.statistics().breaker_openings == 2


def test_spares_are_tried_again_when_the_breaker_lets_them() -> None:
    world = World("a", min_idle=2, breaker_failures=1, breaker_reset_s=5.0)
    for session in starts(world.tick()):
        world.failed(session)

    (trial,) = starts(world.wake())
    assert world.now == 5.0
    assert len(starts(world.started(trial))) == 1


def test_a_breaker_without_a_failure_limits_nothing() -> None:
    breaker = Breaker(PoolConfig(), Random(1))

    assert breaker.position is Position.CLOSED
    assert breaker.starts_allowed(50) is None


# --- expiry --------------------------------------------------------------------------------------


def test_an_idle_session_is_replaced_at_the_end_of_its_life_give_or_take_a_tenth() -> None:
    world = World("a", min_idle=30, max_sessions=60, idle_lifetime_s=100.0)
    for session in starts(world.tick()):
        world.started(session)
    expiries = sorted(record.expires for record in world.state.sessions.values())
    assert world.state.next_deadline() == expiries[0]
    assert 100 * (1 - IDLE_LIFETIME_JITTER) <= expiries[0] < expiries[-1]
    assert expiries[-1] <= 100 * (1 + IDLE_LIFETIME_JITTER)

    effects = world.wake()

    assert len(stops(effects)) == len(starts(effects)) == 1
    assert Stop(stops(effects)[0], graceful=False) in effects


def test_a_leased_session_does_not_expire() -> None:
    world = World(idle_lifetime_s=1.0)
    session = world.lease(1)
    world.now = 1000.0

    assert stops(world.tick()) == []
    assert world.phase(session) is Phase.LEASED


def test_nothing_to_do_needs_no_waking() -> None:
    world = World()
    world.tick()

    assert world.state.next_deadline() == math.inf


# --- pre-warming ---------------------------------------------------------------------------------


def test_the_rate_follows_arrivals_and_fades_without_them() -> None:
    demand = Demand()
    for number in range(2_000):
        demand.arrived(now=number / 100)

    assert demand.rate(now=20.0) == pytest.approx(100, rel=0.02)
    assert demand.rate(now=60.0) < 0.001


def test_more_idle_sessions_are_wanted_the_more_arrive_and_the_longer_a_start_takes() -> None:
    def wanted(rate: int, start_s: float) -> int:
        demand = Demand()
        demand.started(start_s)
        for number in range(20 * rate):
            demand.arrived(now=number / rate)
        return demand.wanted_idle(now=20.0, minimum=2)

    assert wanted(1, 0.001) == 2
    assert wanted(10, 0.1) < wanted(50, 0.1) < wanted(50, 0.5)
    assert wanted(50, 0.5) >= 25


def test_no_more_than_the_minimum_is_wanted_once_nobody_comes() -> None:
    demand = Demand()
    demand.started(0.1)
    demand.arrived(now=0.0)

    assert [demand.wanted_idle(now=now, minimum=0) for now in (0.0, 60.0)] == [1, 0]
    assert demand.wanted_idle(now=60.0, minimum=2) == 2


def test_a_slow_start_counts_at_once_and_is_forgotten_slowly() -> None:
    demand = Demand()
    demand.started(1.0)
    demand.started(0.1)
    after_one = demand._start_s
    for _ in range(50):
        demand.started(0.1)

    assert after_one == pytest.approx(0.91)
    assert demand._start_s == pytest.approx(0.1, rel=0.1)


def test_the_pool_keeps_what_demand_asks_for() -> None:
    world = World("a", min_idle=1, max_sessions=50)
    demand = world.state.templates["a"].demand
    demand.started(0.5)
    for number in range(200):
        demand.arrived(now=number / 20)
    world.now = 10.0

    assert len(starts(world.tick())) == demand.wanted_idle(now=10.0, minimum=1) > 10
