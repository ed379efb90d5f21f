"""When a template whose sessions fail to start may try again.

Pure: takes `now` and a random source. A failed start is followed by a pause that doubles, with
jitter; enough of them in a row open the breaker, which refuses callers until one trial start
has succeeded.
"""

from __future__ import annotations

import enum
from random import Random

import attrs

from pyrepl3.config import PoolConfig
from pyrepl3.errors import PyreplError


class Position(enum.Enum):
    """Closed lets starts through, open lets none, half-open lets one, to see."""

    CLOSED = enum.auto()
    OPEN = enum.auto()
    HALF_OPEN = enum.auto()


JITTER = 0.5
"""A pause is shortened by up to this share, so that templates do not retry in step."""

MOST_DOUBLINGS = 64
"""More than from the shortest pause there can be to the longest anybody wants, and no overflow."""


@attrs.define(eq=False)
class Breaker:
    """One template's failures in a row."""

    config: PoolConfig
    random: Random
    position: Position = Position.CLOSED
    paused: bool = False
    """Nothing may start before `retry_at`."""
    failures: int = 0
    retry_at: float = 0.0
    last_error: PyreplError | None = None

    def failed(self, error: PyreplError, *, now: float) -> bool:
        """A start has failed. True when this opened the breaker."""
        self.last_error = error
        self.failures += 1
        self.paused = True
        if self.failures >= self.config.breaker_failures or self.position is not Position.CLOSED:
            opened = self.position is not Position.OPEN
            self.position = Position.OPEN
            self.retry_at = now + self.config.breaker_reset_s
            return opened
        doublings = min(self.failures - 1, MOST_DOUBLINGS)
        pause = min(self.config.backoff_initial_s * 2**doublings, self.config.backoff_max_s)
        self.retry_at = now + pause * (1 - JITTER * self.random.random())
        return False

    def succeeded(self) -> None:
        """A start succeeded: all is forgiven."""
        self.position = Position.CLOSED
        self.paused = False
        self.failures = 0
        self.retry_at = 0.0
        self.last_error = None

    def retry(self, *, now: float) -> bool:
        """End a pause whose time has come; an open breaker then lets one start through.

        True when this ended it.
        """
        if not self.paused or now < self.retry_at:
            return False
        self.paused = False
        if self.position is Position.OPEN:
            self.position = Position.HALF_OPEN
        return True

    def starts_allowed(self, starting: int) -> int | None:
        """How many more starts may begin now, with ``starting`` under way; None is no limit."""
        if self.paused:
            return 0
        if self.position is Position.HALF_OPEN or self.failures:
            return max(0, 1 - starting)
        return None
