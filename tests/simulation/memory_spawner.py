"""A spawner in memory: takes `Spawn`, and answers as the one around a real zygote does.

Owns a template's zygote, which may fail to start and may die with all its workers, and the
births and deaths of these. Must not know sessions, nor what workers do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

import attrs
import trio

from actors import Address, Inbox, close_mailbox, open_mailbox
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.transport.spawner import SPAWNER_MAILBOX
from pyrepl3.transport.spawning import Spare, Spawn, SpawnerMessage, WorkerExit

from .fates import Fate
from .machine import Machine
from .memory_worker import Connection, MemoryProcess, MemoryWorker
from .worker_program import Program


class PlannedCrash(Exception):
    """A bug in the spawner, put in on purpose."""


@attrs.define(eq=False)
class Zygote:
    """One zygote process: while it lives, workers can be born."""

    workers: trio.Nursery | None = None
    """Where they are born and live, once it is ready."""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    """Its life."""


@attrs.define(eq=False)
class MemorySpawner:
    """The actor around one template's zygote."""

    name: str
    machine: Machine
    random: Random
    on_zygote_death: Callable[[], None]
    """Called when a zygote has died that had workers, as the real spawner does."""
    _zygote: Zygote | None = attrs.field(default=None, init=False)
    _unsent: deque[Spawn] = attrs.field(factory=deque, init=False)
    _asked: trio.Event = attrs.field(factory=trio.Event, init=False)
    _crash: trio.Event = attrs.field(factory=trio.Event, init=False)
    _pids: set[int] = attrs.field(factory=set, init=False)

    async def run(
        self, *, task_status: trio.TaskStatus[Address[SpawnerMessage]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; then all its workers are dead, and nobody waits for it."""
        address: Address[SpawnerMessage]
        inbox: Inbox[SpawnerMessage]
        address, inbox = open_mailbox(SPAWNER_MAILBOX)
        self._crash = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_zygote)
                nursery.start_soon(self._crash_when_told)
                task_status.started(address)
                async for message in inbox:
                    if isinstance(message, Spare):
                        message.reply.fail(_failed("in memory nothing can be copied"))
                        continue
                    self._unsent.append(message)
                    self._asked.set()
        finally:
            failure = _failed("its spawner is ending")
            self._refuse_all(failure)
            close_mailbox(inbox, lambda message: refuse(message, failure))
            address.close()

    # --- what may befall it ---------------------------------------------------------------------

    def kill_zygote(self) -> None:
        """As `kill -9` of the zygote: its workers die with it."""
        if self._zygote is not None:
            self.machine.log(self.name, "its zygote is killed")
            self.machine.spoil(self._pids)
            if self._zygote.workers is not None and self._zygote.workers.child_tasks:
                self.on_zygote_death()
            self._zygote.scope.cancel()

    def crash(self) -> None:
        """Have the actor itself fail, as by a bug."""
        self.machine.log(self.name, "crashes")
        self.machine.spoil(self._pids)
        self._crash.set()

    async def _crash_when_told(self) -> None:
        await self._crash.wait()
        raise PlannedCrash

    # --- the zygote -----------------------------------------------------------------------------

    async def _keep_zygote(self) -> None:
        while True:
            self._zygote = zygote = Zygote()
            failure = _failed("the zygote that was to start it died")
            with zygote.scope:
                await trio.sleep(self.machine.draw_zygote_start_s(self.random))
                if self.machine.draw_zygote_fails(self.random):
                    failure = _failed("its preloads failed")
                else:
                    await self._serve(zygote)
            self._zygote = None
            self._refuse_all(failure)
            await self._wait_asked()

    async def _serve(self, zygote: Zygote) -> None:
        async with trio.open_nursery() as zygote.workers:
            while True:
                await self._wait_asked()
                while self._unsent:
                    zygote.workers.start_soon(self._bear, self._unsent.popleft())

    async def _wait_asked(self) -> None:
        while not self._unsent:
            self._asked = trio.Event()
            await self._asked.wait()
        await trio.lowlevel.checkpoint()

    def _refuse_all(self, failure: WorkerSpawnFailed) -> None:
        while self._unsent:
            refuse(self._unsent.popleft(), failure)

    # --- workers --------------------------------------------------------------------------------

    async def _bear(self, spawn: Spawn) -> None:
        """One worker's whole life, from the request for it to the report of its end."""
        fate = self.machine.draw_fate(self.random)
        try:
            await trio.sleep(self.machine.draw_fork_s(self.random))
        except trio.Cancelled:
            refuse(spawn, _failed("the zygote that was to start it died"))
            raise
        if fate.start_fault == "refused":
            refuse(spawn, _failed("there are too many processes"))
            return
        process = self.machine.new_process(fate)
        self._pids.add(process.pid)
        connection = Connection.of(process)
        self.machine.log(process.pid, f"is born of {self.name}: {fate}")
        worker = MemoryWorker(process, connection, self.random)
        if spawn.reply.answer(worker):
            self.machine.was_taken()
        else:
            worker.discard()
        await self._live(spawn, process, connection, fate)

    async def _live(
        self, spawn: Spawn, process: MemoryProcess, connection: Connection, fate: Fate
    ) -> None:
        program = Program(process, connection, fate, self.random, self.machine.ran)
        exit_ = WorkerExit(None, None, zygote_died=True)
        try:
            try:
                exit_ = await program.run()
            finally:
                connection.hang_up()
                for pipe in connection.pipes.values():
                    pipe.close_writer()
                self.machine.ended(process, exit_)
            await trio.sleep(fate.report_s)
        finally:
            spawn.exit.answer(exit_)


def refuse(message: SpawnerMessage, failure: WorkerSpawnFailed) -> None:
    """Tell who asked that there is no worker."""
    message.reply.fail(failure)
    if isinstance(message, Spawn):
        message.exit.close()


def _failed(why: str) -> WorkerSpawnFailed:
    return WorkerSpawnFailed(what="a session's process was not started", why=why, how="Try again")
