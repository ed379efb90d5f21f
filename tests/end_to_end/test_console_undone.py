"""End-to-end tests: the web console tells what was undone, whoever had it undone."""

from __future__ import annotations

import pytest

from .browser_driver import CHROMIUM, WHY_SKIPPED
from .test_console import Console, check, console, devtools
from .websocket_driver import Client, connect

__all__ = ["devtools"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=WHY_SKIPPED)
NOTE = ".cells > .note:last-child"


async def session_of(client: Client) -> str:
    """The one that the page shows."""
    (session,) = (await client.ask("list_sessions"))["sessions"]
    await client.ask("attach", session=session["session"])
    return str(session["session"])


async def is_undone(its: Console, cell: int) -> bool:
    shown = f"document.querySelector('.cell:nth-of-type({cell})').classList.contains('undone')"
    return bool(await its.page.evaluate(shown))


async def test_a_dry_run_and_a_survived_crash_say_that_they_are_undone(devtools: str) -> None:
    async with console(devtools) as its, connect(its.served) as client:
        await its.open_session("mine")
        session = await session_of(client)
        dry = {"execution": "e1", "code": "x = 1; x", "transaction_policy": "rollback_always"}
        await client.ask("execute", session=session, **dry)
        await its.shows("It is undone: the variables are as they were before.", cell=1)
        crash = {"execution": "e2", "code": "import os; os._exit(3)", "guard": True}
        await client.ask("execute", session=session, **crash)
        await its.shows("It is undone: the variables are as they were before.", cell=2)
        await client.run(session, "x = 2; x", "e3")
        await its.shows("2", cell=3)
        assert "undone" not in await its.outputs(3)
        check(its.page)


async def test_a_transaction_that_is_rolled_back_is_told(devtools: str) -> None:
    async with console(devtools) as its, connect(its.served) as client:
        await its.open_session("mine")
        session = await session_of(client)
        await client.ask("begin", session=session)
        await its.run("x = 1; x")
        await its.shows("1")
        await client.ask("rollback", session=session)
        await its.page.shows("The transaction was rolled back", NOTE)
        check(its.page)


async def test_what_was_undone_and_redone_is_marked_and_what_gave_way_is_told(
    devtools: str,
) -> None:
    async with console(devtools) as its, connect(its.served) as client:
        await its.open_session("mine")
        session = await session_of(client)
        await client.ask("keep_history", session=session, count=2)
        await its.page.shows("The last 2 executions can be undone", NOTE)
        for cell in (1, 2, 3):
            await its.run(f"'cell{cell}'")
            await its.shows(f"'cell{cell}'", cell=cell)
        await its.shows("1 execution can no more be undone", cell=3)
        await client.ask("undo", session=session)
        await client.ask("undo", session=session)
        await its.page.shows("Undone", NOTE)
        assert [await is_undone(its, cell) for cell in (1, 2, 3)] == [False, True, True]
        await client.ask("redo", session=session)
        await its.page.shows("Redone", NOTE)
        assert [await is_undone(its, cell) for cell in (1, 2, 3)] == [False, False, True]
        await client.ask("keep_history", session=session, count=0)
        await its.page.shows("Nothing can be undone from here on.", NOTE)
        check(its.page)
