"""Unit tests: each decision of the pool, one at a time."""

from __future__ import annotations

import pytest
from pool_world import World, given, refused, starts, stops

from pyrepl3.errors import PoolExhausted, ShuttingDown, WorkerSpawnFailed
from pyrepl3.pool.pool_records import Forget, HandOver, Phase, Start, Stop

# --- acquire -------------------------------------------------------------------------------------


def test_the_first_tick_starts_the_idle_sessions_of_every_template() -> None:
    world = World(min_idle=2)

    assert world.tick() == [Start("s1", "a"), Start("s2", "a"), Start("s3", "b"), Start("s4", "b")]
    assert world.tick() == []


def test_an_idle_session_is_handed_over_at_once_and_is_warm() -> None:
    world = World()
    session = world.idle()
    world.now = 3.0

    assert world.acquire(1)[0] == HandOver(1, session, warm=True, wait_s=0.0)
    assert world.phase(session) is Phase.LEASED


def test_a_session_that_was_waited_for_is_not_warm_and_says_how_long_it_took() -> None:
    world = World()
    (start,) = world.acquire(1)
    assert isinstance(start, Start)
    world.now = 0.25

    assert world.started(start.session)[0] == HandOver(1, start.session, warm=False, wait_s=0.25)


def test_the_session_that_has_idled_longest_goes_first() -> None:
    world = World()
    leased = [world.lease(waiter) for waiter in range(3)]
    for session in (leased[1], leased[0], leased[2]):
        world.now += 1
        world.release(session, used=False)

    assert [given(world.acquire(waiter)) for waiter in (7, 8)] == [
        [(7, leased[1])],
        [(8, leased[0])],
    ]


def test_each_waiter_without_a_session_has_one_started() -> None:
    world = World()

    assert [len(starts(world.acquire(waiter))) for waiter in range(3)] == [1, 1, 1]


def test_a_spare_that_is_starting_serves_a_waiter() -> None:
    world = World(min_idle=1, max_sessions=2)
    (spare, _) = starts(world.tick())
    assert world.acquire(1) == []

    assert given(world.started(spare)) == [(1, spare)]


def test_waiters_of_one_template_are_served_first_come_first_served() -> None:
    world = World()
    sessions = [starts(world.acquire(waiter))[0] for waiter in (5, 3, 9)]

    served = [given(world.started(session)) for session in reversed(sessions)]

    assert [waiter for ((waiter, _),) in served] == [5, 3, 9]


def test_a_session_of_one_template_is_no_use_to_another() -> None:
    world = World()
    session = world.idle("b")

    assert given(world.acquire(1, "a")) == []
    assert world.phase(session) is Phase.IDLE


# --- capacity ------------------------------------------------------------------------------------


def test_starting_idle_leased_and_stopping_sessions_all_take_a_place() -> None:
    world = World(max_sessions=4)
    world.idle("b")
    leased, stopping = world.lease(1), world.lease(2)
    world.release(stopping)
    world.acquire(3)
    assert world.phases() == {"starting": 1, "idle": 1, "leased": 1, "stopping": 1}

    assert starts(world.acquire(4)) == []
    assert len(world.state.sessions) == 4
    assert world.phase(leased) is Phase.LEASED


def test_a_place_is_free_once_its_process_is_reaped_and_only_once() -> None:
    world = World(max_sessions=1)
    session = world.lease(1)
    world.acquire(2)
    assert world.release(session) == [Stop(session, graceful=True)]
    assert world.release(session) == []

    assert len(starts(world.ended(session))) == 1
    assert world.ended(session) == []


def test_the_caller_that_waits_longest_gets_the_place_that_comes_free() -> None:
    world = World(max_sessions=1)
    session = world.lease(1, "a")
    world.acquire(2, "b")
    world.acquire(3, "a")
    world.release(session)

    (start,) = world.ended(session)

    assert isinstance(start, Start)
    assert start.template == "b"


def test_idle_sessions_give_way_to_waiters_of_other_templates() -> None:
    world = World(max_sessions=2)
    first = world.idle("b")
    leased = world.lease(1, "b")
    second = world.idle("b")
    world.release(leased, used=False)
    assert first == leased

    assert world.acquire(2, "a") == [Stop(second, graceful=False)]
    assert world.acquire(3, "a") == [Stop(first, graceful=False)]
    assert world.acquire(4, "a") == []
    assert world.ended(second) == [Start("s3", "a")]


def test_a_session_that_is_stopping_already_is_room_enough_for_one() -> None:
    world = World(max_sessions=2)
    world.idle("b")
    session = world.lease(1, "a")
    world.release(session)

    assert stops(world.acquire(2, "a")) == []


def test_a_start_for_one_template_is_no_help_to_the_waiters_of_another() -> None:
    world = World(max_sessions=2)
    idle = world.idle("b")
    world.acquire(1, "a")

    assert stops(world.acquire(2, "a")) == [idle]


