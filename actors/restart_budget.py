"""How often, and how soon, a crashed child may be started again.

Owns the arithmetic of restart intensity and of backoff. Pure: time and chance are arguments, so
it must not know trio, clocks, or what is restarted.

Two questions that are easily mixed up. *Whether*: a supervisor that restarts more than
``restarts`` times within ``period_s`` has a problem that restarting does not solve, and gives up
(OTP's intensity and period, with OTP's defaults; intensities multiply down a tree). *When*: a
child that keeps crashing is started after a growing delay, so that what it depends on can recover
and many children don't come back at the same moment (exponential backoff with jitter).

The two meet: with delays longer than ``period_s / restarts`` the intensity is never exceeded,
and the child is retried for ever. Choose which of the two you want.
"""

from collections import deque
from collections.abc import Callable

import attrs
from attrs.validators import ge, instance_of, le, lt

RandomSource = Callable[[], float]
"""Returns a number in [0, 1), as :func:`random.random` does."""

_INFINITE = float("inf")


@attrs.frozen
class RestartIntensity:
    """At most ``restarts`` restarts within any ``period_s`` seconds.

    The defaults are OTP's: 1 in 5 s. ``restarts=0`` means that the first crash is the last.
    """

    restarts: int = attrs.field(default=1, validator=[instance_of(int), ge(0)])
    period_s: float = attrs.field(default=5.0, validator=[ge(0), lt(_INFINITE)])


@attrs.frozen
class Backoff:
    """Delays that grow from ``initial_s`` by ``factor`` up to ``max_s``.

    ``jitter`` is the share of a delay that chance may take off it, from 0 (none) to 1 (all).
    """

    initial_s: float = attrs.field(default=0.1, validator=[ge(0), lt(_INFINITE)])
    factor: float = attrs.field(default=2.0, validator=[ge(1), lt(_INFINITE)])
    max_s: float = attrs.field(default=10.0, validator=[ge(0), lt(_INFINITE)])
    jitter: float = attrs.field(default=0.1, validator=[ge(0), le(1)])

    def delay(self, attempt: int, random: RandomSource) -> float:
        """Seconds to wait before restart number ``attempt`` of a streak, counted from 1.

        Never more than ``max_s``, and never less than ``1 - jitter`` of the exact delay.
        """
        try:
            grown_s = self.initial_s * self.factor ** (attempt - 1)
        except OverflowError:
            grown_s = self.max_s if self.initial_s else 0.0
        return min(grown_s, self.max_s) * (1 - self.jitter * random())


NO_BACKOFF = Backoff(initial_s=0.0, max_s=0.0, jitter=0.0)
"""Restart at once, as OTP does."""


@attrs.define(eq=False)
class RestartBudget:
    """The restarts of one supervisor that its intensity still remembers."""

    intensity: RestartIntensity
    _spent_at: deque[float] = attrs.field(factory=deque, init=False)

    def spend(self, now: float) -> bool:
        """Count one restart at ``now``. False when it is one too many: give up then.

        ``now`` must not go back from one call to the next. A restart is forgotten once it is
        *more* than ``period_s`` old, as in OTP.
        """
        while self._spent_at and self._spent_at[0] + self.intensity.period_s < now:
            self._spent_at.popleft()
        # A refused restart is not remembered, so the deque is never longer than the intensity.
        if len(self._spent_at) >= self.intensity.restarts:
            return False
        self._spent_at.append(now)
        return True


@attrs.define(eq=False)
class CrashStreak:
    """How many times in a row one child has crashed without a good while between."""

    length: int = attrs.field(default=0, init=False)

    def extend(self, *, uptime_s: float, good_uptime_s: float) -> int:
        """Count one crash after ``uptime_s`` seconds up; returns the streak's length, from 1.

        ``good_uptime_s`` or longer up ends the streak before, so the next delay is short again.
        """
        self.length = 1 if uptime_s >= good_uptime_s else self.length + 1
        return self.length
