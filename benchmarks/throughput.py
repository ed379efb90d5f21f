"""Rows of many executes at once: in flight on one session, and side by side on twenty.

Owns their counts. A sample of a rate is one whole burst; of a latency, one execute within it.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import trio

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
)
from benchmarks.floor import FloorWorker, run_in_flight, run_side_by_side
from benchmarks.metrics import Spec, Target
from benchmarks.subjects import Subject, make_config, many_sessions, one_session, timed_run

IN_FLIGHT = 1000
PEER_IN_FLIGHT = 300
EACH = 25
PEER_EACH = 3
WARM_UP = 1

PIPELINED = Spec(
    "pipelined_1000",
    "/s",
    "1,000 executes of 1+1 in flight on one session (300 for the peer)",
    Target(p50=8000),
    higher_is_better=True,
)
TWENTY_RATE = Spec(
    "twenty_sessions_rate",
    "/s",
    "20 sessions at once, each running 1+1 after 1+1: all their executes",
    Target(p50=5000),
    higher_is_better=True,
)
TWENTY_LATENCY = Spec(
    "twenty_sessions_latency",
    "ms",
    "20 sessions at once: each single 1+1",
    Target(p99=15),
)


async def measure_pipelined(bench: Bench) -> Measured:
    """Bursts on one session, whose queue is as long as the burst."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            session = await stack.enter_async_context(
                one_session(make_config(queued_executions=IN_FLIGHT))
            )
            turns.append(Turn("subject", lambda: burst(session)))
        floor = stack.enter_context(FloorWorker())
        turns.append(
            Turn("floor", blocking(lambda: IN_FLIGHT / run_in_flight(floor, "1+1", IN_FLIGHT)))
        )
        kernel = stack.enter_context(bench.kernel())
        if kernel is not None:

            def peer_once() -> float:
                started = time.perf_counter()
                for _ in range(PEER_IN_FLIGHT):
                    kernel.send("1+1")
                for _ in range(PEER_IN_FLIGHT):
                    kernel.wait_reply()
                elapsed = time.perf_counter() - started
                kernel.drain()
                return PEER_IN_FLIGHT / elapsed

            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(3, 1)))
        measured = await interleave(turns, rounds=bench.repeat(15, 4), warm_up=WARM_UP)
        return {PIPELINED.name: as_samples(measured, warm_up=WARM_UP)}


async def burst(session: Subject) -> float:
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(IN_FLIGHT):
            nursery.start_soon(timed_run, session)
    return IN_FLIGHT / (time.perf_counter() - started)


async def measure_twenty(bench: Bench) -> Measured:
    """Twenty clients, each with one execute in flight."""
    latencies: dict[str, list[float]] = {"subject": [], "floor": [], "peer": []}
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            supervisor = await stack.enter_async_context(pyrepl3.open_supervisor(make_config()))
            sessions = await stack.enter_async_context(many_sessions(supervisor, FLEET))
            turns.append(Turn("subject", lambda: side_by_side(sessions, latencies["subject"])))
        workers = [stack.enter_context(FloorWorker()) for _ in range(FLEET)]

        def floor_once() -> float:
            started = time.perf_counter()
            seconds = run_side_by_side(workers, "1+1", EACH)
            elapsed = time.perf_counter() - started
            latencies["floor"] += [second * MILLISECONDS for second in seconds]
            return FLEET * EACH / elapsed

        turns.append(Turn("floor", blocking(floor_once)))
        fleet = bench.fleet()
        if fleet is not None:
            from benchmarks.peer_ipykernel import run_side_by_side as kernels_side_by_side

            def peer_once() -> float:
                started = time.perf_counter()
                seconds = kernels_side_by_side(fleet.kernels, "1+1", PEER_EACH)
                elapsed = time.perf_counter() - started
                latencies["peer"] += [second * MILLISECONDS for second in seconds]
                return FLEET * PEER_EACH / elapsed

            turns.append(Turn("peer", blocking(peer_once), rounds=4))
        for turn in turns:
            await turn.once()
            latencies[turn.name].clear()
        measured = await interleave(turns, rounds=bench.repeat(20, 5), warm_up=0)
    return {
        TWENTY_RATE.name: as_samples(measured, warm_up=WARM_UP),
        TWENTY_LATENCY.name: as_samples(latencies, warm_up=FLEET * EACH),
    }


async def side_by_side(sessions: list[Subject], latencies: list[float]) -> float:
    async def client(session: Subject) -> None:
        latencies.extend([await timed_run(session) for _ in range(EACH)])

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(client, session)
    return FLEET * EACH / (time.perf_counter() - started)


EXPERIMENTS = (
    Experiment(specs=(PIPELINED,), measure=measure_pipelined),
    Experiment(specs=(TWENTY_RATE, TWENTY_LATENCY), measure=measure_twenty, fleet=True),
)