def test_nothing_gives_way_to_a_waiter_whose_template_may_not_start() -> None:
    """Else it would be stopped, and started again as a spare, until the pause is over."""
    world = World(max_sessions=2, backoff_initial_s=1.0, breaker_failures=9)
    world.failed(starts(world.acquire(1, "a"))[0])
    idle = [world.lease(2, "b"), world.lease(3, "b")]
    for session in idle:
        world.release(session, used=False)

    assert world.acquire(4, "a") == []
    assert world.wake() == [Stop(idle[0], graceful=False)]


# --- cancel and time out -------------------------------------------------------------------------


def test_a_cancelled_waiter_is_not_served() -> None:
    world = World()
    (session,) = starts(world.acquire(1))

    assert world.state.cancel(1, now=0.0) == []
    assert given(world.started(session)) == []
    assert world.phase(session) is Phase.IDLE


def test_cancelling_who_does_not_wait_changes_nothing() -> None:
    world = World()
    session = world.lease(1)

    assert world.state.cancel(1, now=0.0) == []
    assert world.state.cancel(99, now=0.0) == []
    assert world.phase(session) is Phase.LEASED


def test_a_waiter_is_refused_at_its_deadline_and_not_before() -> None:
    world = World(max_sessions=1)
    world.lease(1)
    world.acquire(2, timeout_s=2.0)
    world.acquire(3, timeout_s=1.0)
    assert world.state.next_deadline() == 1.0

    first = refused(world.wake())
    assert world.now == 1.0
    second = refused(world.wake())

    assert (list(first), list(second)) == ([3], [2])
    assert world.now == 2.0
    assert isinstance(first[3], PoolExhausted)
    assert "1.0 s" in first[3].what
    assert "all 1 sessions are in use" in first[3].why
    assert world.state.statistics().timeouts == 2


def test_who_would_not_wait_for_a_start_is_not_told_that_all_is_taken() -> None:
    world = World(max_sessions=2)
    world.acquire(1, timeout_s=-0.0)

    error = refused(world.tick())[1]

    assert isinstance(error, PoolExhausted)
    assert error.what.endswith("in 0.0 s")
    assert "none was idle" in error.why
    assert "min_idle" in error.how


def test_who_waits_in_vain_for_starts_that_fail_hears_why() -> None:
    world = World(breaker_failures=9, backoff_initial_s=60, backoff_max_s=60)
    world.failed(starts(world.acquire(1))[0])
    world.now = 5.0

    error = refused(world.tick())[1]

    assert isinstance(error, WorkerSpawnFailed)
    assert "no memory" in error.why


def test_a_deadline_that_has_passed_when_its_request_arrives_is_kept_at_once() -> None:
    world = World(max_sessions=1)
    world.lease(1)
    world.now = 10.0
    world.state.acquire(2, "a", deadline=9.0, now=world.now)

    assert world.state.next_deadline() <= world.now
    assert list(refused(world.tick())) == [2]


# --- release and take back -----------------------------------------------------------------------


def test_a_used_session_is_stopped_with_its_exit_handlers() -> None:
    world = World()
    session = world.lease(1)

    assert world.release(session, used=True) == [Stop(session, graceful=True)]


def test_an_unused_session_goes_to_the_next_waiter() -> None:
    world = World(max_sessions=1)
    session = world.lease(1)
    world.acquire(2)

    assert given(world.release(session, used=False)) == [(2, session)]


def test_a_session_whose_caller_had_gone_is_taken_back() -> None:
    world = World()
    session = world.lease(1)

    assert world.take_back(session) == []
    assert world.phase(session) is Phase.IDLE
    assert world.take_back(session) == []


@pytest.mark.parametrize("used", [True, False])
def test_releasing_what_is_not_leased_changes_nothing(used: bool) -> None:
    world = World()
    session = world.idle()

    assert world.release(session, used=used) == []
    assert world.release("s99", used=used) == []
    assert world.phase(session) is Phase.IDLE


# --- deaths --------------------------------------------------------------------------------------


def test_an_idle_session_that_dies_is_replaced_and_never_handed_out() -> None:
    world = World("a", min_idle=1)
    (session,) = starts(world.tick())
    world.started(session)

    (replacement,) = starts(world.ended(session))

    assert replacement != session
    assert given(world.acquire(1)) == []
    assert world.state.statistics().deaths == 1


def test_a_leased_session_that_dies_frees_its_place_and_its_release_means_nothing() -> None:
    world = World(max_sessions=1)
    session = world.lease(1)
    world.acquire(2)

    assert len(starts(world.ended(session))) == 1
    assert world.release(session) == []


def test_a_session_that_starts_when_it_was_stopped_is_not_handed_out() -> None:
    world = World()
    (session,) = starts(world.acquire(1))
    world.state.shut_down(now=0.0)

    assert world.started(session) == []
    assert world.phase(session) is Phase.STOPPING


