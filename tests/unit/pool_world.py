"""For unit tests: a pool's state, a clock that the test moves, and words for its effects."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from pyrepl3.config import PoolConfig
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.pool.pool_records import Effect, HandOver, Phase, Refuse, Start, Stop
from pyrepl3.pool.pool_state import PoolState

STRANGER = -99
FAILURE = WorkerSpawnFailed(what="no process", why="no memory", how="Buy some")


class World:
    """A pool of templates a and b, and a clock that the test moves."""

    def __init__(self, *templates: str, **config: Any) -> None:
        config = {"min_idle": 0, "max_sessions": 10, **config}
        self.config = PoolConfig(**config)
        self.state = PoolState.of(
            self.config, dict.fromkeys(templates or ("a", "b")), Random("a seed")
        )
        self.now = 0.0

    def acquire(self, waiter: int, template: str = "a", timeout_s: float = 5.0) -> list[Effect]:
        deadline = self.now + timeout_s
        return self.state.acquire(waiter, template, deadline=deadline, now=self.now)

    def started(self, session: str) -> list[Effect]:
        return self.state.start_succeeded(session, now=self.now)

    def failed(self, session: str) -> list[Effect]:
        return self.state.start_failed(session, FAILURE, now=self.now)

    def ended(self, session: str) -> list[Effect]:
        return self.state.session_ended(session, now=self.now)

    def release(
        self, session: str, waiter: int | None = None, *, used: bool = True
    ) -> list[Effect]:
        """By its owner, where the test names nobody else."""
        if waiter is None:
            waiter = self.owner(session)
        return self.state.release(session, waiter, used=used, now=self.now)

    def take_back(self, session: str) -> list[Effect]:
        return self.state.take_back(session, self.owner(session), now=self.now)

    def owner(self, session: str) -> int:
        """Who has leased it; a stranger where nobody has."""
        record = self.state.sessions.get(session)
        return STRANGER if record is None or record.owner is None else record.owner

    def tick(self) -> list[Effect]:
        return self.state.tick(now=self.now)

    def wake(self) -> list[Effect]:
        """Let time pass until the pool wants to be woken."""
        self.now = self.state.next_deadline()
        assert self.now < math.inf
        return self.tick()

    def lease(self, waiter: int, template: str = "a") -> str:
        """Have this waiter get a session, started for it where none is idle."""
        effects = self.acquire(waiter, template)
        if not given(effects):
            effects = self.started(starts(effects)[0])
        ((served, session),) = given(effects)
        assert served == waiter
        return session

    def idle(self, template: str = "a") -> str:
        """Have one more idle session."""
        (session,) = starts(self.acquire(-1, template))
        self.state.cancel(-1, now=self.now)
        assert self.started(session) == []
        return session

    def phase(self, session: str) -> Phase:
        return self.state.sessions[session].phase

    def phases(self) -> dict[str, int]:
        figures = self.state.statistics()
        return {name: getattr(figures, name) for name in ("starting", "idle", "leased", "stopping")}


def starts(effects: list[Effect]) -> list[str]:
    return [effect.session for effect in effects if isinstance(effect, Start)]


def stops(effects: list[Effect]) -> list[str]:
    return [effect.session for effect in effects if isinstance(effect, Stop)]


def given(effects: list[Effect]) -> list[tuple[int, str]]:
    return [(e.waiter, e.session) for e in effects if isinstance(e, HandOver)]


def refused(effects: list[Effect]) -> dict[int, Exception]:
    return {effect.waiter: effect.error for effect in effects if isinstance(effect, Refuse)}
