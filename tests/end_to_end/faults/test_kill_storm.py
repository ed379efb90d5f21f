"""End-to-end tests: a storm of kills, cancellations and deadlines, recorded.

What the callers see is one thing; whether the pool and each session kept to their specifications
all the while is for TLC to say, of the recording.
"""

from __future__ import annotations

import collections
import os
import random
import signal
from pathlib import Path

import attrs
import pytest
import trio

import pyrepl3
from pyrepl3.conformance.checking import check_recordings

from .oracle import nothing_left_behind, small_config, workers_of, zygotes_of

BOUND_S = 60.0
STORM_S = 2.5
TEMPLATES = ("python", "other")
CALLERS = 40

CODES = (
    "1 + 1",
    "print('x' * 100)",
    "import time; time.sleep(0.02)",
    "while True: pass",
    "import os; os._exit(3)",
    "input()",
    "import itertools; sum(itertools.repeat(1))",
)

REFUSALS = (
    pyrepl3.PoolDegraded,
    pyrepl3.PoolExhausted,
    pyrepl3.SessionLost,
    pyrepl3.ShuttingDown,
    pyrepl3.WorkerSpawnFailed,
)


class Storm:
    """Callers that come again and again, and strikes at what serves them."""

    def __init__(self, supervisor: pyrepl3.Supervisor, seed: int) -> None:
        self.supervisor = supervisor
        self.chance = random.Random(seed)
        self.seen: collections.Counter[str] = collections.Counter()
        self.over = False

    async def call(self) -> None:
        """One caller, until the storm is over."""
        while not self.over:
            with trio.move_on_after(self.chance.expovariate(3)) as patience:
                try:
                    await self._use()
                    self.seen["served"] += 1
                except REFUSALS as refusal:
                    self.seen[type(refusal).__name__] += 1
                    await trio.sleep(0.02)
            self.seen["cancelled"] += patience.cancelled_caught

    async def _use(self) -> None:
        timeout_s = self.chance.choice((0.01, 0.2, BOUND_S))
        template = self.chance.choice(TEMPLATES)
        async with self.supervisor.session(template, acquire_timeout_s=timeout_s) as session:
            for _ in range(self.chance.randrange(4)):
                code = self.chance.choice(CODES)
                await session.run(code, timeout_s=self.chance.choice((0.02, 0.1, 1.0)))

    async def strike(self) -> None:
        """Kill workers all the time, and a zygote now and then."""
        while not self.over:
            await trio.sleep(self.chance.expovariate(25))
            template = self.chance.choice(TEMPLATES)
            if self.chance.random() < 0.05:
                victims = [zygote.pid for zygote in zygotes_of(self.supervisor, template)]
            else:
                victims = sorted(workers_of(self.supervisor, template))
            if victims:
                self._kill(self.chance.choice(victims))

    def _kill(self, process: int) -> None:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.seen["struck"] += 1


async def run_storm(config: pyrepl3.Config, seed: int) -> Storm:
    """All of it; the supervisor ends while the callers are there."""
    async with trio.open_nursery() as callers, pyrepl3.open_supervisor(config) as supervisor:
        storm = Storm(supervisor, seed)
        for _ in range(CALLERS):
            callers.start_soon(storm.call)
        callers.start_soon(storm.strike)
        await trio.sleep(STORM_S)
        storm.over = True
    return storm


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_specs_allow_every_step_that_a_service_takes_in_a_storm(
    seed: int, tmp_path: Path
) -> None:
    """Which ends in the middle of it: callers wait, run and leave while it shuts down."""
    path = tmp_path / "trace"
    config = small_config(
        min_idle=1,
        max_sessions=6,
        templates={name: pyrepl3.Template() for name in TEMPLATES},
        timeouts=pyrepl3.Timeouts(interrupt_grace_s=0.05, close_grace_s=0.1),
        backoff_initial_s=0.01,
        backoff_max_s=0.1,
        breaker_reset_s=0.1,
    )
    with nothing_left_behind(attrs.evolve(config, record_trace=path)) as marked:
        with trio.fail_after(BOUND_S):
            storm = await run_storm(marked, seed)

    assert min(storm.seen[sight] for sight in ("served", "cancelled", "struck")) > 10
    verdict = check_recordings([str(path)])
    assert verdict.accepted, [spec.rejection for spec in verdict.specs]
    assert verdict.recordings == {str(path): ()}
