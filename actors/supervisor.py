"""A supervisor: starts children, restarts those that crash, and stops them all in the end.

Owns the children's lives. Must not know what they do. The rules of which children stop and start
are in ``supervision.py``, how often and how soon in ``restart_budget.py``, how one child ends in
``child.py`` and ``shutdown.py``; here they are carried out.

A supervisor is an actor, so it can be the child of another one::

    storage = Supervisor([ChildSpec("disk", disk.run), ChildSpec("index", index.run)],
                         strategy=Strategy.REST_FOR_ONE, name="storage")
    root = Supervisor([ChildSpec("storage", storage.run, stop=storage.stop, shutdown_s=25.0), ...])

When it gives up it raises :class:`RestartIntensityExceeded`, which to its parent is one more crash.
"""

import logging
import random as random_module
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from math import inf
from types import MappingProxyType
from typing import Any

import attrs
import trio

from .child import ChildRun, ChildSpec
from .errors import (
    AlreadyRunning,
    ChildNotRunning,
    ChildOverdue,
    RestartIntensityExceeded,
    UnknownChild,
)
from .restart_budget import Backoff, CrashStreak, RandomSource, RestartBudget, RestartIntensity
from .shutdown import Ending, open_body_nursery
from .supervision import ChildView, Decision, Strategy, decide

logger = logging.getLogger(__name__)


@attrs.frozen
class SupervisorStatistics:
    """A supervisor's children at one moment."""

    children_alive: tuple[str, ...]
    """Names of the children that are up, in start order."""
    restarts: Mapping[str, int]
    """How many times each child was started again, since the supervisor itself was started."""


def _in_order(children: Iterable[ChildSpec]) -> tuple[ChildSpec, ...]:
    return tuple(children)


def _unique_names(instance: object, attribute: object, children: tuple[ChildSpec, ...]) -> None:
    if len({spec.name for spec in children}) < len(children):
        raise ValueError("two children of one supervisor have the same name")


