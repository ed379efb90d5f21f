"""End-to-end tests: executions that are undone after they have ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psutil
import pytest

import pyrepl3

from .faults.oracle import eventually

EXIT = "import os; os._exit(3)"


def alive_below(zygote: psutil.Process) -> int:
    """But for those that are dead and only wait to be reaped."""
    return sum(is_alive(child) for child in zygote.children(recursive=True))


def is_alive(process: psutil.Process) -> bool:
    """It may be reaped while it is looked at."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
async def session() -> AsyncIterator[pyrepl3.Session]:
    async with (
        pyrepl3.open_supervisor() as supervisor,
        supervisor.session() as session,
    ):
        await session.run("steps = ['first']")
        yield session


async def steps(session: pyrepl3.Session) -> object:
    ended = await session.run("steps", silent=True)
    shown = await session.run("print(*steps)", silent=True)
    assert ended.error is None, ended.error
    return shown.logs.stdout.split()


async def take(session: pyrepl3.Session, *names: str) -> list[str]:
    return [(await session.run(f"steps.append({name!r})")).id for name in names]


async def test_the_last_execution_is_undone_and_then_the_one_before_it(
    session: pyrepl3.Session,
) -> None:
    await session.keep_history(10)
    ids = await take(session, "a", "b", "c")

    assert await session.undo() == ids[2]
    assert await steps(session) == ["first", "a", "b"]
    assert await session.undo() == ids[1]
    assert await steps(session) == ["first", "a"]
    await take(session, "d")
    assert await steps(session) == ["first", "a", "d"]


async def test_all_that_came_after_an_execution_is_undone_at_once(
    session: pyrepl3.Session,
) -> None:
    await session.keep_history(10)
    ids = await take(session, "a", "b", "c", "d")

    assert await session.undo(to=ids[0]) == ids[1]
    assert await steps(session) == ["first", "a"]
    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.undo(to=ids[2])


async def test_the_history_tells_what_it_holds_and_the_oldest_gives_way(
    session: pyrepl3.Session,
) -> None:
    await session.keep_history(2)
    ids = await take(session, "a", "b", "c")
    history = await session.history()

    assert [entry.execution for entry in history.entries] == ids[1:]
    assert history.dropped == 1
    assert (history.count, history.undone) == (2, [])
    assert all(entry.private_bytes > 0 for entry in history.entries)
    assert history.private_bytes == sum(entry.private_bytes for entry in history.entries)


async def test_what_changes_much_memory_pushes_the_oldest_out(session: pyrepl3.Session) -> None:
    await session.run("held = bytearray(2**24)\nfor i in range(0, 2**24, 4096): held[i] = 1")
    await session.keep_history(10, most_bytes=20 * 2**20)
    ids = [
        (await session.run(f"for i in range(0, 2**24, 4096): held[i] = {number}")).id
        for number in range(2, 5)
    ]
    history = await session.history()

    assert [entry.execution for entry in history.entries] == ids[2:]
    assert history.entries[0].private_bytes > 2**23


async def test_what_gives_way_is_told_before_the_end_of_what_it_gave_way_to(
    session: pyrepl3.Session,
) -> None:
    await session.keep_history(1)
    ids = await take(session, "a")
    async with session.stream("1") as stream:
        events = [event async for event in stream]
    trimmed, result = events[-2:]

    assert isinstance(trimmed, pyrepl3.HistoryTrimmed)
    assert [(each.execution, each.reason) for each in trimmed.dropped] == [(ids[0], "count")]
    assert trimmed.dropped[0].bytes > 0
    assert isinstance(result, pyrepl3.Result)
    assert result.usage.history_bytes > 0
    assert (await session.run("2")).history_dropped[0].execution == stream.execution


async def test_what_is_too_much_by_itself_gives_way_with_all_before_it(
    session: pyrepl3.Session,
) -> None:
    await session.run("held = bytearray(2**24)\nfor i in range(0, 2**24, 4096): held[i] = 1")
    await session.keep_history(10, most_bytes=2**23)
    ids = await take(session, "a")
    ended = await session.run("for i in range(0, 2**24, 4096): held[i] = 2")

    assert [each.execution for each in ended.history_dropped] == [*ids, ended.id]
    assert {each.reason for each in ended.history_dropped} == {"bytes"}
    assert (await session.history()).entries == []
    assert (await session.run("held[0]")).value == 2


async def test_what_is_undone_by_its_policy_pushes_nothing_out(session: pyrepl3.Session) -> None:
    await session.keep_history(1)
    ids = await take(session, "a")
    ended = await session.run("steps.clear()", transaction_policy="rollback_always")

    assert ended.history_dropped == []
    assert [entry.execution for entry in (await session.history()).entries] == ids


async def test_where_nothing_is_kept_nothing_is_undone(session: pyrepl3.Session) -> None:
    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.undo()
    await session.keep_history(5)
    await take(session, "a")
    await session.keep_history(0)
    with pytest.raises(pyrepl3.ExecutionNotFound):
        await session.undo()

    assert await steps(session) == ["first", "a"]


async def test_a_crash_is_rolled_back_and_what_is_before_it_can_still_be_undone(
    session: pyrepl3.Session,
) -> None:
    await session.keep_history(5)
    ids = await take(session, "a", "b")
    ended = await session.run(f"steps.append('c')\n{EXIT}")
    assert ended.state == "rolled_back"
    assert await steps(session) == ["first", "a", "b"]

    assert await session.undo() == ids[1]
    assert await session.undo() == ids[0]
    assert await steps(session) == ["first"]


