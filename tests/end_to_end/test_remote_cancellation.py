"""End-to-end tests: the Python client, cancelled at every await, leaves nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import psutil
import pytest
import trio

import pyrepl3
from actors.testing import cancel_at_each_checkpoint
from pyrepl3.serving import Served

from .websocket_driver import TOKEN, serve

BOUND_S = 30.0


@attrs.define
class Watch:
    """Another client, which sees what is left behind."""

    served: Served
    client: pyrepl3.Client

    async def open_sessions(self) -> list[Any]:
        sessions = await self.client.list_sessions()
        return [each for each in sessions if each["standing"] == "open"]

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        with trio.fail_after(BOUND_S):
            while not await holds():  # noqa: ASYNC110  # it is looked at from outside
                await trio.sleep(0.001)

    async def until_none_is_open(self) -> None:
        async def holds() -> bool:
            return not await self.open_sessions()

        await self.until(holds)


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    async with serve() as (_, served), pyrepl3.Client(served.url, TOKEN) as client:
        yield Watch(served, client)


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    async with watching() as watch:
        yield watch


async def test_a_whole_use_leaves_no_session_and_no_connection(watch: Watch) -> None:
    async def use() -> object:
        async with pyrepl3.Client(watch.served.url, TOKEN) as client, client.session() as session:
            return (await session.run("6 * 7")).value

    async def only_the_watch_is_connected() -> bool:
        connections = psutil.Process().net_connections("tcp")
        ends = [each for each in connections if each.laddr.port == watch.served.port]
        return sum(each.status == psutil.CONN_ESTABLISHED for each in ends) == 1

    async for run in cancel_at_each_checkpoint(use):  # noqa: B007  # the last one counts
        await watch.until_none_is_open()
        await watch.until(only_the_watch_is_connected)
    assert run.value == 42


async def test_a_session_that_was_asked_for_is_closed_and_the_client_usable(watch: Watch) -> None:
    """Also `open`, whose session was given to nobody."""
    async with pyrepl3.Client(watch.served.url, TOKEN) as client:

        async def use() -> str:
            async with client.open() as session:
                await session.close()
            async with client.session() as session:
                return session.id

        async for run in cancel_at_each_checkpoint(use):  # noqa: B007  # the last one counts
            await watch.until_none_is_open()
        assert run.value is not None
        async with client.session() as session:
            assert (await session.run("1")).value == 1


async def test_code_is_interrupted_and_its_session_usable(watch: Watch) -> None:
    async with pyrepl3.Client(watch.served.url, TOKEN) as client, client.session() as session:

        async def use() -> object:
            return (await session.run("input()", on_input=lambda _: "Ada")).value

        async for run in cancel_at_each_checkpoint(use):  # noqa: B007  # the last one counts
            with trio.fail_after(BOUND_S):
                assert (await session.run("'usable'")).value == "usable"
        assert run.value == "Ada"


async def test_a_stream_is_interrupted_and_an_answer_to_it_changes_nothing(watch: Watch) -> None:
    async with pyrepl3.Client(watch.served.url, TOKEN) as client, client.session() as session:

        async def use() -> list[str]:
            kinds = []
            async with session.stream("input()") as events:
                async for event in events:
                    kinds.append(type(event).__name__)
                    if isinstance(event, pyrepl3.InputRequested):
                        await session.interrupt()
            return kinds

        async for run in cancel_at_each_checkpoint(use):  # noqa: B007  # the last one counts
            with trio.fail_after(BOUND_S):
                assert (await session.run("'usable'")).value == "usable"
        assert run.value == ["Started", "InputRequested", "Error"]


async def test_a_session_that_was_attached_to_is_let_go_of(watch: Watch) -> None:
    async with (
        pyrepl3.Client(watch.served.url, TOKEN) as client,
        watch.client.open(name="mine") as session,
    ):

        async def attached() -> bool:
            (each,) = await watch.open_sessions()
            return bool(each["attached"] == 1)

        async def use() -> object:
            async with client.attach("mine") as found:
                completion = await found.complete("impor")
                return completion.matches

        async for run in cancel_at_each_checkpoint(use):  # noqa: B007  # the last one counts
            await watch.until(attached)
        assert run.value is not None
        await session.close()


async def test_two_who_attach_to_one_session_are_both_told_everything(watch: Watch) -> None:
    async with (
        watch.client.session(name="mine") as first,
        watch.client.attach("mine") as second,
    ):
        values: list[object] = []

        async def run(session: Any, number: int) -> None:
            values.append((await session.run(f"{number} * 2")).value)

        with trio.fail_after(BOUND_S):
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(run, first, number)
                    if number < 5:
                        nursery.start_soon(run, second, number)
    assert sorted(values) == sorted([number * 2 for number in [*range(10), *range(5)]])
