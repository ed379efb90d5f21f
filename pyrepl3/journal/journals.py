"""All journals of a service: what they share, and its end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from pyrepl3.config import JournalConfig
from pyrepl3.journal.journal import Journal
from pyrepl3.journal.journal_disk import JournalDisk
from pyrepl3.journal.journal_state import Budget


@attrs.define(eq=False)
class Journals:
    """Opens journals that keep one budget, and one disk."""

    _budget: Budget
    _disk: JournalDisk
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    def open(self) -> Journal:
        """A new, empty one."""
        return Journal(next(self._numbers), self._budget, self._disk)

    @property
    def memory_bytes(self) -> int:
        """What all of them hold in memory."""
        return self._budget.memory_bytes

    @property
    def disk_bytes(self) -> int:
        """What all of them hold on disk."""
        return self._budget.disk_bytes


@contextmanager
def open_journals(config: JournalConfig) -> Iterator[Journals]:
    """The journals of one service, for the length of the block; nothing of them outlives it, but
    what is being written then."""
    disk = JournalDisk(config.directory)
    try:
        yield Journals(Budget(config), disk)
    finally:
        disk.close()
