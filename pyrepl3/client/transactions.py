"""What a worker refuses a transaction with, as an error of the interface. Pure."""

from __future__ import annotations

from pyrepl3.errors import (
    InternalError,
    NoTransaction,
    PyreplError,
    SnapshotUnavailable,
    TransactionActive,
)


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
    return InternalError(
        what="the transaction failed", why=f"{code}: {why}", how="Report it, with the service's log"
    )
