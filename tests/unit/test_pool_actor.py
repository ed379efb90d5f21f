"""Unit tests: the real pool and its front desk, over sessions that exist in memory only."""

from __future__ import annotations

import math
from random import Random

import pytest
import trio
import trio.testing
from memory_pool import MemorySessions, World, open_pool

from actors import Address, Answer, ChildNotRunning, NoReply, Reply, ask, open_reply
from pyrepl3.client.leasing import Leasing
from pyrepl3.config import Config, PoolConfig, Template
from pyrepl3.errors import (
    PoolDegraded,
    PoolExhausted,
    ShuttingDown,
    SnapshotNotFound,
    WorkerSpawnFailed,
)
from pyrepl3.messages import AddTemplate, PoolMessage, RetireTemplate
from pyrepl3.pool.pool import POOL_MAILBOX, Pool

Clock = trio.testing.MockClock


async def test_a_warm_session_is_there_at_once_and_is_replaced(autojump_clock: Clock) -> None:
    async with open_pool() as world:
        await world.settled()
        before = trio.current_time()

        lease = await world.acquire()

        assert trio.current_time() == before
        assert (lease.template, lease.warm, lease.wait_s) == ("a", True, 0.0)
        await world.settled()
        assert world.pool.statistics().idle == 1


async def test_a_session_that_has_to_be_started_is_waited_for(autojump_clock: Clock) -> None:
    async with open_pool(min_idle=0, start_s=0.25) as world:
        lease = await world.acquire()

        assert trio.current_time() == pytest.approx(0.25)
        assert (lease.warm, lease.wait_s) == (False, pytest.approx(0.25))


async def test_a_used_session_is_stopped_and_an_unused_one_is_not(autojump_clock: Clock) -> None:
    async with open_pool(min_idle=0) as world:
        used, unused = await world.acquire(), await world.acquire()
        await world.leasing.release(used, used=True)
        await world.leasing.release(unused, used=False)
        await world.settled()

        assert unused.session in world.sessions.alive
        assert used.session not in world.sessions.alive
        assert world.sessions.all[used.session].graceful is True


async def test_a_session_that_dies_idle_is_replaced_and_never_handed_out(
    autojump_clock: Clock,
) -> None:
    async with open_pool() as world:
        await world.settled()
        ((dead, session),) = world.sessions.alive.items()
        session.end()
        await world.settled()

        assert (await world.acquire()).session != dead


async def test_a_lease_tells_the_fate_of_its_session(autojump_clock: Clock) -> None:
    async with open_pool() as world:
        lease = await world.acquire()
        world.sessions.alive[lease.session].end()

        assert await lease.fate.wait() == "ended"


async def test_idle_sessions_are_replaced_at_the_end_of_their_lives(autojump_clock: Clock) -> None:
    async with open_pool(min_idle=2, idle_lifetime_s=10.0) as world:
        await world.settled()
        first = set(world.sessions.alive)
        await trio.sleep(11.5)

        assert world.at_rest()
        assert not first & set(world.sessions.alive)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout_s", [0.001, 0.5, 7.25])
async def test_a_caller_is_refused_at_its_deadline_exactly(
    autojump_clock: Clock, timeout_s: float
) -> None:
    async with open_pool(min_idle=0, max_sessions=1) as world:
        await world.acquire()
        before = trio.current_time()

        with pytest.raises(PoolExhausted):
            await world.leasing.acquire("a", timeout_s)

        assert trio.current_time() == pytest.approx(before + timeout_s, abs=1e-9)


async def test_many_callers_are_each_refused_at_their_own_deadline(autojump_clock: Clock) -> None:
    late: list[float] = []

    async def wait(world: World, timeout_s: float) -> None:
        begun = trio.current_time()
        with pytest.raises(PoolExhausted):
            await world.leasing.acquire("a", timeout_s)
        late.append(trio.current_time() - begun - timeout_s)

    async with open_pool(min_idle=0, max_sessions=1) as world:
        await world.acquire()
        random = Random(7)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(wait, world, random.uniform(0.01, 3.0))

    assert late == pytest.approx([0.0] * 50, abs=1e-9)


async def test_callers_are_served_first_come_first_served(autojump_clock: Clock) -> None:
    served: list[int] = []

    async def use(world: World, number: int) -> None:
        lease = await world.acquire(timeout_s=60)
        served.append(number)
        await trio.sleep(1)
        await world.leasing.release(lease, used=True)

    async with open_pool(min_idle=0, max_sessions=2) as world, trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(use, world, number)
            await trio.testing.wait_all_tasks_blocked()

    assert served == list(range(10))


async def test_a_broken_template_fails_alone_and_comes_back(autojump_clock: Clock) -> None:
    async with open_pool("a", "b", min_idle=0, broken={"b"}, breaker_failures=2) as world:
        with pytest.raises(WorkerSpawnFailed, match="it is broken"):
            await world.acquire("b", timeout_s=60)
        with pytest.raises(PoolDegraded):
            await world.acquire("b")
        await world.acquire("a")
        world.sessions.broken.clear()
        await trio.sleep(5.0)

        assert (await world.acquire("b")).template == "b"


# --- stopping ------------------------------------------------------------------------------------


