"""End-to-end tests: a session that can be undone and one that was forked from it go their ways."""

from __future__ import annotations

import pyrepl3

from .test_history import take


async def shown(session: pyrepl3.Session) -> list[str]:
    return (await session.run("print(*steps)", silent=True)).logs.stdout.split()


async def test_a_branch_has_the_state_and_a_history_of_its_own() -> None:
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as session:
        await session.run("steps = []")
        await session.keep_history(5)
        ids = await take(session, "a", "b")
        (branch,) = await session.fork(1)

        assert (await branch.history()).count == 0
        assert await session.undo() == ids[1]
        assert await shown(branch) == ["a", "b"]
        await branch.keep_history(5)
        (own,) = await take(branch, "c")
        assert await branch.undo() == own
        assert await branch.redo() == own
        assert await shown(branch) == ["a", "b", "c"]
        assert await session.redo() == ids[1]
        await take(session, "d")
        assert await session.undo(to=ids[0]) == ids[1]
        assert await shown(session) == ["a"]
        await branch.close()
        assert await shown(session) == ["a"]


async def test_what_is_undone_can_be_forked_and_what_is_forked_outlives_the_undoing() -> None:
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as session:
        await session.run("steps = []")
        await session.keep_history(5)
        ids = await take(session, "a", "b", "c")
        await session.snapshot("c")
        await session.undo(to=ids[0])
        (branch,) = await session.fork(1)
        await session.redo()

        assert await shown(branch) == ["a"]
        assert await shown(session) == ["a", "b"]
        async with supervisor.session(from_snapshot="c") as other:
            assert await shown(other) == ["a", "b", "c"]
            assert (await other.history()).count == 0
