"""A session's actor: carries out what `SessionState` decides.

Owns the session's mailbox. Requests come from its client, notices from its transport; it waits
for neither, only for its mailbox. Must not decide, and must not touch a process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import trio

from actors import Address, Alarm, Reply, close_mailbox, open_mailbox, receive_more
from pyrepl3 import messages
from pyrepl3.config import Limits, Timeouts
from pyrepl3.errors import PyreplError
from pyrepl3.messages import (
    Abandon,
    AnswerInput,
    Close,
    Died,
    Ended,
    EventChannel,
    Execute,
    Interrupt,
    Narrow,
    Query,
    Rang,
    Refused,
    SessionMessage,
    Survived,
    TransportMessage,
)
from pyrepl3.session import refusals
from pyrepl3.session import session_records as records
from pyrepl3.session.session_records import Effect
from pyrepl3.session.session_state import Phase, SessionState
from pyrepl3.session.session_trace import SessionTrace
from pyrepl3.transport import verdicts

SESSION_MAILBOX = 16
"""Room for what a client sends at once without a task switch each; beyond it the client waits."""


@attrs.define(eq=False)
class Session:
    """One mailbox around one `SessionState`."""

    limits: Limits
    timeouts: Timeouts
    address: Address[SessionMessage]
    inbox: trio.MemoryReceiveChannel[SessionMessage]
    transport: Address[TransportMessage]
    """Has room for all that a session may send before it hears of it: see `transport.py`."""
    fate: Reply[str]
    trace: SessionTrace | None = None
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when nothing is taken any more."""
    _state: SessionState = attrs.field(init=False)
    _cause: str = attrs.field(default="it was closed", init=False)

    def __attrs_post_init__(self) -> None:
        self._state = SessionState(self.limits, self.timeouts, trace=self.trace)

    @staticmethod
    def open_mailbox() -> tuple[Address[SessionMessage], trio.MemoryReceiveChannel[SessionMessage]]:
        """The mailbox is opened before the session, for the transport to send its notices to."""
        return open_mailbox(SESSION_MAILBOX)

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, *, task_status: trio.TaskStatus[Address[SessionMessage]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until the process has ended, or cancelled; the started value is the address."""
        alarm = Alarm(self._ring)
        state = self._state
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(alarm.run)
                task_status.started(self.address)
                while state.phase is not Phase.ENDED:
                    self._handle(await self.inbox.receive())
                    # What has come with it is taken in the same turn: turns are what costs.
                    for _ in range(SESSION_MAILBOX):
                        message = receive_more(self.inbox)
                        if message is None:
                            break
                        self._handle(message)
                    alarm.set(state.next_deadline())
                nursery.cancel_scope.cancel()
        finally:
            self._end()

    async def _ring(self) -> None:
        # Closed: the transport has ended, and its Died is in the mailbox, which ends every wait.
        with suppress(trio.ClosedResourceError):
            await self.address.send(Rang())

    def _end(self) -> None:
        """Leave nobody waiting, however it ended."""
        for effect in self._state.died():
            self._perform(effect)
        self.fate.answer(self._cause)
        self.ended.set()
        close_mailbox(self.inbox, self._turn_away)
        self.address.close()
        self.transport.close()

    def _turn_away(self, message: SessionMessage) -> None:
        error = refusals.session_closed(self._cause)
        if isinstance(message, Execute | Query):
            self._perform(records.Refuse(message, error))
        elif isinstance(message, Interrupt):
            message.reply.fail(error)

    def _handle(self, message: SessionMessage) -> None:
        for effect in self._decide(message):
            self._perform(effect)

    def _decide(self, message: SessionMessage) -> list[Effect]:
        now = trio.current_time()
        state = self._state
        match message:
            case Execute():
                return state.execute(message, now=now)
            case Ended(state="lost"):
                return state.broke(message.number, now=now)
            case Ended():
                return state.ended(
                    message.number,
                    rolled_back=message.state == "rolled_back",
                    is_protected=message.is_protected,
                    transaction=message.transaction,
                    now=now,
                )
            case Survived():
                return state.survived(now=now)
            case AnswerInput():
                return state.answer_input(message)
            case Query():
                return state.query(message, now=now)
            case Rang():
                return state.tick(now=now)
            case Interrupt():
                return state.interrupt(message, now=now)
            case Abandon():
                return state.abandon(message.execution, now=now)
            case Narrow():
                return state.narrow(message.limits)
            case Close():
                return state.close(graceful=message.graceful, now=now)
            case Died():
                self._cause = message.cause
                return state.died()

    def _perform(self, effect: Effect) -> None:
        _PERFORM[type(effect)](self, effect)

    def _hand(self, effect: records.Hand) -> None:
        job = effect.job
        if isinstance(job.request, Execute):
            limit = self._state.limits.output_bytes
            self._send(messages.Run(job.number, job.request, limit, job.transaction))
        else:
            self._send(messages.Ask(job.number, job.request))

    def _refuse(self, effect: records.Refuse) -> None:
        if isinstance(effect.request, Execute):
            _tell(effect.request.events, Refused(effect.error))
        else:
            effect.request.reply.fail(effect.error)

    def _drop(self, effect: records.Drop) -> None:
        request = effect.job.request
        if isinstance(request, Execute):
            _tell(request.events, effect.error)
        else:
            assert isinstance(effect.error, PyreplError)
            request.reply.fail(effect.error)

    def _settle(self, effect: records.Settle) -> None:
        if isinstance(effect.outcome, PyreplError):
            effect.reply.fail(effect.outcome)
        else:
            effect.reply.answer(effect.outcome)

    def _send(self, message: TransportMessage) -> None:
        try:
            self.transport.send_nowait(message)
        except trio.BrokenResourceError:
            # The process has ended, and its transport's Died is on its way to our mailbox; what
            # was handed down in between nobody else will end.
            if isinstance(message, messages.Run):
                _tell(message.request.events, Refused(verdicts.never_sent()))
            elif isinstance(message, messages.Ask):
                message.query.reply.fail(verdicts.never_sent())


def _tell(events: EventChannel, event: Any) -> None:
    """Put the only event of an execution into its empty channel, and close that."""
    with events:
        try:
            events.send_nowait(event)
        except trio.BrokenResourceError:
            return  # the client has gone; there is nobody to tell


_PERFORM: dict[type, Callable[[Session, Any], None]] = {
    records.Hand: Session._hand,
    records.Refuse: Session._refuse,
    records.Drop: Session._drop,
    records.Settle: Session._settle,
    records.SendInput: lambda self, effect: self._send(effect.answer),
    records.Signal: lambda self, effect: self._send(
        messages.Signal(effect.number, effect.code, effect.limit_s)
    ),
    records.DumpStack: lambda self, _: self._send(messages.DumpStack()),
    records.KillWorker: lambda self, effect: self._send(messages.Kill(effect.number)),
    records.ShutWorkerDown: lambda self, effect: self._send(messages.Shutdown(effect.grace_s)),
}
