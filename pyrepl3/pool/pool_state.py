"""The pool's decisions: who gets which session, and what is started and stopped for it.

Pure: one method for each action, each changes the state at once and returns the effects to be
carried out; takes `now`; knows no trio, no process and no channel. Capacity is counted from the
decision to start a session until it is told that nothing of it is left.

| action | when |
| --- | --- |
| `acquire` | a caller asks |
| `cancel` | a waiting caller has gone |
| `time_out` | deadlines of waiters have passed |
| `start_succeeded`, `start_failed` | what became of a `Start` |
| `release` | a caller gives its session back |
| `take_back` | the caller was gone when its session was handed over |
| `expire` | idle sessions have lived long enough |
| `session_died` | a process has ended by itself |
| `session_ended` | a process is reaped, whatever its session was doing |
| `shut_down` | the service ends |
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random

import attrs

from pyrepl3.config import PoolConfig
from pyrepl3.errors import PyreplError
from pyrepl3.pool import refusals
from pyrepl3.pool.breaker import Breaker, Position
from pyrepl3.pool.demand import Demand
from pyrepl3.pool.pool_records import (
    Effect,
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
    _wake_at: float = math.inf
    _last_session: int = 0

    @classmethod
    def of(cls, config: PoolConfig, templates: Mapping[str, object], random: Random) -> PoolState:
        """The empty pool of these templates."""
        state = cls(config=config, random=random)
        for name in templates:
            state.templates[name] = TemplateRecord(
                name=name, breaker=Breaker(config, random), demand=Demand()
            )
        return state

    # --- actions of callers ---------------------------------------------------------------

    def acquire(self, waiter: int, template: str, *, deadline: float, now: float) -> list[Effect]:
        """A caller asks for a session of ``template``, until ``deadline``."""
        if self.shutting_down:
            return [Refuse(waiter, refusals.shutting_down())]
        record = self.templates[template]
        record.demand.arrived(now=now)
        record.breaker.try_half_open(now=now)
        if record.breaker.position is Position.OPEN and not record.idle:
            return [Refuse(waiter, refusals.degraded(template, record.breaker, now=now))]
        if record.idle and not record.waiters:
            self.tally.hits += 1
        else:
            self.tally.misses += 1
        self.waiters[waiter] = record.waiters[waiter] = Waiter(waiter, template, now, deadline)
        effects = self._settle(now)
        if waiter in self.waiters:
            self._wake_by(deadline)
        return effects

    def cancel(self, waiter: int, *, now: float) -> list[Effect]:
        """A waiting caller has gone. One that is no longer waiting is none of our business."""
        if self._forget_waiter(waiter) is None:
            return []
        return self._settle(now)

    def time_out(self, *, now: float) -> list[Effect]:
        """Refuse every waiter whose deadline has passed."""
        late = [waiter for waiter in self.waiters.values() if waiter.deadline <= now]
        effects: list[Effect] = []
        for waiter in late:
            self._forget_waiter(waiter.waiter)
            self.tally.timeouts += 1
            record = self.templates[waiter.template]
            error = refusals.exhausted(waiter, record, self.config)
            effects.append(Refuse(waiter.waiter, error))
        return effects + self._settle(now) if late else []

    def release(self, session: str, *, used: bool, now: float) -> list[Effect]:
        """A caller gives its session back: it is discarded, unless nothing was done with it."""
        record = self.sessions.get(session)
        if record is None or record.phase is not Phase.LEASED:
            return []
        if not used:
            return self.take_back(session, now=now)
        return [self._stop(record), *self._settle(now)]

    def take_back(self, session: str, *, now: float) -> list[Effect]:
        """The caller was gone before it could have touched the session: it is idle again."""
        record = self.sessions.get(session)
        if record is None or record.phase is not Phase.LEASED:
            return []
        if self.shutting_down:
            return [self._stop(record)]
        self._become_idle(record, now)
        return self._settle(now)

    # --- actions of sessions ----------------------------------------------------------------

    def start_succeeded(self, session: str, *, now: float) -> list[Effect]:
        """A started session is ready: it goes to the first waiter, or becomes idle."""
        record = self.sessions.get(session)
        if record is None or record.phase is not Phase.STARTING:
            return []
        template = self.templates[record.template]
        template.breaker.succeeded()
        template.demand.started(now - record.since)
        self.tally.started += 1
        self._become_idle(record, now)
        return self._settle(now)

    def start_failed(self, session: str, error: PyreplError, *, now: float) -> list[Effect]:
        """Nothing came of a start. Enough of them in a row open the template's breaker."""
        record = self._remove(session)
        if record is None:
            return []
        if record.phase is not Phase.STARTING:
            return self._settle(now)
        self.tally.start_failures += 1
        template = self.templates[record.template]
        effects: list[Effect] = []
        if template.breaker.failed(error, begun=record.since, now=now):
            self.tally.breaker_openings += 1
            for waiter in list(template.waiters):
                self._forget_waiter(waiter)
                effects.append(Refuse(waiter, refusals.spawn_failed(template.name, error)))
        self._wake_by(template.breaker.retry_at)
        return effects + self._settle(now)

    def session_died(self, session: str, *, now: float) -> list[Effect]:
        """A session's process has ended by itself: nobody gets it any more.

        Its place is taken until it is reaped.
        """
        record = self.sessions.get(session)
        if record is None or record.phase is Phase.STOPPING:
            return []
        self.tally.deaths += 1
        self._leave(record, Phase.STOPPING)
        return self._settle(now)

    def session_ended(self, session: str, *, now: float) -> list[Effect]:
        """A session's process is reaped: its place is free, once."""
        record = self._remove(session)
        if record is None:
            return []
        if record.phase is not Phase.STOPPING:
            self.tally.deaths += 1
        return self._settle(now)

    def expire(self, *, now: float) -> list[Effect]:
        """Stop idle sessions past their lifetime; what is still wanted is started anew."""
        old = [
            record
            for record in self.sessions.values()
            if record.phase is Phase.IDLE and record.expires <= now
        ]
        effects: list[Effect] = [self._stop(record) for record in old]
        return effects + self._settle(now) if old else []

    def shut_down(self, *, now: float) -> list[Effect]:
        """Refuse every waiter, stop every session, start nothing any more."""
        self.shutting_down = True
        effects: list[Effect] = []
        for waiter in list(self.waiters):
            self._forget_waiter(waiter)
            effects.append(Refuse(waiter, refusals.shutting_down()))
        live = [r for r in self.sessions.values() if r.phase is not Phase.STOPPING]
        return effects + [self._stop(record) for record in live]

    # --- time and figures -------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When `tick` may have something to do; infinite when never."""
        return self._wake_at

    def tick(self, *, now: float) -> list[Effect]:
        """Everything that is due: timeouts, expiries, a start after a pause."""
        for template in self.templates.values():
            template.breaker.try_half_open(now=now)
        effects = [*self.time_out(now=now), *self.expire(now=now), *self._settle(now)]
        deadlines = [waiter.deadline for waiter in self.waiters.values()]
        deadlines += [r.expires for r in self.sessions.values() if r.phase is Phase.IDLE]
        deadlines += [t.breaker.retry_at for t in self.templates.values()]
        # A deadline at or before now has just been dealt with; a start that failed within
        # this tick has a later one.
        self._wake_at = min((when for when in deadlines if when > now), default=math.inf)
        return effects

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
        effects.extend(self._make_room(now))
        effects.extend(self._start_spares(now))
        return effects

    def _hand_over(self, template: TemplateRecord, now: float) -> HandOver:
        waiter = next(iter(template.waiters.values()))
        session = next(iter(template.idle))
        self._forget_waiter(waiter.waiter)
        self._leave(self.sessions[session], Phase.LEASED)
        return HandOver(waiter.waiter, session, warm=waiter.since == now, wait_s=now - waiter.since)

    def _start_for_waiters(self, now: float) -> Iterator[Effect]:
        """A start for each waiter that has none under way, the longest waiting first."""
        covered = {name: len(record.starting) for name, record in self.templates.items()}
        for waiter in self.waiters.values():
            if len(self.sessions) >= self.config.max_sessions:
                return
            if covered[waiter.template] > 0:
                covered[waiter.template] -= 1
            elif self._may_start(self.templates[waiter.template], now):
                yield self._start(self.templates[waiter.template], now)

    def _make_room(self, now: float) -> Iterator[Effect]:
        """Where a full pool has waiters, idle sessions of other templates give way to them."""
        if not self.waiters or len(self.sessions) < self.config.max_sessions:
            return
        wanted = sum(self._starts_wanted(record, now) for record in self.templates.values())
        stopping = sum(record.phase is Phase.STOPPING for record in self.sessions.values())
        short = wanted - stopping
        idle = [name for record in self.templates.values() for name in record.idle]
        for session in idle[: max(0, short)]:
            yield self._stop(self.sessions[session])

    def _starts_wanted(self, template: TemplateRecord, now: float) -> int:
        """Starts for waiters that have none under way, as far as the breaker lets them begin."""
        wanted = max(0, len(template.waiters) - len(template.starting))
        allowed = template.breaker.starts_allowed(len(template.starting), now=now)
        return wanted if allowed is None else min(wanted, allowed)

    def _start_spares(self, now: float) -> Iterator[Effect]:
        """Keep as many idle sessions as the demand of late asks for."""
        for template in self.templates.values():
            wanted = template.demand.wanted_idle(now=now, minimum=self.config.min_idle)
            wanted += len(template.waiters)
            while (
                len(template.idle) + len(template.starting) < wanted
                and len(self.sessions) < self.config.max_sessions
                and self._may_start(template, now)
            ):
                yield self._start(template, now)

    # --- small changes --------------------------------------------------------------------------

    def _may_start(self, template: TemplateRecord, now: float) -> bool:
        allowed = template.breaker.starts_allowed(len(template.starting), now=now)
        return allowed is None or allowed > 0

    def _start(self, template: TemplateRecord, now: float) -> Start:
        self._last_session += 1
        session = f"s{self._last_session}"
        self.sessions[session] = SessionRecord(session, template.name, Phase.STARTING, now)
        template.starting[session] = None
        return Start(session, template.name)

    def _stop(self, record: SessionRecord) -> Stop:
        used = record.phase is Phase.LEASED
        self._leave(record, Phase.STOPPING)
        return Stop(record.session, graceful=used)

    def _become_idle(self, record: SessionRecord, now: float) -> None:
        self._leave(record, Phase.IDLE)
        self.templates[record.template].idle[record.session] = None
        jitter = 1 + IDLE_LIFETIME_JITTER * (2 * self.random.random() - 1)
        record.since = now
        record.expires = now + self.config.idle_lifetime_s * jitter
        self._wake_by(record.expires)

    def _leave(self, record: SessionRecord, phase: Phase) -> None:
        template = self.templates[record.template]
        template.idle.pop(record.session, None)
        template.starting.pop(record.session, None)
        record.phase = phase

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
