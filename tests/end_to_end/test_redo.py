"""End-to-end tests: what was undone is done again, until something new is executed."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from random import Random

import psutil
import pytest
import trio

import pyrepl3
from pyrepl3.config import TransactionPolicy

from .faults.oracle import eventually
from .test_history import EXIT, alive_below, is_alive, steps, take

THREAD = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True)"


@pytest.fixture
async def session() -> AsyncIterator[pyrepl3.Session]:
    async with (
        pyrepl3.open_supervisor() as supervisor,
        supervisor.session() as session,
    ):
        await session.run("steps = ['first']")
        await session.keep_history(10)
        yield session


async def executions(session: pyrepl3.Session) -> tuple[list[str], list[str]]:
    history = await session.history()
    return (
        [entry.execution for entry in history.entries],
        [entry.execution for entry in history.undone],
    )


async def test_back_and_forward_twice_over(session: pyrepl3.Session) -> None:
    ids = await take(session, "a", "b", "c")

    for _ in range(2):
        assert await session.undo() == ids[2]
        assert await session.undo() == ids[1]
        assert await executions(session) == (ids[:1], ids[1:])
        assert await session.redo() == ids[1]
        assert await session.redo() == ids[2]
        assert await executions(session) == (ids, [])
    assert await steps(session) == ["first", "a", "b", "c"]


async def test_what_was_undone_at_once_is_redone_one_by_one(session: pyrepl3.Session) -> None:
    ids = await take(session, "a", "b", "c")
    await session.undo(to=ids[0])

    assert [await session.redo(), await session.redo()] == ids[1:]
    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.redo()
    assert await steps(session) == ["first", "a", "b", "c"]


async def test_in_between_it_stands_where_it_went(session: pyrepl3.Session) -> None:
    ids = await take(session, "a", "b", "c")
    await session.undo(to=ids[0])
    await session.redo()

    assert await session.run("steps", silent=True)
    assert await steps(session) == ["first", "a", "b"]


@pytest.mark.parametrize("policy", ["commit_always", "rollback_always"])
async def test_something_new_drops_what_could_be_redone(
    session: pyrepl3.Session, policy: TransactionPolicy
) -> None:
    ids = await take(session, "a", "b")
    await session.undo()
    await session.run("steps.append('new')", transaction_policy=policy)

    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.redo()
    assert (await executions(session))[1] == []
    assert ids[0] in (await executions(session))[0]


async def test_a_transaction_drops_what_could_be_redone_and_forbids_redoing(
    session: pyrepl3.Session,
) -> None:
    await take(session, "a")
    await session.undo()
    await session.begin()
    with pytest.raises(pyrepl3.TransactionActive):
        await session.redo()
    await session.rollback()
    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.redo()


async def test_a_silent_execution_is_something_new_too(session: pyrepl3.Session) -> None:
    await take(session, "a")
    await session.undo()
    await session.run("steps.append('b')", silent=True)

    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.redo()


async def test_what_is_refused_drops_nothing(session: pyrepl3.Session) -> None:
    """Nothing of it ran: code that was to be guarded beside a thread, which completing started."""
    await session.run(
        "class Starts:\n"
        "    def __dir__(self):\n"
        f"        {THREAD}.start()\n"
        "        return []\n"
        "starts = Starts()"
    )
    ids = await take(session, "a")
    await session.undo()
    await session.complete("starts.")
    refused = await session.run("steps.clear()", guard=True)

    assert refused.error is not None
    assert refused.error.code == "SNAPSHOT_UNAVAILABLE"
    assert (await executions(session))[1] == ids
    assert await session.redo() == ids[0]


async def test_beside_threads_it_is_undone_for_good(session: pyrepl3.Session) -> None:
    """What cannot be copied is not there again; what is before it is."""
    ids = await take(session, "a")
    thread = await session.run(f"steps.append('b'); {THREAD}.start()")

    assert await session.undo() == thread.id
    assert await steps(session) == ["first", "a"]
    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.redo()
    assert await session.undo() == ids[0]
    assert await steps(session) == ["first"]


async def test_a_crash_behind_an_undo_is_rolled_back_to_there(session: pyrepl3.Session) -> None:
    ids = await take(session, "a", "b", "c")
    await session.undo(to=ids[0])
    ended = await session.run(EXIT)

    assert ended.state == "rolled_back"
    assert await steps(session) == ["first", "a"]
    assert await executions(session) == (ids[:1], [])


async def test_a_snapshot_that_was_killed_is_left_out(session: pyrepl3.Session) -> None:
    """By the kernel, for memory, say: what is before it can be undone, and what is behind it not
    redone."""
    ids = await take(session, "a", "b", "c")
    own = int((await session.run("import os; print(os.getpid())", silent=True)).logs.stdout)
    kept = sorted(psutil.Process(own).children(), key=lambda each: each.create_time())
    os.kill(kept[1].pid, signal.SIGKILL)
    await eventually(lambda: not is_alive(kept[1]))

    assert (await executions(session))[0] == [ids[0], ids[2]]
    assert await session.undo() == ids[2]
    assert await session.undo() == ids[0]
    assert await executions(session) == ([], [ids[0], ids[2]])
    assert await steps(session) == ["first"]


async def test_where_its_process_dies_in_between_it_is_lost_with_all_it_kept(
    session: pyrepl3.Session,
) -> None:
    """What a snapshot holds is older than what was told: none goes on unasked."""
    ids = await take(session, "a", "b", "c")
    await session.undo(to=ids[0])
    await session.redo()
    told = await session.run("import os; print(os.getpid())", silent=True)
    os.kill(int(told.logs.stdout), signal.SIGKILL)
    with pytest.raises(pyrepl3.SessionLost):
        await session.redo()


@pytest.mark.parametrize("when", ["before", "after_in_parent"])
async def test_where_its_process_dies_of_going_it_is_lost_and_nothing_is_left(when: str) -> None:
    """Before there is a copy of it, and when there is one that nobody has heard of."""
    async with pyrepl3.open_supervisor() as supervisor:

        def idle() -> int:
            pool = supervisor.statistics().pool
            return pool.idle + pool.starting + pool.stopping

        async with supervisor.session() as session:
            zygote = psutil.Process(session.pid).parent()
            assert zygote is not None
            await session.keep_history(5)
            await session.run("import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)")
            await session.run(f"os.register_at_fork({when}=die)")
            with pytest.raises(pyrepl3.SessionLost):
                await session.undo()
            await eventually(lambda: alive_below(zygote) <= idle())


async def test_what_cannot_be_copied_is_undone_all_the_same(session: pyrepl3.Session) -> None:
    await session.run("import os")
    ended = await session.run("os.register_at_fork(after_in_child=lambda: os._exit(1))")
    assert await session.undo() == ended.id
    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.redo()


async def test_a_random_walk_is_where_a_list_of_states_says(session: pyrepl3.Session) -> None:
    """Back and forward, and new ways, crashes and dry runs in between."""
    random = Random(20261126)
    await session.keep_history(63)
    behind: list[list[str]] = []
    here: list[str] = ["first"]
    ahead: list[list[str]] = []
    for number in range(200):
        choice = random.choice(["run", "run", "undo", "undo", "redo", "crash", "dry"])
        if choice == "run":
            await take(session, str(number))
            behind.append(here)
            here, ahead = [*here, str(number)], []
            del behind[:-63]
        elif choice == "undo" and behind:
            count = random.randint(1, min(3, len(behind)))
            entries = (await session.history()).entries
            if count < len(entries):
                await session.undo(to=entries[-count - 1].execution)
            else:
                for _ in range(count):
                    await session.undo()
            for _ in range(count):
                ahead.insert(0, here)
                here = behind.pop()
        elif choice == "redo" and ahead:
            await session.redo()
            behind.append(here)
            here = ahead.pop(0)
        elif choice in ("crash", "dry"):
            code = EXIT if choice == "crash" else "steps.clear()"
            ended = await session.run(code, transaction_policy="rollback_always")
            assert ended.state == "rolled_back"
            ahead = []
        history = await session.history()
        assert (len(history.entries), len(history.undone)) == (len(behind), len(ahead))
        if number % 10 == 0:
            assert await steps(session) == here
            ahead = []
    assert await steps(session) == here


async def test_a_burst_of_requests_is_carried_out_in_order(session: pyrepl3.Session) -> None:
    ids = await take(session, "a", "b", "c")
    told: list[str] = []

    async def go(back: bool) -> None:
        told.append(await (session.undo() if back else session.redo()))

    async with trio.open_nursery() as nursery:
        for back in (True, True, False, True, False, False):
            nursery.start_soon(go, back)
            await trio.testing.wait_all_tasks_blocked(0.001)

    assert told == [ids[2], ids[1], ids[1], ids[1], ids[1], ids[2]]
    assert await steps(session) == ["first", "a", "b", "c"]


async def test_bounds_and_what_gave_way_are_told_wherever_it_stands() -> None:
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as session:
        await session.run("steps = []")
        await session.keep_history(2)
        ids = await take(session, "a", "b", "c")
        await session.undo()
        history = await session.history()
        assert (history.count, history.dropped) == (2, 1)
        assert [entry.execution for entry in history.entries] == ids[1:2]

        assert await session.keep_history(1) != []
        assert await executions(session) == ([], ids[2:])
        assert await session.redo() == ids[2]
        assert await session.keep_history(0) != []
        assert await executions(session) == ([], [])


async def test_a_bound_that_is_set_in_a_transaction_is_not_undone_with_it(
    session: pyrepl3.Session,
) -> None:
    await session.begin()
    await session.keep_history(3, most_bytes=2**30)
    await session.rollback()
    history = await session.history()

    assert (history.count, history.bytes) == (3, 2**30)
    ids = await take(session, "a")
    assert await session.undo() == ids[0]


async def test_no_snapshot_outlives_a_session_that_went_back_and_forward() -> None:
    async with pyrepl3.open_supervisor() as supervisor:

        def idle() -> int:
            pool = supervisor.statistics().pool
            return pool.idle + pool.starting + pool.stopping

        async with supervisor.session() as session:
            zygote = psutil.Process(session.pid).parent()
            assert zygote is not None
            await session.run("steps = []")
            await session.keep_history(4)
            for _ in range(2):
                await take(session, "a", "b", "c")
                await session.undo()
                await session.undo()
                await session.redo()
            history = await session.history()
            kept = len(history.entries) + len(history.undone)
            assert kept == 4
            assert history.private_bytes > 0
            await eventually(lambda: alive_below(zygote) <= 1 + idle() + kept)
        await eventually(lambda: alive_below(zygote) <= idle())
