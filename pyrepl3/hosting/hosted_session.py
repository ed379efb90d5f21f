"""A hosted session's actor: runs what clients send, writes what comes of it into the journal.

Owns one leased session while it lives, and who is attached. It waits for its mailbox only; what
takes longer has a task of its own. Must not know connections: they read the journal themselves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import attrs
import trio

from actors import Address, Alarm, Inbox, Reply, close_mailbox, open_mailbox
from pyrepl3.client.session import Session
from pyrepl3.config import Limits
from pyrepl3.errors import PyreplError
from pyrepl3.events import Error, Event, InputRequested, Result, Started
from pyrepl3.hosting import refusals
from pyrepl3.hosting.executions import Executions, Record
from pyrepl3.hosting.hosted_transactions import HostedTransactions
from pyrepl3.hosting.hosting_messages import (
    Accepted,
    Amend,
    Attached,
    CloseHosted,
    Describe,
    Detached,
    Edit,
    ExecutionInfo,
    FindExecution,
    HostedMessage,
    InterruptHosted,
    Respond,
    SessionInfo,
    Standing,
    Submit,
    Transact,
)
from pyrepl3.hosting.inputs import Inputs
from pyrepl3.hosting.journal_channel import JournalChannel
from pyrepl3.journal.journal import Journal
from pyrepl3.telemetry.notes import bound
from pyrepl3.telemetry.observing import ObservedExecution, Observers, SessionEnded, SessionOpened
from pyrepl3.telemetry.traceparent import valid_traceparent
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
    address: Address[HostedMessage] = attrs.field(init=False)
    inbox: Inbox[HostedMessage] = attrs.field(init=False)
    standing: Standing = attrs.field(default="open", init=False)
    is_over: bool = attrs.field(default=False, init=False)
    """Whether its last event is told."""
    _is_drained: bool = attrs.field(default=False, init=False)
    cause: str = attrs.field(default="", init=False)
    """Why its process ended, if it did by itself."""
    _executions: Executions = attrs.field(factory=Executions, init=False)
    _transactions: HostedTransactions = attrs.field(init=False)
    _inputs: Inputs = attrs.field(factory=Inputs, init=False)
    _channels: dict[str, JournalChannel] = attrs.field(factory=dict, init=False)
    """Of the executions that may still tell something, in the order in which they were accepted."""
    _latest: JournalChannel | None = attrs.field(default=None, init=False)
    _all_told: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when the last of those has ended; made anew for whoever waits then."""
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
        self._transactions = HostedTransactions(
            self.session, lambda: self.journal.last_seq, self._rolled_back, self._rest
        )

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
            await self._submit(message)
        elif isinstance(message, Respond):
            work.start_soon(self._respond, message)
        elif isinstance(message, InterruptHosted):
            work.start_soon(self._interrupt, message)
        elif isinstance(message, Transact):
            await self._transactions.ask(message, is_draining=self._is_drained)
        elif isinstance(message, Edit):
            work.start_soon(self._edit, message)
        elif isinstance(message, Attached):
            self._attached += 1
            self._rest()
        elif isinstance(message, Detached):
            self._attached -= 1
            self._rest()
            is_alone = message.has_left and not self._attached
            if is_alone and self.request.on_disconnect == "interrupt":
                work.start_soon(self._abandon_all)
        elif isinstance(message, Describe):
            message.reply.answer(self.info())
        elif isinstance(message, FindExecution):
            self._find(message)
        elif isinstance(message, Amend):
            self._amend(message)
        else:
            self._closers.append(message.reply)
            self._end("closed")

    async def _submit(self, message: Submit) -> None:
        with message.reply as reply:
            request = message.request
            observed: ObservedExecution | None = None
            try:
                record = self._executions.find(request)
                if record is not None:
                    reply.answer(self._accepted(record, again=True))
                    return
                observed = self._observe(request)
                if self._is_drained:
                    raise refusals.service_ending()
                if len(self._executions) > self.limits.queued_executions:
                    raise refusals.queue_full(self.limits.queued_executions)
                channel = await self._send(request, observed)
            except PyreplError as error:
                if observed is not None:
                    observed.refused(error)
                reply.fail(error)
                return
            except BaseException:
                if observed is not None:
                    observed.left()
                raise
            self._rest()
            reply.answer(self._accepted(channel.record, again=False))
            channel.accept(self._latest)
            self._latest = channel

    async def _send(
        self, request: wire.Execute, observed: ObservedExecution | None
    ) -> JournalChannel:
        """Have it run. Raises what it is refused with."""
        record = self._executions.accept(
            request,
            since=self.journal.last_seq,
            transaction=self.session.transactions.current,
        )
        with bound(execution=record.execution):
            channel = JournalChannel(record, observed, self.journal, self._note, self._told)
        self._channels[record.execution] = channel
        try:
            await self.session.send(
                request.execution,
                request.code,
                channel,
                timeout_s=request.timeout_s,
                allow_input=request.allow_input,
                filename=request.filename,
                silent=request.silent,
                transaction_policy=request.transaction_policy,
                guard=request.guard,
                report_namespace=request.report_namespace,
                traceparent=(
                    valid_traceparent(request.traceparent)
                    if observed is None
                    else observed.traceparent
                ),
            )
        except BaseException:
            self._executions.withdraw(record)
            self._told(record)
            raise
        return channel

    def _observe(self, request: wire.Execute) -> ObservedExecution | None:
        return self.observers.execution(
            session=self.id,
            execution=request.execution,
            template=self.request.template,
            principal=self.principal,
            traceparent=valid_traceparent(request.traceparent),
        )

    def _accepted(self, record: Record, *, again: bool) -> Accepted:
        position = 0
        if not record.ended:
            position = (
                self._executions.under_way.index(record) if again else (len(self._executions) - 1)
            )
        return Accepted(
            execution=record.execution, position=position, again=again, since=record.since
        )

    def _amend(self, message: Amend) -> None:
        if message.metadata is not None:
            self.request = attrs.evolve(self.request, metadata=dict(message.metadata))
        if message.idle_timeout_s is not None:
            self.idle_timeout_s = message.idle_timeout_s
            self._rest()
        message.reply.answer(self.info())

    def _find(self, message: FindExecution) -> None:
        record = self._executions.get(message.execution)
        if record is None:
            message.reply.fail(refusals.no_execution(message.execution))
            return
        message.reply.answer(
            ExecutionInfo(
                execution=record.execution,
                state=record.state,
                since=record.since,
                last_seq=record.last_seq,
            )
        )

    async def _respond(self, message: Respond) -> None:
        with message.reply as reply:
            number, line = message.input, message.data
            asked = self._inputs.waiting(number)
            try:
                if asked is not None:
                    await asked.respond(line)
                    self._inputs.took(number, line)
                elif not (message.again and self._inputs.was_given(number, line)):
                    raise refusals.no_input(number, answered=self._inputs.is_answered(number))
            except PyreplError as error:
                reply.fail(error)
            else:
                reply.answer(None)

    async def _interrupt(self, message: InterruptHosted) -> None:
        with message.reply as reply:
            running = next(iter(self._executions.under_way), None)
            execution = message.execution
            try:
                # Whatever runs, if none is named: what seems to run here may have ended there.
                outcome = await self.session.interrupt(execution, grace_s=message.grace_s)
            except PyreplError as error:
                reply.fail(error)
                return
            if execution is None and running is not None and outcome.by != "nothing":
                execution = running.execution
            reply.answer((execution, outcome))

    async def _edit(self, message: Edit) -> None:
        with message.reply as reply:
            request = message.request
            try:
                if isinstance(request, wire.Complete):
                    reply.answer(await self.session.complete(request.code, request.cursor_pos))
                elif isinstance(request, wire.Inspect):
                    reply.answer(await self.session.inspect(request.code, request.cursor_pos))
                else:
                    reply.answer(await self.session.is_complete(request.code))
            except PyreplError as error:
                reply.fail(error)

    async def _undo_abandoned(self) -> None:
        if self._is_transaction_abandoned:
            await self._transactions.undo_abandoned()

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
            self._find(message)
        elif isinstance(message, Submit):
            self._refuse_code(message)
        elif isinstance(message, Transact):
            self._transactions.refuse(message, self.standing)
        elif isinstance(message, Respond | InterruptHosted | Edit | Amend):
            message.reply.fail(refusals.session_over(self.standing))
        elif isinstance(message, Attached):
            self._attached += 1
        else:
            self._attached -= 1

    def _refuse_code(self, message: Submit) -> None:
        """An execution that ran is told as it was, also by a session that has ended."""
        try:
            record = self._executions.find(message.request)
        except PyreplError as error:
            message.reply.fail(error)
            return
        if record is None:
            message.reply.fail(refusals.session_over(self.standing))
        else:
            message.reply.answer(self._accepted(record, again=True))

    # --- events ---------------------------------------------------------------------------------

    def _note(self, record: Record, event: Event) -> None:
        """Everything that an execution tells goes into the journal, its terminal event last."""
        seq = self._append(as_map(event), can_wait=isinstance(event, Started))
        if isinstance(event, Started):
            record.started = True
        elif isinstance(event, InputRequested):
            self._inputs.ask(event)
        elif isinstance(event, Result | Error):
            if event.state == "rolled_back":
                self.session.transactions.rolled_back(record.transaction)
            self._executions.end(record, seq=seq)
            self._executions.forget_before(self.journal.oldest_seq)
            self._inputs.execution_ended(record.execution)
            self._rest()
            self._close_if_drained()

    def _rolled_back(self, cause: str) -> None:
        """By a request, or because nobody was left to make one."""
        if not self.is_over and not self.journal.is_closed:
            self._append({"type": "session_rolled_back", "cause": cause})

    def _told(self, record: Record) -> None:
        """Nothing more comes of that execution."""
        del self._channels[record.execution]
        if not self._channels:
            self._all_told.set()

    async def wait_told(self) -> None:
        """Until all executions have told all that they had to."""
        while self._channels:
            if self._all_told.is_set():
                self._all_told = trio.Event()
            await self._all_told.wait()

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

    async def _abandon_all(self) -> None:
        # The last ones first, so that none of them begins to run because one before it ended.
        for record in reversed(self._executions.under_way):
            await self.session.abandon(record.execution)

    def ended(self) -> None:
        """Its process and its executions have ended: the last event, and nothing after it."""
        for channel in list(self._channels.values()):  # the disk took too long, say
            channel.cut_off()
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
        for channel in self._channels.values():
            channel.leave()
        self.journal.drop()
        if not self.is_over:
            self._tell_end("the service ends")

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
        under_way = self._executions.under_way
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
            oldest_seq=self.journal.oldest_seq,
            last_seq=self.journal.last_seq,
            metadata=self.request.metadata,
        )
