"""Rows of things that go wrong: an interrupt of code that would not end, and a crash.

Owns the codes, and when each clock starts: at the interrupt, or at the execute that crashes.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial

import pyrepl3
from benchmarks.bench import (
    MILLISECONDS,
    Bench,
    BenchmarkBroken,
    Experiment,
    Measured,
    Turn,
    as_samples,
    blocking,
    expect,
    interleave,
)
from benchmarks.floor import FloorDied, FloorWorker
from benchmarks.metrics import Spec, Target
from benchmarks.subjects import (
    SETTLED_CODE_S,
    make_config,
    one_session,
    time_to_interrupt,
    timed_run,
    wait_idle,
)

LOOP = "print('go', flush=True)\nwhile True: pass\n"
SLEEP = "import time\nprint('go', flush=True)\ntime.sleep(60)\n"
INPUT = "input('go')\n"
CRASH = "import os; os._exit(1)"
PEER_SETTLED_S = 0.05
WARM_UP = 3

INTERRUPT_LOOP = Spec(
    "interrupt_loop",
    "ms",
    "interrupt of `while True: pass` until its error is there",
    Target(p50=1),
)
INTERRUPT_SLEEP = Spec(
    "interrupt_sleep", "ms", "interrupt of time.sleep(60) until its error is there", Target(p50=1)
)
INTERRUPT_INPUT = Spec(
    "interrupt_input",
    "ms",
    "interrupt of a blocked input() until its error is there",
    Target(p50=1),
)
CRASHED = Spec(
    "crash",
    "ms",
    "execute of os._exit(1) until the client is told (the peer: polled every 5 ms)",
    Target(p50=3),
)


async def measure_interrupt(spec: Spec, code: str, bench: Bench) -> Measured:
    """One code, interrupted again and again in the same process."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            session = await stack.enter_async_context(one_session(make_config()))
            turns.append(Turn("subject", lambda: time_to_interrupt(session, code), 5))
        floor = stack.enter_context(FloorWorker())
        turns.append(Turn("floor", blocking(lambda: _floor_interrupt(floor, code)), 5))
        kernel = stack.enter_context(bench.kernel())
        if kernel is not None:

            def peer_once() -> float:
                kernel.send(code, allow_stdin=True)
                if code == INPUT:
                    kernel.wait_input_request()
                else:
                    kernel.wait_published("stream")
                time.sleep(PEER_SETTLED_S)
                started = time.perf_counter()
                kernel.interrupt()
                kernel.wait_reply()
                elapsed = time.perf_counter() - started
                kernel.wait_idle()
                return elapsed * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(8, 3)))
        measured = await interleave(turns, rounds=bench.repeat(12, 4), warm_up=WARM_UP)
        return {spec.name: as_samples(measured, warm_up=WARM_UP)}


def _floor_interrupt(floor: FloorWorker, code: str) -> float:
    floor.send(code, symbol="exec")
    if code != INPUT:
        floor.receive()
    time.sleep(SETTLED_CODE_S)
    started = time.perf_counter()
    floor.interrupt()
    floor.wait_answer()
    return (time.perf_counter() - started) * MILLISECONDS


async def measure_crash(bench: Bench) -> Measured:
    """Each crash takes a process of its own, started before the clock is."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            supervisor = await stack.enter_async_context(
                pyrepl3.open_supervisor(make_config(min_idle=1))
            )
            turns.append(Turn("subject", lambda: _crash_once(supervisor), 3))
        turns.append(Turn("floor", blocking(_floor_crash), 1))
        if bench.peers:
            turns.append(Turn("peer", blocking(_peer_crash), rounds=bench.repeat(4, 1)))
        measured = await interleave(turns, rounds=bench.repeat(15, 4), warm_up=WARM_UP)
        return {CRASHED.name: as_samples(measured, warm_up=WARM_UP)}


async def _crash_once(supervisor: pyrepl3.Supervisor) -> float:
    await wait_idle(supervisor, 1)
    async with supervisor.session() as session:
        await timed_run(session)
        await wait_idle(supervisor, 1)
        started = time.perf_counter()
        execution = await session.run(CRASH)
        elapsed = time.perf_counter() - started
        expect(
            execution.error is not None and execution.error.code == "WORKER_DIED",
            f"a crash ended by {execution.error!r}",
        )
    return elapsed * MILLISECONDS


def _floor_crash() -> float:
    with FloorWorker() as floor:
        floor.run("1+1")
        started = time.perf_counter()
        floor.send(CRASH)
        try:
            floor.wait_answer()
        except FloorDied:
            return (time.perf_counter() - started) * MILLISECONDS
    raise BenchmarkBroken("the floor survived os._exit")


def _peer_crash() -> float:
    from benchmarks.peer_ipykernel import started_kernel

    with started_kernel() as kernel:
        started = time.perf_counter()
        kernel.send(CRASH)
        kernel.wait_death()
        return (time.perf_counter() - started) * MILLISECONDS


EXPERIMENTS = (
    *(
        Experiment(specs=(spec,), measure=partial(measure_interrupt, spec, code))
        for spec, code in (
            (INTERRUPT_LOOP, LOOP),
            (INTERRUPT_SLEEP, SLEEP),
            (INTERRUPT_INPUT, INPUT),
        )
    ),
    Experiment(specs=(CRASHED,), measure=measure_crash),
)
