"""The part of all journals that is on disk: one SQLite database a service.

Owns the file and the statements. Blocking: whoever calls it does so in a thread. The file has no
name once it is open, so that nothing of it outlives the service, however that ends; it needs no
durability, and is written without any.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import suppress

import attrs

from pyrepl3.journal.journal_state import Entry

CACHE_KIB = 4096
"""Of pages, in memory: a client that reads what was just written seldom waits for the disk."""

_PRAGMAS = (
    "PRAGMA journal_mode = MEMORY",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = OFF",
    f"PRAGMA cache_size = -{CACHE_KIB}",
)
_TABLE = """
    CREATE TABLE entries (
        journal INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (journal, seq)
    ) WITHOUT ROWID
"""


class StoreFailed(Exception):
    """Raised where the disk is full or broken. What was to be written is not there."""


@attrs.define(eq=False)
class JournalStore:
    """An open database. Its methods raise StoreFailed, and may be called from any thread, one at
    a time."""

    _connection: sqlite3.Connection

    @classmethod
    def open(cls, directory: str | None = None) -> JournalStore:
        """A new, empty one in that directory (None: the system's for temporary files)."""
        try:
            descriptor, path = tempfile.mkstemp(prefix="pyrepl3-journal-", dir=directory)
            os.close(descriptor)
            try:
                # Transactions are begun by hand: the module's own rules differ by version.
                connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                for statement in (*_PRAGMAS, _TABLE):
                    connection.execute(statement)
            finally:
                os.unlink(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreFailed(str(error)) from error
        return cls(connection)

    def write(self, journal: int, entries: Iterable[Entry]) -> None:
        """Add these events of a journal, all or none."""
        rows = [(journal, entry.seq, entry.body) for entry in entries]
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):  # a full disk has rolled it back already
                self._connection.execute("ROLLBACK")
            raise StoreFailed(str(error)) from error

    def read(self, journal: int, *, first: int, at_most_bytes: int) -> list[Entry]:
        """The events of a journal from ``first`` on, one at least, up to so many bytes."""
        entries: list[Entry] = []
        query = "SELECT seq, body FROM entries WHERE journal = ? AND seq >= ? ORDER BY seq"
        try:
            cursor = self._connection.execute(query, (journal, first))
            for seq, body in cursor:
                at_most_bytes -= len(body)
                if entries and at_most_bytes < 0:
                    break
                entries.append(Entry(seq, body))
            cursor.close()
        except sqlite3.Error as error:
            raise StoreFailed(str(error)) from error
        return entries

    def remove(self, journal: int, *, before: int | None = None) -> None:
        """Make room: the events of a journal before that one, or all of them."""
        try:
            if before is None:
                self._connection.execute("DELETE FROM entries WHERE journal = ?", (journal,))
            else:
                query = "DELETE FROM entries WHERE journal = ? AND seq < ?"
                self._connection.execute(query, (journal, before))
        except sqlite3.Error as error:
            raise StoreFailed(str(error)) from error

    def close(self) -> None:
        """Give the file's room back."""
        self._connection.close()
