"""One session's events in order: which are in memory, which on disk, which are forgotten.

Pure: decides and counts, holds what is in memory, and names what is to be written or removed.
Must not know trio, a disk, nor what an event's bytes mean.

Events are numbered from 1 without holes. At any time there are three stretches, from old to new,
each maybe empty: forgotten, on disk, in memory.

    1 ... oldest_seq - 1 | oldest_seq ... memory_from - 1 | memory_from ... last_seq
          forgotten      |          on disk               |        in memory
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import attrs

from pyrepl3.config import JournalConfig

FORGOTTEN_STRETCHES = 256
"""Remembered apart, with their bytes; the oldest of more are told as one."""


@attrs.frozen
class Entry:
    """One event as it is sent: a msgpack map that holds its ``seq`` too."""

    seq: int
    body: bytes
    can_wait: bool = False
    """Whether nobody minds getting it a moment later, together with the next one."""


@attrs.frozen
class Stretch:
    """Neighbouring events, first and last included."""

    first: int
    last: int
    bytes: int


@attrs.define(eq=False)
class Budget:
    """What all journals of a service hold together."""

    config: JournalConfig
    memory_bytes: int = 0
    disk_bytes: int = 0


@attrs.define(eq=False)
class JournalState:
    """The journal of one session. Its bounds are the configuration's, and the service's in all."""

    budget: Budget
    last_seq: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    _memory: deque[Entry] = attrs.field(factory=deque)
    _disk: deque[Stretch] = attrs.field(factory=deque)
    _forgotten: deque[Stretch] = attrs.field(factory=deque)

    @property
    def memory_from(self) -> int:
        """The first event that is in memory; the next to come when none is."""
        return self._memory[0].seq if self._memory else self.last_seq + 1

    @property
    def oldest_seq(self) -> int:
        """The first event that can still be had; the next to come when there is none."""
        return self._disk[0].first if self._disk else self.memory_from

    def append(self, make_body: Callable[[int], bytes], *, can_wait: bool = False) -> Entry:
        """One more event; ``make_body`` gives its bytes, told the number that it has."""
        entry = Entry(self.last_seq + 1, make_body(self.last_seq + 1), can_wait)
        self.last_seq = entry.seq
        self._memory.append(entry)
        self._count_memory(len(entry.body))
        return entry

    # --- from memory to disk ------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether nothing has to go to disk."""
        return self.memory_bytes <= self._allowed_bytes()

    def _allowed_bytes(self) -> int:
        config = self.budget.config
        allowed = config.memory_bytes
        if self.budget.memory_bytes > config.total_memory_bytes:
            allowed = min(allowed, config.least_memory_bytes)
        return allowed

    def surplus(self) -> list[Entry]:
        """The oldest events in memory that have to go to disk; empty while there is room.

        They stay in memory until `written` or `lost` tells what became of them.
        """
        allowed = self._allowed_bytes()
        if self.memory_bytes <= allowed:
            return []
        # Half at once: a write for every event would cost more than the event.
        surplus_bytes = self.memory_bytes - allowed // 2
        chosen: list[Entry] = []
        for entry in self._memory:
            if surplus_bytes <= 0:
                break
            chosen.append(entry)
            surplus_bytes -= len(entry.body)
        return chosen

    def written(self, entries: Sequence[Entry]) -> int:
        """These are on disk now. Returns the first event that may stay there: what is older has
        no room, and is to be removed."""
        stretch = self._take_from_memory(entries)
        self._disk.append(stretch)
        self._count_disk(stretch.bytes)
        config = self.budget.config
        while self._disk and (
            self.disk_bytes > config.disk_bytes or self.budget.disk_bytes > config.total_disk_bytes
        ):
            oldest = self._disk.popleft()
            self._count_disk(-oldest.bytes)
            self._forget(oldest)
        return self._disk[0].first if self._disk else self.memory_from

    def lost(self, entries: Sequence[Entry]) -> None:
        """These could not be written. They are forgotten, and what is older with them: a journal
        has no holes."""
        self.lose_disk()
        self._forget(self._take_from_memory(entries))

    def lose_disk(self) -> None:
        """What is on disk cannot be read: it is forgotten."""
        for stretch in self._disk:
            self._count_disk(-stretch.bytes)
            self._forget(stretch)
        self._disk.clear()

    def discard(self) -> None:
        """The session and its journal are gone: what they held is free."""
        self._count_memory(-self.memory_bytes)
        self._count_disk(-self.disk_bytes)
        self._memory.clear()
        self._disk.clear()

    # --- reading --------------------------------------------------------------------------------

    def gap_after(self, since: int) -> Stretch | None:
        """What of the events behind ``since`` is forgotten, as one stretch; None: nothing.

        Its bytes count whole stretches that were forgotten: they may be a little more.
        """
        first, last = since + 1, self.oldest_seq - 1
        if first > last:
            return None
        return Stretch(
            first, last, sum(each.bytes for each in self._forgotten if each.last >= first)
        )

    def in_memory(self, since: int, *, at_most_bytes: int) -> list[Entry]:
        """The events behind ``since``, one at least where there is one, up to so many bytes.

        Empty when there are none yet, and when the next one is not in memory.
        """
        if not self.memory_from <= since + 1 <= self.last_seq:
            return []
        entries: list[Entry] = []
        # By index: from its ends a deque is as quick as a list, and readers are near the last one.
        for index in range(since + 1 - self.memory_from, len(self._memory)):
            entry = self._memory[index]
            at_most_bytes -= len(entry.body)
            if entries and at_most_bytes < 0:
                break
            entries.append(entry)
        return entries

    def on_disk(self, since: int) -> bool:
        """Whether the event behind ``since`` is on disk."""
        return self.oldest_seq <= since + 1 < self.memory_from

    # --- counting -------------------------------------------------------------------------------

    def _take_from_memory(self, entries: Sequence[Entry]) -> Stretch:
        for entry in entries:
            taken = self._memory.popleft()
            assert taken is entry, (taken.seq, entry.seq)
        size = sum(len(entry.body) for entry in entries)
        self._count_memory(-size)
        return Stretch(entries[0].seq, entries[-1].seq, size)

    def _forget(self, stretch: Stretch) -> None:
        self._forgotten.append(stretch)
        if len(self._forgotten) > FORGOTTEN_STRETCHES:
            old, next_old = self._forgotten.popleft(), self._forgotten.popleft()
            self._forgotten.appendleft(
                Stretch(old.first, next_old.last, old.bytes + next_old.bytes)
            )

    def _count_memory(self, change: int) -> None:
        self.memory_bytes += change
        self.budget.memory_bytes += change

    def _count_disk(self, change: int) -> None:
        self.disk_bytes += change
        self.budget.disk_bytes += change
