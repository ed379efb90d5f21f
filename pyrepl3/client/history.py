"""What can be undone in a session, as its client is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

HISTORY_BYTES = 256 * 2**20
"""Of one session's history, if it is not said otherwise: half of what its process may have."""


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
    """What can be undone, the oldest first."""

    entries: Sequence[HistoryEntry]
    dropped: int
    """How many gave way to newer ones so far."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> History:
        """From the worker's checked answer."""
        entries = [
            HistoryEntry(each["execution"], each["private_bytes"], each["taken_at"])
            for each in told["entries"]
        ]
        return cls(entries, told["dropped"])
