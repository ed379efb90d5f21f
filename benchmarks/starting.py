"""Rows of new sessions: from the pool, cold, and twenty together.

Owns when the clock starts: always before the acquisition, never after.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, ExitStack

import pyrepl3
from benchmarks.bench import (
    FLEET,
    MILLISECONDS,
    Bench,
    Experiment,
    Measured,
    Turn,
    as_samples,
    blocking,
    interleave,
    missing_packages,
)
from benchmarks.floor import FloorWorker
from benchmarks.metrics import Samples, Spec, Target
from benchmarks.subjects import (
    make_config,
    many_sessions,
    time_to_cold_answer,
    wait_empty,
    wait_idle,
    wait_settled,
)

HEAVY = ("numpy", "pandas")
IMPORT_HEAVY = "import " + ", ".join(HEAVY)
MIN_IDLE = 4
IDLE_S = 0.1
"""For a pool that is to have none ready, soon after some were asked for."""
WARM_UP = 2

WARM = Spec(
    "acquire_warm",
    "ms",
    "a session that the pool has ready, until it is ours",
    Target(p50=0.5, p99=2),
)
COLD = Spec(
    "cold",
    "ms",
    "a new session, none being ready, until 1+1 has answered",
    Target(p50=3),
)
COLD_HEAVY = Spec(
    "cold_numpy_pandas",
    "ms",
    "the same with numpy and pandas imported",
    Target(p50=10),
)
TOGETHER = Spec(
    "start_20_together",
    "ms",
    "20 new sessions at once, until all have answered 1+1",
    Target(p50=60),
)


async def measure_warm(bench: Bench) -> Measured:
    """Acquire, give back, and let the pool fill up again before the next."""
    samples: list[float] = []
    if bench.subject:
        async with pyrepl3.open_supervisor(make_config(min_idle=MIN_IDLE)) as supervisor:
            for number in range(bench.repeat(200, 40) + WARM_UP):
                await wait_idle(supervisor, MIN_IDLE)
                started = time.perf_counter()
                async with supervisor.session():
                    elapsed = time.perf_counter() - started
                if number >= WARM_UP:
                    samples.append(elapsed * MILLISECONDS)
    return {WARM.name: Samples(subject=samples, warm_up=WARM_UP)}


async def measure_cold(bench: Bench) -> Measured:
    """Bare: the floor starts a process by exec."""
    measured = await _cold(bench, preload=())
    return {COLD.name: as_samples(measured, warm_up=WARM_UP)}


async def measure_cold_heavy(bench: Bench) -> Measured:
    """numpy and pandas: the floor and the peer import them, as they must."""
    if lacking := missing_packages(HEAVY):
        return {COLD_HEAVY.name: Samples(note=f"skipped: {' and '.join(lacking)} not installed")}
    measured = await _cold(bench, preload=HEAVY)
    return {COLD_HEAVY.name: as_samples(measured, warm_up=WARM_UP)}


async def _cold(bench: Bench, *, preload: tuple[str, ...]) -> dict[str, list[float]]:
    before = IMPORT_HEAVY if preload else "None"

    def floor_once() -> float:
        started = time.perf_counter()
        with FloorWorker() as worker:
            worker.run(before)
            worker.run("1+1")
            return (time.perf_counter() - started) * MILLISECONDS

    def peer_once() -> float:
        from benchmarks.peer_ipykernel import Kernel

        started = time.perf_counter()
        with Kernel() as kernel:
            kernel.wait_ready()
            kernel.send(before)
            kernel.wait_reply()
            kernel.send("1+1")
            kernel.wait_reply()
            return (time.perf_counter() - started) * MILLISECONDS

    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            supervisor = await stack.enter_async_context(
                pyrepl3.open_supervisor(make_config(preload=preload, idle_lifetime_s=IDLE_S))
            )
            turns.append(Turn("subject", lambda: cold_once(supervisor)))
        turns.append(Turn("floor", blocking(floor_once), rounds=5 if preload else None))
        if bench.peers:
            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(5, 2)))
        return await interleave(turns, rounds=bench.repeat(10, 4), warm_up=WARM_UP)


async def cold_once(supervisor: pyrepl3.Supervisor) -> float:
    """Milliseconds to a first answer, once no other session is left."""
    await wait_empty(supervisor)
    return await time_to_cold_answer(supervisor)


async def measure_together(bench: Bench) -> Measured:
    """Twenty at once, each in a task of its own."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            supervisor = await stack.enter_async_context(pyrepl3.open_supervisor(make_config()))
            turns.append(Turn("subject", lambda: _together_once(supervisor)))
        turns.append(Turn("floor", blocking(_floor_together_once)))
        measured = await interleave(turns, rounds=bench.repeat(10, 4), warm_up=1)
    fleet = bench.fleet()
    if fleet is not None:
        measured["peer"] = [fleet.started_s * MILLISECONDS]
    return {TOGETHER.name: as_samples(measured, warm_up=1)}


async def _together_once(supervisor: pyrepl3.Supervisor) -> float:
    await wait_settled(supervisor)
    started = time.perf_counter()
    async with many_sessions(supervisor, FLEET):
        elapsed = time.perf_counter() - started
    return elapsed * MILLISECONDS


def _floor_together_once() -> float:
    with ExitStack() as stack:
        started = time.perf_counter()
        workers = [stack.enter_context(FloorWorker()) for _ in range(FLEET)]
        for worker in workers:
            worker.send("1+1")
        for worker in workers:
            worker.wait_answer()
        return (time.perf_counter() - started) * MILLISECONDS


EXPERIMENTS = (
    Experiment(specs=(WARM,), measure=measure_warm),
    Experiment(specs=(COLD,), measure=measure_cold),
    Experiment(specs=(COLD_HEAVY,), measure=measure_cold_heavy),
    Experiment(specs=(TOGETHER,), measure=measure_together, fleet=True),
)
