"""What changes a hosted session's state besides code, each once, however often it is asked for.

Pure: decides what a request is to this session: new, or the same as before, by the key that its
client gave it. Of transactions, of undoing and redoing, of forks and snapshots. Must not know trio,
nor how anything is carried out.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

import attrs

from actors import Reply
from pyrepl3.errors import (
    ExecutionNotFound,
    IdConflict,
    NoTransaction,
    PyreplError,
    SnapshotUnavailable,
)
from pyrepl3.messages import RetraceKind, TransactionKind

BranchKind = Literal["fork", "snapshot"]
KeyedKind = TransactionKind | RetraceKind | BranchKind

REMEMBERED = 1000
"""Requests with a key and an answer: whoever lost its connection asks again within a few."""


@attrs.define(eq=False)
class Requested:
    """One request, from when it came."""

    kind: KeyedKind
    key: str | None
    to: str | None = None
    """Of an undo: the execution behind which it goes back to. Of a snapshot its name, of a fork
    into how many. Of a commit or a roll back the key of the beginning that is meant."""
    number: int | None = None
    """Of a beginning: of its transaction."""
    replies: list[Reply[Any]] = attrs.field(factory=list)
    """Of all who wait for its answer."""
    answered_at: int | None = None
    """The last event of the session when it was answered."""
    answer: Any = None
    """Of an undo or a redo the execution that it named, of a fork the sessions."""
    refusal: PyreplError | None = None

    def tell(self, reply: Reply[Any]) -> None:
        """What it came to: now, or as soon as that is known."""
        if self.answered_at is None:
            self.replies.append(reply)
        elif self.refusal is None:
            reply.answer(self.answer)
        else:
            reply.fail(self.refusal)


@attrs.define(eq=False)
class KeyedRequests:
    """Those under way, and those with a key that were answered, for a while."""

    _by_key: OrderedDict[str, Requested] = attrs.field(factory=OrderedDict)
    """The longest known first."""
    _under_way: int = 0
    _begun: Requested | None = None
    """The last transaction that was: it may be open for longer than its beginning is remembered."""
    _forgotten_to: int = -1
    """The last event of the session when one was answered that is not remembered any more."""

    def find(
        self, kind: KeyedKind, key: str | None, again_since: int | None, *, to: str | None = None
    ) -> Requested | None:
        """The request that this one is again; None: it is new.

        Raises IdConflict when its key was used for another one; and where it may have been carried
        out, and be forgotten, NoTransaction or ExecutionNotFound.
        """
        known = None if key is None else self._by_key.get(key)
        if known is not None and (known.kind, known.to) != (kind, to):
            raise _conflict(known)
        if known is None and again_since is not None and again_since <= self._forgotten_to:
            raise _forgotten(kind)
        return known

    def accept(self, kind: KeyedKind, key: str | None, *, to: str | None = None) -> Requested:
        """A new one."""
        requested = Requested(kind, key, to)
        self._under_way += 1
        if key is not None:
            self._by_key[key] = requested
        return requested

    def number_of(self, key: str) -> int:
        """Of the transaction that was begun under that key. Raises NoTransaction."""
        begun = self._by_key.get(key, self._begun)
        if begun is None or begun.key != key or begun.number is None:
            raise NoTransaction(
                what="there is no such transaction to end",
                why=f"none was begun under the key {key}, or that is forgotten",
                how="Leave `of` away to end whichever is open",
                details={"key": key},
            )
        return begun.number

    def answered(
        self,
        requested: Requested,
        refusal: PyreplError | None,
        *,
        seq: int,
        answer: Any = None,
    ) -> None:
        """That is what it came to, and all who wait are told. ``seq`` is the session's last."""
        requested.answered_at, requested.refusal, requested.answer = seq, refusal, answer
        if requested.kind == "begin" and refusal is None:
            self._begun = requested
        self._under_way -= 1
        replies, requested.replies = requested.replies, []
        for reply in replies:
            requested.tell(reply)
        while len(self._by_key) > REMEMBERED:
            oldest = next(iter(self._by_key.values()))
            if oldest.answered_at is None:
                return
            assert oldest.key is not None
            del self._by_key[oldest.key]
            self._forgotten_to = max(self._forgotten_to, oldest.answered_at)

    def __len__(self) -> int:
        """How many are under way."""
        return self._under_way


def _conflict(known: Requested) -> PyreplError:
    return IdConflict(
        what=f"the key {known.key} is that of another request",
        why=f"it was sent before, to {known.kind}",
        how="Give each request a key of its own; the same one only to send the same again",
        details={"key": known.key},
    )


def _forgotten(kind: KeyedKind) -> PyreplError:
    what = f"it is not known what came of this {kind}"
    why = "it was sent before, and what came since then is forgotten in part"
    if kind in ("fork", "snapshot"):
        return SnapshotUnavailable(
            what=what, why=why, how="Look at the sessions and snapshots that there are"
        )
    if kind in ("undo", "redo"):
        return ExecutionNotFound(what=what, why=why, how="Look at the session's history")
    how = "Look at the session's in_transaction, and at its variables"
    return NoTransaction(what=what, why=why, how=how)
