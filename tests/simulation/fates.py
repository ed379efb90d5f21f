"""What is to become of a worker, drawn before it is born.

Owns the kinds of bad ends and their odds. Pure: the chance to draw with comes in.
"""

from __future__ import annotations

import math
from random import Random

import attrs

START_FAULTS = (
    "refused",
    "dies",
    "dies with a word",
    "dies within a frame",
    "silent",
    "too slow",
    "garbage",
    "speaks before it is ready",
    "another protocol",
    "hangs up",
)
"""What may become of a start, none of them good."""
IDLE_FAULTS = (
    "dies",
    "exits",
    "stops itself",
    "garbage",
    "forged result",
    "hangs up",
    "ready again",
)
"""What a worker may do while it has nothing to do."""
IDLE_HARMLESS = ("prints", "writes to a pipe", "heartbeat")

_START_S = (0.0, 0.001, 0.01, 0.01, 0.1, 0.4)
_MOMENTS_S = (0.0, 0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0)


@attrs.frozen
class Fate:
    """One worker's: how it starts, how long it lives, how it ends, how soon that is known."""

    start_s: float = 0.01
    start_fault: str | None = None
    idle_s: float = math.inf
    """From its `ready`: when it does what ``idle_act`` says, once it has nothing to do."""
    idle_act: str = "prints"
    kill_s: float = 0.0
    """From SIGKILL to its death."""
    report_s: float = 0.0
    """From its death to its zygote's report of it."""
    shutdown_s: float = 0.0
    """How long its exit handlers take when it is asked to end."""

    @property
    def is_bad(self) -> bool:
        """Whether it does by itself what no worker should."""
        return self.start_fault is not None or (
            self.idle_s < math.inf and self.idle_act in IDLE_FAULTS
        )


GOOD = Fate()


def draw_fate(random: Random, wickedness: float) -> Fate:
    """A fate by chance."""
    fate = Fate(
        start_s=random.choice(_START_S),
        kill_s=random.choice((0.0, 0.0, 0.001, 0.2)),
        report_s=random.choice((0.0, 0.0, 0.001, 0.3)),
        shutdown_s=random.choice((0.0, 0.0, 0.1, 60.0 if random.random() < wickedness else 0.5)),
    )
    if random.random() < wickedness:
        return attrs.evolve(fate, start_fault=random.choice(START_FAULTS))
    if random.random() < wickedness:
        return attrs.evolve(
            fate, idle_s=random.choice(_MOMENTS_S), idle_act=random.choice(IDLE_FAULTS)
        )
    if random.random() < 0.1:
        return attrs.evolve(
            fate, idle_s=random.choice(_MOMENTS_S), idle_act=random.choice(IDLE_HARMLESS)
        )
    return fate
