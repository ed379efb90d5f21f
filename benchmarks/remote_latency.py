"""Rows of one execute at a time over a WebSocket: ``1+1``, and the first output seen.

Owns their repetitions. Must not know how ratios or targets are judged.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from benchmarks.bench import (
    MILLISECONDS,
    Bench,
    Experiment,
    Measured,
    Turn,
    as_samples,
    blocking,
    interleave,
)
from benchmarks.echo import echo_connection, timed_echo
from benchmarks.latency import PRINT, PRINT_THEN_SLEEP
from benchmarks.metrics import Samples, Spec, Target
from benchmarks.service import Service, one_remote_session, serving
from benchmarks.subjects import Subject, time_to_output, timed_run

BATCH = 50
PEER_BATCH = 2
WARM_UP = 50

EVALUATE = Spec(
    "remote_eval_sequential",
    "ms",
    "1+1, one after the other on one session, over a WebSocket, until its value is there",
    Target(p50=0.7, peer_ratio=10),
)
CPU = Spec(
    "remote_eval_cpu",
    "ms",
    "of those, what one takes of CPU time in the service and in the client, without the worker",
    Target(p50=0.7),
)
PRINT_SEEN = Spec(
    "remote_print_seen",
    "ms",
    "print('x') until the client sees the x, over a WebSocket",
    Target(p50=0.7),
)
PRINT_SLEEP_SEEN = Spec(
    "remote_print_before_sleep_seen",
    "ms",
    "print('x'); sleep(1) until the client sees the x, over a WebSocket",
    Target(p50=1),
)


async def measure_evaluate(bench: Bench) -> Measured:
    """The round trip, and what it costs both sides."""
    cpu: list[float] = []
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving())
            session = await stack.enter_async_context(one_remote_session(service))
            turns.append(Turn("subject", _Counted(service, session, cpu).once, BATCH))
        socket = await stack.enter_async_context(echo_connection())
        turns.append(Turn("floor", lambda: timed_echo(socket), BATCH))
        kernel = stack.enter_context(bench.remote_kernel())
        if kernel is not None:

            def peer_once() -> float:
                started = time.perf_counter()
                request = kernel.send("1+1")
                seen = kernel.wait_for(request, "execute_result", "execute_reply")
                elapsed = time.perf_counter() - started
                kernel.wait_done(request, seen)
                return elapsed * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), PEER_BATCH))
        measured = await interleave(turns, rounds=bench.repeat(20, 6), warm_up=WARM_UP)
    return {
        EVALUATE.name: as_samples(measured, warm_up=WARM_UP),
        # The first of its samples is the warm-up.
        CPU.name: Samples(subject=cpu[1:], warm_up=1, note=f"a sample is {BATCH} executes"),
    }


class _Counted:
    """Executes of which every 50 are a sample of CPU time."""

    def __init__(self, service: Service, session: Subject, cpu: list[float]) -> None:
        self.service = service
        self.session = session
        self.cpu = cpu
        self.count = 0
        self.began_s = 0.0

    async def once(self) -> float:
        """One more."""
        if self.count % BATCH == 0:
            self.began_s = self._used_s()
        elapsed = await timed_run(self.session)
        self.count += 1
        if self.count % BATCH == 0:
            self.cpu.append((self._used_s() - self.began_s) / BATCH * MILLISECONDS)
        return elapsed

    def _used_s(self) -> float:
        return self.service.cpu_s() + time.process_time()


async def measure_print(bench: Bench) -> Measured:
    """Output, seen while the code is as good as over."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving())
            session = await stack.enter_async_context(one_remote_session(service))
            turns.append(Turn("subject", lambda: time_to_output(session, PRINT), BATCH))
        socket = await stack.enter_async_context(echo_connection())
        turns.append(Turn("floor", lambda: timed_echo(socket), BATCH))
        kernel = stack.enter_context(bench.remote_kernel())
        if kernel is not None:

            def peer_once() -> float:
                started = time.perf_counter()
                request = kernel.send(PRINT)
                seen = kernel.wait_for(request, "stream")
                elapsed = time.perf_counter() - started
                kernel.wait_done(request, seen)
                return elapsed * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), PEER_BATCH))
        measured = await interleave(turns, rounds=bench.repeat(20, 6), warm_up=WARM_UP)
    return {PRINT_SEEN.name: as_samples(measured, warm_up=WARM_UP)}


async def measure_print_then_sleep(bench: Bench) -> Measured:
    """Output, seen while the code sleeps; once it is, the sleep is interrupted."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            service = stack.enter_context(serving())
            session = await stack.enter_async_context(one_remote_session(service))
            turns.append(
                Turn(
                    "subject", lambda: time_to_output(session, PRINT_THEN_SLEEP, interrupt=True), 5
                )
            )
        socket = await stack.enter_async_context(echo_connection())
        turns.append(Turn("floor", lambda: timed_echo(socket), 5))
        measured = await interleave(turns, rounds=bench.repeat(10, 3), warm_up=3)
    return {PRINT_SLEEP_SEEN.name: as_samples(measured, warm_up=3)}


EXPERIMENTS = (
    Experiment(specs=(EVALUATE, CPU), measure=measure_evaluate),
    Experiment(specs=(PRINT_SEEN,), measure=measure_print),
    Experiment(specs=(PRINT_SLEEP_SEEN,), measure=measure_print_then_sleep),
)
