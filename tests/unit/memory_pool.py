"""For unit tests: a real pool and its front desk, over sessions that exist in memory only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import attrs
import trio
import trio.lowlevel
import trio.testing

from actors import Address, Answer, Reply, open_mailbox, open_reply
from pyrepl3.client.leasing import Leasing
from pyrepl3.config import Config, PoolConfig, Template
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.messages import (
    Lease,
    PoolMessage,
    SessionEnded,
    SessionMessage,
    SessionsMessage,
    SessionStarted,
    SessionStartFailed,
    StartSession,
    StopSession,
)
from pyrepl3.pool.pool import Pool
from pyrepl3.session.sessions import MESSAGES_A_PLACE

Clock = trio.testing.MockClock


@attrs.define(eq=False)
class MemorySession:
    """A session that does nothing, but knows who has it and whether it still is."""

    start: StartSession
    graceful: bool | None = None
    ended: trio.Event = attrs.field(factory=trio.Event)
    fate: Reply[str] | None = None
    owner: object = None

    def end(self) -> None:
        self.ended.set()


@attrs.define(eq=False)
class MemorySessions:
    """Starts and stops sessions as `Sessions` does, in memory, and in as long as it is told."""

    max_sessions: int
    start_s: float = 0.1
    stop_s: float = 0.1
    broken: set[str] = attrs.field(factory=set)
    """Templates whose sessions fail to start."""
    alive: dict[str, MemorySession] = attrs.field(factory=dict)
    all: dict[str, MemorySession] = attrs.field(factory=dict)
    most: int = 0

    async def run(
        self, *, task_status: trio.TaskStatus[Address[SessionsMessage]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        address: Address[SessionsMessage]
        address, inbox = open_mailbox(MESSAGES_A_PLACE * self.max_sessions)
        async with trio.open_nursery() as nursery:
            task_status.started(address)
            async for message in inbox:
                match message:
                    case StartSession():
                        assert message.session not in self.all
                        session = MemorySession(message)
                        self.all[message.session] = self.alive[message.session] = session
                        self.most = max(self.most, len(self.alive))
                        nursery.start_soon(self.live, session)
                    case StopSession():
                        stopped = self.alive.get(message.session)
                        if stopped is not None:
                            assert stopped.graceful is None, "stopped twice"
                            stopped.graceful = message.graceful
                            stopped.end()

    async def live(self, session: MemorySession) -> None:
        start = session.start
        with trio.move_on_after(self.start_s):
            await session.ended.wait()
        error = WorkerSpawnFailed(what="no process", why="it is broken", how="Mend it")
        if start.template in self.broken or session.ended.is_set():
            del self.alive[start.session]
            await start.notices.send(SessionStartFailed(start.session, error))
            return
        address: Address[SessionMessage]
        answer: Answer[str]
        address, _ = open_mailbox(1)
        session.fate, answer = open_reply()
        await start.notices.send(SessionStarted(start.session, 1, address, answer))
        await session.ended.wait()
        await trio.sleep(self.stop_s)
        session.fate.answer("ended")
        del self.alive[start.session]
        await start.notices.send(SessionEnded(start.session, "ended"))


@attrs.define(eq=False)
class World:
    """A pool that runs, and all that there is around it."""

    pool: Pool
    sessions: MemorySessions
    address: Address[PoolMessage]
    leasing: Leasing

    async def acquire(self, template: str = "a", timeout_s: float = 5.0) -> Lease:
        lease = await self.leasing.acquire(template, timeout_s)
        session = self.sessions.all[lease.session]
        assert session.owner is None, "one session, one owner, once"
        session.owner = trio.lowlevel.current_task()
        return lease

    async def settled(self) -> None:
        """Let everything that is under way come to its end."""
        await trio.sleep(2.0)

    def at_rest(self) -> bool:
        """Whether all there is are idle sessions, as many as are alive, and not too few."""
        figures = self.pool.statistics()
        under_way = figures.starting + figures.leased + figures.stopping + figures.waiting
        least, most = self.pool.config.pool.min_idle, self.pool.config.pool.max_sessions
        return under_way == 0 and least <= figures.idle == len(self.sessions.alive) <= most


@asynccontextmanager
async def open_pool(*templates: str, **settings: Any) -> AsyncIterator[World]:
    sessions = MemorySessions(0)
    for name in ("start_s", "stop_s", "broken"):
        if name in settings:
            setattr(sessions, name, settings.pop(name))
    config = Config(
        pool=PoolConfig(**{"min_idle": 1, "max_sessions": 4, **settings}),
        templates={name: Template() for name in templates or ("a",)},
    )
    sessions.max_sessions = config.pool.max_sessions
    async with trio.open_nursery() as nursery:
        sessions_address = await nursery.start(sessions.run)
        pool = Pool(config, sessions_address, Random("a seed"))
        address = await nursery.start(pool.run)
        yield World(pool, sessions, address, Leasing(lambda: address))
        assert sessions.most <= config.pool.max_sessions
        nursery.cancel_scope.cancel()