@attrs.define(eq=False)
class Supervisor:
    """Runs ``children``, the first one first; each may use those before it.

    The defaults restart just what crashed, after a short delay, and give up at the second crash
    within 5 s, as OTP does. ``random`` is the source of the backoff's jitter.
    """

    children: tuple[ChildSpec, ...] = attrs.field(converter=_in_order, validator=_unique_names)
    strategy: Strategy = attrs.field(default=Strategy.ONE_FOR_ONE, kw_only=True)
    intensity: RestartIntensity = attrs.field(factory=RestartIntensity, kw_only=True)
    backoff: Backoff = attrs.field(factory=Backoff, kw_only=True)
    name: str = attrs.field(default="supervisor", kw_only=True)
    random: RandomSource = attrs.field(default=random_module.random, kw_only=True)
    _family: "_Family | None" = attrs.field(default=None, init=False)
    _running: bool = attrs.field(default=False, init=False)
    _stop_requested: bool = attrs.field(default=False, init=False)

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, *, task_status: trio.TaskStatus["Supervisor"] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Start the children left to right, supervise them, and stop them right to left.

        The started value is the supervisor. Returns after :meth:`stop`. Each child is asked to
        end, given its ``shutdown_s``, and cancelled; until its turn it is shielded, also when the
        supervisor was cancelled. That takes at most twice the sum of all ``shutdown_s``, unless a
        child defies its cancellation: nothing in trio ends such a task, so it is waited for.

        Raises what the first start of a child raised, RestartIntensityExceeded, ChildOverdue,
        AlreadyRunning, and, in an ExceptionGroup, what children raised while they were stopped.
        May be run again once it has ended.
        """
        if self._running:
            raise AlreadyRunning(f"supervisor {self.name!r}")
        self._running = True
        try:
            async with open_body_nursery() as nursery:
                family = self._family = _Family(self, nursery)
                try:
                    with family.supervision:
                        if self._stop_requested:
                            family.supervision.cancel()
                        await family.start_all()
                        task_status.started(self)
                        await family.supervise()
                finally:
                    deadline = trio.current_time() + family.shutdown_bound_s()
                    with trio.CancelScope(shield=True, deadline=deadline):
                        await family.stop_all()
        finally:
            self._running = self._stop_requested = False

    def stop(self) -> None:
        """Ask it to stop its children and return. Never waits; asking twice is asking once.

        A request that comes before :meth:`run` holds: the next run then ends without starting.
        """
        self._stop_requested = True
        if self._running and self._family is not None:
            self._family.supervision.cancel()

    def address(self, name: str) -> Any:
        """What the present incarnation of child ``name`` gave to ``started()``.

        Raises ChildNotRunning while it is down, UnknownChild when there is no such child. Don't
        keep it across a restart: an address is one incarnation's.
        """
        if name not in (spec.name for spec in self.children):
            raise UnknownChild(name, self.name)
        run = self._family.runs.get(name) if self._family is not None else None
        if run is None or not run.is_up:
            raise ChildNotRunning(name)
        return run.address

    def statistics(self) -> SupervisorStatistics:
        """A frozen picture of the children."""
        if self._family is None:
            nothing: dict[str, int] = dict.fromkeys((spec.name for spec in self.children), 0)
            return SupervisorStatistics((), MappingProxyType(nothing))
        return self._family.statistics()


class _Family:
    """The children during one run of their supervisor."""

    def __init__(self, supervisor: Supervisor, nursery: trio.Nursery) -> None:
        self.runs: dict[str, ChildRun] = {}
        self.supervision = trio.CancelScope()
        self._supervisor = supervisor
        self._nursery = nursery
        self._due: dict[str, float] = {}
        """When each child that waits for its restart is to be started."""
        self._budget = RestartBudget(supervisor.intensity)
        self._streaks = {spec.name: CrashStreak() for spec in supervisor.children}
        self._restarts = dict.fromkeys(self._streaks, 0)
        # Room for one end a child, so reporting never blocks: ends are taken before any start.
        self._report, self._ends = trio.open_memory_channel[ChildRun](len(self._streaks))

    def statistics(self) -> SupervisorStatistics:
        alive = [name for name in self._streaks if name in self.runs and self.runs[name].is_up]
        return SupervisorStatistics(tuple(alive), MappingProxyType(dict(self._restarts)))

    async def start_all(self) -> None:
        """The first start. Raises what a child raised before it had started."""
        await trio.lowlevel.checkpoint()
        for spec in self._supervisor.children:
            run = await self._start(spec)
            if run.failed_start is not None:
                raise run.failed_start

    async def supervise(self) -> None:
        """Answer each end as the strategy says, until cancelled."""
        while True:
            run = await self._next_end()
            if run is None:
                await self._start_again(self._first_due())
            elif run is self.runs.get(run.spec.name):  # else its group was restarted meanwhile
                decision, due = self._answer_end(run)
                for name in decision.stop:
                    await self._stop_for_restart(self.runs[name])
                self._schedule(decision.start, due)

    def shutdown_bound_s(self) -> float:
        """The most that :meth:`stop_all` can take."""
        return sum(2 * run.spec.shutdown_s for run in self.runs.values())

    async def stop_all(self) -> None:
        """Stop every child, right to left, whatever any of the stops raises."""
        async with AsyncExitStack() as last_in_first_out:
            for name in self._streaks:
                if name in self.runs:
                    last_in_first_out.push_async_callback(self._stop_for_good, self.runs[name])

    async def _start(self, spec: ChildSpec) -> ChildRun:
        run = self.runs[spec.name] = ChildRun(spec, self._report.send_nowait)
        self._nursery.start_soon(run.run, name=f"{self._supervisor.name}/{spec.name}")
        await run.settled.wait()
        return run

    async def _start_again(self, spec: ChildSpec) -> None:
        del self._due[spec.name]
        self._restarts[spec.name] += 1
        await self._start(spec)  # if it fails, that is an end like any other

    async def _next_end(self) -> ChildRun | None:
        """The next end of a child, or None when it is time to start one. Ends come first."""
        await trio.lowlevel.checkpoint()
        try:
            return self._ends.receive_nowait()
        except trio.WouldBlock:
            pass
        with trio.CancelScope(deadline=min(self._due.values(), default=inf)):
            return await self._ends.receive()
        return None

    def _first_due(self) -> ChildSpec:
        now = trio.current_time()
        children = self._supervisor.children
        return next(spec for spec in children if self._due.get(spec.name, inf) <= now)

    def _answer_end(self, run: ChildRun) -> tuple[Decision, float]:
        """What to do about an end, and when to start what is to be started.

        Raises RestartIntensityExceeded.
        """
        decision = decide(
            self._supervisor.strategy,
            self._views(),
            ended=run.spec.name,
            crashed=run.error is not None,
        )
        now = trio.current_time()
        if not decision.restarts:
            return decision, now
        self._spend(run, now)
        return decision, now + self._delay_s(run)

    def _schedule(self, names: tuple[str, ...], due: float) -> None:
        """Forget the old incarnations, and start new ones at ``due``."""
        for name in names:
            self.runs.pop(name, None)
            # Never sooner than its own crash demanded, and so never before one that it needs.
            self._due[name] = max(due, self._due.get(name, due))

    def _views(self) -> list[ChildView]:
        running = {name for name, run in self.runs.items() if not run.ended.is_set()}
        return [
            ChildView(spec.name, spec.restart, running=spec.name in running)
            for spec in self._supervisor.children
        ]

    def _spend(self, run: ChildRun, now: float) -> None:
        if not self._budget.spend(now):
            intensity = self._supervisor.intensity
            raise RestartIntensityExceeded(
                self._supervisor.name,
                run.spec.name,
                restarts=intensity.restarts,
                period_s=intensity.period_s,
            ) from run.error

    def _delay_s(self, run: ChildRun) -> float:
        good_uptime_s = self._supervisor.intensity.period_s
        streak = self._streaks[run.spec.name]
        attempt = streak.extend(uptime_s=run.uptime_s, good_uptime_s=good_uptime_s)
        return self._supervisor.backoff.delay(attempt, self._supervisor.random)

    async def _stop_for_restart(self, run: ChildRun) -> None:
        if await run.stop(for_good=False) is Ending.OVERDUE:
            raise ChildOverdue(run.spec.name, shutdown_s=run.spec.shutdown_s)

    async def _stop_for_good(self, run: ChildRun) -> None:
        if await run.stop(for_good=True) is Ending.OVERDUE:
            logger.error("child %r defies its cancellation; waiting for it", run.spec.name)
