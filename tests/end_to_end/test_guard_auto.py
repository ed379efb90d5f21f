"""End-to-end tests: `guard="auto"`, which names what a crash has undone besides what crashed."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest
import trio

import pyrepl3

from .faults.oracle import eventually

EXIT = "import os; os._exit(3)"
IN_C = "sum(range(10**15))"
DEAR = "held = bytearray(2**27)"
"""A session that has this takes some milliseconds to copy: more than a tenth of a short cell."""


@pytest.fixture
async def session() -> AsyncIterator[pyrepl3.Session]:
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=2),
        timeouts=pyrepl3.Timeouts(interrupt_grace_s=0.2),
    )
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        supervisor.session(guard="auto") as session,
    ):
        await session.run("n = 0", guard=False)
        yield session


async def value(session: pyrepl3.Session, code: str) -> object:
    execution = await session.run(code)
    execution.raise_for_error()
    return execution.value


def keepers(session: pyrepl3.Session) -> list[int]:
    return [child.pid for child in psutil.Process(session.pid).children() if is_alive(child)]


def is_alive(process: psutil.Process) -> bool:
    """It may be reaped while it is looked at."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_a_crash_goes_back_to_the_last_snapshot_and_names_what_is_undone_with_it(
    session: pyrepl3.Session,
) -> None:
    before = [await session.run(DEAR)]
    before += [await session.run("n += 1") for _ in range(5)]
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == ("WORKER_DIED", "rolled_back")
    told = tuple(execution.id for execution in before)
    lost = ended.error.lost_since
    assert lost
    assert lost == told[-len(lost) :]
    assert await value(session, "n") == max(0, len(told) - len(lost) - 1)


async def test_short_executions_in_a_row_share_a_snapshot(session: pyrepl3.Session) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    [before] = keepers(session)
    for _ in range(3):
        await session.run("n += 1")

    assert keepers(session) == [before]


async def test_behind_a_long_execution_there_is_a_new_snapshot(session: pyrepl3.Session) -> None:
    await session.run("n += 1")
    await session.run("import time; time.sleep(1)")
    ended = await session.run(f"n += 1\n{EXIT}")

    assert ended.error is not None
    assert ended.error.lost_since == ()
    assert await value(session, "n") == 1


async def test_each_of_many_executions_is_there_or_is_named(session: pyrepl3.Session) -> None:
    counted = [await session.run("n += 1") for _ in range(300)]
    ended = await session.run(EXIT)

    assert ended.error is not None
    lost = ended.error.lost_since
    assert await value(session, "n") == 300 - len(lost)
    assert lost == tuple(execution.id for execution in counted[300 - len(lost) :])


async def test_a_kill_at_the_deadline_names_them_too(session: pyrepl3.Session) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    kept = await session.run("n += 1")
    ended = await session.run(IN_C, timeout_s=0.2)

    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == ("EXECUTION_TIMEOUT", "rolled_back")
    assert kept.id in ended.error.lost_since


async def test_a_death_with_nothing_to_do_is_told_with_the_end_of_the_next_execution(
    session: pyrepl3.Session,
) -> None:
    await session.run(DEAR)
    kept = await session.run("n += 1")
    process = psutil.Process(session.pid)
    process.kill()
    await eventually(lambda: not process.is_running())
    stream = session.stream("n")
    async with stream as events:
        seen = [event async for event in events]

    assert isinstance(seen[-1], pyrepl3.Result)
    assert kept.id in seen[-1].lost_since
    assert seen[-1].value == 0
    async with session.stream("n") as events:
        seen = [event async for event in events]
    assert isinstance(seen[-1], pyrepl3.Result)
    assert seen[-1].lost_since == ()


async def test_what_asks_for_no_guard_is_named_as_well(session: pyrepl3.Session) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    unguarded = await session.run("n += 1", guard=False)
    ended = await session.run(EXIT, guard=False)

    assert ended.error is not None
    assert (ended.error.state, ended.error.lost_since[-1]) == ("rolled_back", unguarded.id)
    assert await value(session, "n") == 0


async def test_a_policy_has_a_snapshot_of_its_own_which_stays(session: pyrepl3.Session) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    failed = await session.run("n += 1; 1 / 0", transaction_policy="rollback_on_failure")
    assert failed.error is not None
    assert (failed.error.state, failed.error.lost_since) == ("rolled_back", ())
    assert await value(session, "n") == 1
    kept = await session.run("n += 1", transaction_policy="rollback_on_failure")
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert ended.error.lost_since in ((kept.id,), ())
    assert await value(session, "n") == (1 if ended.error.lost_since else 2)


