"""Unit tests: a journal with its writer, its readers, and a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pyrepl3.config import JournalConfig
from pyrepl3.journal.journal import BATCH_BYTES, Journal
from pyrepl3.journal.journal_state import Entry, Stretch
from pyrepl3.journal.journals import Journals, open_journals

EVENT_BYTES = 1000


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Journals]:
    config = JournalConfig(memory_bytes=10_000, disk_bytes=50_000, directory=str(tmp_path))
    with open_journals(config) as opened:
        yield opened


@pytest.fixture
def journal(journals: Journals) -> Journal:
    return journals.open()


def body(seq: int) -> bytes:
    return seq.to_bytes(4, "big") * (EVENT_BYTES // 4)


async def tell(journal: Journal, events: int) -> None:
    for _ in range(events):
        journal.append(body)
        await journal.make_room()


async def followed(journal: Journal, since: int = 0) -> AsyncIterator[Stretch | Entry]:
    while (batch := await journal.read(since)) is not None:
        if batch.gap is not None:
            yield batch.gap
            since = batch.gap.last
        for entry in batch.entries:
            yield entry
            since = entry.seq


async def all_of(journal: Journal, since: int = 0) -> list[Stretch | Entry]:
    return [each async for each in followed(journal, since)]


def entries(first: int, last: int) -> list[Entry]:
    return [Entry(seq, body(seq)) for seq in range(first, last + 1)]


async def test_a_reader_gets_all_in_order_from_memory_and_disk(journal: Journal) -> None:
    await tell(journal, 40)
    journal.close()

    assert await all_of(journal) == entries(1, 40)
    assert await all_of(journal, since=37) == entries(38, 40)
    assert await all_of(journal, since=40) == []


async def test_a_reader_waits_for_what_is_to_come(journal: Journal) -> None:
    got: list[Stretch | Entry] = []

    async def read() -> None:
        keep = got.append
        async for each in followed(journal):
            keep(each)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        assert got == []
        await tell(journal, 1)
        await wait_all_tasks_blocked()
        assert got == entries(1, 1)
        journal.close()


async def test_what_went_over_the_disks_bound_is_told_as_a_gap(journal: Journal) -> None:
    await tell(journal, 200)
    journal.close()
    gap, *rest = await all_of(journal)

    assert gap == Stretch(1, 200 - len(rest), (200 - len(rest)) * EVENT_BYTES)
    assert rest == entries(201 - len(rest), 200)
    assert len(rest) > 40


async def test_a_slow_reader_misses_what_is_gone_and_no_more(journal: Journal) -> None:
    await tell(journal, 5)
    first = await journal.read(0)
    assert first is not None
    await tell(journal, 200)
    journal.close()
    rest = await all_of(journal, since=first.entries[-1].seq)

    gap = rest[0]
    assert isinstance(gap, Stretch)
    assert gap.first == 6
    assert rest[1:] == entries(gap.last + 1, 205)


async def test_a_batch_is_bounded(tmp_path: Path) -> None:
    with open_journals(JournalConfig(directory=str(tmp_path))) as journals:
        journal = journals.open()
        await tell(journal, 3000)
        for since in (0, 2500):
            batch = await journal.read(since)
            assert batch is not None
            size = sum(len(entry.body) for entry in batch.entries)
            assert BATCH_BYTES - EVENT_BYTES < size <= BATCH_BYTES


async def test_many_writers_keep_the_bound_together(journals: Journals, journal: Journal) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(tell, journal, 20)
    journal.close()

    assert journals.memory_bytes <= 10_000
    assert [each for each in await all_of(journal) if isinstance(each, Entry)] == entries(
        journal.oldest_seq, 200
    )


async def test_where_there_is_no_disk_the_writer_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = JournalConfig(memory_bytes=10_000, directory=str(tmp_path / "none"))
    with open_journals(config) as journals:
        journal = journals.open()
        await tell(journal, 30)
        journal.close()
        gap, *rest = await all_of(journal)

    assert isinstance(gap, Stretch)
    assert (gap.first, rest) == (1, entries(gap.last + 1, 30))
    assert "the disk failed" in caplog.text


async def test_what_the_disk_has_lost_is_a_gap_and_not_asked_for_again(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    await tell(journal, 30)
    journal.close()
    await journal._disk.remove(journal.number)
    gap, *rest = await all_of(journal)

    assert isinstance(gap, Stretch)
    assert rest == entries(gap.last + 1, 30)
    assert "does not have what was written" in caplog.text


async def test_a_cancelled_writer_loses_nothing(journal: Journal) -> None:
    told = 0
    for checkpoints in range(12):
        with trio.CancelScope() as scope:
            for _ in range(6):
                journal.append(body)
                told += 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(journal.make_room)
                for _ in range(checkpoints):
                    await trio.lowlevel.cancel_shielded_checkpoint()
                scope.cancel()
    await tell(journal, 1)
    journal.close()

    read = await all_of(journal)
    gaps = [each for each in read if isinstance(each, Stretch)]
    assert read[len(gaps) :] == entries(journal.oldest_seq, told + 1)


async def test_a_cancelled_reader_can_begin_again(journal: Journal) -> None:
    await tell(journal, 30)
    with trio.CancelScope() as scope:
        scope.cancel()
        await journal.read(0)
    assert scope.cancelled_caught
    journal.close()

    assert await all_of(journal) == entries(1, 30)


async def test_a_discarded_journal_holds_nothing_and_its_readers_end(
    journals: Journals, journal: Journal
) -> None:
    other = journals.open()
    await tell(journal, 30)
    await tell(other, 30)
    held = journals.disk_bytes
    await journal.discard()

    assert journals.disk_bytes < held
    assert await journal.read(30) is None
    other.close()
    assert await all_of(other) == entries(1, 30)


async def test_a_reader_takes_what_is_told_while_it_waits_in_that_very_moment(
    journal: Journal,
) -> None:
    await tell(journal, 2)
    taken: list[Entry] = []
    got: list[int] = []

    def take(entry: Entry) -> bool:
        if len(taken) == 2:
            return False
        taken.append(entry)
        return True

    async def read() -> None:
        batch = await journal.read(2, take)
        assert batch is not None
        got.extend(entry.seq for entry in batch.entries)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        for number in (3, 4):
            journal.append(body)
            assert [entry.seq for entry in taken][-1] == number
        await wait_all_tasks_blocked()
        assert got == []
        await tell(journal, 2)  # one that it does not take, and one behind it

    assert [entry.seq for entry in taken] == [3, 4]
    assert got == [5, 6]


async def test_one_that_takes_keeps_nobody_else_from_reading(journal: Journal) -> None:
    taken: list[int] = []
    got: list[Stretch | Entry] = []

    async def read() -> None:
        got.extend(await all_of(journal))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(journal.read, 0, lambda entry: not taken.append(entry.seq))
        await wait_all_tasks_blocked()
        await tell(journal, 3)
        journal.close()

    assert taken == [1, 2, 3]
    assert got == entries(1, 3)


async def test_one_that_was_cancelled_takes_nothing_any_more(journal: Journal) -> None:
    taken: list[int] = []
    with trio.move_on_after(0):
        await journal.read(0, lambda entry: not taken.append(entry.seq))
    await tell(journal, 1)

    assert taken == []


@pytest.mark.parametrize("has_written", [False, True])
async def test_one_that_is_discarded_while_it_is_written_leaves_nothing_on_the_disk(
    has_written: bool, journals: Journals, journal: Journal
) -> None:
    if has_written:
        await tell(journal, 30)
    for _ in range(30):
        journal.append(body)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.make_room)
        await trio.lowlevel.checkpoint()
        nursery.start_soon(journal.discard)

    assert (journals.memory_bytes, journals.disk_bytes) == (0, 0)
    assert await journal._disk.read(journal.number, first=1, at_most_bytes=1) == []


async def test_what_is_being_written_when_all_journals_end_is_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with trio.open_nursery() as nursery:
        config = JournalConfig(memory_bytes=1, directory=str(tmp_path))
        with open_journals(config) as journals:
            several = [journals.open() for _ in range(2)]
            for journal in several:
                await tell(journal, 1)
                for _ in range(20_000):
                    journal.append(body)
                nursery.start_soon(journal.make_room)
            await wait_all_tasks_blocked()
            for journal in several:
                journal.drop()

    assert several[0]._disk._store is None
    assert caplog.text == ""


async def test_who_waits_for_room_goes_on_when_there_is_some_or_it_has_ended(
    journal: Journal,
) -> None:
    await journal.wait_room()  # there is: this does not wait
    for _ in range(30):
        journal.append(body)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.wait_room)
        nursery.start_soon(journal.wait_room)
        await wait_all_tasks_blocked()
        assert not journal.has_room
        journal.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.keep_bounds)
        while not journal.has_room:  # noqa: ASYNC110  # closed, it is waited for by nobody
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()


async def test_who_waits_for_room_is_let_go_also_where_others_made_it(tmp_path: Path) -> None:
    config = JournalConfig(
        memory_bytes=30_000,
        total_memory_bytes=30_000,
        least_memory_bytes=1000,
        directory=str(tmp_path),
    )
    with open_journals(config) as journals:
        one, other = journals.open(), journals.open()
        for journal in (one, other):
            for _ in range(20):
                journal.append(body)
        assert not one.has_room
        with trio.fail_after(5):
            async with trio.open_nursery() as keeping:
                async with trio.open_nursery() as waiting:
                    waiting.start_soon(one.wait_room)
                    await wait_all_tasks_blocked()
                    await other.discard()
                    assert one.has_room
                    keeping.start_soon(one.keep_bounds)
                keeping.cancel_scope.cancel()