async def test_a_pool_that_stops_refuses_who_waits_and_ends_when_all_sessions_have(
    autojump_clock: Clock,
) -> None:
    refused: list[float] = []

    async def wait(world: World) -> None:
        with pytest.raises(ShuttingDown):
            await world.leasing.acquire("a", 60)
        refused.append(trio.current_time())

    async with open_pool(min_idle=0, max_sessions=1, stop_s=0.5) as world:
        await world.acquire()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait, world)
            await trio.testing.wait_all_tasks_blocked()
            stopped_at = trio.current_time()
            world.pool.stop()
        assert refused == [stopped_at] * 3
        await trio.sleep(0.4)
        assert world.sessions.alive
        await trio.sleep(0.2)

        assert not world.sessions.alive
        with pytest.raises(ShuttingDown):
            await world.leasing.acquire("a", 60)


async def test_giving_back_to_a_pool_that_has_ended_is_no_error(autojump_clock: Clock) -> None:
    async with open_pool() as world:
        lease = await world.acquire()
        world.pool.stop()
        await world.settled()

        await world.leasing.release(lease, used=True)


async def test_a_pool_that_is_cancelled_leaves_nobody_waiting(autojump_clock: Clock) -> None:
    sessions = MemorySessions(4)
    config = Config(pool=PoolConfig(min_idle=0, max_sessions=4), templates={"a": Template()})
    async with trio.open_nursery() as outer:
        pool = Pool(config, await outer.start(sessions.run), Random(1))
        sessions.start_s = math.inf
        async with trio.open_nursery() as nursery:
            address = await nursery.start(pool.run)
            leasing = Leasing(lambda: address)

            async def wait() -> None:
                with pytest.raises(ShuttingDown):
                    await leasing.acquire("a", 60)

            for _ in range(3 * POOL_MAILBOX):
                outer.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        # What is left are the sessions' actor, and whoever has not been told would be here too.
        assert len(outer.child_tasks) == 1
        outer.cancel_scope.cancel()


async def test_callers_of_a_pool_that_is_being_restarted_are_refused_and_may_go(
    autojump_clock: Clock,
) -> None:
    def no_address() -> Address[PoolMessage]:
        raise ChildNotRunning("pool")

    async with open_pool() as world:
        lease = await world.acquire()
        leasing = Leasing(no_address)

        with pytest.raises(ShuttingDown):
            await leasing.acquire("a", 5)
        await leasing.release(lease, used=True)


async def test_a_lease_is_given_back_to_the_pool_that_gave_it_or_to_nobody(
    autojump_clock: Clock,
) -> None:
    """A pool that is restarted gives its sessions the old names: they are not the old sessions."""
    async with open_pool() as before:
        await before.settled()  # the one idle session is the first: a spare may be sooner than it
        old = await before.acquire()
    async with open_pool() as after:
        await after.settled()
        new = await after.acquire()
        assert (old.waiter, old.session) == (new.waiter, new.session)
        await after.leasing.release(old, used=True)

        assert after.pool.statistics().leased == 1
        await after.leasing.release(new, used=True)
        assert after.pool.statistics().leased == 0


# --- several at once -----------------------------------------------------------------------------


async def test_several_are_acquired_together_or_none(autojump_clock: Clock) -> None:
    async with open_pool(min_idle=0, max_sessions=4) as world:
        await world.acquire()
        with pytest.raises(PoolExhausted):
            await world.leasing.acquire_all("a", 4, 1.0)
        await world.settled()
        assert world.pool.statistics().leased == 1

        leases = await world.leasing.acquire_all("a", 3, 1.0)
        assert len({lease.session for lease in leases}) == 3
        for lease in leases:
            await world.leasing.release(lease, used=True)


async def test_two_who_want_several_do_not_wait_for_each_other(autojump_clock: Clock) -> None:
    """With room for one of them only, the first gets all of its own, and then the second."""
    order: list[int] = []

    async def use(world: World, number: int) -> None:
        leases = await world.leasing.acquire_all("a", 3, 60.0)
        order.append(number)
        await trio.sleep(1.0)
        for lease in leases:
            await world.leasing.release(lease, used=True)

    async with open_pool(min_idle=0, max_sessions=4) as world, trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(use, world, number)
            await trio.testing.wait_all_tasks_blocked()

    assert order == [0, 1, 2, 3]


async def test_a_snapshot_is_acquired_from_until_it_is_retired(autojump_clock: Clock) -> None:
    async with open_pool(min_idle=0) as world:
        with pytest.raises(SnapshotNotFound):
            await world.leasing.acquire("copy", 1.0)
        await ask(world.address, lambda reply: AddTemplate("copy", reply))
        lease = await world.acquire("copy")

        reply: Reply[None]
        emptied: Answer[None]
        reply, emptied = open_reply()
        await world.address.send(RetireTemplate("copy", reply))
        with pytest.raises(SnapshotNotFound):
            await world.leasing.acquire("copy", 1.0)
        with pytest.raises(trio.WouldBlock):
            emptied.take_nowait()
        await world.leasing.release(lease, used=True)
        await emptied.wait()


async def test_who_waits_for_a_retired_snapshot_hears_of_the_pools_end(
    autojump_clock: Clock,
) -> None:
    async with open_pool(min_idle=0) as world:
        await ask(world.address, lambda reply: AddTemplate("copy", reply))
        await world.acquire("copy")
        reply: Reply[None]
        emptied: Answer[None]
        reply, emptied = open_reply()
        await world.address.send(RetireTemplate("copy", reply))
        world.pool.stop()

        with pytest.raises(NoReply):
            await emptied.wait()
