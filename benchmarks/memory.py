"""Rows of memory: what an idle session costs, and a thousand alive at once.

Owns what counts: PSS from /proc/PID/smaps_rollup, which shares a page out among those who map
it. The contenders are therefore measured one after the other, never alive together.
"""

from __future__ import annotations

import resource
from contextlib import ExitStack

import trio

import pyrepl3
from benchmarks.bench import FLEET, Bench, Experiment, Measured, missing_packages
from benchmarks.floor import FloorWorker
from benchmarks.metrics import Samples, Spec, Target
from benchmarks.starting import HEAVY, IMPORT_HEAVY
from benchmarks.subjects import make_config, many_sessions, pss_mb, timed_run

THOUSAND = 1000
SETTLE_S = 0.5
DESCRIPTORS_EACH = 8
"""Room for what the service keeps open for a session, and some for itself."""

IDLE = Spec(
    "idle_memory",
    "MB",
    "PSS of an idle session that has answered once, 20 of them alive",
    Target(p50=1.5),
)
IDLE_HEAVY = Spec(
    "idle_memory_numpy_pandas",
    "MB",
    "the same with numpy and pandas imported",
    Target(p50=4),
)
ALIVE = Spec(
    "alive_1000",
    "sessions",
    "sessions alive at once, each of which answers 1+1",
    Target(p50=THOUSAND),
    higher_is_better=True,
)


async def measure_idle(bench: Bench) -> Measured:
    """Bare."""
    peer: list[float] = []
    fleet = bench.fleet()
    if fleet is not None:
        peer = [pss_mb(kernel.pid) for kernel in fleet.kernels]
        bench.close_fleet()
    return {
        IDLE.name: Samples(
            subject=await _subject(bench, preload=()),
            floor=_floor(None),
            peer=peer,
        )
    }


async def measure_idle_heavy(bench: Bench) -> Measured:
    """numpy and pandas; a quick run leaves the floor out, which imports them twenty times."""
    if lacking := missing_packages(HEAVY):
        return {IDLE_HEAVY.name: Samples(note=f"skipped: {' and '.join(lacking)} not installed")}
    return {
        IDLE_HEAVY.name: Samples(
            subject=await _subject(bench, preload=HEAVY),
            floor=() if bench.settings.quick else _floor(IMPORT_HEAVY),
        )
    }


async def _subject(bench: Bench, *, preload: tuple[str, ...]) -> list[float]:
    if not bench.subject:
        return []
    config = make_config(preload=preload)
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        many_sessions(supervisor, FLEET) as sessions,
    ):
        await trio.sleep(SETTLE_S)
        return [pss_mb(session.pid) for session in sessions]


def _floor(code: str | None) -> list[float]:
    with ExitStack() as stack:
        workers = [stack.enter_context(FloorWorker()) for _ in range(FLEET)]
        for worker in workers:
            worker.send(code or "1+1")
        for worker in workers:
            worker.wait_answer()
        return [pss_mb(worker.process.pid) for worker in workers]


async def measure_alive(bench: Bench) -> Measured:
    """A thousand sessions; once all are up, each is asked again."""
    answered: list[float] = []
    if bench.subject:
        allow_descriptors(THOUSAND * DESCRIPTORS_EACH)
        config = make_config(max_sessions=THOUSAND)
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            many_sessions(supervisor, THOUSAND) as sessions,
        ):
            count = 0
            for session in sessions:
                await timed_run(session)
                count += 1
            answered.append(count)
    return {ALIVE.name: Samples(subject=answered)}


def allow_descriptors(count: int) -> None:
    """Raise this process's soft limit on open files to ``count``, if the hard one lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = count if hard == unlimited else min(count, hard)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


EXPERIMENTS = (
    Experiment(specs=(IDLE,), measure=measure_idle, fleet=True),
    Experiment(specs=(IDLE_HEAVY,), measure=measure_idle_heavy),
    Experiment(specs=(ALIVE,), measure=measure_alive, large=True),
)
