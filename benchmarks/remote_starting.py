"""Rows of new sessions over a WebSocket: from the pool, and cold.

Owns when the clock starts: at the request, over a connection that is there already.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

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
from benchmarks.metrics import Spec, Target
from benchmarks.service import Service, serving
from benchmarks.subjects import is_warm, time_to_cold_answer

MIN_IDLE = 4
WARM_UP = 2

WARM = Spec(
    "remote_acquire_warm",
    "ms",
    "a session that the pool has ready, until the client has it (the peer: until POST answers)",
    Target(p50=2),
)
COLD = Spec(
    "remote_cold",
    "ms",
    "a new session, none being ready, until 1+1 has answered over a WebSocket",
    Target(p50=6),
)


async def measure_warm(bench: Bench) -> Measured:
    """Acquire, give back, and let the pool fill up again before the next."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving(min_idle=MIN_IDLE))
            client = await stack.enter_async_context(service.client())
            turns.append(Turn("subject", lambda: _warm_once(service, client), 10))
        server = stack.enter_context(bench.server())
        if server is not None:

            def peer_once() -> float:
                started = time.perf_counter()
                kernel = server.ask("POST", "/api/kernels", {"name": "python3"})["id"]
                elapsed = time.perf_counter() - started
                server.ask("DELETE", f"/api/kernels/{kernel}")
                return elapsed * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(8, 2)))
        measured = await interleave(turns, rounds=bench.repeat(20, 4), warm_up=WARM_UP)
    return {WARM.name: as_samples(measured, warm_up=WARM_UP)}


async def _warm_once(service: Service, client: pyrepl3.Client) -> float:
    await service.wait_settled()
    started = time.perf_counter()
    async with client.session() as session:
        elapsed = time.perf_counter() - started
        expect(is_warm(session), "no session was ready")
    return elapsed * MILLISECONDS


async def measure_cold(bench: Bench) -> Measured:
    """The peer starts a process, connects its WebSocket and runs."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving())
            client = await stack.enter_async_context(service.client())
            turns.append(Turn("subject", lambda: _cold_once(service, client)))
        server = stack.enter_context(bench.server())
        if server is not None:
            from benchmarks.peer_jupyter_server import RemoteKernel

            def peer_once() -> float:
                started = time.perf_counter()
                with RemoteKernel(server) as kernel:
                    kernel.wait_for(kernel.send("1+1"), "execute_reply")
                    return (time.perf_counter() - started) * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(5, 2)))
        measured = await interleave(turns, rounds=bench.repeat(10, 4), warm_up=WARM_UP)
    return {COLD.name: as_samples(measured, warm_up=WARM_UP)}


async def _cold_once(service: Service, client: pyrepl3.Client) -> float:
    await service.wait_empty()
    return await time_to_cold_answer(client)


EXPERIMENTS = (
    Experiment(specs=(WARM,), measure=measure_warm),
    Experiment(specs=(COLD,), measure=measure_cold),
)
