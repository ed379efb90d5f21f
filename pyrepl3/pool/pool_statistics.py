"""The pool's figures, as a frozen object."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from pyrepl3.pool.pool_records import Phase


@attrs.frozen
class PoolStatistics:
    """How the pool stands now, and what it has seen since it was opened.

    ``starting`` to ``stopping`` count sessions, ``waiting`` counts callers. A ``hit`` is an
    acquisition that found an idle session and had none waiting before it; ``timeouts`` are those
    that ended in POOL_EXHAUSTED. ``deaths`` are processes that ended by themselves before they were
    given back: where the caller leaves its session as soon as it hears of the death, that counts
    as given back. ``open_breakers`` names the templates whose sessions fail to start.
    """

    starting: int
    idle: int
    leased: int
    stopping: int
    waiting: int
    hits: int
    misses: int
    timeouts: int
    started: int
    start_failures: int
    deaths: int
    breaker_openings: int
    open_breakers: tuple[str, ...]

    @property
    def hit_rate(self) -> float:
        """Hits of all acquisitions; 1.0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 1.0


class Tally:
    """The counters, which only grow."""

    __slots__ = (
        "breaker_openings",
        "deaths",
        "hits",
        "misses",
        "start_failures",
        "started",
        "timeouts",
    )

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.timeouts = 0
        self.started = 0
        self.start_failures = 0
        self.deaths = 0
        self.breaker_openings = 0

    def statistics(
        self, *, phases: Sequence[Phase], waiting: int, open_breakers: tuple[str, ...]
    ) -> PoolStatistics:
        """The frozen figures of this moment."""
        return PoolStatistics(
            starting=phases.count(Phase.STARTING),
            idle=phases.count(Phase.IDLE),
            leased=phases.count(Phase.LEASED),
            stopping=phases.count(Phase.STOPPING),
            waiting=waiting,
            hits=self.hits,
            misses=self.misses,
            timeouts=self.timeouts,
            started=self.started,
            start_failures=self.start_failures,
            deaths=self.deaths,
            breaker_openings=self.breaker_openings,
            open_breakers=open_breakers,
        )