@pytest.mark.parametrize("by", ["from outside", "its own code"])
async def test_a_snapshot_that_was_killed_is_taken_anew(session: pyrepl3.Session, by: str) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    [before] = keepers(session)
    if by == "from outside":
        os.kill(before, signal.SIGKILL)
    else:
        await session.run(f"import os; os.kill({before}, 9)")
    await eventually(lambda: not keepers(session))
    await session.run("n += 1")
    [after] = keepers(session)
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert after != before
    assert ended.state == "rolled_back"
    assert await value(session, "n") in (1, 2)


@pytest.mark.parametrize("number", range(3))
async def test_a_snapshot_that_is_being_killed_is_taken_anew(
    session: pyrepl3.Session, number: int
) -> None:
    """To end takes it longer than the next execution takes to begin."""
    await session.run(DEAR)
    await session.run("n += 1")
    await eventually(lambda: len(keepers(session)) == 1)
    [before] = keepers(session)
    await session.run(f"import os; os.kill({before}, 9)")
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert ended.state == "rolled_back", number


async def test_a_full_guard_leaves_nothing_at_risk(session: pyrepl3.Session) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    await session.run("n += 1", guard=True)
    await eventually(lambda: not keepers(session))
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert (ended.error.state, ended.error.lost_since) == ("rolled_back", ())
    assert await value(session, "n") == 2


@pytest.mark.parametrize("end", ["commit", "rollback", "crash"])
async def test_a_transaction_has_a_snapshot_of_its_own(session: pyrepl3.Session, end: str) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    await session.begin()
    await session.run("n += 1")
    if end == "crash":
        ended = await session.run(EXIT)
        assert ended.error is not None
        assert (ended.error.state, ended.error.lost_since) == ("rolled_back", ())
    elif end == "commit":
        await session.commit()
    else:
        await session.rollback()
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert (ended.error.state, ended.error.lost_since) == ("rolled_back", ())
    assert await value(session, "n") == (2 if end == "commit" else 1)


async def test_where_history_is_kept_nothing_is_at_risk(session: pyrepl3.Session) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    await session.keep_history(5)
    kept = await session.run("n += 1")
    ended = await session.run(EXIT)
    assert ended.error is not None
    assert (ended.error.state, ended.error.lost_since) == ("rolled_back", ())
    assert await value(session, "n") == 2
    await session.undo()
    assert kept.id in [entry.execution for entry in (await session.history()).entries]
    await session.undo()

    assert await value(session, "n") == 1


THREAD = (
    "import threading; stop = threading.Event()\n"
    "threading.Thread(target=stop.wait, name='busy', daemon=True).start()"
)


async def test_beside_threads_the_snapshot_that_there_is_stays(session: pyrepl3.Session) -> None:
    started = await session.run(THREAD)
    await session.run("n += 1; import time; time.sleep(0.3)")
    kept = await session.run("n += 1")
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert ended.error.lost_since[0] == started.id
    assert ended.error.lost_since[-1] == kept.id
    assert await value(session, "n") == 0


async def test_beside_threads_without_a_snapshot_it_is_refused(session: pyrepl3.Session) -> None:
    await session.run(THREAD, guard=True)
    ended = await session.run("n = 1")

    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == ("SNAPSHOT_UNAVAILABLE", "kept")
    assert "busy" in ended.error.value


async def test_a_second_crash_has_a_snapshot_again(session: pyrepl3.Session) -> None:
    for _ in range(3):
        ended = await session.run(EXIT)
        assert ended.state == "rolled_back"
        await session.run("n += 1")

    assert await value(session, "n") in range(4)


async def test_a_branch_has_a_guard_of_its_own(session: pyrepl3.Session) -> None:
    await session.run(DEAR)
    await session.run("n += 1")
    [branch] = await session.fork(1)
    await branch.run("n += 10", guard="auto")
    ended = await branch.run(EXIT, guard="auto")
    assert ended.error is not None
    assert ended.error.state == "rolled_back"
    assert all(each.startswith(branch.id) for each in ended.error.lost_since)
    assert await value(branch, "n") == (1 if ended.error.lost_since else 11)
    await branch.close()
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert ended.error.state == "rolled_back"
    assert all(each.startswith(session.id) for each in ended.error.lost_since)


async def test_nothing_is_left_of_it() -> None:
    async with pyrepl3.open_supervisor() as supervisor:
        async with supervisor.session(guard="auto") as session:
            worker = psutil.Process(session.pid)
            zygote = worker.parent()
            assert zygote is not None
            for _ in range(50):
                await session.run("1")
            await session.run(EXIT)
            await session.run("1")
        alive = {process.pid for process in zygote.children(recursive=True)}
        with trio.move_on_after(5):
            while len(alive) > 2:  # spare ones
                await trio.sleep(0.01)
                alive = {process.pid for process in zygote.children(recursive=True)}
        assert len(alive) <= 2
