"""Rows of much at once over a WebSocket: executes in flight, twenty sessions, 50 MB of output.

Owns their counts. The twenty sessions share one connection. A sample of a rate is one whole burst.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

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
from benchmarks.echo import (
    connected,
    echo_connection,
    echo_rate,
    echo_server,
    echo_side_by_side,
    stream_rate,
)
from benchmarks.metrics import Samples, Spec, Target
from benchmarks.output import long_lines, print_all
from benchmarks.service import Service, one_remote_session, serving
from benchmarks.subjects import many_sessions
from benchmarks.throughput import EACH, IN_FLIGHT, PEER_EACH, PEER_IN_FLIGHT, burst, side_by_side

WARM_UP = 1

PIPELINED = Spec(
    "remote_pipelined_1000",
    "/s",
    "1,000 executes of 1+1 in flight on one session, over a WebSocket (300 for the peer)",
    Target(p50=2500),
    higher_is_better=True,
)
TWENTY_RATE = Spec(
    "remote_twenty_sessions_rate",
    "/s",
    "20 sessions on one WebSocket, each running 1+1 after 1+1: all their executes",
    Target(p50=1500),
    higher_is_better=True,
)
TWENTY_LATENCY = Spec(
    "remote_twenty_sessions_latency",
    "ms",
    "20 sessions on one WebSocket: each single 1+1",
    Target(peer_ratio=10),
)
TOGETHER = Spec(
    "remote_start_20_together",
    "ms",
    "20 new sessions at once on one WebSocket, until all have answered 1+1",
    Target(p50=120),
)
LONG = Spec(
    "remote_output_50mb",
    "MB/s",
    "50 MB printed in lines of 4 KiB, until all is seen over a WebSocket (the peer: limit off)",
    Target(p50=60),
    higher_is_better=True,
)
LONG_LOST = Spec(
    "remote_output_50mb_lost", "B", "of those 50 MB, what never arrived", Target(p99=0)
)


async def measure_pipelined(bench: Bench) -> Measured:
    """Bursts on one session, whose queue is as long as the burst."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving())
            session = await stack.enter_async_context(one_remote_session(service))
            turns.append(Turn("subject", lambda: burst(session)))
        socket = await stack.enter_async_context(echo_connection())
        turns.append(Turn("floor", lambda: echo_rate(socket, IN_FLIGHT)))
        kernel = stack.enter_context(bench.remote_kernel())
        if kernel is not None:

            def peer_once() -> float:
                started = time.perf_counter()
                for request in [kernel.send("1+1") for _ in range(PEER_IN_FLIGHT)]:
                    kernel.wait_for(request, "idle")
                return PEER_IN_FLIGHT / (time.perf_counter() - started)

            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(3, 1)))
        measured = await interleave(turns, rounds=bench.repeat(15, 4), warm_up=WARM_UP)
    return {PIPELINED.name: as_samples(measured, warm_up=WARM_UP)}


async def measure_twenty(bench: Bench) -> Measured:
    """Twenty sessions: how soon they are there, and then each with one execute in flight."""
    latencies: dict[str, list[float]] = {"subject": [], "floor": [], "peer": []}
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        together = Samples(subject=await _together(bench), warm_up=1)
        if bench.subject:
            service = stack.enter_context(serving())
            client = await stack.enter_async_context(service.client())
            sessions = await stack.enter_async_context(many_sessions(client, FLEET))
            turns.append(Turn("subject", lambda: side_by_side(sessions, latencies["subject"])))
        port = stack.enter_context(echo_server())
        sockets = [await stack.enter_async_context(connected(port)) for _ in range(FLEET)]
        turns.append(Turn("floor", lambda: echo_side_by_side(sockets, EACH, latencies["floor"])))
        server = stack.enter_context(bench.server())
        if server is not None and not bench.settings.quick:
            from benchmarks import peer_jupyter_server as jupyter

            fleet = stack.enter_context(jupyter.RemoteFleet(server, FLEET))
            together = Samples(together.subject, peer=[fleet.started_s * MILLISECONDS], warm_up=1)

            def peer_once() -> float:
                started = time.perf_counter()
                seconds = jupyter.run_side_by_side(fleet.kernels, "1+1", PEER_EACH)
                elapsed = time.perf_counter() - started
                latencies["peer"] += [second * MILLISECONDS for second in seconds]
                return FLEET * PEER_EACH / elapsed

            turns.append(Turn("peer", blocking(peer_once), rounds=4))
        for turn in turns:
            await turn.once()
            latencies[turn.name].clear()
        measured = await interleave(turns, rounds=bench.repeat(20, 5), warm_up=0)
    return {
        TOGETHER.name: together,
        TWENTY_RATE.name: as_samples(measured, warm_up=WARM_UP),
        TWENTY_LATENCY.name: as_samples(latencies, warm_up=FLEET * EACH),
    }


async def _together(bench: Bench) -> list[float]:
    if not bench.subject:
        return []
    with serving() as service:
        samples = [await _together_once(service) for _ in range(1 + bench.repeat(10, 4))]
    return samples[1:]


async def _together_once(service: Service) -> float:
    async with service.client() as client:
        await service.wait_settled()
        started = time.perf_counter()
        async with many_sessions(client, FLEET):
            return (time.perf_counter() - started) * MILLISECONDS


async def measure_long(bench: Bench) -> Measured:
    """50 MB at a time, beside a bare stream of as much."""
    printing = long_lines()
    lost: list[float] = []
    peer_lost: list[float] = []
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving())
            session = await stack.enter_async_context(one_remote_session(service))

            async def once() -> float:
                elapsed, seen = await print_all(session, printing)
                lost.append(printing.characters - seen)
                return printing.amount / elapsed

            turns.append(Turn("subject", once))
        socket = await stack.enter_async_context(echo_connection())
        turns.append(Turn("floor", lambda: stream_rate(socket, printing.characters)))
        kernel = stack.enter_context(bench.remote_kernel(rate_limited=False))
        if kernel is not None:

            def peer_once() -> float:
                started = time.perf_counter()
                seen = kernel.wait_for(kernel.send(printing.code), "execute_reply", "idle")
                elapsed = time.perf_counter() - started
                peer_lost.append(printing.characters - seen.characters)
                return printing.amount * (seen.characters / printing.characters) / elapsed

            turns.append(Turn("peer", blocking(peer_once), rounds=bench.repeat(3, 1)))
        measured = await interleave(turns, rounds=bench.repeat(8, 3), warm_up=WARM_UP)
    return {
        LONG.name: as_samples(measured, warm_up=WARM_UP),
        LONG_LOST.name: Samples(subject=lost, peer=peer_lost),
    }


EXPERIMENTS = (
    Experiment(specs=(PIPELINED,), measure=measure_pipelined),
    Experiment(specs=(TOGETHER, TWENTY_RATE, TWENTY_LATENCY), measure=measure_twenty),
    Experiment(specs=(LONG, LONG_LOST), measure=measure_long),
)
