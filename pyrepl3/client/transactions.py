"""Transactions of one session: how each is begun and ended, and which one an execution is in.

Owns what is known of that here, by what was sent and what was answered. Must not know how a
transaction is carried out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypedDict

import attrs
import trio

from actors import Answer, Gone, Outcome, Reply, open_reply, reply_to
from pyrepl3.config import Guard, TransactionPolicy, check_protection
from pyrepl3.errors import (
    ExecutionNotFound,
    InternalError,
    NoTransaction,
    PyreplError,
    QueueFull,
    SessionLost,
    SnapshotUnavailable,
    TransactionActive,
)
from pyrepl3.messages import ROLLED_BACK_SINGLY, Query, TransactionKind

ROLLBACK_S = 10.0
"""For a transaction that is left by an error or a cancellation: what runs in it is waited for."""


class Protection(TypedDict):
    """Fields of an `Execute`: what is undone of it, and how."""

    transaction_policy: TransactionPolicy
    guard: Guard
    copy_bytes: int


SendQuery = Callable[[Query], Awaitable[None]]


@attrs.frozen
class _Change:
    """A request, and what it made of `Transactions.current` when it was sent."""

    kind: TransactionKind
    number: int | None
    before: int | None
    after: int | None


@attrs.define(eq=False)
class Transactions:
    """Those of one session; ``policy``, ``guard`` and ``allow_copy`` are its executions', where
    none are named."""

    _send: SendQuery
    """To the session's actor, behind all that was sent before. Raises SessionLost."""
    _lost: Callable[[], SessionLost]
    _rolled_back: Callable[[], None]
    """Called where one was, as its caller asked for it here, and not by `request`."""
    policy: TransactionPolicy = "commit_always"
    guard: Guard = False
    allow_copy: bool = False
    copied_bytes: int = 0
    """The most that may be copied where that is allowed."""
    opened: int | None = attrs.field(default=None, init=False)
    """The number of the one that is open, as far as it was told."""
    current: int | None = attrs.field(default=None, init=False)
    """The number of the one that what is sent now will be in."""
    latest: int = attrs.field(default=0, init=False)
    """The number of the one that was asked for last."""
    _unanswered: set[int] = attrs.field(factory=set, init=False)
    """Those of which it is not known whether they were begun."""
    _owed: set[int] = attrs.field(factory=set, init=False)
    """Those to be rolled back before anything else is sent."""

    # --- what an execution is in ----------------------------------------------------------------

    def protection(
        self, policy: TransactionPolicy | None, guard: Guard | None, allow_copy: bool | None
    ) -> Protection:
        """What holds for an execution that is sent now; None is the session's own.

        Within a transaction the session's own policy is that of the transaction. Raises
        ConfigInvalid.
        """
        check_protection(policy, guard, allow_copy)
        if policy is None:
            is_within = self.current is not None and self.policy in ROLLED_BACK_SINGLY
            policy = "explicit" if is_within else self.policy
        return {
            "transaction_policy": policy,
            "guard": self.guard if guard is None else guard,
            "copy_bytes": self._copy_bytes(allow_copy),
        }

    def _copy_bytes(self, allow_copy: bool | None) -> int:
        allow_copy = self.allow_copy if allow_copy is None else allow_copy
        return self.copied_bytes if allow_copy else 0

    def rolled_back(self, number: int | None) -> None:
        """An execution that was sent within that one has ended, and all was undone with it."""
        if number is None:
            return
        if self.opened == number:
            self.opened = None
        if self.current == number:
            self.current = None

    @property
    def is_open(self) -> bool:
        """Whether one is, as far as it was told: a process that dies while it does nothing ends
        one silently."""
        return self.opened is not None

    # --- requests -------------------------------------------------------------------------------

    async def request(
        self, kind: TransactionKind, reply: Reply[None], *, number: int | None = None
    ) -> int | None:
        """Send it, and do not wait: in order with executions; the number of what it begins or ends.
        ``reply`` is answered in any case, or fails with what it is refused with, SessionLost too.
        ``number``: to end that one, and no other."""
        before = self.current
        fields: dict[str, Any] = {}
        if kind == "begin":
            self.latest += 1
            self.current = number = self.latest
            self._unanswered.add(number)
            fields["copy_bytes"] = self._copy_bytes(None)
        elif number in (None, self.current):
            self.current = None
        if number is not None:
            fields["tag"] = number
        meant = _Change(kind, number, before, self.current)
        query = Query(kind, fields, reply_to(partial(self._answered, meant, reply)))
        try:
            await self._send(query)
        except SessionLost as error:
            query.reply.fail(error)
        except BaseException:
            self._take_back(meant)
            query.reply.close()
            raise
        return number

    async def begin(self) -> int:
        """Open one; its number. When cancelled, none is left open."""
        await self.settle()
        answer, number = await self._ask("begin")
        assert number is not None
        try:
            await answer.wait()
        except (trio.Cancelled, KeyboardInterrupt):
            await self._leave(number)  # noqa: ASYNC102  # shielded and bounded inside
            raise
        except Gone as error:
            raise self._lost() from error
        return number

    async def end(self, kind: TransactionKind, number: int | None = None) -> None:
        """Commit it, or roll it back: that one, or whichever is open."""
        await self.settle()
        await self._end(kind, number)

    async def settle(self) -> None:
        """To be called before anything is sent: roll back what was left when there was no room
        in the queue for that. Raises QueueFull where there is none yet, and SessionLost."""
        while self._owed:
            number = next(iter(self._owed))
            with suppress(NoTransaction):
                await self._end("rollback", number)
            self._owed.discard(number)

    async def _end(self, kind: TransactionKind, number: int | None) -> None:
        answer, _ = await self._ask(kind, number)
        try:
            await answer.wait()
        except Gone as error:
            raise self._lost() from error
        if kind == "rollback":
            self._rolled_back()

    async def _leave(self, number: int) -> None:
        """Roll that one back, behind all that was sent in it. Not to be cancelled: bounded, and
        what is not done by then is done later on."""
        with trio.CancelScope(deadline=trio.current_time() + ROLLBACK_S, shield=True):
            try:
                await self._end("rollback", number)
            except QueueFull:
                self._owed.add(number)
            except (NoTransaction, SessionLost):
                return  # it was refused, or is undone already, by a crash

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """One for the length of a block."""
        number = await self.begin()
        try:
            yield
            await self.end("commit", number)
        except BaseException:
            # Where it is committed already, nothing is rolled back by that.
            await self._leave(number)  # noqa: ASYNC102  # shielded and bounded inside
            raise

    async def _ask(
        self, kind: TransactionKind, number: int | None = None
    ) -> tuple[Answer[None], int | None]:
        reply: Reply[None]
        answer: Answer[None]
        reply, answer = open_reply()
        return answer, await self.request(kind, reply, number=number)

    def _answered(
        self, meant: _Change, reply: Reply[None], outcome: Outcome[Mapping[str, Any]]
    ) -> None:
        try:
            told = outcome.unwrap()
        except PyreplError as error:
            self._take_back(meant)
            reply.fail(error)
        except Gone:
            reply.fail(self._lost())
        else:
            refusal = None
            if told["type"] == "failed":
                refusal = transaction_refused(told["name"], told["value"])
            self._note(meant, refusal)
            if refusal is None:
                reply.answer(None)
            else:
                reply.fail(refusal)

    def _take_back(self, meant: _Change) -> None:
        """It was not taken: what is sent now is in what it would be in without it."""
        self._forget(meant)
        if self.current == meant.after:
            is_there = meant.before == self.opened or meant.before in self._unanswered
            self.current = meant.before if is_there else self.opened

    def _forget(self, meant: _Change) -> None:
        if meant.kind == "begin" and meant.number is not None:
            self._unanswered.discard(meant.number)

    def _note(self, meant: _Change, refusal: PyreplError | None) -> None:
        """What is open now. Of a begin that is refused, what was sent behind it is in none, or in
        the one that there was."""
        self._forget(meant)
        if meant.kind != "begin":
            if meant.number in (None, self.opened):
                self.opened = None  # also where there was none: it was undone meanwhile
        elif refusal is None:
            self.opened = meant.number
        elif self.current == meant.number:
            self.current = self.opened


def transaction_refused(code: str, why: str) -> PyreplError:
    """The error of a worker's `failed`; it knows four, whatever else it says."""
    if code == TransactionActive.code:
        return TransactionActive(
            what="it cannot be done within a transaction",
            why=why,
            how="Commit the open one, or roll it back",
        )
    if code == NoTransaction.code:
        return NoTransaction(
            what="there is nothing to commit, or to go back to",
            why=why,
            how="Begin one; one that was begun has been ended by now, by a crash maybe",
        )
    if code == SnapshotUnavailable.code:
        return SnapshotUnavailable(
            what="the session cannot be copied as it is",
            why=why,
            how="End its threads, where it has any; beside them, a session that was opened with "
            "allow_copy can have transactions",
        )
    if code == ExecutionNotFound.code:
        return ExecutionNotFound(
            what="nothing was undone or redone",
            why=why,
            how="Look at the history: the oldest gives way to the newest, and what was undone to "
            "whatever runs next",
        )
    return InternalError(
        what="the transaction failed", why=f"{code}: {why}", how="Report it, with the service's log"
    )
