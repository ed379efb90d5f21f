"""Unit tests: what executions tell comes into a real journal in their order, whoever tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from actors.testing import cancel_at_each_checkpoint
from pyrepl3.config import JournalConfig
from pyrepl3.errors import Code, SessionLost
from pyrepl3.events import Error, Event, Output, Result, Started, Usage
from pyrepl3.hosting.executions import Executions, Record
from pyrepl3.hosting.journal_channel import JournalChannel
from pyrepl3.journal.journal import Journal
from pyrepl3.journal.journals import open_journals
from pyrepl3.messages import EVENT_CAPACITY, Refused
from pyrepl3.telemetry.notes import bound, bound_fields
from pyrepl3.wire.client_requests import Execute

EVENT_BYTES = 1000
REFUSAL = SessionLost(what="it is gone", why="because", how="no")


@attrs.define(eq=False)
class Book:
    """A session's part: it writes what it is given, and remembers it."""

    journal: Journal
    executions: Executions = attrs.field(factory=Executions)
    told: list[tuple[str, str]] = attrs.field(factory=list)
    ended: list[str] = attrs.field(factory=list)
    ids: list[object] = attrs.field(factory=list)
    _latest: JournalChannel | None = None

    def write(self, record: Record, event: Event) -> None:
        seq = self.journal.append(lambda _: bytes(EVENT_BYTES)).seq
        self.told.append((record.execution, type(event).__name__))
        self.ids.append(bound_fields().get("execution"))
        if isinstance(event, Result | Error):
            self.executions.end(record, seq=seq)

    def end(self, record: Record) -> None:
        self.ended.append(record.execution)

    def channel(self, execution: str) -> JournalChannel:
        request = Execute(id=1, session="s", execution=execution, code="1")
        record = self.executions.accept(request, since=0)
        with bound(execution=execution):
            return JournalChannel(record, None, self.journal, self.write, self.end)

    def accept(self, channel: JournalChannel) -> None:
        channel.accept(self._latest)
        self._latest = channel

    def accepted(self, execution: str) -> JournalChannel:
        channel = self.channel(execution)
        self.accept(channel)
        return channel


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    config = JournalConfig(memory_bytes=4 * EVENT_BYTES, directory=str(tmp_path))
    with open_journals(config) as journals:
        yield Book(journals.open())


def result(execution: str) -> Result:
    return Result(execution, None, False, "", {}, {}, 1, 0.1, Usage(0.0, 0))


def run(channel: JournalChannel, *, prints: int = 0) -> None:
    execution = channel.record.execution
    with channel:
        channel.send_nowait(Started(execution))
        for _ in range(prints):
            channel.send_nowait(Output(execution, "stdout", "x", background=False))
        channel.send_nowait(result(execution))


def whole(*executions: str) -> list[tuple[str, str]]:
    return [(each, kind) for each in executions for kind in ("Started", "Result")]


def test_nothing_is_written_before_it_is_known_to_be_accepted(book: Book) -> None:
    channel = book.channel("a")
    run(channel)
    assert book.told == []
    book.accept(channel)

    assert book.told == whole("a")
    assert book.ended == ["a"]
    assert channel.is_through


def test_what_begins_early_waits_for_those_before_it(book: Book) -> None:
    first, second, third = (book.accepted(each) for each in "abc")
    run(third)
    run(second)
    assert book.told == []
    run(first)

    assert book.told == whole("a", "b", "c")
    assert book.ended == ["a", "b", "c"]


def test_what_was_dropped_from_the_queue_waits_for_nobody(book: Book) -> None:
    first, second, third = (book.accepted(each) for each in "abc")
    with second:
        second.send_nowait(Refused(REFUSAL))
    assert book.told == [("b", "Error")]
    assert not second.is_through
    run(third)
    assert book.told == [("b", "Error")]
    run(first)

    assert book.told == [("b", "Error"), *whole("a", "c")]


def test_an_end_without_a_word_is_told_as_one_of_which_nobody_knows(book: Book) -> None:
    channel = book.accepted("a")
    channel.send_nowait(Started("a"))
    channel.close()
    channel.close()

    assert book.told == [("a", "Started"), ("a", "Error")]
    assert book.ended == ["a"]


def test_it_takes_a_few_events_while_it_waits_for_its_turn_and_no_more(book: Book) -> None:
    first, second = book.accepted("a"), book.accepted("b")
    second.send_nowait(Started("b"))
    for _ in range(EVENT_CAPACITY - 1):
        second.send_nowait(Output("b", "stdout", "x", background=False))
    with pytest.raises(trio.WouldBlock):
        second.send_nowait(result("b"))
    run(first)
    assert len(book.told) == 2 + EVENT_CAPACITY


