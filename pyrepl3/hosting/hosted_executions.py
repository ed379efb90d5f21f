"""The executions of a hosted session: from a request to the journal, each once.

Owns which are under way, and the channels that bring their events into the journal. Must not know
what else a session is asked, nor what follows from an event.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from pyrepl3.client.session import Session
from pyrepl3.config import Limits
from pyrepl3.errors import PyreplError
from pyrepl3.events import Event
from pyrepl3.hosting import refusals
from pyrepl3.hosting.executions import Executions, Record
from pyrepl3.hosting.hosting_messages import (
    Accepted,
    ExecutionInfo,
    FindExecution,
    Standing,
    Submit,
)
from pyrepl3.hosting.journal_channel import JournalChannel
from pyrepl3.journal.journal import Journal
from pyrepl3.telemetry.notes import bound
from pyrepl3.telemetry.observing import ObservedExecution, Observers
from pyrepl3.telemetry.traceparent import valid_traceparent
from pyrepl3.wire import client_requests as wire


@attrs.define(eq=False)
class HostedExecutions:
    """Those of one session. ``note`` writes what one tells into the journal, and ``rest`` is called
    whenever one is accepted."""

    id: str
    principal: str
    template: str
    session: Session
    limits: Limits
    journal: Journal
    observers: Observers
    note: Callable[[Record, Event], None]
    rest: Callable[[], None]
    known: Executions = attrs.field(factory=Executions, init=False)
    _channels: dict[str, JournalChannel] = attrs.field(factory=dict, init=False)
    """Of the executions that may still tell something, in the order in which they were accepted."""
    _latest: JournalChannel | None = attrs.field(default=None, init=False)
    _all_told: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when the last of those has ended; made anew for whoever waits then."""

    def __len__(self) -> int:
        """How many are under way."""
        return len(self.known)

    async def submit(self, message: Submit, *, is_draining: bool) -> None:
        """Have code run, behind the executions that were sent before it."""
        with message.reply as reply:
            request = message.request
            observed: ObservedExecution | None = None
            try:
                record = self.known.find(request)
                if record is not None:
                    reply.answer(self._accepted(record, again=True))
                    return
                observed = self._observe(request)
                if is_draining:
                    raise refusals.service_ending()
                if len(self.known) > self.limits.queued_executions:
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
            self.rest()
            reply.answer(self._accepted(channel.record, again=False))
            channel.accept(self._latest)
            self._latest = channel

    async def _send(
        self, request: wire.Execute, observed: ObservedExecution | None
    ) -> JournalChannel:
        """Have it run. Raises what it is refused with."""
        record = self.known.accept(
            request,
            since=self.journal.last_seq,
            transaction=self.session.transactions.current,
        )
        with bound(execution=record.execution):
            channel = JournalChannel(record, observed, self.journal, self.note, self._told)
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
                allow_copy=request.allow_copy,
                report_namespace=request.report_namespace,
                traceparent=(
                    valid_traceparent(request.traceparent)
                    if observed is None
                    else observed.traceparent
                ),
            )
        except BaseException:
            self.known.withdraw(record)
            self._told(record)
            raise
        return channel

    def _observe(self, request: wire.Execute) -> ObservedExecution | None:
        return self.observers.execution(
            session=self.id,
            execution=request.execution,
            template=self.template,
            principal=self.principal,
            traceparent=valid_traceparent(request.traceparent),
        )

    def _accepted(self, record: Record, *, again: bool) -> Accepted:
        position = 0
        if not record.ended:
            position = self.known.under_way.index(record) if again else (len(self.known) - 1)
        return Accepted(
            execution=record.execution, position=position, again=again, since=record.since
        )

    def refuse(self, message: Submit, standing: Standing) -> None:
        """An execution that ran is told as it was, also by a session that has ended."""
        try:
            record = self.known.find(message.request)
        except PyreplError as error:
            message.reply.fail(error)
            return
        if record is None:
            message.reply.fail(refusals.session_over(standing))
        else:
            message.reply.answer(self._accepted(record, again=True))

    def find(self, message: FindExecution) -> None:
        """How it stands."""
        record = self.known.get(message.execution)
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

    async def abandon_all(self) -> None:
        """Nobody waits for any of them."""
        # The last ones first, so that none of them begins to run because one before it ended.
        for record in reversed(self.known.under_way):
            await self.session.abandon(record.execution)

    def cut_off(self) -> None:
        """Nobody waits for what they have not told by now."""
        for channel in list(self._channels.values()):
            channel.cut_off()

    def leave(self) -> None:
        """Their journal is no more."""
        for channel in self._channels.values():
            channel.leave()
