"""What can be undone in a session, as its client is told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs


@attrs.frozen
class HistoryEntry:
    """One execution that can be undone."""

    execution: str
    private_bytes: int
    """The memory that is kept for that alone."""
    taken_at: float
    """When it began, by the wall clock (seconds since 1970)."""


@attrs.frozen
class History:
    """What can be undone, and what of it was undone and can be redone; the oldest first."""

    entries: Sequence[HistoryEntry]
    undone: Sequence[HistoryEntry]
    dropped: int
    """How many gave way to newer ones so far."""
    count: int
    """How many there may be of both together; 0: no history is kept."""
    bytes: int
    """How much memory they may hold."""

    @property
    def private_bytes(self) -> int:
        """The memory that is kept for all of them, and for nothing else."""
        return sum(entry.private_bytes for entry in (*self.entries, *self.undone))

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> History:
        """From the worker's checked answer, or a service's."""
        return cls(
            entries=_entries(told["entries"]),
            undone=_entries(told["undone"]),
            dropped=told["dropped"],
            count=told["count"],
            bytes=told["bytes"],
        )


def _entries(told: Iterable[Mapping[str, Any]]) -> list[HistoryEntry]:
    return [
        HistoryEntry(each["execution"], each["private_bytes"], each["taken_at"]) for each in told
    ]
