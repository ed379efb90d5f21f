"""Unit tests: asking, waiting for a bounded time, and cancelling, in virtual time."""

import pytest
import trio
from trio.testing import MockClock

from actors import Ending, ask_then_cancel
from actors.testing import cancel_at_each_checkpoint


class Task:
    """A task that ends when asked to, after ``clean_up_s``, or ignores what it is told to."""

    def __init__(
        self, *, clean_up_s: float = 0, heeds_ask: bool = True, heeds_cancel: bool = True
    ) -> None:
        self.asked = trio.Event()
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        self.clean_up_s = clean_up_s
        self.heeds_ask = heeds_ask
        self.heeds_cancel = heeds_cancel

    async def run(self) -> None:
        with self.scope:
            try:
                await self.asked.wait()
                if not self.heeds_ask:
                    await trio.sleep_forever()
            finally:
                clean_up_s = self.clean_up_s if self.heeds_cancel else 1000
                with trio.CancelScope(shield=True, deadline=trio.current_time() + clean_up_s):
                    await trio.sleep_forever()
        self.ended.set()


async def end(task: Task, *, can_ask: bool = True, shutdown_s: float = 5) -> tuple[Ending, float]:
    """How the task ended, and when ``ask_then_cancel`` said so."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run)
        await trio.sleep(1)
        began_at = trio.current_time()
        ending = await ask_then_cancel(
            ask=task.asked.set if can_ask else None,
            ended=task.ended,
            scope=task.scope,
            shutdown_s=shutdown_s,
        )
        took_s = trio.current_time() - began_at
        nursery.cancel_scope.cancel()
    return ending, took_s


async def test_a_task_that_heeds_the_ask_ends_by_itself(autojump_clock: MockClock) -> None:
    assert await end(Task(clean_up_s=2)) == (Ending.ENDED, 2)


async def test_a_task_that_ignores_the_ask_is_cancelled_when_its_time_is_over(
    autojump_clock: MockClock,
) -> None:
    assert await end(Task(clean_up_s=2, heeds_ask=False)) == (Ending.CANCELLED, 5 + 2)


async def test_a_task_that_cannot_be_asked_is_cancelled_at_once(autojump_clock: MockClock) -> None:
    assert await end(Task(clean_up_s=2), can_ask=False) == (Ending.CANCELLED, 2)


async def test_no_time_for_the_ask_means_cancel_at_once(autojump_clock: MockClock) -> None:
    ending, took_s = await end(Task(heeds_ask=False), shutdown_s=0)

    assert ending in (Ending.CANCELLED, Ending.OVERDUE)  # no time to see which
    assert took_s == 0


async def test_a_task_that_defies_its_cancellation_is_overdue_after_twice_its_time(
    autojump_clock: MockClock,
) -> None:
    task = Task(heeds_ask=False, heeds_cancel=False)

    assert await end(task) == (Ending.OVERDUE, 5 + 5)


async def test_a_task_that_has_ended_is_not_asked() -> None:
    ended = trio.Event()
    ended.set()

    ending = await ask_then_cancel(
        ask=pytest.fail, ended=ended, scope=trio.CancelScope(), shutdown_s=5
    )

    assert ending is Ending.ENDED


async def test_when_the_ask_fails_the_task_is_cancelled_and_the_failure_raised(
    autojump_clock: MockClock,
) -> None:
    task = Task(clean_up_s=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run)
        await trio.sleep(1)
        with pytest.raises(ZeroDivisionError):
            await ask_then_cancel(
                ask=lambda: 1 // 0, ended=task.ended, scope=task.scope, shutdown_s=5
            )

    assert task.ended.is_set()
    assert trio.current_time() == 1 + 2


@pytest.mark.parametrize("heeds_ask", [True, False])
async def test_wherever_the_caller_is_cancelled_the_task_gets_its_full_time(
    heeds_ask: bool, autojump_clock: MockClock
) -> None:
    tasks: list[Task] = []

    async def end_one() -> Ending:
        task = Task(clean_up_s=2, heeds_ask=heeds_ask)
        tasks.append(task)
        nursery.start_soon(task.run)
        return await ask_then_cancel(
            ask=task.asked.set, ended=task.ended, scope=task.scope, shutdown_s=5
        )

    async with trio.open_nursery() as nursery:
        async for run in cancel_at_each_checkpoint(end_one):
            assert tasks[-1].ended.is_set()
            assert run.value is (Ending.ENDED if heeds_ask else Ending.CANCELLED)
