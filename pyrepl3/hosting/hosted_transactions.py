"""A hosted session's transactions: what is asked is passed on in order, what is answered is noted.

Owns the way from a request to the leased session and back to all who wait for it. Must not know
which requests are the same (`keyed_requests.py`), nor when a transaction is abandoned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs

from actors import Gone, Outcome, reply_to
from pyrepl3.client.session import Session
from pyrepl3.errors import PyreplError
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosting_messages import Transact
from pyrepl3.hosting.keyed_requests import KeyedRequests, Requested
from pyrepl3.messages import TransactionKind

REQUESTED, ABANDONED, CRASHED = "requested", "abandoned", "crashed"
"""Why a session was rolled back: its transaction, or to a snapshot that was older than what was
told as kept."""


@attrs.define(eq=False)
class HostedTransactions:
    """Those of one session. ``rolled_back`` writes that into the journal, with its cause; ``rest``
    is called whenever a request comes or is answered."""

    session: Session
    last_seq: Callable[[], int]
    rolled_back: Callable[[str], None]
    rest: Callable[[], None]
    _requests: KeyedRequests
    """Of the session, also those of its history."""

    @property
    def is_idle(self) -> bool:
        """Whether one is open, and nobody waits for an answer about it."""
        return self.session.transactions.is_open and not len(self._requests)

    async def ask(self, message: Transact, *, is_draining: bool) -> None:
        """Behind the executions that were sent before it."""
        try:
            requested = self._find(message)
            if requested is None and is_draining and message.kind == "begin":
                raise refusals.service_ending()
            number = None
            if requested is None and message.of is not None:
                number = self._requests.number_of(message.of)
        except PyreplError as error:
            message.reply.fail(error)
            return
        if requested is not None:
            requested.tell(message.reply)
            return
        requested = self._requests.accept(message.kind, message.key, to=message.of)
        requested.tell(message.reply)
        await self._carry_out(requested, message.kind, REQUESTED, number)

    async def undo_abandoned(self) -> None:
        """Whoever began it has gone."""
        await self._carry_out(self._requests.accept("rollback", None), "rollback", ABANDONED)

    def refuse(self, message: Transact, standing: str) -> None:
        """What was answered is answered again, also by a session that has ended."""
        try:
            requested = self._find(message)
        except PyreplError as error:
            message.reply.fail(error)
            return
        if requested is None:
            message.reply.fail(refusals.session_over(standing))
        else:
            requested.tell(message.reply)

    def _find(self, message: Transact) -> Requested | None:
        return self._requests.find(message.kind, message.key, message.again_since, to=message.of)

    async def _carry_out(
        self, requested: Requested, kind: TransactionKind, cause: str, number: int | None = None
    ) -> None:
        self.rest()
        reply = reply_to(partial(self._answered, requested, cause))
        transactions = self.session.transactions
        if kind == "begin":
            requested.number = transactions.latest + 1
        await transactions.request(kind, reply, number=number)

    def _answered(self, requested: Requested, cause: str, outcome: Outcome[None]) -> None:
        refusal: PyreplError | None = None
        try:
            outcome.unwrap()
        except PyreplError as error:
            refusal = error
        except Gone:
            refusal = refusals.session_over("gone")
        if requested.kind == "rollback" and refusal is None:
            self.rolled_back(cause)
        self._requests.answered(requested, refusal, seq=self.last_seq())
        self.rest()
