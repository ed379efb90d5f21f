"""Unit tests: the events of an execution on a service, for whoever asks for them, and their end."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pyrepl3.errors import PyreplError, ServiceUnreachable
from pyrepl3.events import Error, Event, Started
from pyrepl3.remote.event_stream import EventStream

TERMINAL = Error("e", "ValueError", "", [], None, "kept")


def lost() -> PyreplError:
    return ServiceUnreachable(what="it is gone", why="because", how="no")


async def test_events_are_kept_until_they_are_asked_for_and_end_with_the_terminal_one() -> None:
    stream = EventStream("e", lost)
    stream.put(Started("e"))
    stream.put(TERMINAL)

    assert [event async for event in stream] == [Started("e"), TERMINAL]
    assert stream.ended


async def test_what_is_cut_tells_what_it_had_and_then_why_there_is_no_more() -> None:
    stream = EventStream("e", lost)
    stream.put(Started("e"))
    stream.cut()

    assert await anext(stream) == Started("e")
    with pytest.raises(ServiceUnreachable):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_of_several_who_ask_each_gets_something_or_the_end() -> None:
    stream = EventStream("e", lost)
    got: list[Event] = []

    async def read() -> None:
        keep = got.append
        async for event in stream:
            keep(event)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(read)
            await wait_all_tasks_blocked()
            stream.put(Started("e"))
            await wait_all_tasks_blocked()
            stream.put(TERMINAL)

    assert got == [Started("e"), TERMINAL]
