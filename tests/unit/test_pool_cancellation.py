"""Unit tests: whenever a caller of the pool is cancelled, no session is lost or owned twice."""

from __future__ import annotations

import math
from contextlib import suppress
from random import Random

import pytest
import trio
import trio.testing
from memory_pool import World, open_pool

from actors.testing import cancel_at_each_checkpoint
from pyrepl3.messages import CancelAcquire, Lease

Clock = trio.testing.MockClock


async def test_a_warm_acquisition_cancelled_at_any_checkpoint_leaves_nothing_behind(
    autojump_clock: Clock,
) -> None:
    async with open_pool(min_idle=1, max_sessions=2, idle_lifetime_s=1e6) as world:
        await world.settled()
        leases: list[Lease] = []

        async def acquire() -> None:
            leases.append(await world.leasing.acquire("a", 5.0))

        async for run in cancel_at_each_checkpoint(acquire):
            assert len(leases) == (0 if run.cancelled else 1)
            for lease in leases:
                await world.leasing.release(lease, used=True)
            leases.clear()
            await world.settled()
            assert world.at_rest()


async def test_a_waiting_acquisition_cancelled_at_any_checkpoint_leaves_nothing_behind(
    autojump_clock: Clock,
) -> None:
    """It waits for another caller's release, for that session's end, and for a start."""
    async with open_pool(min_idle=0, max_sessions=1, idle_lifetime_s=1e6) as world:
        leases: list[Lease] = []

        async def release_later(lease: Lease) -> None:
            await trio.sleep(1.0)
            await world.leasing.release(lease, used=True)

        async def acquire() -> None:
            leases.append(await world.leasing.acquire("a", 5.0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(release_later, await world.leasing.acquire("a", 5.0))
            async for run in cancel_at_each_checkpoint(acquire):
                assert len(leases) == (0 if run.cancelled else 1)
                for lease in leases:
                    await world.leasing.release(lease, used=True)
                leases.clear()
                await world.settled()
                assert world.at_rest()
                if run.cancel_sent:
                    nursery.start_soon(release_later, await world.leasing.acquire("a", 5.0))


@pytest.mark.parametrize("used", [False, True])
async def test_a_release_that_is_cancelled_at_any_checkpoint_is_a_release(
    autojump_clock: Clock, used: bool
) -> None:
    async with open_pool(min_idle=1, max_sessions=2, idle_lifetime_s=1e6) as world:
        await world.settled()

        async def acquire_and_release() -> None:
            lease = await world.leasing.acquire("a", 5.0)
            try:
                await trio.lowlevel.checkpoint()
            finally:
                await world.leasing.release(lease, used=used)  # noqa: ASYNC102  # shielded and bounded inside

        async for _ in cancel_at_each_checkpoint(acquire_and_release):
            await world.settled()
            assert world.at_rest()


async def test_a_caller_cancelled_in_the_tick_of_its_hand_over_leaves_the_session_idle(
    autojump_clock: Clock,
) -> None:
    """The session was handed to it, and it never ran again to take it."""
    async with open_pool(min_idle=0, start_s=1.0) as world:
        with trio.move_on_at(1.0) as scope:  # noqa: ASYNC125  # the mock clock starts at 0
            await world.leasing.acquire("a", 5.0)
        await world.settled()

        assert scope.cancelled_caught
        assert "s1" in world.sessions.alive
        assert world.at_rest()


async def test_a_session_for_a_caller_who_has_gone_goes_to_the_next(autojump_clock: Clock) -> None:
    async with open_pool(min_idle=0, max_sessions=1, start_s=1.0) as world:
        leases: list[Lease] = []

        async def second() -> None:
            leases.append(await world.acquire())

        async with trio.open_nursery() as nursery:
            with trio.move_on_at(1.0):  # noqa: ASYNC125  # the mock clock starts at 0
                nursery.start_soon(second)
                await world.leasing.acquire("a", 5.0)

        assert [lease.session for lease in leases] == ["s1"]
        assert world.pool.statistics().leased == 1


async def test_a_cancellation_that_comes_after_the_hand_over_changes_nothing(
    autojump_clock: Clock,
) -> None:
    async with open_pool() as world:
        lease = await world.acquire()
        for waiter in range(-5, 500):
            await world.address.send(CancelAcquire(waiter))
        await world.settled()

        assert world.pool.statistics().leased == 1
        assert lease.session in world.sessions.alive


async def test_giving_back_gets_through_to_a_pool_whose_mailbox_is_full(
    autojump_clock: Clock,
) -> None:
    async with open_pool(min_idle=0, max_sessions=2) as world:
        lease = await world.acquire()

        async def wait() -> None:
            await world.leasing.acquire("a", 1e6)

        async with trio.open_nursery() as nursery:
            first = await world.acquire()
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            with suppress(trio.WouldBlock):
                while True:
                    world.address.send_nowait(CancelAcquire(-1))
            nursery.cancel_scope.cancel()
            await world.leasing.release(lease, used=True)
            await world.leasing.release(first, used=True)
        await world.settled()

        assert world.at_rest()


@pytest.mark.parametrize("seed", range(3))
async def test_200_callers_half_of_them_cancelled_leave_every_session_accounted_for(
    autojump_clock: Clock,
    seed: int,
) -> None:
    random = Random(seed)
    done = {"used": 0, "unused": 0, "cancelled": 0}

    async def call(world: World, arrives: float, patience: float, uses: bool) -> None:
        await trio.sleep(arrives)
        lease = None
        with trio.move_on_after(patience) as scope:
            lease = await world.leasing.acquire("a", 1e6)
            try:
                session = world.sessions.alive[lease.session]
                assert session.owner is None
                session.owner = trio.lowlevel.current_task()
                await trio.sleep(random.uniform(0.0, 0.5))
            finally:
                session.owner = None
                await world.leasing.release(lease, used=uses)  # noqa: ASYNC102  # shielded and bounded inside
        done["cancelled" if scope.cancelled_caught else "used" if uses else "unused"] += 1

    async with open_pool(min_idle=2, max_sessions=4, idle_lifetime_s=1e6) as world:
        async with trio.open_nursery() as nursery:
            for number in range(200):
                patience = random.choice([0.0, 0.1, 1.0, 5.0]) if number % 2 else math.inf
                arrives, uses = random.uniform(0, 8), random.random() < 0.7
                nursery.start_soon(call, world, arrives, patience, uses)
        await trio.sleep(60)

        assert sum(done.values()) == 200
        assert min(done.values()) > 10
        figures = world.pool.statistics()
        assert world.at_rest()
        assert figures.started == len(world.sessions.all)
        assert figures.hits + figures.misses <= 200
        assert figures.deaths == figures.start_failures == 0


async def test_several_acquired_together_and_cancelled_at_any_checkpoint_leave_nothing_behind(
    autojump_clock: Clock,
) -> None:
    """They wait for another caller's release, for starts, and for each other."""
    async with open_pool(min_idle=0, max_sessions=3, idle_lifetime_s=1e6) as world:
        leases: list[Lease] = []

        async def release_later(lease: Lease) -> None:
            await trio.sleep(1.0)
            await world.leasing.release(lease, used=True)

        async def acquire() -> None:
            leases.extend(await world.leasing.acquire_all("a", 3, 5.0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(release_later, await world.leasing.acquire("a", 5.0))
            async for run in cancel_at_each_checkpoint(acquire):
                assert len(leases) == (0 if run.cancelled else 3)
                for lease in leases:
                    await world.leasing.release(lease, used=True)
                leases.clear()
                await world.settled()
                assert world.at_rest()
                if run.cancel_sent:
                    nursery.start_soon(release_later, await world.leasing.acquire("a", 5.0))
