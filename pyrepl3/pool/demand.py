"""How many idle sessions a template should keep ready, from what was asked for lately.

Pure: takes `now`, knows no sessions.
"""

from __future__ import annotations

import math

import attrs

RATE_MEMORY_S = 2.0
"""Time constant of the arrival rate: short, so that a burst is met within it."""
SIGMAS = 4.0
"""Arrivals while a replacement starts are Poisson: mean plus this many standard deviations
leaves fewer than 1 in 1,000 acquisitions without a warm session (measured in simulation)."""
RARE = 0.001
"""So few arrivals while a replacement starts that none needs to wait there for them."""
START_TIME_MEMORY = 0.9


@attrs.define
class Demand:
    """The arrival rate and the time to replace a session, of one template."""

    _level: float = 0.0
    _updated: float = 0.0
    _start_s: float = 0.0

    def arrived(self, *, now: float) -> None:
        """An acquisition was asked for."""
        self._level = self._decayed(now) + 1.0
        self._updated = now

    def started(self, duration_s: float) -> None:
        """A session took this long to start. Peaks count at once and fade slowly."""
        faded = START_TIME_MEMORY * self._start_s + (1 - START_TIME_MEMORY) * duration_s
        self._start_s = max(duration_s, faded)

    def rate(self, *, now: float) -> float:
        """Acquisitions a second, lately."""
        return self._decayed(now) / RATE_MEMORY_S

    def wanted_idle(self, *, now: float, minimum: int) -> int:
        """Idle sessions that will do, at this rate, until a replacement is ready."""
        expected = self.rate(now=now) * self._start_s
        if expected < RARE:
            return minimum
        return max(minimum, math.ceil(expected + SIGMAS * math.sqrt(expected)))

    def _decayed(self, now: float) -> float:
        return self._level * math.exp(-(now - self._updated) / RATE_MEMORY_S)
