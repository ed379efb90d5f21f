"""A hosted session's actor: runs what clients send, writes what comes of it into the journal.

Owns one leased session while it lives, and who is attached. It waits for its mailbox only; what
takes longer has a task of its own. Must not know connections: they read the journal themselves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import attrs
import trio

from actors import Address, Alarm, Inbox, Reply, close_mailbox, open_mailbox
from pyrepl3.client.session import Session
from pyrepl3.config import Limits
from pyrepl3.events import Error, Event, InputRequested, Result, Started
from pyrepl3.hosting import refusals
from pyrepl3.hosting.executions import Record
from pyrepl3.hosting.hosted_branches import Adopt, HostedBranches
from pyrepl3.hosting.hosted_executions import HostedExecutions
from pyrepl3.hosting.hosted_history import HostedHistory
from pyrepl3.hosting.hosted_questions import edit, interrupt, respond
from pyrepl3.hosting.hosted_transactions import ABANDONED, CRASHED, HostedTransactions
from pyrepl3.hosting.hosting_messages import (
    Amend,
    Attached,
    CloseHosted,
    Describe,
    Detached,
    Edit,
    FindExecution,
    Fork,
    HostedMessage,
    InterruptHosted,
    KeepHistory,
    KeepSnapshot,
    Respond,
    Retrace,
    SessionInfo,
    Standing,
    Submit,
    TellHistory,
    Transact,
)
from pyrepl3.hosting.inputs import Inputs
from pyrepl3.hosting.keyed_requests import KeyedRequests
from pyrepl3.journal.journal import Journal
from pyrepl3.telemetry.observing import (
    Observers,
    Return,
    SessionEnded,
    SessionOpened,
    SessionReturned,
)
from pyrepl3.wire import client_requests as wire
from pyrepl3.wire.client_codec import encode_msgpack
from pyrepl3.wire.client_events import as_map

HOSTED_MAILBOX = 16
"""Room for what one connection sends at once; beyond it the connection waits."""


@attrs.define(eq=False)
class HostedSession:
    """One mailbox, one journal, one process."""

    id: str
    principal: str
    request: wire.OpenSession
    session: Session
    limits: Limits
    journal: Journal
    idle_timeout_s: float
    transaction_idle_s: float
    directory: str
    """The one that it was started in."""
    observers: Observers
    adopt: Adopt
    counted: Callable[[int | None, int], AbstractContextManager[None]]
    check_snapshots: Callable[[int | None], Awaitable[None]]
    """The host's, as of `HostedBranches`."""
    address: Address[HostedMessage] = attrs.field(init=False)
    inbox: Inbox[HostedMessage] = attrs.field(init=False)
    standing: Standing = attrs.field(default="open", init=False)
    is_over: bool = attrs.field(default=False, init=False)
    """Whether its last event is told."""
    _is_drained: bool = attrs.field(default=False, init=False)
    cause: str = attrs.field(default="", init=False)
    """Why its process ended, if it did by itself."""
    _executions: HostedExecutions = attrs.field(init=False)
    _transactions: HostedTransactions = attrs.field(init=False)
    _history: HostedHistory = attrs.field(init=False)
    _branches: HostedBranches = attrs.field(init=False)
    _inputs: Inputs = attrs.field(factory=Inputs, init=False)
    _attached: int = attrs.field(default=0, init=False)
    _opened_at: float = attrs.field(factory=time.time, init=False)
    _last_used_at: float = attrs.field(factory=time.time, init=False)
    _closers: list[Reply[None]] = attrs.field(factory=list, init=False)
    _alarm: Alarm = attrs.field(init=False)
    _transaction_alarm: Alarm = attrs.field(init=False)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def __attrs_post_init__(self) -> None:
        self.address, self.inbox = open_mailbox(HOSTED_MAILBOX)
        self._alarm = Alarm(self._expire)
        self._transaction_alarm = Alarm(self._undo_abandoned)
        self._executions = HostedExecutions(
            self.id,
            self.principal,
            self.request.template,
            self.session,
            self.limits,
            self.journal,
            self.observers,
            self._note,
            self._rest,
        )
        requests = KeyedRequests()
        self._transactions = HostedTransactions(
            self.session, lambda: self.journal.last_seq, self._rolled_back, self._rest, requests
        )
        self._history = HostedHistory(
            self.id,
            self.principal,
            self.session,
            lambda: self.journal.last_seq,
            self._tell,
            self._rest,
            requests,
            self.observers,
        )
        self._branches = HostedBranches(
            self.principal,
            self.session,
            lambda: self.journal.last_seq,
            self._rest,
            self.adopt,
            self.counted,
            self.check_snapshots,
            requests,
        )
        if self.request.history is not None:
            self._history.count = self.request.history.count

    async def run(self, work: trio.Nursery) -> None:
        """Serve until it is closed, has expired, or its process has ended.

        What was accepted goes on in ``work`` until it has its outcome, which it has soon after
        the lease is given back.
        """
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._alarm.run)
                nursery.start_soon(self._transaction_alarm.run)
                nursery.start_soon(self._watch)
                self._rest()
                async for message in self.inbox:
                    await self._handle(message, work)

    def opened(self) -> None:
        """Its client knows of it now."""
        lease = self.session.lease
        self.observers.notice(
            SessionOpened(
                session=self.id,
                template=self.request.template,
                principal=self.principal,
                pid=lease.pid,
            )
        )

    async def serve_ended(self) -> None:
        """Go on answering, as a session that has ended, until cancelled."""
        async for message in self.inbox:
            self._refuse(message)

    def close_mailbox(self) -> None:
        """The last thing: nobody is answered any more."""
        close_mailbox(self.inbox, self._refuse)

    # --- messages -------------------------------------------------------------------------------

    async def _handle(self, message: HostedMessage, work: trio.Nursery) -> None:
        if isinstance(message, Submit):
            await self._executions.submit(message, is_draining=self._is_drained)
        elif isinstance(message, Respond):
            work.start_soon(respond, self._inputs, message)
        elif isinstance(message, InterruptHosted):
            work.start_soon(interrupt, self.session, message)
        elif isinstance(message, Transact):
            await self._transactions.ask(message, is_draining=self._is_drained)
        elif isinstance(message, Retrace):
            await self._history.retrace(message, is_draining=self._is_drained)
        elif isinstance(message, KeepHistory):
            await self._history.keep(message)
        elif isinstance(message, TellHistory):
            await self._history.tell(message)
        elif isinstance(message, Fork | KeepSnapshot):
            await self._branches.ask(message, work, is_draining=self._is_drained)
        elif isinstance(message, Edit):
            work.start_soon(edit, self.session, message)
        elif isinstance(message, Attached):
            self._attached += 1
            self._rest()
        elif isinstance(message, Detached):
            self._attached -= 1
            self._rest()
            is_alone = message.has_left and not self._attached
            if is_alone and self.request.on_disconnect == "interrupt":
                work.start_soon(self._executions.abandon_all)
        elif isinstance(message, Describe):
            message.reply.answer(self.info())
        elif isinstance(message, FindExecution):
            self._executions.find(message)
        elif isinstance(message, Amend):
            self._amend(message)
        else:
            self._closers.append(message.reply)
            self._end("closed")

    def _amend(self, message: Amend) -> None:
        if message.metadata is not None:
            self.request = attrs.evolve(self.request, metadata=dict(message.metadata))
        if message.idle_timeout_s is not None:
            self.idle_timeout_s = message.idle_timeout_s
            self._rest()
        message.reply.answer(self.info())

    async def _undo_abandoned(self) -> None:
        if self._is_transaction_abandoned:
            await self._transactions.undo_abandoned()

    @property
    def history_bytes(self) -> int:
        """What its history holds, about."""
        return self._history.held_bytes if self.standing == "open" else 0

    @property
    def _is_transaction_abandoned(self) -> bool:
        """Whoever began it has gone, and nothing runs in it any more."""
        return self._transactions.is_idle and not (len(self._executions) or self._attached)

    def _refuse(self, message: HostedMessage) -> None:
        """What a session that has ended says. Its journal still tells what was."""
        if isinstance(message, CloseHosted):
            message.reply.answer(None)
        elif isinstance(message, Describe):
            message.reply.answer(self.info())
        elif isinstance(message, FindExecution):
            self._executions.find(message)
        elif isinstance(message, Submit):
            self._executions.refuse(message, self.standing)
        elif isinstance(message, Transact):
            self._transactions.refuse(message, self.standing)
        elif isinstance(message, Retrace | KeepHistory | TellHistory):
            self._history.refuse(message, self.standing)
        elif isinstance(message, Fork | KeepSnapshot):
            self._branches.refuse(message, self.standing)
        elif isinstance(message, Respond | InterruptHosted | Edit | Amend):
            message.reply.fail(refusals.session_over(self.standing))
        elif isinstance(message, Attached):
            self._attached += 1
        else:
            self._attached -= 1

    # --- events ---------------------------------------------------------------------------------

    def _note(self, record: Record, event: Event) -> None:
        """Everything that an execution tells goes into the journal, its terminal event last."""
        seq = self._append(as_map(event), can_wait=isinstance(event, Started))
        if isinstance(event, Started):
            record.started = True
        elif isinstance(event, InputRequested):
            self._inputs.ask(event)
        if isinstance(event, Result):
            self._history.note(event)
        if isinstance(event, Result | Error):
            if event.state == "rolled_back":
                self.session.transactions.rolled_back(record.transaction)
            if event.lost_since:
                self._tell_rolled_back(CRASHED, event.lost_since)
            self._executions.known.end(record, seq=seq)
            self._executions.known.forget_before(self.journal.oldest_seq)
            self._inputs.execution_ended(record.execution)
            self._rest()
            self._close_if_drained()

    def _rolled_back(self, cause: str) -> None:
        """By a request, or because nobody was left to make one."""
        self._tell_rolled_back(cause, ())
        by: Return = "abandoned" if cause == ABANDONED else "rollback"
        self.observers.notice(SessionReturned(session=self.id, principal=self.principal, by=by))

    def _tell_rolled_back(self, cause: str, lost_since: tuple[str, ...]) -> None:
        self._tell({"type": "session_rolled_back", "cause": cause, "lost_since": lost_since})

    async def wait_told(self) -> None:
        """Until all executions have told all that they had to."""
        await self._executions.wait_told()

    def _tell(self, fields: Mapping[str, Any]) -> None:
        """An event that is of no execution."""
        if not self.is_over and not self.journal.is_closed:
            self._append(fields)

    def _append(self, fields: Mapping[str, Any], *, can_wait: bool = False) -> int:
        return self.journal.append(
            lambda seq: encode_msgpack({**fields, "session": self.id, "seq": seq}),
            can_wait=can_wait,
        ).seq

    # --- the end --------------------------------------------------------------------------------

    def drain(self) -> None:
        """Run what was accepted, take nothing more, and close."""
        self._is_drained = True
        self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._is_drained and not len(self._executions):
            self._end("closed")

    async def _watch(self) -> None:
        self.cause = await self.session.wait_ended()
        self._end("died")

    def failed(self) -> None:
        """What serves it did: it can go on no more."""
        if self.standing == "open":
            self.standing, self.cause = "died", "PyREPL3 itself failed: its log has more"

    def ended(self) -> None:
        """Its process and its executions have ended: the last event, and nothing after it."""
        self._executions.cut_off()  # the disk took too long, say
        if self.standing == "died":
            self._append({"type": "session_died", "cause": self.cause, "state": "lost"})
        else:
            self._append({"type": "session_closed", "reason": self.standing})
        self.journal.close()
        self.is_over = True
        self._tell_end(self.cause)
        for reply in self._closers:
            reply.answer(None)

    def cut_off(self) -> None:
        """Nobody is told of its end any more, if it has not come: the service ends at once."""
        self._executions.leave()
        self.journal.drop()
        if not self.is_over:
            self._tell_end("the service ends")
            for reply in self._closers:
                reply.close()

    def _tell_end(self, cause: str) -> None:
        standing = "closed" if self.standing == "open" else self.standing
        self.observers.notice(
            SessionEnded(session=self.id, principal=self.principal, standing=standing, cause=cause)
        )

    def _rest(self) -> None:
        """It was used: the time until it is idle for too long begins anew."""
        self._last_used_at = time.time()
        busy = len(self._executions) or self._attached
        now = trio.current_time()
        self._alarm.set(math.inf if busy else now + self.idle_timeout_s)
        is_left = self._is_transaction_abandoned
        self._transaction_alarm.set(now + self.transaction_idle_s if is_left else math.inf)

    async def _expire(self) -> None:
        if not len(self._executions) and not self._attached:
            self._end("expired")

    def _end(self, standing: Standing) -> None:
        if self.standing == "open":
            self.standing = standing
            self._scope.cancel()

    def info(self) -> SessionInfo:
        """How it stands now."""
        under_way = self._executions.known.under_way
        return SessionInfo(
            session=self.id,
            name=self.request.name,
            template=self.request.template,
            standing=self.standing,
            opened_at=self._opened_at,
            last_used_at=self._last_used_at,
            running=under_way[0].execution if under_way else None,
            queued=max(0, len(under_way) - 1),
            attached=self._attached,
            in_transaction=self.session.transactions.is_open,
            history_count=self._history.count,
            oldest_seq=self.journal.oldest_seq,
            last_seq=self.journal.last_seq,
            metadata=self.request.metadata,
        )
