"""Unit tests: the alarm, in virtual time."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import Alarm, AlarmStatistics, AlreadyRunning
from actors.testing import assert_no_tasks_left, cancel_at_each_checkpoint

OnRing = Callable[[], Awaitable[None]]


async def no_checkpoint() -> None:
    """The rudest awaitable: it never lets others run."""


def note_rings(rings: list[float]) -> OnRing:
    async def on_ring() -> None:
        rings.append(trio.current_time())
        await trio.lowlevel.checkpoint()

    return on_ring


async def rings_while(use: Callable[[Alarm], Awaitable[None]]) -> list[float]:
    """When an alarm rings while ``use`` plays with it; the clock starts at 0."""
    rings: list[float] = []
    alarm = Alarm(note_rings(rings))
    async with trio.open_nursery() as nursery:
        await nursery.start(alarm.run)
        await use(alarm)
        nursery.cancel_scope.cancel()
    return rings


async def test_it_rings_once_at_its_deadline(autojump_clock: MockClock) -> None:
    async def use(alarm: Alarm) -> None:
        alarm.set(2.5)
        await trio.sleep(100)

    assert await rings_while(use) == [2.5]


async def test_a_deadline_moved_later_rings_at_the_later_time_only(
    autojump_clock: MockClock,
) -> None:
    async def use(alarm: Alarm) -> None:
        for second in range(10):
            alarm.set(second + 3)
            await trio.sleep(1)
        await trio.sleep(100)

    assert await rings_while(use) == [12]


async def test_a_deadline_moved_earlier_rings_at_the_earlier_time_only(
    autojump_clock: MockClock,
) -> None:
    async def use(alarm: Alarm) -> None:
        alarm.set(10)
        await trio.sleep(1)
        alarm.set(4)
        await trio.sleep(100)

    assert await rings_while(use) == [4]


async def test_a_deadline_that_has_passed_rings_at_once(autojump_clock: MockClock) -> None:
    async def use(alarm: Alarm) -> None:
        await trio.sleep(5)
        alarm.set(1)
        await trio.sleep(100)

    assert await rings_while(use) == [5]


async def test_a_cleared_alarm_does_not_ring(autojump_clock: MockClock) -> None:
    async def use(alarm: Alarm) -> None:
        alarm.set(5)
        alarm.clear()
        await trio.sleep(100)

    assert await rings_while(use) == []


async def test_an_alarm_cleared_after_its_deadline_but_before_its_task_ran_does_not_ring() -> None:
    rings: list[float] = []
    alarm = Alarm(note_rings(rings))
    async with trio.open_nursery() as nursery:
        await nursery.start(alarm.run)
        await wait_all_tasks_blocked()
        alarm.set(trio.current_time() - 1)  # wakes the task, which has not run when we go on
        alarm.clear()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert rings == []


async def test_it_may_be_set_before_it_runs(autojump_clock: MockClock) -> None:
    rings: list[float] = []
    alarm = Alarm(note_rings(rings))
    alarm.set(3)
    with trio.move_on_after(100):
        await alarm.run()

    assert rings == [3]


async def test_it_may_be_set_from_within_its_own_ring(autojump_clock: MockClock) -> None:
    rings: list[float] = []

    async def on_ring() -> None:
        rings.append(trio.current_time())
        if len(rings) < 4:
            alarm.set(trio.current_time() + 2)
        await trio.lowlevel.checkpoint()

    alarm = Alarm(on_ring)
    alarm.set(1)
    with trio.move_on_after(100):
        await alarm.run()

    assert rings == [1, 3, 5, 7]


async def test_a_ring_that_sets_a_past_deadline_for_ever_does_not_starve_the_others() -> None:
    async def on_ring() -> None:
        alarm.set(trio.current_time())
        await no_checkpoint()

    alarm = Alarm(on_ring)
    alarm.set(trio.current_time())
    async with trio.open_nursery() as nursery:
        await nursery.start(alarm.run)
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()

    assert alarm.statistics().rings > 1


async def test_a_deadline_that_passes_during_a_ring_rings_right_after_it(
    autojump_clock: MockClock,
) -> None:
    rings: list[float] = []

    async def on_ring() -> None:
        rings.append(trio.current_time())
        await trio.sleep(5)

    alarm = Alarm(on_ring)
    async with trio.open_nursery() as nursery:
        await nursery.start(alarm.run)
        alarm.set(1)
        await trio.sleep(2)
        alarm.set(3)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()

    assert rings == [1, 6]


async def test_moving_it_later_a_thousand_times_wakes_its_task_just_twice(
    autojump_clock: MockClock,
) -> None:
    alarm = Alarm(note_rings([]))
    async with trio.open_nursery() as nursery:
        await nursery.start(alarm.run)
        for _ in range(1000):
            alarm.set(trio.current_time() + 1000)
            await trio.sleep(0.5)
        await trio.sleep(2000)
        statistics = alarm.statistics()
        nursery.cancel_scope.cancel()

    assert statistics == AlarmStatistics(deadline=float("inf"), running=True, rings=1, wakings=2)


async def test_a_crash_of_the_ring_ends_the_alarm(autojump_clock: MockClock) -> None:
    async def on_ring() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("ring")

    alarm = Alarm(on_ring)
    alarm.set(1)
    with pytest.raises(KeyError, match="ring"):
        await alarm.run()

    assert not alarm.statistics().running


async def test_it_does_not_run_twice_at_a_time(autojump_clock: MockClock) -> None:
    alarm = Alarm(note_rings([]))
    async with trio.open_nursery() as nursery:
        await nursery.start(alarm.run)
        with pytest.raises(AlreadyRunning):
            await alarm.run()
        nursery.cancel_scope.cancel()


async def test_wherever_it_is_cancelled_it_ends_and_can_run_again(
    autojump_clock: MockClock,
) -> None:
    async def on_ring() -> None:
        await trio.sleep(1)
        if alarm.statistics().rings % 3:
            alarm.set(trio.current_time() + 1)
        else:
            raise StopAsyncIteration

    alarm = Alarm(on_ring)

    async def run_for_three_rings() -> None:
        alarm.set(trio.current_time() + 1)
        with pytest.raises(StopAsyncIteration):
            await alarm.run()

    with assert_no_tasks_left():
        async for run in cancel_at_each_checkpoint(run_for_three_rings, at_most=100):
            assert not alarm.statistics().running
            assert run.cancelled or run.cancel_sent is False or run.moment.value == "resuming"