async def test_who_tells_waits_while_the_journal_has_no_room(book: Book) -> None:
    channel = book.accepted("a")
    channel.send_nowait(Started("a"))
    for _ in range(4):
        channel.send_nowait(Output("a", "stdout", "x", background=False))
    with pytest.raises(trio.WouldBlock):
        channel.send_nowait(result("a"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(book.journal.keep_bounds)
        await channel.send(result("a"))
        nursery.cancel_scope.cancel()
    channel.close()

    assert book.told[-1] == ("a", "Result")
    assert book.journal.has_room


async def test_the_first_event_finds_room_in_any_case(book: Book) -> None:
    first = book.accepted("a")
    first.send_nowait(Started("a"))
    for _ in range(4):
        first.send_nowait(Output("a", "stdout", "x", background=False))
    assert not book.journal.has_room
    dropped = book.accepted("b")
    with dropped:
        dropped.send_nowait(Error("b", "N", "v", [], Code.INTERRUPTED, "kept"))

    assert book.told[-1] == ("b", "Error")


async def test_who_waits_for_its_turn_goes_on_when_it_comes(book: Book) -> None:
    first, second = book.accepted("a"), book.accepted("b")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(book.journal.keep_bounds)
        for _ in range(EVENT_CAPACITY):
            second.send_nowait(Started("b"))

        async def tell() -> None:
            await second.send(result("b"))
            nursery.cancel_scope.cancel()

        nursery.start_soon(tell)
        await wait_all_tasks_blocked()
        assert book.told == []
        run(first)

    assert book.told[-1] == ("b", "Result")


async def test_a_journal_that_has_ended_takes_nothing(book: Book) -> None:
    channel = book.accepted("a")
    book.journal.close()
    with pytest.raises(trio.BrokenResourceError):
        channel.send_nowait(Started("a"))
    with pytest.raises(trio.BrokenResourceError):
        await channel.send(Started("a"))


def test_a_closed_one_takes_nothing(book: Book) -> None:
    channel = book.accepted("a")
    channel.close()
    with pytest.raises(trio.ClosedResourceError):
        channel.send_nowait(Started("a"))


def test_what_is_cut_off_has_an_outcome_all_the_same(book: Book) -> None:
    channels = [book.accepted(each) for each in "ab"]
    channels[1].send_nowait(Started("b"))
    for channel in channels:
        channel.cut_off()

    assert book.told == [("a", "Error"), ("b", "Started"), ("b", "Error")]
    assert book.ended == ["a", "b"]


def test_the_log_knows_the_execution_in_whatever_task_it_is_told(book: Book) -> None:
    first, second = book.accepted("a"), book.accepted("b")
    run(second)
    with bound(execution="another"):
        run(first)

    assert book.ids == ["a", "a", "b", "b"]


def test_ten_thousand_that_waited_are_through_at_once(book: Book) -> None:
    channels = [book.accepted(str(number)) for number in range(10_000)]
    for channel in reversed(channels):
        channel.close()

    assert len(book.ended) == 10_000
    assert all(channel.is_through for channel in channels)


async def test_a_cancelled_send_has_told_it_once_or_not_at_all(tmp_path: Path) -> None:
    with open_journals(JournalConfig(memory_bytes=1, directory=str(tmp_path))) as journals:
        books: list[Book] = []

        async def send_some() -> None:
            books.append(Book(journals.open()))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(books[-1].journal.keep_bounds)
                with books[-1].accepted("a") as channel:
                    channel.send_nowait(Started("a"))
                    await channel.send(Output("a", "stdout", "x", background=False))
                    await channel.send(result("a"))
                nursery.cancel_scope.cancel()

        async for _ in cancel_at_each_checkpoint(send_some):
            kinds = [kind for _, kind in books[-1].told]
            assert [kind for kind in kinds if kind != "Output"] in (
                ["Started", "Result"],
                ["Started", "Error"],  # of which nobody knows
            )
            assert kinds.count("Output") <= 1
            assert books[-1].ended == ["a"]


STEPS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["go on", "accept"])), max_size=40)


@given(steps=STEPS, dropped=st.sets(st.integers(0, 4)))
@settings(deadline=None)
def test_each_is_told_whole_and_behind_those_before_it_in_whatever_order_they_tell(
    steps: list[tuple[int, str]], dropped: set[int]
) -> None:
    with open_journals(JournalConfig()) as journals:
        book = Book(journals.open())
        channels = [book.channel(str(number)) for number in range(5)]
        told: list[list[Event | Refused]] = [
            [Refused(REFUSAL)] if number in dropped else [Started(str(number)), result(str(number))]
            for number in range(5)
        ]
        accepted = 0

        def accept() -> None:
            nonlocal accepted
            book.accept(channels[accepted])
            accepted += 1

        def go_on(number: int) -> None:
            if told[number]:
                channels[number].send_nowait(told[number].pop(0))
                if not told[number]:
                    channels[number].close()

        for number, step in steps:
            if step == "go on":
                go_on(number)
            elif accepted < 5:
                accept()
        while accepted < 5:
            accept()
        for number in range(5):
            while told[number]:
                go_on(number)

        begun = [str(number) for number in range(5) if number not in dropped]
        assert [each for each in book.told if each[0] in begun] == whole(*begun)
        assert sorted(book.ended) == ["0", "1", "2", "3", "4"]
        assert all(channel.is_through for channel in channels)


def test_a_sent_event_is_no_checkpoint_where_there_is_room(book: Book) -> None:
    """Nor does it need a loop: whoever tells is in the middle of something."""
    run(book.accepted("a"), prints=2)

    assert len(book.told) == 4


async def test_who_waits_for_room_hears_when_it_is_cut_off_that_nobody_takes_it(
    book: Book,
) -> None:
    channel = book.accepted("a")
    channel.send_nowait(Started("a"))
    for _ in range(4):
        channel.send_nowait(Output("a", "stdout", "x", background=False))
    async with trio.open_nursery() as nursery:

        async def tell() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await channel.send(result("a"))

        nursery.start_soon(tell)
        await wait_all_tasks_blocked()
        channel.cut_off()
        book.journal.close()

    assert book.told[-1] == ("a", "Error")


async def test_what_is_left_is_told_nothing_any_more(book: Book) -> None:
    first, second = book.accepted("a"), book.accepted("b")
    for _ in range(EVENT_CAPACITY):
        second.send_nowait(Started("b"))
    async with trio.open_nursery() as nursery:

        async def tell() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await second.send(result("b"))

        nursery.start_soon(tell)
        await wait_all_tasks_blocked()
        for channel in (first, second):
            channel.leave()
        book.journal.drop()
    first.close()
    second.close()

    assert book.told == []
    assert book.ended == []
