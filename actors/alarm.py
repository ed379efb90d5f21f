"""One movable deadline, and the task that wakes up for it.

Owns the sleeping task. Must not know what the deadline is for, nor what time a wall clock shows:
deadlines are on the clock of :func:`trio.current_time`.

The motive: an actor that serves requests wants "if nothing comes by then, do this", and moves
"then" at each request. A cancel scope around each receive, or a new timer task for each request,
pays for a deadline that hardly ever passes. Here moving it later is one assignment: the task
sleeps on, wakes at the old deadline, sees that it is not due, and sleeps again. Moving it earlier
assigns the deadline of the scope it sleeps in. Neither switches tasks::

    alarm = Alarm(self.hibernate)
    await nursery.start(alarm.run)
    async for message in inbox:
        alarm.set(trio.current_time() + IDLE_S)
        ...
"""

from collections.abc import Awaitable, Callable
from math import inf

import attrs
import trio

from .errors import AlreadyRunning


@attrs.frozen
class AlarmStatistics:
    """What an alarm was doing when asked; ``wakings`` tells what lazy waking has cost so far."""

    deadline: float
    running: bool
    rings: int
    wakings: int


@attrs.define(eq=False)
class Alarm:
    """Awaits ``on_ring()`` once each time its deadline passes.

    ``on_ring`` runs in the alarm's own task; the deadline is cleared before it starts, so it may
    set the next one. While it runs no other ring starts: a deadline that passes meanwhile rings
    right after. An exception from it ends :meth:`run`, like any actor's crash.
    """

    on_ring: Callable[[], Awaitable[object]]
    _deadline: float = attrs.field(default=inf, init=False)
    _sleep: trio.CancelScope | None = attrs.field(default=None, init=False)
    _running: bool = attrs.field(default=False, init=False)
    _rings: int = attrs.field(default=0, init=False)
    _wakings: int = attrs.field(default=0, init=False)

    @property
    def deadline(self) -> float:
        """When it will ring, on trio's clock; ``inf`` when it is not set."""
        return self._deadline

    def set(self, deadline: float) -> None:
        """Ring at ``deadline``, instead of at any earlier set one. A past one rings at once.

        May be called at any time: before :meth:`run`, from within ``on_ring``, from any task.
        """
        self._deadline = deadline
        sleep = self._sleep
        if sleep is not None and deadline < sleep.deadline:
            sleep.deadline = deadline

    def clear(self) -> None:
        """Don't ring, also if the deadline has passed but the alarm's task has not yet run."""
        self._deadline = inf

    def statistics(self) -> AlarmStatistics:
        """A frozen picture of the alarm."""
        return AlarmStatistics(self._deadline, self._running, self._rings, self._wakings)

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, *, task_status: trio.TaskStatus["Alarm"] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Sleep and ring until cancelled; the started value is the alarm itself.

        Raises AlreadyRunning when it runs already, and whatever ``on_ring`` raises.
        """
        if self._running:
            raise AlreadyRunning("an alarm")
        self._running = True
        try:
            task_status.started(self)
            while True:
                await self._wait_due()
                self._deadline = inf
                self._rings += 1
                await self.on_ring()
        finally:
            self._running = False

    async def _wait_due(self) -> None:
        """Return once the deadline has passed. Always a checkpoint, even if it has by now."""
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._sleep:
                await trio.sleep_forever()
            self._wakings += 1
            # Whoever set or cleared it since the scope fired has the last word.
            if self._deadline <= trio.current_time():
                return
