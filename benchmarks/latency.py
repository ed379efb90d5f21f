"""Rows of one execute at a time: ``1+1``, and the first output seen.

Owns their codes and repetitions. Must not know how ratios or targets are judged.
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
    expect,
    interleave,
)
from benchmarks.floor import FloorWorker
from benchmarks.metrics import Spec, Target
from benchmarks.others import round_trips
from benchmarks.subjects import make_config, one_session, time_to_output, timed_run

BATCH = 50
PEER_BATCH = 2
WARM_UP = 50
PRINT = "print('x')"
PRINT_THEN_SLEEP = "import time; print('x'); time.sleep(1)"

EVALUATE = Spec(
    "eval_sequential",
    "ms",
    "1+1, one after the other on one session, until its value is there",
    Target(floor_ratio=2.5, peer_ratio=20),
)
PRINT_SEEN = Spec(
    "print_seen",
    "ms",
    "print('x') until the client sees the x",
    Target(floor_ratio=2.5),
)
PRINT_SLEEP_SEEN = Spec(
    "print_before_sleep_seen",
    "ms",
    "print('x'); sleep(1) until the client sees the x, while the code goes on",
    Target(p50=0.5),
)


async def measure_evaluate(bench: Bench) -> Measured:
    """The round trip, beside execnet's and trio-parallel's."""
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            session = await stack.enter_async_context(one_session(make_config()))
            turns.append(Turn("subject", lambda: timed_run(session), BATCH))
        floor = stack.enter_context(FloorWorker())

        def floor_once() -> float:
            started = time.perf_counter()
            answer = floor.run("1+1")
            elapsed = time.perf_counter() - started
            expect(answer == "2", f"the floor gave {answer!r}")
            return elapsed * MILLISECONDS

        turns.append(Turn("floor", blocking(floor_once), BATCH))
        kernel = stack.enter_context(bench.kernel())
        if kernel is not None:

            def peer_once() -> float:
                started = time.perf_counter()
                kernel.send("1+1")
                kernel.wait_published("execute_result")
                kernel.wait_reply()
                elapsed = time.perf_counter() - started
                kernel.wait_idle()
                return elapsed * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), PEER_BATCH))
        if bench.settings.peers:
            turns += await stack.enter_async_context(round_trips(size=10))
        measured = await interleave(turns, rounds=bench.repeat(20, 6), warm_up=WARM_UP)
        return {EVALUATE.name: as_samples(measured, warm_up=WARM_UP)}


async def measure_print(bench: Bench) -> Measured:
    """Output, seen while the code is as good as over."""
    measured = await _time_output(
        bench, PRINT, rounds=bench.repeat(20, 6), warm_up=WARM_UP, sizes=(BATCH, PEER_BATCH)
    )
    return {PRINT_SEEN.name: as_samples(measured, warm_up=WARM_UP)}


async def measure_print_then_sleep(bench: Bench) -> Measured:
    """Output, seen while the code sleeps; once it is, the sleep is interrupted."""
    measured = await _time_output(
        bench, PRINT_THEN_SLEEP, rounds=bench.repeat(10, 3), warm_up=3, sizes=(5, 1)
    )
    return {PRINT_SLEEP_SEEN.name: as_samples(measured, warm_up=3)}


async def _time_output(
    bench: Bench, code: str, *, rounds: int, warm_up: int, sizes: tuple[int, int]
) -> dict[str, list[float]]:
    sleeps = code == PRINT_THEN_SLEEP
    size, peer_size = sizes
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            session = await stack.enter_async_context(one_session(make_config()))
            turns.append(
                Turn("subject", lambda: time_to_output(session, code, interrupt=sleeps), size)
            )
        floor = stack.enter_context(FloorWorker())

        def floor_once() -> float:
            started = time.perf_counter()
            floor.send(code)
            frame = floor.receive()
            elapsed = time.perf_counter() - started
            expect(frame == {"output": "x\n"}, f"the floor gave {frame!r}")
            if sleeps:
                floor.interrupt()
            floor.wait_answer()
            return elapsed * MILLISECONDS

        turns.append(Turn("floor", blocking(floor_once), size))
        kernel = stack.enter_context(bench.kernel())
        if kernel is not None:

            def peer_once() -> float:
                started = time.perf_counter()
                kernel.send(code)
                kernel.wait_published("stream")
                elapsed = time.perf_counter() - started
                if sleeps:
                    kernel.interrupt()
                kernel.wait_reply()
                kernel.wait_idle()
                return elapsed * MILLISECONDS

            turns.append(Turn("peer", blocking(peer_once), peer_size, rounds))
        return await interleave(turns, rounds=rounds, warm_up=warm_up)


EXPERIMENTS = (
    Experiment(specs=(EVALUATE,), measure=measure_evaluate),
    Experiment(specs=(PRINT_SEEN,), measure=measure_print),
    Experiment(specs=(PRINT_SLEEP_SEEN,), measure=measure_print_then_sleep),
)
