"""What a worker refuses a transaction with, as an error of the interface. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from pyrepl3.errors import (
    ExecutionNotFound,
    InternalError,
    NoTransaction,
    PyreplError,
    SnapshotUnavailable,
    TransactionActive,
)


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


def transaction_refused(code: str, why: str) -> PyreplError:
    """The error of a worker's `failed`; it knows three, whatever else it says."""
    if code == TransactionActive.code:
        return TransactionActive(
            what="no transaction was begun",
            why=why,
            how="Commit the open one, or roll it back: transactions do not nest",
        )
    if code == NoTransaction.code:
        return NoTransaction(
            what="there is nothing to commit, or to go back to",
            why=why,
            how="Begin one; where one was begun, a crash in it has rolled it back",
        )
    if code == SnapshotUnavailable.code:
        return SnapshotUnavailable(
            what="no transaction was begun",
            why=why,
            how="End those threads first, or run without a transaction",
        )
    if code == ExecutionNotFound.code:
        return ExecutionNotFound(
            what="nothing was undone",
            why=why,
            how="History is kept from `keep_history` on, and the oldest gives way to the newest",
        )
    return InternalError(
        what="the transaction failed", why=f"{code}: {why}", how="Report it, with the service's log"
    )