async def test_within_a_transaction_nothing_is_undone(session: pyrepl3.Session) -> None:
    await session.keep_history(5)
    await take(session, "a")
    async with session.transaction():
        with pytest.raises(pyrepl3.TransactionActive):
            await session.undo()


async def test_a_transaction_that_is_committed_is_undone_as_one(session: pyrepl3.Session) -> None:
    await session.keep_history(2)
    (first,) = await take(session, "a")
    async with session.transaction():
        _, last = await take(session, "b", "c")
    entries = [entry.execution for entry in (await session.history()).entries]
    assert entries == [first, last]

    assert await session.undo() == last
    assert await session.redo() == last
    assert await steps(session) == ["first", "a", "b", "c"]
    assert await session.undo(to=first) == last
    assert await steps(session) == ["first", "a"]
    assert await session.undo() == first
    assert await steps(session) == ["first"]


async def test_what_gives_way_to_a_transaction_is_told_with_the_next_execution(
    session: pyrepl3.Session,
) -> None:
    await session.keep_history(1)
    (first,) = await take(session, "a")
    async with session.transaction():
        (last,) = await take(session, "b")
    ended = await session.run("steps.append('c')")

    assert [(each.execution, each.reason) for each in ended.history_dropped] == [
        (first, "count"),
        (last, "count"),
    ]
    assert [entry.execution for entry in (await session.history()).entries] == [ended.id]


async def test_of_a_transaction_that_is_undone_or_empty_or_silent_there_is_no_entry(
    session: pyrepl3.Session,
) -> None:
    await session.keep_history(5)
    (first,) = await take(session, "a")
    await session.begin()
    await take(session, "b")
    await session.rollback()
    async with session.transaction():
        await session.run("steps.append('c')", silent=True)
    async with session.transaction():
        pass
    await session.begin()
    await take(session, "d")
    await session.run(EXIT)

    assert [entry.execution for entry in (await session.history()).entries] == [first]
    assert await session.undo() == first
    assert await steps(session) == ["first"]


async def test_an_execution_may_be_given_for_its_id(session: pyrepl3.Session) -> None:
    await session.keep_history(5)
    first = await session.run("steps.append('a')")
    second = await session.run("steps.append('b')")

    assert await session.undo(to=first) == second.id
    assert await steps(session) == ["first", "a"]
    for other in (object(), 5, b"id"):
        with pytest.raises(TypeError, match="execution's id is a str"):
            await session.undo(to=other)  # type: ignore[arg-type]
    assert await steps(session) == ["first", "a"]


async def test_why_nothing_is_undone_is_said(session: pyrepl3.Session) -> None:
    with pytest.raises(pyrepl3.ExecutionNotFound, match="no history of the session is kept"):
        await session.undo()
    await session.keep_history(5)
    with pytest.raises(pyrepl3.ExecutionNotFound, match="nothing is left"):
        await session.undo()
    first, second = await take(session, "a", "b")
    await session.undo()
    with pytest.raises(pyrepl3.ExecutionNotFound, match=f"nothing came after {first}"):
        await session.undo(to=first)
    with pytest.raises(pyrepl3.ExecutionNotFound, match=f"right after {second}"):
        await session.undo(to=second)


async def test_no_more_snapshots_are_alive_than_the_history_tells() -> None:
    """And none at all, when the session has ended."""
    async with pyrepl3.open_supervisor() as supervisor:

        def idle() -> int:
            pool = supervisor.statistics().pool
            return pool.idle + pool.starting + pool.stopping

        async with supervisor.session() as session:
            zygote = psutil.Process(session.pid).parent()
            assert zygote is not None
            await session.run("steps = []")
            await session.keep_history(3)
            for name in "abcdef":
                await take(session, name)
                if name in "ce":
                    await session.undo()
                if name == "d":
                    await session.run(EXIT)
            kept = len((await session.history()).entries)
            assert kept == 3
            await eventually(lambda: alive_below(zygote) <= 1 + idle() + kept)
        await eventually(lambda: alive_below(zygote) <= idle())


async def test_a_negative_history_is_refused(session: pyrepl3.Session) -> None:
    with pytest.raises(pyrepl3.ConfigInvalid):
        await session.keep_history(-1)


async def test_a_session_cannot_take_over_by_a_snapshot_of_another_one() -> None:
    """Though it names it on its own control page, and both are the zygote's."""
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as victim:
        zygote = psutil.Process(victim.pid).parent()
        assert zygote is not None
        await victim.run("secret = 42")
        await victim.keep_history(5)
        ids = [(await victim.run(f"secret += {number}")).id for number in (1, 2)]
        await victim.run(EXIT)  # from here on its snapshots are the zygote's children
        own = (await victim.run("import os; os.getpid()", silent=False)).value
        others = [each.pid for each in zygote.children() if each.pid != own]
        assert len(others) >= len(ids)
        for pid in others:
            async with supervisor.session() as thief:
                ended = await thief.run(
                    f"import os; os.pwrite(4, ({pid}).to_bytes(8, 'little'), 16); os._exit(1)",
                    guard=True,
                )
                assert ended.error is not None
                assert ended.error.state == "lost"

        assert await victim.undo(to=ids[0]) == ids[1]
        assert (await victim.run("secret")).value == 43
