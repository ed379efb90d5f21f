"""Unit tests: a session's events reach whoever follows it, at once or when they ask for them."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pyrepl3.remote.inbox import Inbox


def event(seq: int) -> dict[str, Any]:
    return {"type": "started", "seq": seq}


async def test_what_came_is_given_in_order_until_it_is_closed_and_empty() -> None:
    inbox = Inbox()
    inbox.put(event(1))
    inbox.put(event(2))
    inbox.close()

    assert [message async for message in inbox] == [event(1), event(2)]


async def test_who_asks_waits_for_what_comes() -> None:
    inbox = Inbox()
    got: list[Any] = []

    async def read() -> None:
        keep = got.append
        async for message in inbox:
            keep(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        inbox.put(event(1))
        await wait_all_tasks_blocked()
        assert got == [event(1)]
        inbox.close()


async def test_what_is_passed_on_comes_in_the_moment_in_which_it_is_put() -> None:
    inbox = Inbox()
    inbox.put(event(1))
    got: list[Any] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.pass_on, got.append)
        await wait_all_tasks_blocked()
        assert got == [event(1)]
        inbox.put(event(2))
        assert got == [event(1), event(2)]
        inbox.close()


async def test_what_fails_to_take_it_is_told_where_it_waits_and_not_to_the_link() -> None:
    inbox = Inbox()

    def take(message: Any) -> None:
        raise ValueError(message["seq"])

    async with trio.open_nursery() as nursery:

        async def pass_on() -> None:
            with pytest.raises(ValueError, match="1"):
                await inbox.pass_on(take)

        nursery.start_soon(pass_on)
        await wait_all_tasks_blocked()
        inbox.put(event(1))
        inbox.put(event(2))

    assert await anext(inbox) == event(2)


async def test_what_nobody_takes_any_more_waits_for_the_next_one() -> None:
    inbox = Inbox()
    got: list[Any] = []
    with trio.move_on_after(0):
        await inbox.pass_on(got.append)
    inbox.put(event(1))

    assert got == []
    assert await anext(inbox) == event(1)


async def test_a_closed_one_is_passed_on_to_its_end_and_no_further() -> None:
    inbox = Inbox()
    inbox.put(event(1))
    inbox.close()
    got: list[Any] = []
    await inbox.pass_on(got.append)

    assert got == [event(1)]
