"""Rows of snapshots: a guarded execution, going back after an exception or a crash, branches.

Owns what the session holds: 80 MB in one array. The floor is a bare process of that size that
forks a copy and ends it.
"""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack
from typing import Any, Literal

import trio

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
from benchmarks.subjects import make_config, one_session
from pyrepl3 import Session

HELD_BYTES = 80 * 10**6
HOLD = f"held = bytearray({HELD_BYTES})\nfor i in range(0, len(held), 4096): held[i] = 1"
WARM_UP = 3

COMMITTED = Spec(
    "guarded_commit",
    "ms",
    "a guarded execute of 1+1 in a session of 80 MB (the floor: fork, and end the copy)",
    Target(p50=2.5),
)
ROLLED_BACK = Spec(
    "guarded_rollback",
    "ms",
    "execute of 1/0 in a session of 80 MB until it is told and undone",
    Target(p50=5),
)
TAKEN_OVER = Spec(
    "guarded_takeover",
    "ms",
    "execute of a segmentation fault in a session of 80 MB until it is told and undone",
    Target(p50=5),
)
BRANCHES = 8
FORKED = Spec(
    "forked_8",
    "ms",
    f"fork({BRANCHES}) of a session of 80 MB until all have answered (the floor: {BRANCHES} forks)",
    Target(p50=40),
)
AUTOMATIC = Spec(
    "guarded_auto",
    "ms",
    'an execute of 1+1 under guard="auto" in a session of 80 MB, in a row of 100 (the floor: the '
    "same without a guard)",
    Target(floor_ratio=1.1),
)
ROW = 100
SEGFAULT = "ctypes.string_at(0)"
SETTLED_S = 0.02
"""For what the code before has left to be cleared away by the kernel."""


async def measure(bench: Bench) -> Measured:
    """All of them, in turn, in one session that outlives them."""
    if not bench.subject:
        return {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(one_session(make_config()))
        for code in (HOLD, "import ctypes, faulthandler"):
            (await session.run(code)).raise_for_error()

        async def timed(code: str, state: str, **options: Any) -> float:
            time.sleep(SETTLED_S)  # noqa: ASYNC251  # nothing else runs
            started = time.perf_counter()
            ended = await session.run(code, **options)
            elapsed = time.perf_counter() - started
            expect(ended.state == state, f"{code} ended with {ended.error!r}")
            return elapsed * MILLISECONDS

        async def row_of(guard: bool | Literal["auto"]) -> float:
            started = time.perf_counter()
            for _ in range(ROW):
                await session.run("1+1", guard=guard)
            return (time.perf_counter() - started) / ROW * MILLISECONDS

        rollback = {"transaction_policy": "rollback_on_failure"}
        turns = {
            COMMITTED: lambda: timed("1+1", "kept", guard=True),
            ROLLED_BACK: lambda: timed("1/0", "rolled_back", **rollback),
            TAKEN_OVER: lambda: timed(SEGFAULT, "rolled_back", **rollback),
        }
        measured: Measured = {}
        for spec, once in turns.items():
            contenders = [Turn("subject", once, 5)]
            if spec is COMMITTED:
                held = bytearray(b"\1") * HELD_BYTES
                contenders.append(Turn("floor", blocking(_fork_once), 5))
                expect(len(held) == HELD_BYTES, "it does not hold that much")
            samples = await interleave(contenders, rounds=bench.repeat(12, 4), warm_up=WARM_UP)
            measured[spec.name] = as_samples(samples, warm_up=WARM_UP)
        rows = [Turn("subject", lambda: row_of("auto"), 1), Turn("floor", lambda: row_of(False), 1)]
        samples = await interleave(rows, rounds=bench.repeat(20, 5), warm_up=WARM_UP)
        measured[AUTOMATIC.name] = as_samples(samples, warm_up=WARM_UP)
        expect((await session.run("len(held)")).value == HELD_BYTES, "the session lost its memory")
        return measured


def _fork_once() -> float:
    started = time.perf_counter()
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return (time.perf_counter() - started) * MILLISECONDS


async def measure_branches(bench: Bench) -> Measured:
    """All of them answer `1+1`, and are given back."""
    if not bench.subject:
        return {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(one_session(make_config()))
        (await session.run(HOLD)).raise_for_error()

        async def forked() -> float:
            time.sleep(SETTLED_S)  # noqa: ASYNC251  # nothing else runs
            started = time.perf_counter()
            branches = await session.fork(BRANCHES)
            async with trio.open_nursery() as nursery:
                for branch in branches:
                    nursery.start_soon(answer, branch)
            elapsed = time.perf_counter() - started
            for branch in branches:
                await branch.close()
            return elapsed * MILLISECONDS

        async def answer(branch: Session) -> None:
            ended = await branch.run("1 + len(held)")
            expect(ended.value == HELD_BYTES + 1, f"a branch answered {ended.value!r}")

        held = bytearray(b"\1") * HELD_BYTES
        floor = Turn("floor", blocking(_fork_all), 2)
        contenders = [Turn("subject", forked, 2), floor]
        samples = await interleave(contenders, rounds=bench.repeat(12, 4), warm_up=WARM_UP)
        expect(len(held) == HELD_BYTES, "it does not hold that much")
        return {FORKED.name: as_samples(samples, warm_up=WARM_UP)}


def _fork_all() -> float:
    return sum(_fork_once() for _ in range(BRANCHES))


EXPERIMENTS = (
    Experiment(specs=(COMMITTED, ROLLED_BACK, TAKEN_OVER, AUTOMATIC), measure=measure),
    Experiment(specs=(FORKED,), measure=measure_branches),
)
