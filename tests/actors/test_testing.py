"""Unit tests: the test helpers themselves, since other tests rely on what they find."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.testing import (
    CancelledRun,
    CrashingActor,
    Moment,
    PlannedCrash,
    Recorder,
    TooManyMoments,
    assert_no_tasks_left,
    cancel_at_each_checkpoint,
)


async def test_a_function_of_two_checkpoints_is_cancelled_at_both_sides_of_each() -> None:
    progress: list[int] = []

    async def two_checkpoints() -> str:
        progress.append(0)
        await trio.lowlevel.checkpoint()
        progress.append(1)
        await trio.lowlevel.checkpoint()
        progress.append(2)
        return "through"

    runs = [run async for run in cancel_at_each_checkpoint(two_checkpoints)]

    waiting, resuming = Moment.WAITING, Moment.RESUMING
    assert [(run.switch, run.moment, run.cancelled, run.value) for run in runs] == [
        (1, waiting, True, None),
        (1, resuming, True, None),
        (2, waiting, True, None),
        (2, resuming, True, None),
        (3, waiting, False, "through"),
    ]
    assert [run.cancel_sent for run in runs] == [True] * 4 + [False]
    assert progress == [0, 0, 0, 1, 0, 1, 0, 1, 2]


async def test_a_cancellation_after_the_last_wait_was_over_comes_too_late_to_be_felt() -> None:
    async def wait_for_another() -> str:
        event = trio.Event()
        nursery.start_soon(set_soon, event)
        await event.wait()
        return "through"

    async def set_soon(event: trio.Event) -> None:
        event.set()
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        runs = [run async for run in cancel_at_each_checkpoint(wait_for_another)]

    assert runs == [
        CancelledRun(1, Moment.WAITING, cancel_sent=True, cancelled=True, value=None),
        CancelledRun(1, Moment.RESUMING, cancel_sent=True, cancelled=False, value="through"),
        CancelledRun(2, Moment.WAITING, cancel_sent=False, cancelled=False, value="through"),
    ]


async def test_it_finds_a_value_that_is_lost_when_the_cancellation_comes_after_the_handover() -> (
    None
):
    send, receive = trio.open_memory_channel[int](0)
    kept: list[int] = []

    async def take_and_dawdle() -> None:
        number = await receive.receive()
        await trio.lowlevel.checkpoint()  # the bug: a checkpoint before the value is safe
        kept.append(number)

    sent = 0

    async def produce() -> None:
        nonlocal sent
        while True:
            await send.send(sent)
            sent += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        lost = 0
        async for run in cancel_at_each_checkpoint(take_and_dawdle):
            await wait_all_tasks_blocked()
            lost += sent - len(kept) > lost
            assert run.switch < 10
        nursery.cancel_scope.cancel()

    assert lost


async def test_a_function_without_checkpoints_runs_once() -> None:
    async def hurry() -> None:
        pass

    runs = [run async for run in cancel_at_each_checkpoint(hurry)]

    assert runs == [CancelledRun(1, Moment.WAITING, cancel_sent=False, cancelled=False, value=None)]


async def run_through(async_fn: Callable[[], Awaitable[object]], *, at_most: int = 100) -> int:
    """How many runs were driven."""
    runs = 0
    async for _ in cancel_at_each_checkpoint(async_fn, at_most=at_most):
        runs += 1
    return runs


async def test_an_error_in_a_cancelled_run_says_where_the_run_was_cancelled() -> None:
    async def clean_up_badly() -> None:
        try:
            await trio.lowlevel.checkpoint()
        finally:
            raise KeyError("clean-up")

    with pytest.raises(KeyError, match="clean-up") as caught:
        await run_through(clean_up_badly)

    assert caught.value.__notes__ == ["cancelled at task switch 1, waiting"]


async def test_a_function_that_never_gets_through_is_given_up_at_the_stated_bound() -> None:
    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            for _ in range(100):
                await trio.lowlevel.checkpoint()

    with pytest.raises(TooManyMoments, match="5 cancelled runs"):
        await run_through(stubborn, at_most=5)

    assert await run_through(stubborn, at_most=1000) == 201


async def test_a_cancellation_from_outside_is_not_taken_for_the_drivers_own() -> None:
    with trio.CancelScope() as outer:

        async def cancel_outer() -> None:
            outer.cancel()
            await trio.lowlevel.checkpoint()

        async for _ in cancel_at_each_checkpoint(cancel_outer):
            pytest.fail("the loop went on")

    assert outer.cancelled_caught


async def test_a_loop_that_is_left_early_leaves_no_instrument_behind() -> None:
    switches = 0

    async def count() -> None:
        nonlocal switches
        switches += 1
        await trio.lowlevel.checkpoint()

    async for _ in cancel_at_each_checkpoint(count):
        break
    for _ in range(5):
        await trio.lowlevel.checkpoint()

    assert switches == 1


async def test_a_task_that_is_left_is_named() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(AssertionError, match="left behind: a-task"), assert_no_tasks_left():
            nursery.start_soon(trio.sleep_forever, name="a-task")
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_tasks_that_were_there_before_do_not_count() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        with assert_no_tasks_left():
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.lowlevel.checkpoint)
                inner.start_soon(trio.lowlevel.checkpoint)
        nursery.cancel_scope.cancel()


async def test_the_blocks_own_error_matters_more_than_its_tasks() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(KeyError), assert_no_tasks_left():  # noqa: PT012
            nursery.start_soon(trio.sleep_forever)
            raise KeyError
        nursery.cancel_scope.cancel()
        await trio.lowlevel.checkpoint()


async def test_a_recorder_notes_what_happened_and_when(autojump_clock: MockClock) -> None:
    await trio.sleep(10)
    recorder = Recorder()
    recorder.record("a", "started")
    await trio.sleep(2.5)
    recorder.record("a", "ended")

    assert recorder.timed == [(0, "a", "started"), (2.5, "a", "ended")]
    assert recorder.events == [("a", "started"), ("a", "ended")]


async def test_waiting_for_a_record_ends_with_it_and_can_be_cancelled(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()

    async def record_both() -> None:
        await trio.sleep(1)
        recorder.record("a", "ended")
        await trio.sleep(1)
        recorder.record("a", "ended")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(record_both)
        await recorder.wait_recorded("a", "ended", times=2)
        assert trio.current_time() == 2

    with trio.move_on_after(1) as scope:
        await recorder.wait_recorded("a", "never")
    assert scope.cancelled_caught


async def test_a_crashing_actor_crashes_when_its_lifetimes_say_so(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    actor = CrashingActor("a", recorder, lifetimes_s=[1, 2])
    for _ in range(2):
        with pytest.raises(PlannedCrash):
            await actor.run()
    async with trio.open_nursery() as nursery:
        address = await nursery.start(actor.run)
        await address.send("hello")
        await trio.sleep(100)
        actor.stop()

    assert [(time_s, what) for time_s, _, what in recorder.timed] == [
        (0, "started"),
        (1, "crashed"),
        (1, "started"),
        (3, "crashed"),
        (3, "started"),
        (3, "got 'hello'"),
        (103, "ended"),
    ]


async def test_a_crashing_actor_raises_the_exception_that_it_is_sent() -> None:
    recorder = Recorder()
    actor = CrashingActor("a", recorder)

    async def crash_it() -> None:
        async with trio.open_nursery() as nursery:
            address = await nursery.start(actor.run)
            await address.send(KeyError())

    with pytest.RaisesGroup(KeyError):
        await crash_it()
    assert recorder.events == [("a", "started"), ("a", "crashed")]


async def test_wherever_a_crashing_actor_is_cancelled_it_records_it() -> None:
    recorder = Recorder()

    async def run_for_a_while() -> None:
        await CrashingActor("a", recorder, lifetimes_s=[0]).run()

    with pytest.raises(PlannedCrash):
        await run_through(run_for_a_while)
    ends = [what for _, what in recorder.events if what != "started"]
    assert ends == ["cancelled"] * (len(ends) - 1) + ["crashed"]
    assert len(ends) > 1
