"""The journals' database, from trio: opened when it is first needed, asked in a thread.

Owns the thread. One call at a time: SQLite would have them wait anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs
import trio

from pyrepl3.journal.journal_state import Entry
from pyrepl3.journal.journal_store import JournalStore, StoreFailed

T = TypeVar("T")


@attrs.define(eq=False)
class JournalDisk:
    """All methods but `close` raise StoreFailed. A cancelled one was done, or not begun."""

    directory: str | None
    _store: JournalStore | None = attrs.field(default=None, init=False)
    _one_at_a_time: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(1), init=False
    )
    _calls: int = attrs.field(default=0, init=False)
    """Under way, or waiting for one that is."""
    _is_closed: bool = attrs.field(default=False, init=False)

    async def write(self, journal: int, entries: Sequence[Entry]) -> None:
        """As of `JournalStore`; as are the others."""
        await self._in_thread(lambda store: store.write(journal, entries))

    async def read(self, journal: int, *, first: int, at_most_bytes: int) -> list[Entry]:
        return await self._in_thread(
            lambda store: store.read(journal, first=first, at_most_bytes=at_most_bytes)
        )

    async def remove(self, journal: int, *, before: int | None = None) -> None:
        await self._in_thread(lambda store: store.remove(journal, before=before))

    def close(self) -> None:
        """The end of all journals. A call under way, by who still prints, comes to its own end
        first: SQLite does not survive that its database is closed in the midst of one."""
        self._is_closed = True
        if not self._calls:
            self._close_store()

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    async def _in_thread(self, call: Callable[[JournalStore], T]) -> T:
        def opened() -> T:
            if self._is_closed:
                raise StoreFailed("the journals have ended")
            if self._store is None:
                self._store = JournalStore.open(self.directory)
            return call(self._store)

        self._calls += 1
        try:
            return await trio.to_thread.run_sync(opened, limiter=self._one_at_a_time)
        except RuntimeError as error:  # "can't start new thread"
            raise StoreFailed(str(error)) from error
        finally:
            self._calls -= 1
            if self._is_closed and not self._calls:
                self._close_store()
