"""What the pool remembers of a session, a waiter and a template, and what it may decide.

Data only: `pool_state.py` alone changes it.
"""

from __future__ import annotations

import enum

import attrs

from pyrepl3.errors import PyreplError
from pyrepl3.pool.breaker import Breaker
from pyrepl3.pool.demand import Demand


class Phase(enum.Enum):
    """Where a session stands. Each counts against `max_sessions`."""

    STARTING = enum.auto()
    IDLE = enum.auto()
    LEASED = enum.auto()
    STOPPING = enum.auto()


@attrs.define(eq=False)
class SessionRecord:
    """One session; ``since`` is when its phase began, ``expires`` when it has idled enough.

    ``owner`` is the waiter who has leased it: nobody else can give it back. ``stale``: it was
    starting when another start of its template failed. Starts that are under way together fail
    together (their zygote died, say), and that is one failure, not one for each.
    """

    session: str
    template: str
    phase: Phase
    since: float
    expires: float = 0.0
    owner: int | None = None
    stale: bool = False


@attrs.frozen
class Waiter:
    """One caller that waits."""

    waiter: int
    template: str
    since: float
    deadline: float


@attrs.define(eq=False)
class TemplateRecord:
    """One template: who waits for it, oldest first, and which sessions it has."""

    name: str
    breaker: Breaker
    demand: Demand
    waiters: dict[int, Waiter] = attrs.field(factory=dict)
    idle: dict[str, None] = attrs.field(factory=dict)
    """An ordered set: the longest idle first."""
    starting: dict[str, None] = attrs.field(factory=dict)
    is_snapshot: bool = False
    """Whether it came to be while the pool ran: then nothing of it is kept ready."""
    is_retired: bool = False
    """Whether it is forgotten as soon as nothing is left of it."""


@attrs.frozen
class HandOver:
    """Give this session to this waiter; ``warm``: it was idle when the waiter asked."""

    waiter: int
    session: str
    warm: bool
    wait_s: float


@attrs.frozen
class Refuse:
    """Tell this waiter that it gets none."""

    waiter: int
    error: PyreplError


@attrs.frozen
class Start:
    """Start a session under this id."""

    session: str
    template: str


@attrs.frozen
class Stop:
    """End this session, and reap it; ``graceful``: code may have run that wants to clean up."""

    session: str
    graceful: bool


@attrs.frozen
class Forget:
    """Nothing is left of this template, which was retired."""

    template: str


Effect = HandOver | Refuse | Start | Stop | Forget
