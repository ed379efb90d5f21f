"""The known bugs of pools, put in on purpose: what the simulation is for, and is held to.

Owns the broken versions, each a few lines over the real code and in force within a block. Must not
be known to anything but tests. `POOL_BUGS` are decisions of `PoolState` gone wrong, which its
record gives away too; `OTHER_BUGS` are elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import attrs
import trio

from actors import Gone, ask
from pyrepl3.client.leasing import Leasing
from pyrepl3.errors import PyreplError
from pyrepl3.events import Error, Result, Stream
from pyrepl3.messages import Acquire, Lease, Release
from pyrepl3.pool import pool, refusals
from pyrepl3.pool.pool_records import Effect, HandOver, Phase, TemplateRecord
from pyrepl3.pool.pool_state import PoolState
from pyrepl3.pool.pool_trace import PoolAction
from pyrepl3.session.session_state import SessionState
from pyrepl3.session.subtree import SessionSubtree
from pyrepl3.transport.flight import ExecutionFlight
from pyrepl3.transport.spawning import Spawn, Worker

from .replacing import replaced

Bug = Callable[[], AbstractContextManager[None]]


# --- in the pool's decisions ------------------------------------------------------------------


@attrs.define(eq=False)
class HandOverIsLost(PoolState):
    """A session whose caller was cancelled stays its caller's."""

    def take_back(self, session: str, waiter: int, *, now: float) -> list[Effect]:
        effects = self._catch_up(now)
        if self.trace is not None:
            self._note(PoolAction.TAKE_BACK, session=session, waiter=waiter)
        return effects + self._settle(now)


@attrs.define(eq=False)
class PlaceIsLostInAReap(PoolState):
    """Who gives its session back while that is being reaped takes the place along."""

    _given_back: set[str] = attrs.field(factory=set)

    def release(self, session: str, waiter: int, *, used: bool, now: float) -> list[Effect]:
        record = self.sessions.get(session)
        if record is not None and record.phase is Phase.STOPPING:
            self._given_back.add(session)
        return super().release(session, waiter, used=used, now=now)

    def session_ended(self, session: str, *, now: float) -> list[Effect]:
        if session not in self._given_back:
            return super().session_ended(session, now=now)
        if self.trace is not None:
            self._note(PoolAction.SESSION_ENDED, session=session)
        return self._settle(now)


@attrs.define(eq=False)
class TimeoutLeaksAWorker(PoolState):
    """What is being started for a caller that times out will belong to nobody."""

    _nobodys: set[str] = attrs.field(factory=set)

    def time_out(self, *, now: float) -> list[Effect]:
        late = [waiter for waiter in self.waiters.values() if waiter.deadline <= now]
        for waiter in late:
            self._nobodys.update(list(self.templates[waiter.template].starting)[:1])
        return super().time_out(now=now)

    def start_succeeded(self, session: str, *, now: float) -> list[Effect]:
        if session not in self._nobodys or session not in self.sessions:
            return super().start_succeeded(session, now=now)
        self._leave(self.sessions[session], Phase.LEASED)
        if self.trace is not None:
            self._note(PoolAction.START_SUCCEEDED, session=session)
        return self._settle(now)


@attrs.define(eq=False)
class TwoGetOneSession(PoolState):
    """With two callers in line, the second gets what the first was given."""

    def _hand_over(self, template: TemplateRecord, now: float) -> HandOver:
        session = next(iter(template.idle))
        effect = super()._hand_over(template, now)
        if template.waiters:
            template.idle[session] = None
        return effect


@attrs.define(eq=False)
class FailureWakesNobody(PoolState):
    """After a start that failed nothing is decided: those who wait for it go on waiting."""

    def start_failed(self, session: str, error: PyreplError, *, now: float) -> list[Effect]:
        effects = self._catch_up(now)
        if self._remove(session) is not None and self.trace is not None:
            self._note(PoolAction.START_FAILED, session=session)
        return effects


@attrs.define(eq=False)
class DeathIsNotHeard(PoolState):
    """A session that died idle is handed out until it is reaped."""

    def session_died(self, session: str, *, now: float) -> list[Effect]:
        record = self.sessions.get(session)
        if record is None or record.phase is not Phase.IDLE:
            return super().session_died(session, now=now)
        if self.trace is not None:
            self._note(PoolAction.SESSION_DIED, session=session)
        return []


