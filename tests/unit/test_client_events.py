"""Unit tests: all events of a session as a client reads them, and where they end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import pytest
import trio

import pyrepl3
from tests.unit.memory_service import MemoryService, make_client

OUTPUT = {"type": "output", "session": "s"}


async def read(
    service: MemoryService, into: list[Mapping[str, Any]], *, until: int | None = None
) -> None:
    async with (
        make_client(service, reconnect_timeout_s=math.inf) as client,
        aclosing(client.events("s", until=until)) as events,
    ):
        async for event in events:
            into.append(event)  # noqa: PERF401  # what came before an error counts


async def test_events_end_in_a_gap_that_reaches_beyond_the_last_one_that_was_wanted(
    autojump_clock: trio.abc.Clock,
) -> None:
    """More has happened since it was asked for which the last one is."""
    service = MemoryService()
    gap = {"type": "gap", "session": "s", "from_seq": 1, "to_seq": 9, "bytes": 100}
    told: list[Mapping[str, Any]] = []
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: read(service, told, until=5))
            connection = await service.connection(1)
            await connection.hear_and_answer("attach", "attached", session="s", seq=12)
            await connection.tell(gap, {**OUTPUT, "seq": 10})

    assert told == [gap]


async def test_events_of_a_session_that_a_new_connection_does_not_find_end_with_an_error(
    autojump_clock: trio.abc.Clock,
) -> None:
    """The service was started again."""
    service = MemoryService()
    told: list[Mapping[str, Any]] = []

    async def follow() -> None:
        with pytest.raises(pyrepl3.SessionNotFound):
            await read(service, told)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            first = await service.connection(1)
            await first.hear_and_answer("attach", "attached", session="s", seq=1)
            await first.tell({**OUTPUT, "seq": 1})
            await first.lose()
            second = await service.connection(2)
            gone = {"code": "SESSION_NOT_FOUND", "what": "it is gone", "why": "x", "how": "y"}
            await second.hear_and_answer("attach", "refused", **gone)

    assert told == [{**OUTPUT, "seq": 1}]
