"""Unit tests: a supervisor's orderly end, wherever and however it comes, in virtual time."""

import attrs
import pytest
import trio
from trio.testing import MockClock

from actors import (
    NO_BACKOFF,
    Backoff,
    ChildSpec,
    Restart,
    RestartIntensity,
    RestartIntensityExceeded,
    Strategy,
    Supervisor,
    open_body_nursery,
)
from actors.testing import (
    CrashingActor,
    Recorder,
    assert_no_tasks_left,
    cancel_at_each_checkpoint,
)

OFTEN = RestartIntensity(restarts=100, period_s=1000.0)


@attrs.define(eq=False)
class SlowToEnd:
    """A child that takes its time to end when asked, and to clean up when cancelled."""

    name: str
    recorder: Recorder
    ends_in_s: float = 0.0
    cleans_up_in_s: float = 0.0
    error_at_end: Exception | None = None
    asked: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, *, task_status: trio.TaskStatus["SlowToEnd"]) -> None:
        self.asked = trio.Event()
        task_status.started(self)
        self.recorder.record(self.name, "started")
        try:
            await self.asked.wait()
            self.recorder.record(self.name, "asked")
            await trio.sleep(self.ends_in_s)
            self.recorder.record(self.name, "ended")
        except trio.Cancelled:
            self.recorder.record(self.name, "cancelled")
            deadline = trio.current_time() + self.cleans_up_in_s
            with trio.CancelScope(deadline=deadline, shield=True):
                await trio.sleep_forever()
            raise
        if self.error_at_end is not None:
            raise self.error_at_end

    def stop(self) -> None:
        self.asked.set()

    def spec(self, *, shutdown_s: float = 5.0, can_ask: bool = True) -> ChildSpec:
        return ChildSpec(
            self.name, self.run, stop=self.stop if can_ask else None, shutdown_s=shutdown_s
        )


async def stop_after(supervisor: Supervisor, seconds: float, *, by_cancelling: bool) -> None:
    with assert_no_tasks_left():
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            await trio.sleep(seconds)
            if by_cancelling:
                nursery.cancel_scope.cancel()
            else:
                supervisor.stop()


async def run_until(supervisor: Supervisor, time_s: float) -> None:
    """Run it in the calling task and have it stopped at ``time_s``; what it raises leaves bare."""
    async with open_body_nursery() as nursery:

        @nursery.start_soon
        async def stop_in_time() -> None:
            await trio.sleep_until(time_s)
            supervisor.stop()

        await supervisor.run()


@pytest.mark.parametrize("by_cancelling", [True, False])
async def test_each_child_gets_its_time_in_its_turn_and_its_siblings_stay_up_meanwhile(
    by_cancelling: bool, autojump_clock: MockClock
) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [
            SlowToEnd("a", recorder, ends_in_s=1).spec(),
            SlowToEnd("b", recorder, ends_in_s=100, cleans_up_in_s=2).spec(shutdown_s=3),
            SlowToEnd("c", recorder, cleans_up_in_s=4).spec(can_ask=False),
            SlowToEnd("d", recorder, ends_in_s=2).spec(),
        ]
    )

    await stop_after(supervisor, 10, by_cancelling=by_cancelling)

    assert recorder.timed[4:] == [
        (10, "d", "asked"),
        (12, "d", "ended"),
        (12, "c", "cancelled"),
        (16, "b", "asked"),
        (19, "b", "cancelled"),
        (21, "a", "asked"),
        (22, "a", "ended"),
    ]


async def test_stopping_takes_at_most_twice_the_sum_of_the_shutdown_times(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [SlowToEnd(name, recorder, 100, 3).spec(shutdown_s=3) for name in "abc"]
    )

    await stop_after(supervisor, 10, by_cancelling=True)

    assert trio.current_time() == 10 + 3 * 2 * 3


async def test_a_child_that_defies_its_cancellation_does_not_keep_the_others_up(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [
            SlowToEnd("a", recorder).spec(),
            SlowToEnd("b", recorder, ends_in_s=100, cleans_up_in_s=50).spec(shutdown_s=3),
        ]
    )

    await stop_after(supervisor, 10, by_cancelling=False)

    assert recorder.timed[-2:] == [(16, "a", "asked"), (16, "a", "ended")]
    assert trio.current_time() == 10 + 3 + 50


async def test_what_children_raise_while_they_are_stopped_is_raised_when_all_have_ended(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [
            SlowToEnd("a", recorder, ends_in_s=1).spec(),
            SlowToEnd("b", recorder, error_at_end=KeyError("b")).spec(),
            SlowToEnd("c", recorder, error_at_end=ValueError("c")).spec(),
        ]
    )
    with pytest.RaisesGroup(KeyError, ValueError):
        await run_until(supervisor, 3)
    assert recorder.timed[-2:] == [(3, "a", "asked"), (4, "a", "ended")]