# --- shutting down -------------------------------------------------------------------------------


def test_shutting_down_refuses_all_waiters_and_stops_all_sessions() -> None:
    world = World()
    idle, leased = world.idle("b"), world.lease(1)
    (starting,) = starts(world.acquire(2))
    (also_starting,) = starts(world.acquire(3))

    effects = world.state.shut_down(now=0.0)

    assert all(isinstance(error, ShuttingDown) for error in refused(effects).values())
    assert sorted(refused(effects)) == [2, 3]
    assert stops(effects) == [idle, leased, starting, also_starting]
    assert not world.state.finished


def test_nothing_is_started_or_handed_out_after_shutting_down() -> None:
    world = World("a", min_idle=2)
    session, starting = starts(world.tick())
    world.started(session)
    world.state.shut_down(now=0.0)

    assert isinstance(refused(world.acquire(1))[1], ShuttingDown)
    assert world.tick() == world.started(starting) == world.ended(session) == []


def test_a_pool_is_finished_once_its_last_session_is_reaped() -> None:
    world = World()
    sessions = [world.lease(waiter) for waiter in (1, 2)]
    world.state.shut_down(now=0.0)
    world.ended(sessions[0])
    assert not world.state.finished

    world.ended(sessions[1])

    assert world.state.finished


def test_an_empty_pool_is_finished_at_once() -> None:
    world = World()
    world.state.shut_down(now=0.0)

    assert world.state.finished


# --- figures -------------------------------------------------------------------------------------


def test_the_figures_count_hits_and_misses() -> None:
    world = World()
    assert world.state.statistics().hit_rate == 1.0
    world.idle()
    world.acquire(1)
    world.acquire(2)

    figures = world.state.statistics()

    assert (figures.hits, figures.misses) == (1, 2)
    assert figures.hit_rate == pytest.approx(1 / 3)
    assert (figures.leased, figures.starting, figures.waiting) == (1, 1, 1)


def test_a_session_that_died_is_handed_to_nobody_and_keeps_its_place_until_it_is_reaped() -> None:
    world = World("a", max_sessions=1)
    session = world.idle()

    assert world.state.session_died(session, now=world.now) == []
    assert world.acquire(1) == []
    assert world.phases()["stopping"] == 1
    assert len(starts(world.ended(session))) == 1
    assert world.state.statistics().deaths == 1


def test_a_leased_session_that_died_is_released_to_no_effect() -> None:
    world = World("a")
    session = world.lease(1)
    world.state.session_died(session, now=world.now)

    assert world.release(session) == []
    assert world.take_back(session) == []


# --- snapshots -----------------------------------------------------------------------------------


def test_of_a_snapshot_nothing_is_kept_ready() -> None:
    world = World("a", min_idle=1)
    world.state.add_template("copy")
    effects = world.tick()
    assert [world.state.sessions[each].template for each in starts(effects)] == ["a"]

    (session,) = starts(world.acquire(1, "copy"))
    assert given(world.started(session)) == [(1, session)]
    assert starts(world.state.release(session, 1, used=True, now=0.0)) == []


def test_a_retired_snapshot_is_forgotten_when_its_last_session_has_ended() -> None:
    world = World("a")
    world.state.add_template("copy")
    first, second = world.lease(1, "copy"), world.lease(2, "copy")

    assert world.state.retire_template("copy", now=0.0) == []
    world.state.release(first, 1, used=True, now=0.0)
    assert world.ended(first) == []
    world.state.release(second, 2, used=True, now=0.0)
    assert world.ended(second) == [Forget("copy")]
    assert list(world.state.templates) == ["a"]


def test_a_retired_snapshot_serves_who_waits_and_keeps_nothing_idle() -> None:
    world = World("a")
    world.state.add_template("copy")
    idle = world.idle("copy")
    (starting,) = starts(world.acquire(1, "copy") + world.acquire(2, "copy"))
    assert world.phase(idle) is Phase.LEASED

    assert world.state.retire_template("copy", now=0.0) == []
    assert given(world.started(starting)) == [(2, starting)]
    world.state.take_back(starting, 2, now=0.0)
    assert stops(world.wake()) == [starting]
    world.ended(starting)
    world.state.release(idle, 1, used=True, now=0.0)
    assert world.ended(idle) == [Forget("copy")]


def test_an_idle_session_of_a_retired_snapshot_is_stopped_at_once() -> None:
    world = World("a")
    world.state.add_template("copy")
    idle = world.idle("copy")

    assert stops(world.state.retire_template("copy", now=0.0)) == [idle]
    assert world.ended(idle) == [Forget("copy")]


def test_a_snapshot_that_there_is_not_is_forgotten_at_once() -> None:
    assert World("a").state.retire_template("copy", now=0.0) == [Forget("copy")]
