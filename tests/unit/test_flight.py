"""Unit tests: the way of one execution's events to its client, be it quick, slow or gone."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio.testing

from actors import open_reply
from actors.testing import cancel_at_each_checkpoint
from pyrepl3.errors import Code
from pyrepl3.events import Display, Error, Event, Gap, Output, Result, Started, Stream, Usage
from pyrepl3.messages import (
    EVENT_CAPACITY,
    Ask,
    EventReceiver,
    Execute,
    Query,
    Refused,
    Run,
    open_events,
)
from pyrepl3.transport import verdicts
from pyrepl3.transport.flight import SPILL_CHARACTERS, ExecutionFlight, QuestionFlight

RESULT = Result("e", None, False, "", {}, {}, 1, 0.1, Usage(0.0, 0))


def take_off(
    *, wants_started: bool = False, output_bytes: int | None = None
) -> tuple[ExecutionFlight, EventReceiver]:
    send, events = open_events()
    request = Execute("e", "1", send, wants_started=wants_started)
    return ExecutionFlight.of(Run(1, request, output_bytes)), events


def taken(events: EventReceiver) -> list[Event | Refused]:
    """What is there now."""
    found = []
    while True:
        try:
            found.append(events.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return found


def told(events: list[Event | Refused]) -> list[str]:
    """The texts, gaps and ends, in order."""
    return [
        event.data
        if isinstance(event, Output)
        else f"gap {event.bytes}"
        if isinstance(event, Gap)
        else type(event).__name__
        for event in events
    ]


async def everything(events: EventReceiver) -> list[Event | Refused]:
    """All events until the channel's end."""
    return [event async for event in events]


async def finish(
    flight: ExecutionFlight, rests: list[tuple[Stream, str]], terminal: Result | Error
) -> None:
    if not flight.finish(rests, terminal):
        await flight.finish_later()


async def print_all(flight: ExecutionFlight, count: int) -> None:
    for number in range(count):
        await flight.print("stdout", f"{number}", background=False)


async def test_a_quick_client_is_sent_each_event_without_a_wait() -> None:
    flight, events = take_off(wants_started=True)
    flight.begin([Output("e", "stdout", "before", background=True)])
    assert told(taken(events)) == ["Started", "before"]

    await flight.print("stdout", "now", background=False)

    assert told(taken(events)) == ["now"]


async def test_a_client_that_does_not_want_to_know_is_not_told_of_the_start() -> None:
    flight, events = take_off(wants_started=False)
    flight.begin([])

    assert taken(events) == []


async def test_a_slow_client_slows_its_producer_and_misses_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    flight, events = take_off()
    received: list[Event | Refused] = []

    async def read_slowly() -> None:
        async for event in events:
            await trio.sleep(1)
            received.append(event)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_slowly)
        await print_all(flight, 20)
        produced_at = trio.current_time()
        await finish(flight, [], RESULT)

    assert told(received) == [str(number) for number in range(20)] + ["Result"]
    # Ready to take its 1st at once; the channel holds EVENT_CAPACITY behind it.
    assert produced_at >= 20 - EVENT_CAPACITY - 2
    assert trio.current_time() == 21


async def test_an_interrupt_frees_the_producer_that_a_slow_client_blocks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    flight, events = take_off()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(print_all, flight, EVENT_CAPACITY + 5)
        await trio.testing.wait_all_tasks_blocked()
        flight.interrupt(Code.INTERRUPTED, None)
        with trio.fail_after(0.5):
            await trio.testing.wait_all_tasks_blocked()

    assert (flight.code, flight.limit_s) == (Code.INTERRUPTED, None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish, flight, [], RESULT)
        received = await everything(events)
    assert told(received) == [str(number) for number in range(EVENT_CAPACITY + 5)] + ["Result"]


