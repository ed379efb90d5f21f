"""Unit tests: a supervisor starts, restarts and gives up, in virtual time."""

import logging
from collections.abc import Iterable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    NO_BACKOFF,
    AlreadyRunning,
    Backoff,
    ChildNotRunning,
    ChildOverdue,
    ChildSpec,
    NeverStarted,
    Restart,
    RestartIntensity,
    RestartIntensityExceeded,
    Strategy,
    Supervisor,
    SupervisorStatistics,
    UnknownChild,
)
from actors.testing import CrashingActor, PlannedCrash, Recorder, assert_no_tasks_left

OFTEN = RestartIntensity(restarts=100, period_s=1000.0)


def child(
    name: str,
    recorder: Recorder,
    *,
    lifetimes_s: Iterable[float] = (),
    restart: Restart = Restart.PERMANENT,
) -> ChildSpec:
    actor = CrashingActor(name, recorder, lifetimes_s=lifetimes_s)
    return ChildSpec(name, actor.run, restart=restart, stop=actor.stop)


async def sleep(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()


async def run_for(supervisor: Supervisor, seconds: float) -> None:
    """Run a supervisor and ask it to stop ``seconds`` after it has started."""
    with assert_no_tasks_left():
        async with trio.open_nursery() as nursery:
            assert await nursery.start(supervisor.run) is supervisor
            await trio.sleep(seconds)
            supervisor.stop()


async def test_children_start_left_to_right_and_stop_right_to_left(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    supervisor = Supervisor([child(name, recorder) for name in "abc"])

    await run_for(supervisor, 1)

    assert recorder.timed == [
        (0, "a", "started"),
        (0, "b", "started"),
        (0, "c", "started"),
        (1, "c", "ended"),
        (1, "b", "ended"),
        (1, "a", "ended"),
    ]


async def test_each_child_is_fully_started_before_the_next_one_begins(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()

    async def start_slowly(*, task_status: trio.TaskStatus[str]) -> None:
        recorder.record("a", "begins")
        await trio.sleep(3)
        task_status.started("address of a")
        await trio.sleep_forever()

    async def use_a(*, task_status: trio.TaskStatus[None]) -> None:
        recorder.record("b", f"finds {supervisor.address('a')}")
        task_status.started()
        await trio.sleep_forever()

    supervisor = Supervisor([ChildSpec("a", start_slowly), ChildSpec("b", use_a)])
    await run_for(supervisor, 1)

    assert recorder.timed == [(0, "a", "begins"), (3, "b", "finds address of a")]


async def test_a_failed_first_start_stops_what_was_started_and_is_raised_itself(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    error = KeyError("no disk")
    failing = CrashingActor("b", recorder, fails_to_start=True, make_error=lambda: error)
    supervisor = Supervisor(
        [child("a", recorder), ChildSpec("b", failing.run), child("c", recorder)]
    )

    with pytest.raises(KeyError, match="no disk") as caught, assert_no_tasks_left():
        await supervisor.run()

    assert caught.value is error
    assert recorder.events == [("a", "started"), ("b", "failed to start"), ("a", "ended")]


async def test_a_child_that_returns_before_it_has_started_has_failed_to_start() -> None:
    async def forget_to_start(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(NeverStarted):
        await Supervisor([ChildSpec("a", forget_to_start)]).run()


async def test_a_crashed_child_is_restarted_after_growing_delays(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [child("a", recorder, lifetimes_s=[1, 1, 1]), child("b", recorder)],
        intensity=OFTEN,
        backoff=Backoff(initial_s=0.5, factor=4, max_s=3, jitter=0.5),
        random=lambda: 0.5,
    )

    await run_for(supervisor, 20)

    assert [(time_s, what) for time_s, who, what in recorder.timed if who == "a"] == [
        (0, "started"),
        (1, "crashed"),
        (1 + 0.375, "started"),
        (2.375, "crashed"),
        (2.375 + 1.5, "started"),
        (4.875, "crashed"),
        (4.875 + 2.25, "started"),
        (20, "ended"),
    ]
    assert [(time_s, what) for time_s, who, what in recorder.timed if who == "b"] == [
        (0, "started"),
        (20, "ended"),
    ]
    assert supervisor.statistics() == SupervisorStatistics((), {"a": 3, "b": 0})


async def test_a_child_that_waits_for_its_restart_does_not_delay_anothers(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    delays_s = iter([1.0, 0.0])  # jitter takes all of the second child's delay
    supervisor = Supervisor(
        [child("a", recorder, lifetimes_s=[1]), child("b", recorder, lifetimes_s=[2])],
        intensity=OFTEN,
        backoff=Backoff(initial_s=10, factor=1, max_s=10, jitter=1),
        random=lambda: 1 - next(delays_s),
    )

    await run_for(supervisor, 20)

    assert (2, "b", "started") in recorder.timed
    assert (11, "a", "started") in recorder.timed


async def test_a_good_while_up_makes_the_next_delay_short_again(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [child("a", recorder, lifetimes_s=[1, 1, 5])],
        intensity=RestartIntensity(restarts=3, period_s=5),
        backoff=Backoff(initial_s=1, factor=2, max_s=100, jitter=0),
    )

    await run_for(supervisor, 15)

    assert [time_s for time_s, _, what in recorder.timed if what == "started"] == [0, 2, 5, 11]


async def test_more_crashes_than_the_intensity_stop_everything_and_are_raised(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [child(name, recorder, lifetimes_s=[1] * 9 if name == "b" else ()) for name in "abc"],
        intensity=RestartIntensity(restarts=2, period_s=5.0),
        backoff=NO_BACKOFF,
        name="top",
    )

    with pytest.raises(RestartIntensityExceeded, match="'top' gave up on child 'b'") as caught:
        await supervisor.run()

    assert isinstance(caught.value.__cause__, PlannedCrash)
    assert (caught.value.supervisor, caught.value.child) == ("top", "b")
    assert recorder.timed[-3:] == [(3, "b", "crashed"), (3, "c", "ended"), (3, "a", "ended")]


async def test_all_for_one_restarts_everybody_in_order(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [
            child("a", recorder),
            child("b", recorder, lifetimes_s=[1]),
            child("c", recorder, restart=Restart.TEMPORARY),
            child("d", recorder),
        ],
        strategy=Strategy.ALL_FOR_ONE,
        backoff=Backoff(initial_s=2, factor=1, max_s=2, jitter=0),
    )

    await run_for(supervisor, 4)

    assert recorder.timed[4:-3] == [
        (1, "b", "crashed"),
        (1, "d", "ended"),
        (1, "c", "ended"),
        (1, "a", "ended"),
        (3, "a", "started"),
        (3, "b", "started"),
        (3, "d", "started"),
    ]
    assert supervisor.statistics().restarts == {"a": 1, "b": 1, "c": 0, "d": 1}


async def test_rest_for_one_restarts_those_after_it(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [child("a", recorder), child("b", recorder, lifetimes_s=[1]), child("c", recorder)],
        strategy=Strategy.REST_FOR_ONE,
        backoff=NO_BACKOFF,
    )

    await run_for(supervisor, 4)

    assert recorder.timed[3:-3] == [
        (1, "b", "crashed"),
        (1, "c", "ended"),
        (1, "b", "started"),
        (1, "c", "started"),
    ]


@pytest.mark.parametrize("strategy", [Strategy.ALL_FOR_ONE, Strategy.REST_FOR_ONE])
async def test_two_crashes_at_the_same_moment_are_one_restart_of_the_group(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [child("a", recorder, lifetimes_s=[1]), child("b", recorder, lifetimes_s=[1])],
        strategy=strategy,
        # Under rest-for-one the later child's end may be answered first, and then both count.
        intensity=RestartIntensity() if strategy is Strategy.ALL_FOR_ONE else OFTEN,
        backoff=NO_BACKOFF,
    )

    await run_for(supervisor, 4)

    assert supervisor.statistics().restarts == {"a": 1, "b": 1}


async def test_a_child_that_waits_for_its_restart_is_not_started_sooner_with_a_group(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    chances = iter([0.0, 0.9])
    supervisor = Supervisor(
        [child("a", recorder, lifetimes_s=[2]), child("b", recorder, lifetimes_s=[1])],
        strategy=Strategy.REST_FOR_ONE,
        intensity=OFTEN,
        backoff=Backoff(initial_s=10, factor=1, max_s=10, jitter=1),
        random=lambda: next(chances),
    )

    await run_for(supervisor, 20)

    starts = [event for event in recorder.timed if event[2] == "started"]
    assert starts[2:] == [(pytest.approx(3), "a", "started"), (11, "b", "started")]


async def test_a_failed_restart_counts_as_one_more_crash(autojump_clock: MockClock) -> None:
    starts = 0

    async def start(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal starts
        starts += 1
        if starts in (2, 3):
            raise PlannedCrash(f"start {starts}")
        task_status.started()
        await trio.sleep(1 if starts == 1 else 1000)
        raise PlannedCrash

    recorder = Recorder()
    supervisor = Supervisor(
        [ChildSpec("a", start), child("b", recorder)],
        strategy=Strategy.ALL_FOR_ONE,
        intensity=RestartIntensity(restarts=3, period_s=5.0),
        backoff=NO_BACKOFF,
    )

    await run_for(supervisor, 100)

    assert starts == 4
    assert supervisor.statistics().restarts == {"a": 3, "b": 1}
    assert recorder.timed == [
        (0, "b", "started"),
        (1, "b", "ended"),
        (1, "b", "started"),
        (100, "b", "ended"),
    ]


@pytest.mark.parametrize(
    ("restart", "message", "expected"),
    [
        (Restart.PERMANENT, None, True),
        (Restart.TRANSIENT, None, False),
        (Restart.TRANSIENT, PlannedCrash(), True),
        (Restart.TEMPORARY, PlannedCrash(), False),
    ],
)
async def test_whether_a_child_comes_back_is_up_to_its_type(
    restart: Restart, message: Exception | None, expected: bool, autojump_clock: MockClock
) -> None:
    recorder = Recorder()
    supervisor = Supervisor([child("a", recorder, restart=restart)], backoff=NO_BACKOFF)
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        address = supervisor.address("a")
        if message is None:
            address.close()
        else:
            await address.send(message)
        await trio.sleep(1)

        assert recorder.events.count(("a", "started")) == 1 + expected
        assert supervisor.statistics().children_alive == (("a",) if expected else ())
        supervisor.stop()


async def test_a_supervisor_without_children_waits_until_it_is_stopped(
    autojump_clock: MockClock,
) -> None:
    await run_for(Supervisor([]), 7)

    assert trio.current_time() == 7


async def test_an_address_is_the_present_incarnations(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [child("a", recorder, lifetimes_s=[1])],
        backoff=Backoff(initial_s=2, factor=1, max_s=2, jitter=0),
    )
    with pytest.raises(ChildNotRunning):
        supervisor.address("a")
    with pytest.raises(UnknownChild):
        supervisor.address("nobody")
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        first = supervisor.address("a")
        await trio.sleep(2)
        with pytest.raises(ChildNotRunning):
            supervisor.address("a")
        await trio.sleep(2)
        assert supervisor.address("a") is not first
        await supervisor.address("a").send("hello")
        supervisor.stop()

    with pytest.raises(ChildNotRunning):
        supervisor.address("a")


async def test_a_supervisor_that_gives_up_is_a_crashed_child_of_its_parent(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    inner = Supervisor([child("a", recorder, lifetimes_s=[1, 1])], backoff=NO_BACKOFF, name="inner")
    outer = Supervisor(
        [ChildSpec("inner", inner.run, stop=inner.stop, shutdown_s=20)],
        backoff=NO_BACKOFF,
        name="outer",
    )

    await run_for(outer, 10)

    assert outer.statistics().restarts == {"inner": 1}
    assert [time_s for time_s, _, what in recorder.timed if what == "started"] == [0, 1, 2]


async def test_intensities_multiply_down_the_tree(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    inner = Supervisor([child("a", recorder, lifetimes_s=[0.1] * 100)], backoff=NO_BACKOFF)
    outer = Supervisor([ChildSpec("inner", inner.run, stop=inner.stop)], backoff=NO_BACKOFF)

    with pytest.raises(RestartIntensityExceeded) as caught:
        await outer.run()

    assert isinstance(caught.value.__cause__, RestartIntensityExceeded)
    assert isinstance(caught.value.__cause__.__cause__, PlannedCrash)
    assert recorder.events.count(("a", "started")) == 4


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_is_no_mere_exception_stops_everything_and_is_not_restarted(
    kind: type[BaseException], autojump_clock: MockClock
) -> None:
    recorder = Recorder()

    async def interrupt(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(1)
        raise kind

    supervisor = Supervisor([child("a", recorder), ChildSpec("b", interrupt)])
    with pytest.RaisesGroup(kind), assert_no_tasks_left():
        await supervisor.run()

    assert recorder.timed == [(0, "a", "started"), (1, "a", "ended")]


async def test_a_crash_is_logged_with_its_traceback(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor([child("a", Recorder(), lifetimes_s=[1])], backoff=NO_BACKOFF)
    with caplog.at_level(logging.WARNING, logger="actors"):
        await run_for(supervisor, 5)

    assert [(record.getMessage(), record.exc_info is not None) for record in caplog.records] == [
        ("child 'a' crashed", True)
    ]


async def test_it_does_not_run_twice_at_a_time_but_again_after_its_end(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    supervisor = Supervisor([child("a", recorder)])
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        with pytest.raises(AlreadyRunning):
            await supervisor.run()
        await wait_all_tasks_blocked()
        supervisor.stop()
    await run_for(supervisor, 1)

    assert [what for _, what in recorder.events] == ["started", "ended"] * 2


def test_two_children_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Supervisor([ChildSpec("a", sleep), ChildSpec("a", sleep)])


@pytest.mark.parametrize("shutdown_s", [-1, float("inf"), float("nan")])
def test_a_child_that_might_take_for_ever_to_stop_is_refused(shutdown_s: float) -> None:
    with pytest.raises(ValueError, match="shutdown_s"):
        ChildSpec("a", sleep, shutdown_s=shutdown_s)


async def test_a_sibling_that_defies_its_cancellation_is_never_started_beside_itself(
    autojump_clock: MockClock,
) -> None:
    incarnations = 0

    async def defy(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal incarnations
        incarnations += 1
        task_status.started()
        with trio.CancelScope(shield=True):
            await trio.sleep(100)

    supervisor = Supervisor(
        [child("a", Recorder(), lifetimes_s=[1]), ChildSpec("b", defy, shutdown_s=2)],
        strategy=Strategy.ALL_FOR_ONE,
    )
    with pytest.raises(ChildOverdue):
        await supervisor.run()

    assert incarnations == 1
    assert trio.current_time() == 100
