"""The row of the pool: how often a client finds a session ready.

Owns the arrivals: a Poisson process with a fixed seed, at a rate that the machine can refill.
"""

from __future__ import annotations

from random import Random

import trio

import pyrepl3
from benchmarks.bench import Bench, Experiment, Measured
from benchmarks.metrics import Samples, Spec, Target
from benchmarks.subjects import make_config, timed_run, wait_idle

ARRIVALS_PER_S = 25.0
HOLD_S = 0.1
"""On average, drawn from an exponential distribution."""
MIN_IDLE = 8
MAX_SESSIONS = 40
SEED = 20

HIT_RATE = Spec(
    "pool_hit_rate",
    "%",
    "clients that find a session ready: Poisson arrivals, 25 a second, 0.1 s each, 8 kept idle",
    Target(p50=99),
    higher_is_better=True,
)


async def measure_hits(bench: Bench) -> Measured:
    """One run of arrivals; its rate is the one sample."""
    if not bench.subject:
        return {HIT_RATE.name: Samples()}
    arrivals = bench.repeat(400, 100)
    random = Random(SEED)
    config = make_config(min_idle=MIN_IDLE, max_sessions=MAX_SESSIONS)
    async with pyrepl3.open_supervisor(config) as supervisor:
        await wait_idle(supervisor, MIN_IDLE)
        before = supervisor.statistics().pool

        async def client(hold_s: float) -> None:
            async with supervisor.session() as session:
                await timed_run(session)
                await trio.sleep(hold_s)

        async with trio.open_nursery() as nursery:
            for _ in range(arrivals):
                await trio.sleep(random.expovariate(ARRIVALS_PER_S))
                nursery.start_soon(client, random.expovariate(1 / HOLD_S))
        after = supervisor.statistics().pool
    hits, misses = after.hits - before.hits, after.misses - before.misses
    rate = 100 * hits / (hits + misses)
    return {HIT_RATE.name: Samples(subject=[rate], note=f"one sample, of {arrivals} arrivals")}


EXPERIMENTS = (Experiment(specs=(HIT_RATE,), measure=measure_hits),)
