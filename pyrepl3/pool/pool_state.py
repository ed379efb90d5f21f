"""The pool's decisions: who gets which session, and what is started and stopped for it.

Pure: one method for each action, each changes the state at once and returns the effects to be
carried out; takes `now`; knows no trio, no process and no channel. Capacity is counted from the
decision to start a session until it is told that nothing of it is left.

`spec/Pool.tla` is the model of this module, action for action, and `pool_trace.py` has the names
that they share. Where somebody records, each change is recorded as it is made.

| action | when |
| --- | --- |
| `acquire` | a caller asks |
| `cancel` | a waiting caller has gone |
| `start_succeeded`, `start_failed` | what became of a `Start` |
| `release` | a caller gives its session back |
| `take_back` | the caller did nothing with it, or was gone when it was handed over |
| `session_died` | a process has ended by itself |
| `session_ended` | a process is reaped, whatever its session was doing |
| `shut_down` | the service ends |
| `add_template`, `retire_template` | a snapshot is there to open sessions from, or no more |
| `time_out`, `expire`, `retry` | a waiter's, an idle session's, a pause's time is over |
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from random import Random

import attrs

from pyrepl3.config import PoolConfig
from pyrepl3.errors import PyreplError
from pyrepl3.pool import due, refusals
from pyrepl3.pool.breaker import Breaker, Position
from pyrepl3.pool.demand import Demand
from pyrepl3.pool.pool_records import (
    Effect,
    Forget,
    HandOver,
    Phase,
    Refuse,
    SessionRecord,
    Start,
    Stop,
    TemplateRecord,
    Waiter,
)
from pyrepl3.pool.pool_statistics import PoolStatistics, Tally
from pyrepl3.pool.pool_trace import PoolAction, PoolTrace

IDLE_LIFETIME_JITTER = 0.1


@attrs.define(eq=False)
class PoolState:
    """All sessions and all waiters, of every template."""

    config: PoolConfig
    random: Random
    templates: dict[str, TemplateRecord] = attrs.field(factory=dict)
    sessions: dict[str, SessionRecord] = attrs.field(factory=dict)
    waiters: dict[int, Waiter] = attrs.field(factory=dict)
    shutting_down: bool = False
    tally: Tally = attrs.field(factory=Tally)
    trace: PoolTrace | None = None
    """Where each change is recorded; None for nowhere, which costs nothing."""
    _wake_at: float = math.inf
    _last_session: int = 0

    @classmethod
    def of(
        cls,
        config: PoolConfig,
        templates: Iterable[str],
        random: Random,
        trace: PoolTrace | None = None,
    ) -> PoolState:
        """The empty pool of these templates."""
        state = cls(config=config, random=random, trace=trace)
        for name in templates:
            state.templates[name] = TemplateRecord(
                name=name, breaker=Breaker(config, random), demand=Demand()
            )
        if trace is not None:
            trace.open(config, list(state.templates))
        return state

    # --- actions of callers ---------------------------------------------------------------

    def acquire(self, waiter: int, template: str, *, deadline: float, now: float) -> list[Effect]:
        """A caller asks for a session of ``template``, until ``deadline``."""
        effects = self._catch_up(now)
        record = self.templates[template]
        self.waiters[waiter] = record.waiters[waiter] = Waiter(waiter, template, now, deadline)
        if self.trace is not None:
            self._note(PoolAction.ACQUIRE, waiter=waiter, template=template)
        if self.shutting_down:
            return [*effects, self._refuse(waiter, refusals.shutting_down())]
        record.demand.arrived(now=now)
        if record.breaker.position is Position.OPEN and not record.idle:
            error = refusals.degraded(template, record.breaker, now=now)
            return [*effects, self._refuse(waiter, error)]
        if record.idle and len(record.waiters) == 1:
            self.tally.hits += 1
        else:
            self.tally.misses += 1
        effects += self._settle(now)
        if waiter in self.waiters:
            self._wake_by(deadline)
        return effects

    def cancel(self, waiter: int, *, now: float) -> list[Effect]:
        """A waiting caller has gone. One that is no longer waiting is none of our business."""
        effects = self._catch_up(now)
        if self._forget_waiter(waiter) is None:
            return effects
        if self.trace is not None:
            self._note(PoolAction.CANCEL, waiter=waiter)
        return effects + self._settle(now)

    def release(self, session: str, waiter: int, *, used: bool, now: float) -> list[Effect]:
        """A caller gives its session back: it is discarded, unless nothing was done with it."""
        if not used:
            return self.take_back(session, waiter, now=now)
        effects = self._catch_up(now)
        if self.trace is not None:
            self._note(PoolAction.RELEASE, session=session, waiter=waiter)
        record = self._leased_by(waiter, session)
        if record is None:
            return effects
        return [*effects, self._stop(record), *self._settle(now)]

    def take_back(self, session: str, waiter: int, *, now: float) -> list[Effect]:
        """Its caller cannot have touched the session: it is idle again."""
        effects = self._catch_up(now)
        if self.trace is not None:
            self._note(PoolAction.TAKE_BACK, session=session, waiter=waiter)
        record = self._leased_by(waiter, session)
        if record is None:
            return effects
        self._become_idle(record, now)
        return effects + self._settle(now)

    # --- snapshots ----------------------------------------------------------------------------

    def add_template(self, name: str) -> None:
        """From now on sessions of this one may be asked for; none is kept ready.

        To the model it was there from the start: it is not asked for before, nor afterwards.
        """
        self.templates[name] = TemplateRecord(
            name=name,
            breaker=Breaker(self.config, self.random),
            demand=Demand(),
            is_snapshot=True,
        )

    def retire_template(self, name: str, *, now: float) -> list[Effect]:
        """Nobody asks for it any more. Whoever waits gets its session, and keeps it."""
        effects = self._catch_up(now)
        record = self.templates.get(name)
        if record is None:
            return [*effects, Forget(name)]
        record.is_retired = True
        for session in record.idle:
            self.sessions[session].expires = now
        return [*effects, *self.expire(now=now), *self._settle(now)]

    # --- actions of sessions ----------------------------------------------------------------

    def start_succeeded(self, session: str, *, now: float) -> list[Effect]:
        """A started session is ready: it goes to the first waiter, or becomes idle."""
        effects = self._catch_up(now)
        record = self.sessions.get(session)
        if record is None or record.phase is not Phase.STARTING:
            return effects
        template = self.templates[record.template]
        template.breaker.succeeded()
        template.demand.started(now - record.since)
        self.tally.started += 1
        self._become_idle(record, now)
        if self.trace is not None:
            self._note(PoolAction.START_SUCCEEDED, session=session)
        return effects + self._settle(now)

    def start_failed(self, session: str, error: PyreplError, *, now: float) -> list[Effect]:
        """Nothing came of a start. Enough of them in a row open the template's breaker."""
        effects = self._catch_up(now)
        record = self._remove(session)
        if record is None:
            return effects
        if self.trace is not None:
            self._note(PoolAction.START_FAILED, session=session)
        if record.phase is not Phase.STARTING:
            return effects + self._settle(now)
        self.tally.start_failures += 1
        template = self.templates[record.template]
        if not record.stale and self._count_failure(template, error, now):
            self.tally.breaker_openings += 1
            for waiter in list(template.waiters):
                effects.append(self._refuse(waiter, refusals.spawn_failed(template.name, error)))
        self._wake_by(template.breaker.retry_at)
        return effects + self._settle(now)

    def session_died(self, session: str, *, now: float) -> list[Effect]:
        """A session's process has ended by itself: nobody gets it any more.

        Its place is taken until it is reaped.
        """
        effects = self._catch_up(now)
        record = self.sessions.get(session)
        if record is None or record.phase is Phase.STOPPING:
            return effects
        self.tally.deaths += 1
        self._leave(record, Phase.STOPPING)
        if self.trace is not None:
            self._note(PoolAction.SESSION_DIED, session=session)
        return effects + self._settle(now)

    def session_ended(self, session: str, *, now: float) -> list[Effect]:
        """A session's process is reaped: its place is free, once."""
        effects = self._catch_up(now)
        record = self._remove(session)
        if record is None:
            return effects
        if record.phase is not Phase.STOPPING:
            self.tally.deaths += 1
        if self.trace is not None:
            self._note(PoolAction.SESSION_ENDED, session=session)
        return effects + self._settle(now)

    def shut_down(self, *, now: float) -> list[Effect]:
        """Refuse every waiter, stop every session, start nothing any more."""
        effects = self._catch_up(now)
        self.shutting_down = True
        if self.trace is not None:
            self._note(PoolAction.SHUT_DOWN)
        refused = [self._refuse(waiter, refusals.shutting_down()) for waiter in list(self.waiters)]
        live = [r for r in self.sessions.values() if r.phase is not Phase.STOPPING]
        return [*effects, *refused, *(self._stop(record) for record in live)]

    # --- actions of time --------------------------------------------------------------------

    def retry(self, *, now: float) -> bool:
        """End the pauses that are over. True when there was one: then more may be started."""
        ended = False
        for template in self.templates.values():
            if template.breaker.retry(now=now):
                ended = True
                if self.trace is not None:
                    self._note(PoolAction.RETRY, template=template.name)
        return ended

    def time_out(self, *, now: float) -> list[Effect]:
        """Refuse every waiter whose deadline has passed."""
        late = [waiter for waiter in self.waiters.values() if waiter.deadline <= now]
        effects: list[Effect] = []
        for waiter in late:
            self._forget_waiter(waiter.waiter)
            self.tally.timeouts += 1
            if self.trace is not None:
                self._note(PoolAction.TIME_OUT, waiter=waiter.waiter)
            record = self.templates[waiter.template]
            error = refusals.exhausted(waiter, record, self.config, sessions=len(self.sessions))
            effects.append(Refuse(waiter.waiter, error))
        return effects + self._settle(now) if late else []

    def expire(self, *, now: float) -> list[Effect]:
        """Stop idle sessions past their lifetime; what is still wanted is started anew."""
        old = [
            record
            for record in self.sessions.values()
            if record.phase is Phase.IDLE and record.expires <= now
        ]
        effects: list[Effect] = []
        for record in old:
            if self.trace is not None:
                self._note(PoolAction.EXPIRE, session=record.session)
            effects.append(self._stop(record))
        return effects + self._settle(now) if old else []

    def tick(self, *, now: float) -> list[Effect]:
        """Everything that is due: a pause's end, timeouts, expiries, and the starts they allow."""
        self.retry(now=now)
        effects = [*self._settle(now), *self.time_out(now=now), *self.expire(now=now)]
        deadlines = [waiter.deadline for waiter in self.waiters.values()]
        deadlines += [r.expires for r in self.sessions.values() if r.phase is Phase.IDLE]
        deadlines += [t.breaker.retry_at for t in self.templates.values() if t.breaker.paused]
        # A deadline at or before now has just been dealt with; a start that failed within
        # this tick has a later one.
        self._wake_at = min((when for when in deadlines if when > now), default=math.inf)
        return effects

    def next_deadline(self) -> float:
        """When `tick` may have something to do; infinite when never."""
        return self._wake_at

    def _catch_up(self, now: float) -> list[Effect]:
        """Before anything else is decided: what a pause held back, where it is over."""
        return self._settle(now) if self.retry(now=now) else []

    # --- figures -----------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether a shut-down pool has nothing left."""
        return self.shutting_down and not self.sessions

    def statistics(self) -> PoolStatistics:
        """The figures as they are now."""
        return self.tally.statistics(
            phases=[record.phase for record in self.sessions.values()],
            waiting=len(self.waiters),
            open_breakers=tuple(
                sorted(
                    name
                    for name, record in self.templates.items()
                    if record.breaker.position is not Position.CLOSED
                )
            ),
        )

    # --- what every action ends with ----------------------------------------------------------

    def _settle(self, now: float) -> list[Effect]:
        """Give idle sessions to waiters, then start what is wanted, while there is room."""
        if self.shutting_down:
            return []
        effects: list[Effect] = []
        for template in self.templates.values():
            while template.waiters and template.idle:
                effects.append(self._hand_over(template, now))
        effects.extend(self._start_for_waiters(now))
        effects.extend(self._make_room())
        effects.extend(self._start_spares(now))
        effects.extend(self._forget_retired())
        return effects

    def _hand_over(self, template: TemplateRecord, now: float) -> HandOver:
        waiter = next(iter(template.waiters.values()))
        session = next(iter(template.idle))
        self._forget_waiter(waiter.waiter)
        self._leave(self.sessions[session], Phase.LEASED)
        self.sessions[session].owner = waiter.waiter
        if self.trace is not None:
            self._note(PoolAction.HAND_OVER, waiter=waiter.waiter, session=session)
        return HandOver(waiter.waiter, session, warm=waiter.since == now, wait_s=now - waiter.since)

    def _start_for_waiters(self, now: float) -> Iterator[Effect]:
        for template in due.to_be_served(self.waiters.values(), self.templates):
            if len(self.sessions) >= self.config.max_sessions:
                return
            yield self._start(template, now)

    def _make_room(self) -> Iterator[Effect]:
        """Where a full pool has waiters, idle sessions of other templates give way to them."""
        if self.waiters and len(self.sessions) >= self.config.max_sessions:
            for session in due.idle_to_give_way(self.templates.values(), self.sessions):
                yield self._stop(self.sessions[session])

    def _start_spares(self, now: float) -> Iterator[Effect]:
        """Keep as many idle sessions as the demand of late asks for."""
        for template in self.templates.values():
            if template.is_snapshot:
                continue
            wanted = template.demand.wanted_idle(now=now, minimum=self.config.min_idle)
            wanted += len(template.waiters)
            while (
                len(template.idle) + len(template.starting) < wanted
                and len(self.sessions) < self.config.max_sessions
                and due.may_start(template)
            ):
                yield self._start(template, now)

    def _forget_retired(self) -> Iterator[Effect]:
        """Snapshots that nobody asks for any more, once nothing is left of them."""
        for template in [each for each in self.templates.values() if each.is_retired]:
            in_use = (session.template == template.name for session in self.sessions.values())
            if not template.waiters and not any(in_use):
                del self.templates[template.name]
                yield Forget(template.name)

    # --- small changes --------------------------------------------------------------------------

    def _count_failure(self, template: TemplateRecord, error: PyreplError, now: float) -> bool:
        for session in template.starting:
            self.sessions[session].stale = True
        return template.breaker.failed(error, now=now)

    def _start(self, template: TemplateRecord, now: float) -> Start:
        self._last_session += 1
        session = f"s{self._last_session}"
        self.sessions[session] = SessionRecord(session, template.name, Phase.STARTING, now)
        template.starting[session] = None
        if self.trace is not None:
            self._note(PoolAction.START, session=session, template=template.name)
        return Start(session, template.name)

    def _stop(self, record: SessionRecord) -> Stop:
        used = record.phase is Phase.LEASED
        self._leave(record, Phase.STOPPING)
        if self.trace is not None:
            self._note(PoolAction.STOP, session=record.session)
        return Stop(record.session, graceful=used)

    def _refuse(self, waiter: int, error: PyreplError) -> Refuse:
        self._forget_waiter(waiter)
        if self.trace is not None:
            self._note(PoolAction.REFUSE, waiter=waiter)
        return Refuse(waiter, error)

    def _become_idle(self, record: SessionRecord, now: float) -> None:
        self._leave(record, Phase.IDLE)
        self.templates[record.template].idle[record.session] = None
        jitter = 1 + IDLE_LIFETIME_JITTER * (2 * self.random.random() - 1)
        record.since = now
        is_retired = self.templates[record.template].is_retired
        record.expires = now if is_retired else now + self.config.idle_lifetime_s * jitter
        self._wake_by(record.expires)

    def _leave(self, record: SessionRecord, phase: Phase) -> None:
        template = self.templates[record.template]
        template.idle.pop(record.session, None)
        template.starting.pop(record.session, None)
        record.phase = phase
        record.owner = None

    def _leased_by(self, waiter: int, session: str) -> SessionRecord | None:
        """The session, if it is this waiter's: a lease that is over gives nothing back."""
        record = self.sessions.get(session)
        return None if record is None or record.owner != waiter else record

    def _remove(self, session: str) -> SessionRecord | None:
        record = self.sessions.pop(session, None)
        if record is not None:
            template = self.templates[record.template]
            template.idle.pop(session, None)
            template.starting.pop(session, None)
        return record

    def _forget_waiter(self, waiter: int) -> Waiter | None:
        record = self.waiters.pop(waiter, None)
        if record is not None:
            del self.templates[record.template].waiters[waiter]
        return record

    def _wake_by(self, when: float) -> None:
        self._wake_at = min(self._wake_at, when)

    def _note(self, action: PoolAction, **fields: str | int) -> None:
        assert self.trace is not None
        self.trace.record(action, live=len(self.sessions), waiting=len(self.waiters), **fields)