async def test_an_ask_that_fails_does_not_keep_the_others_from_being_stopped(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    slow = SlowToEnd("b", recorder)
    supervisor = Supervisor(
        [
            SlowToEnd("a", recorder).spec(),
            ChildSpec("b", slow.run, stop=lambda: 1 // 0),
            SlowToEnd("c", recorder).spec(),
        ]
    )

    with pytest.raises(ZeroDivisionError), assert_no_tasks_left():
        await run_until(supervisor, 3)

    assert recorder.events[3:] == [
        ("c", "asked"),
        ("c", "ended"),
        ("b", "cancelled"),
        ("a", "asked"),
        ("a", "ended"),
    ]


async def test_giving_up_and_a_child_that_fails_while_it_is_stopped_are_raised_together(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    crashing = CrashingActor("b", recorder, lifetimes_s=[1])
    supervisor = Supervisor(
        [
            SlowToEnd("a", recorder, error_at_end=KeyError("a")).spec(),
            ChildSpec("b", crashing.run),
        ],
        intensity=RestartIntensity(restarts=0),
    )

    with pytest.RaisesGroup(RestartIntensityExceeded, KeyError):
        await supervisor.run()


async def test_a_sibling_that_fails_while_it_is_stopped_for_a_restart_is_started_again(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    crashing = CrashingActor("b", recorder, lifetimes_s=[1])
    supervisor = Supervisor(
        [SlowToEnd("a", recorder, error_at_end=KeyError("a")).spec(), ChildSpec("b", crashing.run)],
        strategy=Strategy.ALL_FOR_ONE,
        backoff=NO_BACKOFF,
    )
    with pytest.RaisesGroup(KeyError):  # from the last incarnation, when it is stopped for good
        await run_until(supervisor, 5)

    assert supervisor.statistics().restarts == {"a": 1, "b": 1}


async def test_a_stop_that_was_requested_before_the_run_holds() -> None:
    recorder = Recorder()
    supervisor = Supervisor([SlowToEnd("a", recorder).spec()])
    supervisor.stop()
    await supervisor.run()

    assert recorder.events == []


async def test_a_start_that_hangs_is_ended_by_a_stop(autojump_clock: MockClock) -> None:
    recorder = Recorder()

    async def hang(*, task_status: trio.TaskStatus[None]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            recorder.record("b", "cancelled")

    hanging = ChildSpec("b", hang, stop=lambda: recorder.record("b", "asked too early"))
    supervisor = Supervisor([SlowToEnd("a", recorder).spec(), hanging])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        await trio.sleep(3)
        supervisor.stop()

    assert recorder.timed[1:] == [(3, "b", "cancelled"), (3, "a", "asked"), (3, "a", "ended")]


async def test_a_stop_ends_the_wait_for_a_restart(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    supervisor = Supervisor(
        [ChildSpec("a", CrashingActor("a", recorder, lifetimes_s=[1]).run)],
        backoff=Backoff(initial_s=100, factor=1, max_s=100, jitter=0),
    )

    await stop_after(supervisor, 3, by_cancelling=False)

    assert trio.current_time() == 3
    assert recorder.events == [("a", "started"), ("a", "crashed")]


async def test_wherever_a_supervisor_is_cancelled_its_children_end_in_order(
    autojump_clock: MockClock,
) -> None:
    recorders: list[Recorder] = []

    async def supervise_for_a_while() -> None:
        recorder = Recorder()
        recorders.append(recorder)
        supervisor = Supervisor(
            [
                SlowToEnd("a", recorder, ends_in_s=1).spec(),
                ChildSpec("b", CrashingActor("b", recorder, lifetimes_s=[1, 1]).run),
                SlowToEnd("c", recorder, ends_in_s=1).spec(),
            ],
            strategy=Strategy.REST_FOR_ONE,
            backoff=NO_BACKOFF,
        )
        with pytest.raises(RestartIntensityExceeded):
            await supervisor.run()

    with assert_no_tasks_left():
        async for _ in cancel_at_each_checkpoint(supervise_for_a_while):
            events = recorders[-1].events
            for name in "abc":
                lives = [what for who, what in events if who == name and what != "asked"]
                assert lives[::2] == ["started"] * len(lives[::2])
                assert len(lives) % 2 == 0, "a child was left up"
            ends = [who for who, what in events if what in ("ended", "cancelled", "crashed")]
            assert ends[-1:] in ([], ["a"])

    assert len(recorders) > 10


@pytest.mark.parametrize("restart", list(Restart))
async def test_a_child_that_has_ended_is_not_asked_again(
    restart: Restart, autojump_clock: MockClock
) -> None:
    asked: list[str] = []

    async def end_at_once(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()

    spec = ChildSpec("a", end_at_once, restart=restart, stop=lambda: asked.append("a"))
    supervisor = Supervisor(
        [spec], intensity=OFTEN, backoff=Backoff(initial_s=10, factor=1, max_s=10, jitter=0)
    )

    await stop_after(supervisor, 5, by_cancelling=False)

    assert asked == []
