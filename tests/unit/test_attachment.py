"""Unit tests: a client's place in a real journal, of which it may ask for earlier events too."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from actors import Address, Inbox, open_mailbox
from actors.testing import cancel_at_each_checkpoint
from pyrepl3.config import JournalConfig
from pyrepl3.endpoint.attachment import Attachment
from pyrepl3.endpoint.outbox import Outbox
from pyrepl3.hosting.hosting_messages import Attached, Detached, HostedMessage, Opened
from pyrepl3.journal.journal import Journal
from pyrepl3.journal.journal_state import Entry, Stretch
from pyrepl3.journal.journals import open_journals

BODY = bytes(100)
ROOMY = JournalConfig()
TIGHT = JournalConfig(memory_bytes=500, least_memory_bytes=500, disk_bytes=1000)


@attrs.define(eq=False)
class Reader:
    """A client that takes all that it is sent."""

    journal: Journal
    inbox: Inbox[HostedMessage]
    attachment: Attachment
    entries: list[int]
    gaps: list[Stretch]

    @property
    def numbers(self) -> list[int]:
        """Of all events that came, or are told to be gone, in order."""
        gone = [number for gap in self.gaps for number in range(gap.first, gap.last + 1)]
        return sorted([*self.entries, *gone])


def reader_of(journal: Journal, since: int, *, is_quick: bool = False) -> Reader:
    """``is_quick``: it takes every other event in the moment in which it is told."""
    entries: list[int] = []
    gaps: list[Stretch] = []
    address: Address[HostedMessage]
    inbox: Inbox[HostedMessage]
    address, inbox = open_mailbox(1000)
    opened = Opened(
        session="s",
        template="t",
        journal=journal,
        address=address,
        directory="/",
        pid=1,
        warm=True,
        wait_s=0.0,
    )

    async def send_entry(entry: Entry) -> None:
        await trio.lowlevel.checkpoint()
        entries.append(entry.seq)

    async def send_gap(session: str, gap: Stretch) -> None:
        await trio.lowlevel.checkpoint()
        gaps.append(gap)

    def send_nowait(entry: Entry) -> bool:
        if entry.seq % 2 or not is_quick:
            return False
        entries.append(entry.seq)
        return True

    attachment = Attachment(opened, since, send_entry, send_gap, send_nowait=send_nowait)
    return Reader(journal, inbox, attachment, entries, gaps)


async def tell(journal: Journal, events: int) -> None:
    for _ in range(events):
        journal.append(lambda _: BODY)
        await journal.make_room()


async def test_what_lies_before_its_place_is_sent_when_it_is_asked_for() -> None:
    with open_journals(ROOMY) as journals:
        journal = journals.open()
        await tell(journal, 10)
        reader = reader_of(journal, 8)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.attachment.run)
            await wait_all_tasks_blocked()
            assert reader.entries == [9, 10]
            reader.attachment.reach_back(5)
            reader.attachment.reach_back(6)  # has been asked for just now
            await wait_all_tasks_blocked()
            assert reader.entries == [9, 10, 6, 7, 8]
            reader.attachment.reach_back(0)
            await tell(journal, 1)
            await wait_all_tasks_blocked()
            assert reader.entries == [9, 10, 6, 7, 8, 1, 2, 3, 4, 5, 11]
            reader.attachment.reach_back(0)
            journal.close()

    assert reader.numbers == list(range(1, 12))
    assert reader.attachment.is_over


async def test_earlier_events_that_are_asked_for_at_the_end_are_sent_before_it() -> None:
    with open_journals(ROOMY) as journals:
        journal = journals.open()
        await tell(journal, 3)
        reader = reader_of(journal, 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.attachment.run)
            await wait_all_tasks_blocked()
            journal.close()
            reader.attachment.reach_back(0)

    assert reader.entries == [3, 1, 2]


async def test_who_has_detached_is_sent_nothing_more_though_there_is_room_for_it() -> None:
    written: list[str | bytes] = []

    async def write(frames: Sequence[str | bytes]) -> None:
        await trio.lowlevel.checkpoint()
        written.extend(frames)

    outbox = Outbox(write, 30.0)
    with open_journals(ROOMY) as journals:
        journal = journals.open()
        reader = reader_of(journal, 0)

        async def send_entry(entry: Entry) -> None:
            await outbox.wait_room()
            outbox.post(entry.body)

        reader.attachment.send_entry = send_entry
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            nursery.start_soon(reader.attachment.run)
            await wait_all_tasks_blocked()
            await tell(journal, 1)  # which wakes it
            reader.attachment.scope.cancel()
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    assert written == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(1, 12)),
        st.tuples(st.just("reach back"), st.integers(0, 40)),
        st.tuples(st.just("settle"), st.just(0)),
    ),
    max_size=12,
)


@given(
    steps=STEPS,
    before=st.integers(0, 20),
    since=st.integers(0, 20),
    tight=st.booleans(),
    quick=st.booleans(),
)
@settings(deadline=None, max_examples=100)
def test_each_event_comes_once_or_is_told_to_be_gone(
    steps: list[tuple[str, int]], before: int, since: int, tight: bool, quick: bool
) -> None:
    """Whatever is told and asked for meanwhile, also where the journal forgets."""
    trio.run(partial(play, steps, before, min(since, before), TIGHT if tight else ROOMY, quick))


async def play(
    steps: list[tuple[str, int]], before: int, since: int, config: JournalConfig, quick: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = attrs.evolve(config, directory=folder)
        with open_journals(config) as journals:
            journal = journals.open()
            await tell(journal, before)
            reader = reader_of(journal, since, is_quick=quick)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.attachment.run)
                for step, number in steps:
                    if step == "tell":
                        await tell(journal, number)
                    elif step == "reach back":
                        reader.attachment.reach_back(number)
                        since = min(since, number)
                    else:
                        await wait_all_tasks_blocked()
                journal.close()

    assert reader.numbers == list(range(since + 1, journal.last_seq + 1))


async def test_who_detached_was_counted_once_at_whatever_moment_it_was_cancelled() -> None:
    with open_journals(ROOMY) as journals:
        journal = journals.open()
        await tell(journal, 3)
        readers: list[Reader] = []

        async def follow() -> None:
            reader = reader_of(journal, 2)
            readers.append(reader)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.attachment.run)
                await wait_all_tasks_blocked()
                reader.attachment.reach_back(0)
                await wait_all_tasks_blocked()
                reader.attachment.scope.cancel()

        async for _ in cancel_at_each_checkpoint(follow):
            counted = []
            while True:
                try:
                    counted.append(readers[-1].inbox.receive_nowait())
                except trio.WouldBlock:
                    break
            assert counted in ([], [Attached(), Detached()])
            assert readers[-1].attachment.is_over or not counted

    assert readers[-1].entries == [3, 1, 2]


async def test_one_that_is_held_counts_at_once_and_sends_from_where_it_is_told() -> None:
    with open_journals(ROOMY) as journals:
        journal = journals.open()
        await tell(journal, 3)
        readers: list[Reader] = []

        async def follow() -> None:
            reader = reader_of(journal, 0)
            reader.attachment.is_held = True
            readers.append(reader)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.attachment.run)
                await reader.attachment.told.wait()
                assert reader.inbox.receive_nowait() == Attached()
                await wait_all_tasks_blocked()
                assert reader.entries == []
                reader.attachment.reach_back(2)
                await wait_all_tasks_blocked()
                reader.attachment.reach_back(1)
                await wait_all_tasks_blocked()
                reader.attachment.scope.cancel()

        async for _ in cancel_at_each_checkpoint(follow):
            assert readers[-1].attachment.told.is_set() or not readers[-1].attachment.is_over

    assert readers[-1].entries == [3, 2]


async def test_one_that_was_only_held_has_not_left_when_it_ends() -> None:
    with open_journals(ROOMY) as journals:
        reader = reader_of(journals.open(), 0)
        reader.attachment.is_held = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.attachment.run)
            await reader.attachment.told.wait()
            reader.attachment.scope.cancel()

    assert reader.inbox.receive_nowait() == Attached()
    assert reader.inbox.receive_nowait() == Detached(has_left=False)


async def test_who_takes_events_at_once_takes_none_once_it_is_let_go_of() -> None:
    with open_journals(ROOMY) as journals:
        journal = journals.open()
        reader = reader_of(journal, 0, is_quick=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.attachment.run)
            await wait_all_tasks_blocked()
            await tell(journal, 2)
            await wait_all_tasks_blocked()
            await tell(journal, 1)
            await wait_all_tasks_blocked()
            journal.append(lambda _: BODY)
            assert reader.entries == [1, 2, 3, 4]
            reader.attachment.scope.cancel()
            await tell(journal, 2)

    assert reader.entries == [1, 2, 3, 4]
