"""Rows of things that go wrong, seen over a WebSocket: interrupts, and a crash.

Owns when each clock starts: at the request to interrupt, or at the execute that crashes.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial

import pyrepl3
from benchmarks.bench import (
    MILLISECONDS,
    Bench,
    Experiment,
    Measured,
    Turn,
    as_samples,
    blocking,
    expect,
    interleave,
)
from benchmarks.faults import CRASH, INPUT, LOOP, PEER_SETTLED_S, SLEEP
from benchmarks.metrics import Spec, Target
from benchmarks.service import Service, one_remote_session, serving
from benchmarks.subjects import time_to_interrupt, timed_run

WARM_UP = 3
MIN_IDLE = 1
PEER_DEATH_S = 8.0

INTERRUPT_LOOP = Spec(
    "remote_interrupt_loop",
    "ms",
    "interrupt of `while True: pass` until its error is there, over a WebSocket",
    Target(p50=2),
)
INTERRUPT_SLEEP = Spec(
    "remote_interrupt_sleep",
    "ms",
    "interrupt of time.sleep(60) until its error is there, over a WebSocket",
    Target(p50=2),
)
INTERRUPT_INPUT = Spec(
    "remote_interrupt_input",
    "ms",
    "interrupt of a blocked input() until its error is there, over a WebSocket",
    Target(p50=2),
)
CRASHED = Spec(
    "remote_crash",
    "ms",
    f"os._exit(1) until the client is told, over a WebSocket (the peer: within {PEER_DEATH_S:g} s)",
    Target(p50=4),
)


async def measure_interrupt(spec: Spec, code: str, bench: Bench) -> Measured:
    """One code, interrupted again and again in the same process; the peer by its REST API."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving())
            session = await stack.enter_async_context(one_remote_session(service))
            turns.append(Turn("subject", lambda: time_to_interrupt(session, code), 5))
        kernel = stack.enter_context(bench.remote_kernel()) if code == LOOP else None
        if kernel is not None:

            def peer_once() -> float:
                request = kernel.send(code)
                kernel.wait_for(request, "stream")
                time.sleep(PEER_SETTLED_S)
                started = time.perf_counter()
                kernel.interrupt()
                seen = kernel.wait_for(request, "execute_reply")
                elapsed = time.perf_counter() - started
                kernel.wait_done(request, seen)
                return elapsed * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(8, 3)))
        measured = await interleave(turns, rounds=bench.repeat(12, 4), warm_up=WARM_UP)
    return {spec.name: as_samples(measured, warm_up=WARM_UP)}


async def measure_crash(bench: Bench) -> Measured:
    """Each crash takes a process of its own, started before the clock is."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving(min_idle=MIN_IDLE))
            client = await stack.enter_async_context(service.client())
            turns.append(Turn("subject", lambda: _crash_once(service, client), 3))
        server = stack.enter_context(bench.server())
        if server is not None:
            from benchmarks.peer_jupyter_server import started_kernel

            def peer_once() -> float:
                with started_kernel(server) as kernel:
                    started = time.perf_counter()
                    kernel.send(CRASH)
                    kernel.wait_death(PEER_DEATH_S)
                    return (time.perf_counter() - started) * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(4, 1)))
        measured = await interleave(turns, rounds=bench.repeat(15, 4), warm_up=WARM_UP)
    return {CRASHED.name: as_samples(measured, warm_up=WARM_UP)}


async def _crash_once(service: Service, client: pyrepl3.Client) -> float:
    await service.wait_settled()
    async with client.session() as session:
        await timed_run(session)
        started = time.perf_counter()
        execution = await session.run(CRASH)
        elapsed = time.perf_counter() - started
        expect(
            execution.error is not None and execution.error.code == "WORKER_DIED",
            f"a crash ended by {execution.error!r}",
        )
    return elapsed * MILLISECONDS


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
