"""The pool's actor: carries out what `PoolState` decides.

Owns the pool's mailbox and the replies of those who wait. It waits for nothing else, ever: what
is slow happens in the sessions' actor, and its end comes back as a message. Must not decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import attrs
import trio

from actors import Address, Alarm, Reply, close_mailbox, open_mailbox
from pyrepl3.config import Config
from pyrepl3.messages import (
    Acquire,
    AcquireAll,
    AddTemplate,
    CancelAcquire,
    Lease,
    PoolMessage,
    PoolRang,
    Release,
    RetireTemplate,
    SessionDied,
    SessionEnded,
    SessionsMessage,
    SessionStarted,
    SessionStartFailed,
    StartSession,
    StopPool,
    StopSession,
)
from pyrepl3.pool import refusals
from pyrepl3.pool.pool_records import Effect, Forget, HandOver, Refuse, Start, Stop
from pyrepl3.pool.pool_state import PoolState
from pyrepl3.pool.pool_statistics import PoolStatistics
from pyrepl3.pool.pool_trace import PoolTrace

POOL_MAILBOX = 64
"""Room for a burst; beyond it callers wait in line, which is as good a place as the pool."""


@attrs.define(eq=False)
class Pool:
    """One mailbox around one `PoolState`."""

    config: Config
    sessions: Address[SessionsMessage]
    """Has room for all that a pool may send before the first of it is taken: `sessions.py`."""
    random: Random = attrs.field(factory=Random)
    trace: PoolTrace | None = None
    _state: PoolState = attrs.field(init=False)
    _replies: dict[int, Reply[Lease]] = attrs.field(factory=dict, init=False)
    _started: dict[str, SessionStarted] = attrs.field(factory=dict, init=False)
    _retired: dict[str, Reply[None]] = attrs.field(factory=dict, init=False)
    """Of snapshots the replies to who waits until nothing is left of them."""
    _address: Address[PoolMessage] = attrs.field(init=False)
    _stopping: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._state = PoolState.of(self.config.pool, self.config.templates, self.random, self.trace)

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, *, task_status: trio.TaskStatus[Address[PoolMessage]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until stopped and empty, or cancelled; the started value is the address."""
        inbox: trio.MemoryReceiveChannel[PoolMessage]
        self._address, inbox = open_mailbox(POOL_MAILBOX)
        alarm = Alarm(self._ring)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(alarm.run)
                nursery.start_soon(self._pass_on_stop)
                self._perform(self._state.tick(now=trio.current_time()))
                task_status.started(self._address)
                while not self._state.finished:
                    alarm.set(self._state.next_deadline())
                    self._handle(await inbox.receive())
                nursery.cancel_scope.cancel()
        finally:
            close_mailbox(inbox, _refuse)
            self._address.close()
            for reply in self._replies.values():
                reply.fail(refusals.shutting_down())
            for emptied in self._retired.values():
                emptied.close()

    def stop(self) -> None:
        """Ask it to end: waiters are refused, sessions are stopped, then `run` returns."""
        self._stopping.set()

    def statistics(self) -> PoolStatistics:
        """The figures as they are now."""
        return self._state.statistics()

    async def _ring(self) -> None:
        await self._address.send(PoolRang())

    @trio.lowlevel.enable_ki_protection
    async def _pass_on_stop(self) -> None:
        await self._stopping.wait()
        await self._address.send(StopPool())

    def _handle(self, message: PoolMessage) -> None:
        now = trio.current_time()
        state = self._state
        match message:
            case Acquire():
                effects = self._acquire(message, now)
            case AcquireAll():
                effects = [
                    effect for each in message.acquisitions for effect in self._acquire(each, now)
                ]
            case AddTemplate():
                state.add_template(message.template)
                message.reply.answer(None)
                effects = []
            case RetireTemplate():
                self._retired[message.template] = message.reply
                effects = state.retire_template(message.template, now=now)
            case CancelAcquire():
                self._replies.pop(message.waiter, None)
                effects = state.cancel(message.waiter, now=now)
            case Release():
                effects = state.release(message.session, message.waiter, used=message.used, now=now)
                if message.taken is not None:
                    message.taken.answer(None)
            case SessionStarted():
                self._started[message.session] = message
                effects = state.start_succeeded(message.session, now=now)
            case SessionStartFailed():
                effects = state.start_failed(message.session, message.error, now=now)
            case SessionDied():
                effects = state.session_died(message.session, now=now)
            case SessionEnded():
                self._started.pop(message.session, None)
                effects = state.session_ended(message.session, now=now)
            case StopPool():
                effects = state.shut_down(now=now)
            case PoolRang():
                effects = state.tick(now=now)
        self._perform(effects)

    def _acquire(self, message: Acquire, now: float) -> list[Effect]:
        template = self._state.templates.get(message.template)
        if template is None or template.is_retired:
            message.reply.fail(refusals.snapshot_gone())
            return []
        self._replies[message.waiter] = message.reply
        return self._state.acquire(
            message.waiter, message.template, deadline=message.deadline, now=now
        )

    def _perform(self, effects: Iterable[Effect]) -> None:
        """Carry out, without waiting; a hand-over to nobody may lead to further effects."""
        for effect in effects:
            match effect:
                case HandOver():
                    self._hand_over(effect)
                case Refuse():
                    self._replies.pop(effect.waiter).fail(effect.error)
                case Start():
                    self.sessions.send_nowait(
                        StartSession(effect.session, effect.template, self._address)
                    )
                case Forget():
                    self._retired.pop(effect.template).answer(None)
                case Stop():
                    self.sessions.send_nowait(StopSession(effect.session, effect.graceful))

    def _hand_over(self, effect: HandOver) -> None:
        started = self._started[effect.session]
        lease = Lease(
            waiter=effect.waiter,
            session=effect.session,
            template=self._state.sessions[effect.session].template,
            pid=started.pid,
            address=started.address,
            fate=started.fate,
            warm=effect.warm,
            wait_s=effect.wait_s,
            pool=self._address,
        )
        if not self._replies.pop(effect.waiter).answer(lease):
            now = trio.current_time()
            self._perform(self._state.take_back(effect.session, effect.waiter, now=now))


def _refuse(message: PoolMessage) -> None:
    if isinstance(message, Acquire):
        message.reply.fail(refusals.shutting_down())
    elif isinstance(message, AcquireAll):
        for each in message.acquisitions:
            each.reply.fail(refusals.shutting_down())
    elif isinstance(message, AddTemplate | RetireTemplate):
        message.reply.close()
    elif isinstance(message, Release) and message.taken is not None:
        message.taken.close()
