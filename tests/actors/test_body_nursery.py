"""Unit tests: nurseries whose body comes first and whose body's errors stay bare."""

import gc
import weakref

import pytest
import trio
from trio.testing import MockClock

from actors import open_body_nursery
from actors.testing import assert_no_tasks_left, cancel_at_each_checkpoint


async def serve(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    task_status.started()
    await trio.sleep_forever()


async def crash() -> None:
    await trio.lowlevel.checkpoint()
    raise KeyError("the service's")


async def crash_in_clean_up() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise KeyError("the service's")


async def raise_in_body(error: BaseException) -> None:
    async with open_body_nursery() as nursery:
        nursery.start_soon(serve)
        await nursery.start(serve)
        raise error


async def test_the_bodys_exception_leaves_bare_and_unchanged() -> None:
    error = ValueError("the body's")
    with pytest.raises(ValueError, match="the body's") as caught, assert_no_tasks_left():
        await raise_in_body(error)

    assert caught.value is error
    assert error.__context__ is None
    assert error.__cause__ is None


async def test_a_group_that_the_body_raises_is_not_wrapped_either() -> None:
    group = ExceptionGroup("the body's", [ValueError(), KeyError()])
    with pytest.RaisesGroup(ValueError, KeyError) as caught:
        await raise_in_body(group)

    assert caught.value is group


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, StopAsyncIteration])
async def test_the_bodys_exception_leaves_bare_whatever_its_kind(
    kind: type[BaseException],
) -> None:
    error = kind()
    with pytest.raises(kind) as caught:
        await raise_in_body(error)

    assert caught.value is error


async def test_services_end_when_the_body_ends_well(autojump_clock: MockClock) -> None:
    with assert_no_tasks_left():
        async with open_body_nursery() as nursery:
            nursery.start_soon(serve)
            await trio.sleep(3)

    assert trio.current_time() == 3


async def test_a_crashed_service_cancels_the_body_and_leaves_in_a_group() -> None:
    body_ended_as: list[type[BaseException]] = []

    async def use() -> None:
        async with open_body_nursery() as nursery:
            nursery.start_soon(crash)
            try:
                await trio.sleep_forever()
            except BaseException as error:
                body_ended_as.append(type(error))
                raise

    with pytest.RaisesGroup(KeyError):
        await use()
    assert body_ended_as == [trio.Cancelled]


@pytest.mark.parametrize(
    "body_error", [ValueError("the body's"), ExceptionGroup("the body's", [ValueError()])]
)
async def test_when_body_and_service_fail_a_group_has_both(body_error: Exception) -> None:
    async def use() -> None:
        async with open_body_nursery() as nursery:
            nursery.start_soon(crash_in_clean_up)
            await trio.lowlevel.checkpoint()
            raise body_error

    with pytest.RaisesGroup(KeyError, ValueError, flatten_subgroups=True):
        await use()


async def test_a_cancelled_body_can_still_use_its_services_in_its_clean_up(
    autojump_clock: MockClock,
) -> None:
    send, receive = trio.open_memory_channel[int](0)
    received: list[int] = []

    async def receive_all() -> None:
        async for number in receive:
            received.append(number)
            await trio.sleep(0.5)

    with trio.move_on_after(1) as scope:
        async with open_body_nursery() as nursery:
            nursery.start_soon(receive_all)
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                    await send.send(21)
                    await send.send(42)

    assert scope.cancelled_caught
    assert received == [21, 42]
    assert trio.current_time() == 1.5


async def test_a_cancellation_from_outside_leaves_as_cancelled_and_nothing_else(
    autojump_clock: MockClock,
) -> None:
    seen: list[type[BaseException]] = []
    with trio.move_on_after(1) as scope:
        try:
            async with open_body_nursery() as nursery:
                nursery.start_soon(serve)
                await nursery.start(serve)
                await trio.sleep_forever()
        except BaseException as error:
            seen.append(type(error))
            raise

    assert scope.cancelled_caught
    assert seen == [trio.Cancelled]


async def test_what_the_clean_up_of_a_cancelled_body_raises_leaves_bare(
    autojump_clock: MockClock,
) -> None:
    async def use() -> None:
        async with open_body_nursery() as nursery:
            nursery.start_soon(serve)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("clean-up")

    with trio.move_on_after(1), pytest.raises(ValueError, match="clean-up"):
        await use()


async def test_a_body_may_cancel_its_own_nursery() -> None:
    async with open_body_nursery() as nursery:
        nursery.start_soon(serve)
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()


async def test_a_body_that_cancels_its_own_nursery_leaks_no_cancelled_with_its_error() -> None:
    async def use() -> None:
        async with open_body_nursery() as nursery:
            nursery.start_soon(serve)
            async with trio.open_nursery() as inner:
                inner.start_soon(crash_in_clean_up)
                inner.start_soon(trio.sleep_forever)
                await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
                await trio.sleep_forever()

    with pytest.RaisesGroup(KeyError):
        await use()


async def test_a_scope_within_the_body_still_catches_its_own_cancellation(
    autojump_clock: MockClock,
) -> None:
    async with open_body_nursery() as nursery:
        nursery.start_soon(serve)
        with trio.move_on_after(1) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        await trio.sleep(1)

    assert trio.current_time() == 2


async def test_wherever_the_body_is_cancelled_its_services_outlive_it_and_then_end(
    autojump_clock: MockClock,
) -> None:
    order: list[str] = []

    async def start(*, task_status: trio.TaskStatus[None]) -> None:
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            order.append("service ended")

    async def use() -> None:
        async with open_body_nursery() as nursery:
            await nursery.start(start)
            try:
                await trio.sleep(1)
                await trio.lowlevel.checkpoint()
            finally:
                order.append("body ended")

    orders: list[list[str]] = []
    with assert_no_tasks_left():
        async for _ in cancel_at_each_checkpoint(use):
            orders.append(order.copy())
            order.clear()

    whole, service_alone = ["body ended", "service ended"], ["service ended"]
    assert whole in orders
    # A service whose own start was cancelled ends without a body.
    assert all(one in (whole, service_alone, []) for one in orders)


class Tracked(Exception):
    """Weakly referable, so that a test can see whether it is gone."""


async def test_a_bare_error_is_freed_without_the_garbage_collector() -> None:
    async def raise_tracked() -> None:
        async with open_body_nursery() as nursery:
            nursery.start_soon(serve)
            await trio.lowlevel.checkpoint()
            raise Tracked

    gc.collect()
    gc.disable()
    try:
        try:
            await raise_tracked()
        except Tracked as error:
            reference = weakref.ref(error)
        await trio.lowlevel.checkpoint()
        assert reference() is None
    finally:
        gc.enable()
