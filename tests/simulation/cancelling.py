"""Cancels tasks at a chosen task switch, and counts the steps of a world.

Owns the instrument that trio calls around each step. Must not know why somebody is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from actors.testing import Moment


@attrs.define(eq=False)
class _Cancellation:
    scope: trio.CancelScope
    switches_left: int
    moment: Moment


@attrs.define(eq=False)
class Canceller(trio.abc.Instrument):
    """Cancels a scope at one side of the n-th switch of its task: see `actors.testing.Moment`."""

    steps_at_most: int
    on_too_many_steps: Callable[[], None] = lambda: None
    steps: int = 0
    _planned: dict[trio.lowlevel.Task, _Cancellation] = attrs.field(factory=dict)

    def plan(self, scope: trio.CancelScope, switch: int, moment: Moment) -> None:
        """Cancel ``scope`` at that switch of the present task, counted from 1."""
        task = trio.lowlevel.current_task()
        self._planned[task] = _Cancellation(scope, switch, moment)

    def forget(self) -> None:
        """Leave the present task alone again."""
        self._planned.pop(trio.lowlevel.current_task(), None)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self.steps == self.steps_at_most:
            self.on_too_many_steps()
        planned = self._planned.get(task)
        if planned is not None:
            planned.switches_left -= 1
            if planned.switches_left == 0 and planned.moment is Moment.WAITING:
                del self._planned[task]
                planned.scope.cancel()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task in self._planned:
            planned = self._planned[task]
            if planned.switches_left == 0:
                del self._planned[task]
                planned.scope.cancel()
