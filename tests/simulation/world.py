"""One world: the real service on a machine in memory, with callers, chance, and an oracle.

Owns the course of a world, from its seed to its outcome: a busy time, in some worlds a time of
peace in which all must come to rest, and the end of the service. Everything above the descriptors
of a worker is the code that users run: the tree, the pool, the sessions, the transports, leasing
and the client's session.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from typing import Any

import attrs
import trio

from actors import Actor, Address, Gone
from actors.testing import assert_no_tasks_left
from pyrepl3.config import Config
from pyrepl3.errors import PyreplError
from pyrepl3.supervisor import Supervisor, Tree, open_tree
from pyrepl3.transport.spawning import SpawnerMessage

from . import deterministic
from .books import Books
from .callers import Caller
from .cancelling import Canceller
from .channels import ObservedChannel, observed_channels
from .machine import Entry, Machine
from .memory_spawner import MemorySpawner, PlannedCrash
from .plan import CRASH_THE_POOL, WorldPlan, draw_plan
from .pool_record import PoolRecord

BUSY_AT_MOST_S = 600.0
"""A busy time ends, as every wait in it does: executions have deadlines, failures have pauses."""
REST_AT_MOST_S = 30.0
"""From the last trouble to rest: a breaker's pause, a start, and the ladder of what still runs."""
CANARY_S = 1.0
"""For an execution; where the pool is full, another session has its grace to end before."""
STEPS_AT_MOST = 300_000
"""Of all tasks together; a world has a few thousand."""


@attrs.frozen
class Outcome:
    """What came of one seed."""

    plan: WorldPlan
    entries: list[Entry]
    events: list[Mapping[str, Any]]
    """What the service recorded of itself."""
    accusations: list[str]
    steps: int
    seconds: float
    """In virtual time."""


