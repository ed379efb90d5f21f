"""One session's journal, as its writer and its readers use it at the same time.

Owns the waiting: of readers for events, of the writer for the disk. A reader has a place of its
own and no queue, so that a slow one holds up nobody: what it has not read waits in the journal,
within the journal's bounds. Must not know what an event says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from pyrepl3.journal.journal_disk import JournalDisk
from pyrepl3.journal.journal_state import Budget, Entry, JournalState, Stretch
from pyrepl3.journal.journal_store import StoreFailed

BATCH_BYTES = 256 * 2**10
"""What a reader gets at once, from memory or from the disk: enough that the way there costs
little, and all that it can make the service hold for it."""

logger = logging.getLogger("pyrepl3.journal")


@attrs.frozen
class Batch:
    """What comes next for a reader: first what is missing, if anything, then events."""

    gap: Stretch | None
    entries: list[Entry]


Take = Callable[[Entry], bool]


@attrs.define(eq=False)
class _Waiting:
    """A reader that has all up to ``place``, and takes what comes next where it is told."""

    place: int
    take: Take


@attrs.define(eq=False)
class Journal:
    """Made by `Journals.open`."""

    number: int
    _budget: Budget
    _disk: JournalDisk
    _state: JournalState = attrs.field(
        default=attrs.Factory(lambda self: JournalState(self._budget), takes_self=True), init=False
    )
    _closed: bool = attrs.field(default=False, init=False)
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)
    _waiting: list[_Waiting] = attrs.field(factory=list, init=False)
    _spilling: bool = attrs.field(default=False, init=False)
    _spilled: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when there may be room again; made anew for whoever waits then."""
    _is_over: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when it is over its bounds."""
    _is_dropped: bool = attrs.field(default=False, init=False)
    _is_on_disk: bool = attrs.field(default=False, init=False)
    """Whether the disk may hold something of it, though it was dropped."""

    @property
    def last_seq(self) -> int:
        """The number of the latest event; 0 when there is none."""
        return self._state.last_seq

    @property
    def oldest_seq(self) -> int:
        """The number of the first event that can still be had."""
        return self._state.oldest_seq

    @property
    def has_room(self) -> bool:
        """Whether it is in its bounds: if not, whoever writes waits in `wait_room` first."""
        return self._state.has_room

    @property
    def is_closed(self) -> bool:
        """Whether its last event has been told: its session is over."""
        return self._closed

    # --- writing --------------------------------------------------------------------------------

    def append(self, make_body: Callable[[int], bytes], *, can_wait: bool = False) -> Entry:
        """One more event; ``make_body`` gives its bytes, told its number. Readers wake."""
        entry = self._state.append(make_body, can_wait=can_wait)
        have_all_taken = True
        for reader in self._waiting:
            if reader.place == entry.seq - 1 and reader.take(entry):
                reader.place = entry.seq
            else:
                have_all_taken = False
        if not have_all_taken:
            self._wake()
        if not self._state.has_room:
            self._is_over.set()
        return entry

    async def wait_room(self) -> None:
        """Until it is in its bounds, or has ended: so that whoever prints waits for the disk.

        Only while somebody runs `keep_bounds`; who waits here can be cancelled at once, however
        long the disk takes.
        """
        while not (self.has_room or self._closed):
            self._is_over.set()  # it may be by what others hold
            await self._wait_spilled()

    async def _wait_spilled(self) -> None:
        if self._spilled.is_set():
            self._spilled = trio.Event()
        await self._spilled.wait()

    async def keep_bounds(self) -> None:
        """Make room whenever there is none, until cancelled."""
        while True:
            await self._is_over.wait()
            self._is_over = trio.Event()
            await self.make_room()

    async def make_room(self) -> None:
        """Bring the journal back into its bounds, if it is over them.

        What cannot be written is forgotten, and told as a gap.
        """
        if self._spilling:
            await self._wait_spilled()
            return
        surplus = self._state.surplus()
        if not surplus:
            self._spilled.set()
            return
        self._spilling = True
        try:
            while surplus:
                await self._spill(surplus)
                surplus = self._state.surplus()
        finally:
            self._spilling = False
            self._spilled.set()

    async def _spill(self, surplus: list[Entry]) -> None:
        before = self._state.oldest_seq
        try:
            await self._disk.write(self.number, surplus)
        except StoreFailed as error:
            if not self._is_dropped:
                self._complain(error)
                self._state.lost(surplus)
                self._wake()
            return
        if self._is_dropped:
            return
        keep_from = self._state.written(surplus)
        if keep_from > before:
            try:
                await self._disk.remove(self.number, before=keep_from)
            except StoreFailed as error:
                self._complain(error)

    def close(self) -> None:
        """There are no more events: readers that have come to the end are told."""
        self._closed = True
        self._wake()
        self._spilled.set()

    def drop(self) -> None:
        """Nobody will read it any more. What it has on disk stays until `discard`, or goes with all
        journals."""
        self.close()
        self._is_dropped = True
        self._is_on_disk = self._is_on_disk or self._spilling or self._state.disk_bytes > 0
        self._state.discard()

    async def discard(self) -> None:
        """Drop it, and make room on the disk."""
        self.drop()
        if self._is_on_disk:
            try:
                await self._disk.remove(self.number)
            except StoreFailed as error:
                self._complain(error)

    # --- reading --------------------------------------------------------------------------------

    async def read(self, since: int, take: Take | None = None) -> Batch | None:
        """What comes behind the event ``since``, as soon as there is something.

        None when nothing will come any more. A reader goes on from the last number of what it
        got: that of the last event, or of the gap. While it waits, it may ``take`` an event in the
        very moment in which it is told, without a turn of its own; where that gives False, it gets
        it here.
        """
        has_waited = False
        while True:
            gap = self._state.gap_after(since)
            place = since if gap is None else gap.last
            entries = self._state.in_memory(place, at_most_bytes=BATCH_BYTES)
            if not entries and gap is None and self._state.on_disk(place):
                entries = await self._read_disk(place)
                if not entries:
                    continue  # forgotten meanwhile
            if entries or gap is not None:
                if not has_waited:
                    await trio.lowlevel.checkpoint()
                return Batch(gap, entries)
            if self._closed:
                await trio.lowlevel.checkpoint()
                return None
            since = await self._wait_news(since, take)
            has_waited = True

    async def _wait_news(self, since: int, take: Take | None) -> int:
        """Until there is something that was not taken; up to where all was."""
        reader = _Waiting(since, take or _take_nothing)
        self._waiting.append(reader)
        try:
            await self._news.wait()
        finally:
            self._waiting.remove(reader)
        return reader.place

    async def _read_disk(self, since: int) -> list[Entry]:
        try:
            entries = await self._disk.read(self.number, first=since + 1, at_most_bytes=BATCH_BYTES)
        except StoreFailed as error:
            self._complain(error)
            self._state.lose_disk()
            return []
        if entries and entries[0].seq == since + 1:
            return entries
        # The first ones may have been removed while the thread was waited for, and only then.
        if self._state.on_disk(since):
            self._complain(StoreFailed("it does not have what was written there"))
            self._state.lose_disk()
        return []

    def _wake(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()

    def _complain(self, error: StoreFailed) -> None:
        logger.warning("events of a session are forgotten, as the disk failed: %s", error)


def _take_nothing(entry: Entry) -> bool:
    return False
