"""What a seed stands for: the configuration of one world, who is in it, and how it ends.

Owns the odds of everything that is decided before a world begins. Pure: a seed comes in, a plan
goes out. Worlds are small, and many: what a bug needs, two or three of each can show.
"""

from __future__ import annotations

import math
from random import Random

import attrs

from pyrepl3.config import Config, Limits, PoolConfig, Template, Timeouts

from .machine import START_TIMEOUT_S

TEMPLATES = ("a", "b")


@attrs.frozen
class WorldPlan:
    """One world."""

    seed: str
    config: Config
    wickedness: float
    callers: int
    rounds: int
    """How often each caller asks for a session."""
    ends_at: float
    """When the service is shut down; infinite: when everybody has gone home."""
    outlived: bool
    """Whether callers live on after the service, rather than be cancelled with it."""
    chaos: tuple[tuple[float, str], ...]
    """What befalls the service from outside, and when."""


CRASH_THE_POOL = "crash the pool"
"""At most once: it restarts the whole tree, which gives up when that comes too often."""
CHAOS = ("kill a worker", "kill all workers", "kill a zygote", "crash a spawner")
"""All at once, as a machine without memory does it: whose session has died asks for another while
the idle ones are being reaped."""


def draw_plan(seed: str) -> WorldPlan:
    """The plan of this seed."""
    random = Random(f"plan {seed}")
    wickedness = random.choice((0.0, 0.02, 0.1, 0.1, 0.3, 0.6))
    events = random.choice((0, 1, 2, 4, 8)) if wickedness else 0
    chaos = sorted((random.choice(_MOMENTS_S), random.choice(CHAOS)) for _ in range(events))
    if wickedness and random.random() < 0.1:
        chaos = sorted([*chaos, (random.choice(_MOMENTS_S), CRASH_THE_POOL)])
    return WorldPlan(
        seed=seed,
        config=_draw_config(random),
        wickedness=wickedness,
        callers=random.choice((1, 2, 3, 4, 5, 8)),
        rounds=random.choice((1, 2, 3, 4)),
        ends_at=math.inf if random.random() < 0.6 else random.choice(_MOMENTS_S),
        outlived=random.random() < 0.5,
        chaos=tuple(chaos),
    )


_MOMENTS_S = (0.0, 0.001, 0.01, 0.1, 0.111, 0.3, 0.5, 1.0, 1.5, 2.5, 4.0, 7.0)


def _draw_config(random: Random) -> Config:
    templates = TEMPLATES[: random.choice((1, 1, 2))]
    max_sessions = random.choice((1, 2, 2, 3, 4))
    most_idle = max_sessions // len(templates)
    return Config(
        pool=PoolConfig(
            min_idle=random.randint(0, min(2, most_idle)),
            max_sessions=max_sessions,
            acquire_timeout_s=5.0,
            idle_lifetime_s=random.choice((3.0, 600.0, 600.0)),
            start_timeout_s=START_TIMEOUT_S,
            breaker_failures=random.choice((1, 3)),
            breaker_reset_s=2.0,
        ),
        templates=dict.fromkeys(templates, Template()),
        limits=Limits(
            execution_timeout_s=random.choice((1.0, 5.0, 5.0)),
            queued_executions=random.choice((1, 2, 16)),
            output_bytes=random.choice((200, 100_000)),
        ),
        timeouts=Timeouts(interrupt_grace_s=random.choice((0.1, 2.0)), shutdown_s=5.0),
    )