@attrs.define(eq=False)
class World:
    """Everything there is in one world."""

    plan: WorldPlan
    machine: Machine = attrs.field(init=False)
    books: Books = attrs.field(init=False)
    canceller: Canceller = attrs.field(init=False)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    spawners: list[MemorySpawner] = attrs.field(factory=list, init=False)
    events: list[Mapping[str, Any]] = attrs.field(factory=list, init=False)
    record: PoolRecord = attrs.field(init=False)
    channels: list[ObservedChannel] = attrs.field(factory=list, init=False)
    seconds: float = attrs.field(default=0.0, init=False)
    _crashed: bool = attrs.field(default=False, init=False)
    """By our doing, not by the service's own."""
    _shut_down_at: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.machine = Machine(self.plan.wickedness)
        self.books = Books(self.machine)
        self.canceller = Canceller(STEPS_AT_MOST, self._stuck)
        self.record = PoolRecord(
            self.books.accuse, self._handed_over, self.plan.config.pool.max_sessions
        )

    def _stuck(self) -> None:
        self.books.accuse(f"{STEPS_AT_MOST} steps are not enough")
        self.scope.cancel()

    def _handed_over(self, waiter: int) -> None:
        self.books.handed_at[waiter] = trio.current_time()

    def _take_event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)
        fields = [str(value) for key, value in event.items() if key not in ("of", "action")]
        self.machine.log(event["of"], f"{event['action']} {', '.join(fields)}")
        self.record.take(event)
        if event["action"] == "Open" and event["of"] == "pool" and self.machine.alive():
            self.books.accuse("a new pool begins while processes of an old one are alive")

    def _make_spawner(self, name: str, config: Config) -> Actor[Address[SpawnerMessage]]:
        random = Random(f"spawner {name} {len(self.spawners)} {self.plan.seed}")
        died = {"of": "pool", "action": "ZygoteDies", "template": name}
        tell = partial(self._take_event, died)
        self.spawners.append(MemorySpawner(name, self.machine, random, tell))
        return self.spawners[-1]

    # --- the course of it -----------------------------------------------------------------------

    async def run(self) -> None:
        """From the beginning to the end."""
        try:
            with (
                self.scope,
                observed_channels(self.books.accuse) as self.channels,
                assert_no_tasks_left(),
            ):
                await self._run_service()
        except AssertionError as error:
            self.books.accuse(str(error))
        self.seconds = trio.current_time()
        self._check_end()

    async def _run_service(self) -> None:
        tree = Tree(
            self.plan.config, self._make_spawner, Random(f"tree {self.plan.seed}"), self._take_event
        )
        async with trio.open_nursery() as outliving:
            try:
                async with open_tree(tree) as supervisor:
                    await self._live(tree, supervisor, outliving)
            except* (PlannedCrash, UnboundLocalError) as group:
                # A crash in the very moment of the end is nobody's to make up for, and is raised.
                if not self._crashed:
                    self.books.accuse(f"the service raises {group!r}")
            self._check_shut_down()

    async def _live(self, tree: Tree, supervisor: Supervisor, outliving: trio.Nursery) -> None:
        with trio.move_on_after(BUSY_AT_MOST_S) as bound:
            await self._be_busy(tree, supervisor, outliving)
        if bound.cancelled_caught:
            self.books.accuse("there are callers who wait for ever")
        elif self.plan.ends_at == math.inf:
            await self._be_at_peace(supervisor)
        self.machine.log("world", "the service is shut down")
        self.books.ending = True
        self._shut_down_at = trio.current_time()

    def _check_shut_down(self) -> None:
        self.machine.log("world", "the service has ended")
        took_s = trio.current_time() - self._shut_down_at
        timeouts = self.plan.config.timeouts
        if took_s > timeouts.shutdown_s:
            self.books.accuse(f"the service took {took_s} s to shut down")
        if alive := [process.pid for process in self.machine.alive()]:
            self.books.accuse(f"processes {alive} outlive the service")

    async def _be_busy(self, tree: Tree, supervisor: Supervisor, outliving: trio.Nursery) -> None:
        """Callers come and go, and things go wrong, until all have gone or it is time to end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._go_wrong, tree)
            where = outliving if self.plan.outlived and self.plan.ends_at < math.inf else nursery
            for number in range(self.plan.callers):
                name = f"caller {number}"
                random = Random(f"{name} {self.plan.seed}")
                caller = Caller(name, self.plan, supervisor, self.books, self.canceller, random)
                where.start_soon(caller.run)
            if self.plan.ends_at < math.inf:
                await trio.sleep(self.plan.ends_at)
                self.books.ending = True
                nursery.cancel_scope.cancel()

    async def _go_wrong(self, tree: Tree) -> None:
        random = Random(f"chaos {self.plan.seed}")
        for when, what in self.plan.chaos:
            await trio.sleep_until(when)
            alive = self.machine.alive()
            if what == "kill a worker" and alive:
                self.machine.kill(random.choice(alive))
            elif what == "kill all workers":
                for process in alive:
                    self.machine.kill(process)
            elif what == "kill a zygote":
                random.choice(self.spawners).kill_zygote()
            elif what == "crash a spawner":
                self._crashed = True
                random.choice(self.spawners).crash()
            elif what == CRASH_THE_POOL:
                self._crash_the_pool(tree)

    def _crash_the_pool(self, tree: Tree) -> None:
        """By what is no message: the pool fails as by a bug, and all of the tree starts anew."""
        self.machine.log("world", "the pool crashes")
        self.books.ending = self._crashed = True
        with suppress(trio.WouldBlock, Gone):
            tree.pool_address().send_nowait(None)  # type: ignore[arg-type]

    # --- peace ----------------------------------------------------------------------------------

    async def _be_at_peace(self, supervisor: Supervisor) -> None:
        """Nothing goes wrong any more: all comes to rest, and what is asked for is done."""
        self.machine.log("world", "is at peace")
        self.machine.peaceful = True
        for process in self.machine.alive():
            if process.pid in self.machine.bad:
                process.kill()
        with trio.move_on_after(REST_AT_MOST_S) as bound:
            await self._rest(supervisor)
        if bound.cancelled_caught:
            self.books.accuse(f"the pool does not come to rest: {supervisor.statistics().pool}")
        for template in self.plan.config.templates:
            await self._send_canary(supervisor, template)

    async def _rest(self, supervisor: Supervisor) -> None:
        """Until all has been at rest for so long that an open breaker would try again."""
        since = trio.current_time()
        while trio.current_time() <= since + self.plan.config.pool.breaker_reset_s:
            await trio.sleep(0.5)
            if not self._is_at_rest(supervisor):
                since = trio.current_time()

    def _is_at_rest(self, supervisor: Supervisor) -> bool:
        """Whether all there is are idle sessions, as many as are alive, and not too few."""
        figures = supervisor.statistics().pool
        under_way = figures.starting + figures.leased + figures.stopping + figures.waiting
        least = self.plan.config.pool.min_idle * len(self.plan.config.templates)
        return under_way == 0 and least <= figures.idle == len(self.machine.alive())

    async def _send_canary(self, supervisor: Supervisor, template: str) -> None:
        since = trio.current_time()
        try:
            async with supervisor.session(template) as session:
                execution = await session.run(f"canary of {template}: sleep = 0.0")
        except PyreplError as error:
            self.books.accuse(f"the canary of {template} gets {error!r}")
            return
        took_s, timeouts = trio.current_time() - since, self.plan.config.timeouts
        if execution.value != f"canary of {template}" or took_s > CANARY_S + timeouts.close_grace_s:
            self.books.accuse(f"the canary of {template} gets {execution} after {took_s} s")

    # --- the end --------------------------------------------------------------------------------

    def _check_end(self) -> None:
        self.books.close()
        most = self.machine.most_alive
        if most > self.plan.config.pool.max_sessions:
            self.books.accuse(f"{most} processes were alive at once")
        for channel in self.channels:
            if not channel.closed and channel.has_reader:
                self.books.accuse("the channel of an execution was never closed")


@contextmanager
def _logs_in(machine: Machine) -> Iterator[None]:
    """What the service logs becomes part of the world's own log."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            machine.log(record.name, record.getMessage())

    handler = Handler(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("actors", "pyrepl3")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True


def run_world(plan: WorldPlan) -> Outcome:
    """One world from its beginning to its end; the same plan gives the same outcome."""
    world = World(plan)
    with _logs_in(world.machine):
        try:
            deterministic.run(plan.seed, world.run, instruments=[world.canceller])
        except Exception as error:
            world.books.accusations.append(f"the world ends with {error!r}")
            raise
    return Outcome(
        plan,
        world.machine.entries,
        world.events,
        world.books.accusations,
        world.canceller.steps,
        world.seconds,
    )


def run_seed(seed: int) -> Outcome:
    """The world of this seed."""
    return run_world(draw_plan(str(seed)))
