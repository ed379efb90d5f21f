"""Which children stop and start when one of them has ended: OTP's rules, as a function.

Owns restart types, strategies and what follows from them. Pure: it must not know tasks, clocks,
budgets, or how a child is stopped or started.

The rules are those of OTP's ``supervisor`` (design principles, "Supervision"; source
``stdlib/src/supervisor.erl``, ``do_restart`` and ``restart_multiple_children``):

| the child | ended well | crashed |
| --- | --- | --- |
| permanent | restart | restart |
| transient | stays down | restart |
| temporary | stays down, for good | stays down, for good |

A child that stays down changes nothing for its siblings, whatever the strategy. A restart under
all-for-one takes every sibling along, under rest-for-one those that were started after it: each
is stopped, right to left, then started, left to right. Of these, a temporary child is stopped but
never started again, and a transient one that had ended well is started again.
"""

from collections.abc import Sequence
from enum import Enum

import attrs


class Restart(Enum):
    """When a child that has ended is started again."""

    PERMANENT = "permanent"
    """Always: it should be there as long as its supervisor."""
    TRANSIENT = "transient"
    """After a crash only: it may finish its work."""
    TEMPORARY = "temporary"
    """Never."""


class Strategy(Enum):
    """Who else is restarted along with a crashed child."""

    ONE_FOR_ONE = "one_for_one"
    """Nobody: the children do not depend on each other."""
    ALL_FOR_ONE = "all_for_one"
    """Everybody: no child can go on with a new incarnation of another."""
    REST_FOR_ONE = "rest_for_one"
    """The children after it: each may depend on those before it."""


@attrs.frozen
class ChildView:
    """What the rules need to know of one child."""

    name: str
    restart: Restart
    running: bool
    """Has a task, be it ready or still starting."""


@attrs.frozen
class Decision:
    """What to do, in this order: stop each of ``stop``, then start each of ``start``."""

    stop: tuple[str, ...] = ()
    """Running children, the last started first."""
    start: tuple[str, ...] = ()
    """Children to start, in the order of their specs; empty when nothing is restarted."""

    @property
    def restarts(self) -> bool:
        """Whether this is a restart, which the budget must allow first."""
        return bool(self.start)


STAY_DOWN = Decision()


def is_restarted(restart: Restart, *, crashed: bool) -> bool:
    """Whether a child of this type comes back after this kind of end."""
    return restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and crashed)


def decide(
    strategy: Strategy, children: Sequence[ChildView], *, ended: str, crashed: bool
) -> Decision:
    """What follows from the end of child ``ended``; ``children`` are in start order.

    ``crashed`` means that it raised, or failed to start. The view of ``ended`` itself says that it
    is not running.
    """
    position = next(index for index, child in enumerate(children) if child.name == ended)
    if not is_restarted(children[position].restart, crashed=crashed):
        return STAY_DOWN
    group = _restarted_together(strategy, children, position)
    return Decision(
        stop=tuple(child.name for child in reversed(group) if child.running),
        start=tuple(child.name for child in group if child.restart is not Restart.TEMPORARY),
    )


def _restarted_together(
    strategy: Strategy, children: Sequence[ChildView], position: int
) -> Sequence[ChildView]:
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return children[position : position + 1]
        case Strategy.ALL_FOR_ONE:
            return children
        case Strategy.REST_FOR_ONE:
            return children[position:]
