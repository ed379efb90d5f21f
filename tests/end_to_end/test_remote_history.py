"""End-to-end tests: undoing and redoing over the network, as in a session of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from random import Random
from typing import Any

import anyio
import pytest
import trio

import pyrepl3
from pyrepl3.serving import Served

from .cutting_proxy import cutting_proxy
from .test_remote_client import BOUND_S, both_loops
from .websocket_driver import TOKEN, Client, connect, serve

EXIT = "import os; os._exit(3)"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as (_, served):
        yield served


@both_loops
async def test_it_is_as_that_of_ones_own_session(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    async def main() -> None:
        async with pyrepl3.Client(served.url, TOKEN) as client, client.session() as session:
            assert (await session.history()).count == 0
            with pytest.raises(pyrepl3.ConfigInvalid):
                await session.keep_history(64)
            assert await session.keep_history(2) == []
            ids = [(await session.run(f"x = {number}")).id for number in range(3)]
            trimmed = await session.run("x = 3")
            assert [each.execution for each in trimmed.history_dropped] == [ids[1]]
            assert (await session.run("print(x)", silent=True)).logs.stdout == "3\n"

            assert await session.undo() == trimmed.id
            assert await session.undo() == ids[2]
            history = await session.history()
            assert [entry.execution for entry in history.undone] == [ids[2], trimmed.id]
            assert history.private_bytes > 0
            assert await session.redo() == ids[2]
            dropped = await session.keep_history(1)
            assert [each.execution for each in dropped] == [ids[2]]
            assert await session.redo() == trimmed.id
            with pytest.raises(pyrepl3.ExecutionNotFound):
                await session.redo()
            with pytest.raises(pyrepl3.ExecutionNotFound):
                await session.undo(to=ids[0])
            async with session.transaction():
                with pytest.raises(pyrepl3.TransactionActive):
                    await session.undo()

    await run_in(main)


@both_loops
async def test_it_is_carried_out_once_over_connections_that_are_cut(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    async def main(url: str) -> None:
        async with pyrepl3.Client(url, TOKEN) as client, client.session() as session:
            await session.run("x = 0")
            await session.keep_history(20)
            for _ in range(12):
                await session.run("x += 1")
            for _ in range(8):
                await session.undo()
            for _ in range(4):
                await session.redo()
            assert (await session.run("x")).value == 8

    random = Random(20261125)
    async with cutting_proxy(served.port, lambda _: random.random() < 0.15) as proxy:
        with trio.fail_after(4 * BOUND_S):
            await run_in(partial(main, proxy.url))
    assert proxy.cut > 2


@both_loops
async def test_one_that_is_cancelled_while_it_waits_is_carried_out_once_all_the_same(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    async def main() -> None:
        async with pyrepl3.Client(served.url, TOKEN) as client, client.session() as session:
            await session.keep_history(5)
            await session.run("x = 1")
            await session.run("x = 2")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(session.run, "import time; time.sleep(0.3)", silent=True))
                await anyio.sleep(0.1)
                with anyio.move_on_after(0.05):
                    await session.undo()
            assert (await session.run("x")).value == 1

    await run_in(main)


async def test_an_undo_behind_what_dies_is_refused_and_that_of_what_survives_is_not(
    served: Served,
) -> None:
    async with pyrepl3.Client(served.url, TOKEN) as client, client.session() as session:
        await session.keep_history(5)
        first = await session.run("x = 1")
        second = await session.run("x = 2")
        assert (await session.run(EXIT)).state == "rolled_back"
        assert await session.undo() == second.id
        await session.keep_history(0)
        assert (await session.run("x")).value == 1
        assert first.id != second.id
        undone: list[pyrepl3.PyreplError] = []

        async def undo() -> None:
            try:
                await session.undo()
            except pyrepl3.PyreplError as error:
                undone.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run, f"import time; time.sleep(0.2); {EXIT}")
            await trio.sleep(0.1)
            nursery.start_soon(undo)
        assert [type(error) for error in undone] == [pyrepl3.SessionLost]


# --- what others are told -----------------------------------------------------------------------


async def ask(client: Client, kind: str, session: str, **fields: Any) -> dict[str, Any]:
    return await client.ask(kind, session=session, **fields)


async def test_all_who_follow_the_session_are_told(served: Served) -> None:
    async with connect(served) as client, connect(served) as other:
        session = (await client.ask("open_session", history={"count": 1}))["session"]
        await other.ask("attach", session=session, since=0)
        await client.run(session, "x = 1", "e1")
        end = await client.run(session, "x = 2", "e2")
        assert end["usage"]["history_bytes"] > 0
        undone = await ask(client, "undo", session, key="k1")
        again = await ask(client, "undo", session, key="k1")
        conflict = await ask(client, "undo", session, key="k1", to="e1")
        redone = await ask(client, "redo", session)
        none = await ask(client, "redo", session)
        kept = await ask(client, "keep_history", session, count=0)
        told = [
            await other.until(type=kind)
            for kind in ("history_trimmed", "session_undone", "session_redone", "history_kept")
        ]

    assert [(each["type"], each.get("execution")) for each in told] == [
        ("history_trimmed", "e2"),
        ("session_undone", "e2"),
        ("session_redone", "e2"),
        ("history_kept", None),
    ]
    assert [each["execution"] for each in told[0]["dropped"]] == ["e1"]
    assert (undone["type"], undone["execution"]) == ("undone", "e2")
    assert (again["type"], again["execution"]) == ("undone", "e2")
    assert conflict["code"] == "ID_CONFLICT"
    assert (redone["type"], redone["execution"]) == ("redone", "e2")
    assert none["code"] == "EXECUTION_NOT_FOUND"
    assert (kept["type"], [each["execution"] for each in kept["dropped"]]) == ("keeping", ["e2"])
    assert (told[3]["count"], told[3]["dropped"]) == (0, kept["dropped"])


async def test_what_was_answered_is_answered_again_when_the_session_has_ended(
    served: Served,
) -> None:
    async with connect(served) as client:
        session = (await client.ask("open_session", history={"count": 5}))["session"]
        await client.run(session, "x = 1", "e1")
        await ask(client, "undo", session, key="k1")
        await client.ask("close_session", session=session)
        answers = [
            await ask(client, "undo", session, key="k1"),
            await ask(client, "undo", session, key="k2"),
            await ask(client, "redo", session),
            await ask(client, "history", session),
            await ask(client, "keep_history", session, count=1),
        ]

    assert answers[0]["execution"] == "e1"
    assert [each.get("code") for each in answers[1:]] == ["SESSION_LOST"] * 4