@attrs.define(eq=False)
class LastComeIsFirstServed(PoolState):
    """Callers are served from the wrong end of the line."""

    def _hand_over(self, template: TemplateRecord, now: float) -> HandOver:
        last = next(reversed(template.waiters.values()))
        del template.waiters[last.waiter]
        template.waiters = {last.waiter: last, **template.waiters}
        return super()._hand_over(template, now)


# --- elsewhere --------------------------------------------------------------------------------


async def _acquire_and_forget(self: Leasing, template: str, timeout_s: float) -> Lease:
    """`Leasing.acquire`, which does not care what was handed over as it was cancelled."""
    waiter = next(self._waiters)
    deadline = trio.current_time() + timeout_s
    try:
        return await ask(self.pool(), lambda reply: Acquire(waiter, template, deadline, reply))
    except Gone as error:
        raise refusals.shutting_down() from error


REAP_S = 0.05


async def _release_after_the_reap(self: Leasing, lease: Lease, *, used: bool) -> None:
    """`Leasing.release`, which reaps in its caller's task, and gives the place back after it."""
    await trio.sleep(REAP_S)
    try:
        await ask(lease.pool, lambda taken: Release(lease.waiter, lease.session, used, taken))
    except Gone:
        return


async def _spawn_and_forget(self: SessionSubtree, exit_reply: Any) -> Worker:
    """`SessionSubtree._spawn`, which does not care what comes after its time is over."""
    taken: list[Worker] = []
    return await ask(
        self.spawner, lambda reply: Spawn(reply, exit_reply), on_abandoned=taken.append
    )


_finish = ExecutionFlight.finish


def _finish_without_a_word(
    self: ExecutionFlight, rests: list[tuple[Stream, str]], terminal: Result | Error
) -> bool:
    """`ExecutionFlight.finish`, which forgets the last event of errors."""
    if isinstance(terminal, Result):
        return _finish(self, rests, terminal)
    self.drop()
    return True


def _finish_twice(
    self: ExecutionFlight, rests: list[tuple[Stream, str]], terminal: Result | Error
) -> bool:
    """`ExecutionFlight.finish`, which tells an error's end before and after its rests."""
    if isinstance(terminal, Error):
        with suppress(trio.WouldBlock, trio.BrokenResourceError):
            self.run.request.events.send_nowait(terminal)
    return _finish(self, rests, terminal)


def _drop_silently(self: SessionState) -> list[Any]:
    """`SessionState._drop_waiting`, which tells none of those who wait."""
    self._waiting.clear()
    return []


def _broken_pool(state: type[PoolState]) -> Bug:
    return partial(replaced, pool, "PoolState", state)


POOL_BUGS: Mapping[str, Bug] = {
    "hand-over-lost": _broken_pool(HandOverIsLost),
    "place-lost-in-a-reap": _broken_pool(PlaceIsLostInAReap),
    "timeout-leaks-a-worker": _broken_pool(TimeoutLeaksAWorker),
    "two-get-one-session": _broken_pool(TwoGetOneSession),
    "failure-wakes-nobody": _broken_pool(FailureWakesNobody),
    "death-is-not-heard": _broken_pool(DeathIsNotHeard),
    "last-come-first-served": _broken_pool(LastComeIsFirstServed),
}
OTHER_BUGS: Mapping[str, Bug] = {
    "hand-over-lost-by-its-caller": partial(replaced, Leasing, "acquire", _acquire_and_forget),
    "place-lost-by-a-cancelled-reap": partial(
        replaced, Leasing, "release", _release_after_the_reap
    ),
    "slow-spawn-leaks-a-worker": partial(replaced, SessionSubtree, "_spawn", _spawn_and_forget),
    "end-is-not-told": partial(replaced, ExecutionFlight, "finish", _finish_without_a_word),
    "end-is-told-twice": partial(replaced, ExecutionFlight, "finish", _finish_twice),
    "queue-is-lost-in-a-death": partial(replaced, SessionState, "_drop_waiting", _drop_silently),
}
PLANTED_BUGS: Mapping[str, Bug] = {**POOL_BUGS, **OTHER_BUGS}
