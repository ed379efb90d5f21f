"""End-to-end tests: sessions that are forked from others, and snapshots that are kept."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import trio
import trio.testing

import pyrepl3
from actors.testing import assert_no_tasks_left, cancel_at_each_checkpoint

from .faults.oracle import eventually, nothing_left_behind, small_config

BOUND_S = 20.0


@pytest.fixture
async def supervisor() -> AsyncIterator[pyrepl3.Supervisor]:
    with nothing_left_behind(small_config()) as config, assert_no_tasks_left():
        with trio.fail_after(3 * BOUND_S):
            async with pyrepl3.open_supervisor(config) as supervisor:
                yield supervisor


def is_alive(pid: int) -> bool:
    """And no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def value(session: pyrepl3.Session, code: str) -> object:
    ended = await session.run(code)
    assert ended.error is None, ended.error
    return ended.value


# --- fork ----------------------------------------------------------------------------------------


async def test_branches_have_the_sessions_memory_and_a_life_of_their_own(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = [1]\nclass C:\n    y = 5\nc = C()")
        first, second = await session.fork(2)

        assert await value(first, "x.append(2); [x, c.y]") == [[1, 2], 5]
        assert await value(second, "x.append(3); [x, c.y]") == [[1, 3], 5]
        assert await value(session, "x") == [1]
        pids = [await value(each, "import os; os.getpid()") for each in (session, first, second)]
        assert pids == [session.pid, first.pid, second.pid]
        assert len({session.id, first.id, second.id}) == 3
        assert {first.template, second.template} == {"python"}


async def test_a_branch_that_crashes_takes_no_other_with_it(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = 1")
        first, second = await session.fork(2)
        ended = await first.run("import os; os._exit(3)")

        assert ended.error is not None
        assert ended.error.code == "WORKER_DIED"
        assert (await second.run("import os; os._exit(4)", guard=True)).error is not None
        assert await value(second, "x") == 1
        assert await value(session, "x") == 1


async def test_branches_outlive_the_process_of_the_session(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = 1")
        (branch,) = await session.fork(1)
        await session.run("import os; os._exit(1)")

        assert await value(branch, "x") == 1


async def test_branches_are_given_back_with_their_session_or_before(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        first, second = await session.fork(2)
        assert supervisor.statistics().pool.leased == 3
        await first.close()
        await first.close()
        assert supervisor.statistics().pool.leased == 2
        with pytest.raises(pyrepl3.SessionLost):
            await first.run("1")
        grandchildren = await second.fork(2)
        assert supervisor.statistics().pool.leased == 4
    assert supervisor.statistics().pool.leased == 0
    for each in (session, second, *grandchildren):
        with pytest.raises(pyrepl3.SessionLost):
            await each.run("1")


async def test_all_branches_or_none(supervisor: pyrepl3.Supervisor) -> None:
    async with supervisor.session() as session, supervisor.session():
        with pytest.raises(pyrepl3.PoolExhausted, match="8 branches"):
            await session.fork(8)
        with trio.move_on_after(0.5) as scope:
            await session.fork(7)
        assert scope.cancelled_caught
        await eventually(lambda: supervisor.statistics().pool.leased == 2)
        assert len(await session.fork(6)) == 6


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2"])
async def test_a_count_that_is_none_is_refused(
    supervisor: pyrepl3.Supervisor, count: object
) -> None:
    async with supervisor.session() as session:
        with pytest.raises(pyrepl3.ConfigInvalid):
            await session.fork(count)  # type: ignore[arg-type]


async def test_branches_have_limits_policies_and_files_as_their_session_does(
    supervisor: pyrepl3.Supervisor, tmp_path: Path
) -> None:
    file = tmp_path / "lines"
    file.write_text("one\ntwo\n")
    async with supervisor.session(
        cwd=tmp_path,
        env={"MARK": "here"},
        limits=pyrepl3.Limits(execution_timeout_s=0.3),
        transaction_policy="rollback_on_failure",
    ) as session:
        await session.run("x = 1; f = open('lines', 'rb', buffering=0); f.readline()")
        first, second = await session.fork(2)
        await session.run("f.read()")

        for branch in (first, second):
            assert await value(branch, "f.readline().decode()") == "two\n"
            code = "import os; [os.getcwd(), os.environ['MARK']]"
            assert await value(branch, code) == [str(tmp_path), "here"]
            ended = await branch.run("x = 2\nwhile True: pass")
            assert ended.error is not None
            assert (ended.error.code, ended.error.state) == ("EXECUTION_TIMEOUT", "rolled_back")
            assert await value(branch, "x") == 1


async def test_random_numbers_are_each_branchs_own(supervisor: pyrepl3.Supervisor) -> None:
    async with supervisor.session() as session:
        await session.run("import random; random.seed(5)")
        branches = await session.fork(3)
        drawn = {await value(each, "random.random()") for each in (session, *branches)}

    assert len(drawn) == 4


async def test_what_cannot_be_copied_is_refused_with_the_reason(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run(
            "import threading; done = threading.Event()\n"
            "thread = threading.Thread(target=done.wait, name='worker bee'); thread.start()"
        )
        with pytest.raises(pyrepl3.SnapshotUnavailable, match="worker bee"):
            await session.fork(2)
        await session.run("done.set(); thread.join()")
        async with session.transaction():
            with pytest.raises(pyrepl3.TransactionActive):
                await session.fork(2)
        assert len(await session.fork(2)) == 2


async def test_an_exec_started_session_can_be_forked() -> None:
    with nothing_left_behind(small_config(spawn="exec")) as config:
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            supervisor.session() as session,
        ):
            await session.run("x = 1")
            for branch in await session.fork(2):
                assert await value(branch, "x") == 1


async def test_a_fork_that_is_cancelled_at_any_checkpoint_leaves_nothing(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = 1")
        branches: list[pyrepl3.Session] = []

        async def fork() -> None:
            branches.extend(await session.fork(2))

        async for run in cancel_at_each_checkpoint(fork):
            assert len(branches) == (0 if run.cancelled else 2)
            for branch in branches:
                await branch.close()
            branches.clear()
            await eventually(lambda: supervisor.statistics().pool.leased == 1)
        assert await value(session, "x") == 1


# --- kept snapshots ------------------------------------------------------------------------------


async def test_sessions_open_from_a_snapshot_that_outlives_its_session(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = [1]")
        kept = await session.snapshot("prepared")
        await session.run("x.append(2)")
    assert (kept.name, kept.template, kept.session) == ("prepared", "python", session.id)
    assert kept.private_bytes > 0

    async with (
        supervisor.session(from_snapshot="prepared") as first,
        supervisor.session(from_snapshot="prepared") as second,
    ):
        assert await value(first, "x.append(3); x") == [1, 3]
        assert await value(second, "x") == [1]
    assert [each.name for each in await supervisor.snapshots()] == ["prepared"]
    await supervisor.drop_snapshot("prepared")


async def test_a_dropped_snapshot_is_gone_at_once_and_its_sessions_go_on(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        kept = await session.snapshot("one")
        async with supervisor.session(from_snapshot="one") as opened:
            await supervisor.drop_snapshot("one")
            assert await supervisor.snapshots() == []
            with pytest.raises(pyrepl3.SnapshotNotFound, match="'one'"):
                async with supervisor.session(from_snapshot="one"):
                    pass
            with pytest.raises(pyrepl3.SnapshotNotFound):
                await supervisor.drop_snapshot("one")
            assert await value(opened, "1 + 1") == 2
            assert is_alive(kept.pid)
        await eventually(lambda: not is_alive(kept.pid))
        await session.run("1")
        assert not psutil.pid_exists(kept.pid), "its original has it reaped"


async def test_a_name_is_that_of_one_snapshot(supervisor: pyrepl3.Supervisor) -> None:
    async with supervisor.session() as session:
        await session.snapshot("one")
        with pytest.raises(pyrepl3.IdConflict, match="'one'"):
            await session.snapshot("one")
        await supervisor.drop_snapshot("one")
        await session.snapshot("one")
        for name in ("", "a\nb", "x" * 301, 5):
            with pytest.raises(pyrepl3.ConfigInvalid):
                await session.snapshot(name)  # type: ignore[arg-type]


async def test_there_are_at_most_so_many_snapshots() -> None:
    with nothing_left_behind(small_config(max_snapshots=1)) as config:
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            supervisor.session() as session,
        ):
            await session.snapshot("one")
            with pytest.raises(pyrepl3.SnapshotUnavailable, match="max_snapshots"):
                await session.snapshot("two")
            assert len(await session.fork(1)) == 1


async def test_a_snapshot_whose_process_dies_is_gone_and_its_sessions_with_it(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = 1")
        kept = await session.snapshot("one")
        async with supervisor.session(from_snapshot="one") as opened:
            os.kill(kept.pid, signal.SIGKILL)
            await eventually(lambda: supervisor.statistics().pool.deaths)
            with pytest.raises(pyrepl3.SnapshotNotFound):
                await opened.run("1")
        assert await supervisor.snapshots() == []
        with pytest.raises(pyrepl3.SnapshotNotFound):
            async with supervisor.session(from_snapshot="one"):
                pass
        assert await value(session, "x") == 1


async def test_a_session_of_a_snapshot_that_died_unused_is_replaced(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = 1")
        await session.snapshot("one")
        async with supervisor.session(from_snapshot="one") as opened:
            os.kill(opened.pid, signal.SIGKILL)
            await eventually(lambda: supervisor.statistics().pool.deaths)
            assert await value(opened, "x") == 1


async def test_a_snapshot_of_a_snapshot(supervisor: pyrepl3.Supervisor) -> None:
    async with supervisor.session() as session:
        await session.run("x = 1")
        await session.snapshot("one")
    async with supervisor.session(from_snapshot="one") as session:
        await session.run("x += 1")
        await session.snapshot("two")
    async with supervisor.session(from_snapshot="two") as session:
        await session.run("x += 1")
        (branch,) = await session.fork(1)
        await branch.snapshot("three")
        assert await value(branch, "x") == 3
    await supervisor.drop_snapshot("one")
    await supervisor.drop_snapshot("two")
    await eventually(lambda: supervisor.statistics().pool.stopping == 0)
    async with supervisor.session(from_snapshot="three") as session:
        assert await value(session, "x") == 3


async def test_a_snapshot_that_is_cancelled_at_any_checkpoint_is_there_or_not(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        async for run in cancel_at_each_checkpoint(lambda: session.snapshot("one")):
            names = [each.name for each in await supervisor.snapshots()]
            assert names == ([] if run.cancelled else ["one"])
            if not run.cancelled:
                await supervisor.drop_snapshot("one")


async def test_a_session_that_was_rolled_back_into_another_process_can_be_forked(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = 1")
        await session.run("import os; os._exit(1)", guard=True)
        (branch,) = await session.fork(1)

        assert await value(branch, "x") == 1


async def test_branches_that_come_when_their_session_is_given_back_are_given_back_too(
    supervisor: pyrepl3.Supervisor,
) -> None:
    lost: list[pyrepl3.PyreplError] = []

    async def fork(session: pyrepl3.Session) -> None:
        try:
            await session.fork(7)
        except pyrepl3.PyreplError as error:
            lost.append(error)

    async with trio.open_nursery() as nursery, supervisor.session() as other:
        async with supervisor.session() as session:
            await session.run("x = 1")
            nursery.start_soon(fork, session)  # noqa: ASYNC111  # meant: it is given back first
            await trio.sleep(0.3)  # there is room for six
        await eventually(lambda: lost)
        await eventually(lambda: supervisor.statistics().pool.leased == 1)
        assert isinstance(lost[0], pyrepl3.SessionLost)
        assert await value(other, "1") == 1


async def test_a_fork_stands_whatever_becomes_of_what_comes_behind_it(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        await session.run("x = 1")
        for _ in range(20):
            branches: list[pyrepl3.Session] = []

            async def fork(branches: list[pyrepl3.Session] = branches) -> None:
                branches.extend(await session.fork(1))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(fork)
                await trio.testing.wait_all_tasks_blocked()
                await session.run("import os; os._exit(3)", guard=True)
            assert await value(branches[0], "x") == 1
            await branches[0].close()


async def test_a_pool_forgets_snapshots_whose_processes_died(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session() as session:
        for number in range(3):
            kept = await session.snapshot(f"s{number}")
            os.kill(kept.pid, signal.SIGKILL)
        pool = supervisor._tree.pool
        assert pool is not None
        await eventually(lambda: list(pool._state.templates) == ["python"])


HANGS = """if True:
    import time
    class Hangs:
        def __dir__(self): time.sleep(60)
    hangs = Hangs()
"""


async def test_the_first_question_of_a_branch_can_be_interrupted(
    supervisor: pyrepl3.Supervisor,
) -> None:
    """Its numbers begin anew: those of the session that it was forked from are not its own."""
    async with supervisor.session() as session:
        (await session.run(HANGS)).raise_for_error()
        for _ in range(5):
            await session.run("1")
        (branch,) = await session.fork(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(branch.complete, "hangs.")
            await trio.sleep(0.2)
            outcome = await branch.interrupt(grace_s=5.0)

        assert (outcome.state, outcome.by) == ("kept", "signal")
