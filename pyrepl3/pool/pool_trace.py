"""What is recorded of the pool: its actions, under the names that they have in `spec/Pool.tla`.

Owns those names and the shape of a recorded event. Must not decide, nor know where events go.
`PoolState` calls it at the moment of each change, with no `await` between the two.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence

import attrs

from pyrepl3.config import PoolConfig


class PoolAction(enum.StrEnum):
    """The actions of the pool: what it is told, what time does, and what it does then."""

    # What it is told.
    ACQUIRE = "Acquire"
    CANCEL = "Cancel"
    RELEASE = "Release"
    TAKE_BACK = "TakeBack"
    START_SUCCEEDED = "StartSucceeded"
    START_FAILED = "StartFailed"
    SESSION_DIED = "SessionDied"
    SESSION_ENDED = "SessionEnded"
    SHUT_DOWN = "ShutDown"
    # What time does.
    TIME_OUT = "TimeOut"
    EXPIRE = "Expire"
    RETRY = "Retry"
    # What it does then.
    HAND_OVER = "HandOver"
    REFUSE = "Refuse"
    START = "Start"
    STOP = "Stop"


@attrs.frozen(eq=False)
class PoolTrace:
    """Gives each action of one `PoolState` to ``sink``, in order."""

    sink: Callable[[Mapping[str, object]], None]

    def open(self, config: PoolConfig, templates: Sequence[str]) -> None:
        """A new pool, empty, with what of its configuration the model knows."""
        self.sink(
            {
                "of": "pool",
                "action": "Open",
                "templates": list(templates),
                "min_idle": config.min_idle,
                "max_sessions": config.max_sessions,
                "breaker_failures": config.breaker_failures,
            }
        )

    def record(self, action: PoolAction, **fields: str | int) -> None:
        """One change. ``live`` sessions and ``waiting`` callers are counted after it."""
        self.sink({"of": "pool", "action": action.value, **fields})