async def test_output_that_waits_for_a_slow_client_after_an_interrupt_is_bounded() -> None:
    flight, events = take_off()
    flight.interrupt(Code.INTERRUPTED, None)
    piece = "x" * (SPILL_CHARACTERS // 4)
    for _ in range(EVENT_CAPACITY + 6):
        await flight.print("stdout", piece, background=False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish, flight, [], RESULT)
        received = await everything(events)

    pieces = [event for event in received if isinstance(event, Output)]
    gaps = [event.bytes for event in received if isinstance(event, Gap)]
    assert len(pieces) == EVENT_CAPACITY + 4
    assert sum(gaps) == 2 * len(piece)
    assert isinstance(received[-1], Result)


async def test_a_client_that_takes_output_again_is_sent_more_also_after_an_interrupt() -> None:
    flight, events = take_off()
    flight.interrupt(Code.INTERRUPTED, None)
    received = []
    piece = "x" * (SPILL_CHARACTERS // 4)
    for _ in range(10):
        for count in (EVENT_CAPACITY + 2, EVENT_CAPACITY - 2):
            for _ in range(count):
                await flight.print("stdout", piece, background=False)
            received += taken(events)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish, flight, [], RESULT)
        received += await everything(events)

    assert [len(event.data) for event in received if isinstance(event, Output)] == (
        [len(piece)] * 20 * EVENT_CAPACITY
    )
    assert not any(isinstance(event, Gap) for event in received)


async def test_the_order_is_kept_over_an_interrupt() -> None:
    flight, events = take_off(wants_started=True)
    flight.begin([])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(print_all, flight, EVENT_CAPACITY)
        await trio.testing.wait_all_tasks_blocked()
        flight.interrupt(Code.EXECUTION_TIMEOUT, 1.0)
    await flight.deliver(Display("e", {}, {}))
    await flight.print("stderr", "last words", background=False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish, flight, [("stdout", "�")], RESULT)
        received = await everything(events)

    numbers = [str(number) for number in range(EVENT_CAPACITY)]
    assert told(received) == ["Started", *numbers, "Display", "last words", "�", "Result"]


async def test_the_limit_of_output_is_told_before_the_end() -> None:
    flight, events = take_off(output_bytes=3)
    for text in ("ab", "cd", "ef"):
        await flight.print("stdout", text, background=False)
    await finish(flight, [], RESULT)

    assert told(taken(events)) == ["ab", "c", "gap 1", "gap 2", "Result"]


async def test_a_client_that_has_gone_holds_up_nobody() -> None:
    flight, events = take_off(wants_started=True)
    flight.begin([])
    events.close()

    await print_all(flight, 3 * EVENT_CAPACITY)
    await finish(flight, [], RESULT)


async def test_a_client_that_goes_while_it_is_waited_for_holds_up_nobody() -> None:
    flight, events = take_off()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(print_all, flight, 3 * EVENT_CAPACITY)
        await trio.testing.wait_all_tasks_blocked()
        events.close()
    await finish(flight, [], RESULT)


async def test_events_that_begin_an_execution_wait_where_the_client_has_no_room() -> None:
    flight, events = take_off(wants_started=True)
    background: list[Output | Gap] = [
        Output("e", "stdout", str(number), background=True) for number in range(EVENT_CAPACITY + 3)
    ]
    flight.begin(background)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish, flight, [], RESULT)
        received = await everything(events)

    numbers = [str(number) for number in range(EVENT_CAPACITY + 3)]
    assert told(received) == ["Started", *numbers, "Result"]


async def test_a_refusal_comes_alone_and_ends_the_channel() -> None:
    flight, events = take_off()
    flight.refuse(verdicts.never_sent())

    assert [type(event) for event in await everything(events)] == [Refused]


@pytest.mark.parametrize("gone", [False, True])
async def test_a_refusal_waits_for_nobody(gone: bool) -> None:
    flight, events = take_off(wants_started=True)
    flight.begin([Output("e", "stdout", "x")] * EVENT_CAPACITY)
    if gone:
        events.close()

    flight.refuse(verdicts.never_sent())


async def test_a_dropped_flight_ends_its_channel() -> None:
    flight, events = take_off()
    flight.drop()

    assert await everything(events) == []


async def test_a_delivery_that_is_cancelled_loses_nothing_it_did_not_send() -> None:
    """The transport is cancelled where its client is slow: what was sent stays in order."""

    async def deliver() -> EventReceiver:
        flight, events = take_off()
        opened.append(events)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_late, events)
            await print_all(flight, EVENT_CAPACITY + 4)
            await finish(flight, [], RESULT)
        return events

    async def read_late(events: EventReceiver) -> None:
        await trio.testing.wait_all_tasks_blocked()
        received.append(events.receive_nowait())
        await trio.testing.wait_all_tasks_blocked()
        with suppress(trio.EndOfChannel):
            while True:
                received.append(await events.receive())

    opened: list[EventReceiver] = []
    received: list[Event | Refused] = []
    expected = [*(str(number) for number in range(EVENT_CAPACITY + 4)), "Result"]
    async for run in cancel_at_each_checkpoint(deliver):
        got = told(received + taken(opened[-1]))
        assert got == expected[: len(got)]
        if not run.cancelled:
            assert got == expected
        received.clear()


def test_flights_are_known_by_their_numbers() -> None:
    flight, _ = take_off()
    reply, _ = open_reply()
    question = QuestionFlight(Ask(7, Query("complete", {}, reply)))

    assert (flight.number, flight.execution, question.number) == (1, "e", 7)
    reply.close()


def test_a_start_is_told_first() -> None:
    flight, events = take_off(wants_started=True)
    flight.begin([])

    assert taken(events) == [Started("e")]
