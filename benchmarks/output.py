"""Rows of much output: 50 MB in long lines, a million short ones.

Owns the codes that print, and the count of what arrived. The floor writes a frame a line.
"""

from __future__ import annotations

import resource
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

import pyrepl3
from benchmarks.bench import (
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
from benchmarks.metrics import Samples, Spec, Target
from benchmarks.subjects import Subject, make_config, one_session

if TYPE_CHECKING:
    from benchmarks.peer_ipykernel import Kernel

MEMORY_SAMPLE_S = 0.01
LONG_LINES = 12_208
SHORT_LINES = 1_000_000
PEER_SHORT_LINES = 100_000


@attrs.frozen
class Printing:
    """A code that prints, how much of it there is, and how many characters that makes."""

    code: str
    amount: float
    characters: int


def long_lines() -> Printing:
    """50 MB: lines of 4 KiB, their end included. The amount is in MB (10^6 bytes)."""
    characters = LONG_LINES * 4096
    code = f"line = 'x' * 4095\nfor _ in range({LONG_LINES}): print(line)\n"
    return Printing(code, characters / 1e6, characters)


def short_lines(count: int) -> Printing:
    """So many lines, each a number. The amount is in lines."""
    characters = sum(len(str(number)) + 1 for number in range(count))
    return Printing(f"for number in range({count}): print(number)\n", count, characters)


LONG = Spec(
    "output_50mb",
    "MB/s",
    "50 MB printed in lines of 4 KiB, until all is seen",
    Target(p50=200),
    higher_is_better=True,
)
LONG_LOST = Spec("output_50mb_lost", "B", "of those 50 MB, what never arrived", Target(p99=0))
SHORT = Spec(
    "short_lines",
    "lines/s",
    "1,000,000 short lines printed, until all are seen (100,000 for the peer)",
    Target(p50=300_000),
    higher_is_better=True,
)
SHORT_GROWTH = Spec(
    "short_lines_growth",
    "MiB",
    "by how much this process grows while it takes them (RSS; only the subject)",
    Target(p99=16),
)


async def print_all(session: Subject, printing: Printing) -> tuple[float, int]:
    """Seconds until the end of ``printing``, and the characters seen by then."""
    seen = 0
    ended = ""
    started = time.perf_counter()
    async with session.stream(printing.code) as events:
        async for event in events:
            if isinstance(event, pyrepl3.Output):
                seen += len(event.data)
            elif isinstance(event, pyrepl3.Error):
                ended = f"{event.name}: {event.value}"
    elapsed = time.perf_counter() - started
    expect(not ended, ended)
    return elapsed, seen


def floor_print(floor: FloorWorker, printing: Printing) -> float:
    """The floor's rate."""
    seen = 0
    started = time.perf_counter()
    floor.send(printing.code, symbol="exec")
    while "output" in (frame := floor.receive()):
        seen += len(frame["output"])
    elapsed = time.perf_counter() - started
    expect(seen == printing.characters, f"the floor lost {printing.characters - seen} characters")
    return printing.amount / elapsed


def peer_print(kernel: Kernel, printing: Printing, lost: list[float]) -> float:
    """The peer's rate of what it delivers; what it lost goes to ``lost``."""
    kernel.drain()
    started = time.perf_counter()
    kernel.send(printing.code)
    seen = kernel.wait_printed(printing.characters)
    elapsed = time.perf_counter() - started
    kernel.wait_reply()
    lost.append(printing.characters - seen)
    return printing.amount * (seen / printing.characters) / elapsed


async def measure_long(bench: Bench) -> Measured:
    """50 MB at a time."""
    printing = long_lines()
    lost: list[float] = []
    peer_lost: list[float] = []
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            session = await stack.enter_async_context(one_session(make_config()))

            async def once() -> float:
                elapsed, seen = await print_all(session, printing)
                lost.append(printing.characters - seen)
                return printing.amount / elapsed

            turns.append(Turn("subject", once))
        floor = stack.enter_context(FloorWorker())
        turns.append(Turn("floor", blocking(lambda: floor_print(floor, printing))))
        kernel = stack.enter_context(bench.kernel())
        if kernel is not None:
            turns.append(
                Turn("peer", blocking(lambda: peer_print(kernel, printing, peer_lost)), rounds=3)
            )
        measured = await interleave(turns, rounds=bench.repeat(8, 3), warm_up=1)
    return {
        LONG.name: as_samples(measured, warm_up=1),
        LONG_LOST.name: Samples(subject=lost, peer=peer_lost),
    }


async def measure_short(bench: Bench) -> Measured:
    """A million lines at a time; the subject comes first, and its memory is watched."""
    printing = short_lines(SHORT_LINES)
    growth: list[float] = []
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        if bench.subject:
            session = await stack.enter_async_context(one_session(make_config()))
            await print_all(session, short_lines(1000))

            async def once() -> float:
                async with watched_growth(growth):
                    elapsed, seen = await print_all(session, printing)
                expect(seen == printing.characters, f"{printing.characters - seen} B were lost")
                return printing.amount / elapsed

            turns.append(Turn("subject", once))
        floor = stack.enter_context(FloorWorker())
        turns.append(Turn("floor", blocking(lambda: floor_print(floor, printing))))
        kernel = stack.enter_context(bench.kernel())
        if kernel is not None:
            few = short_lines(PEER_SHORT_LINES)
            turns.append(Turn("peer", blocking(lambda: peer_print(kernel, few, [])), rounds=1))
        measured = await interleave(turns, rounds=bench.repeat(5, 1), warm_up=0)
    return {
        SHORT.name: as_samples(measured, warm_up=0, note="the subject warmed up by 1,000 lines"),
        SHORT_GROWTH.name: Samples(subject=growth),
    }


@asynccontextmanager
async def watched_growth(growth: list[float]) -> AsyncIterator[None]:
    """Adds to ``growth`` the most by which this process's RSS grew meanwhile, in MiB."""
    before = most = rss_mib()

    async def watch() -> None:
        nonlocal most
        while True:
            await trio.sleep(MEMORY_SAMPLE_S)
            most = max(most, rss_mib())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield
        nursery.cancel_scope.cancel()
    growth.append(max(most, rss_mib()) - before)


def rss_mib() -> float:
    """The resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


EXPERIMENTS = (
    Experiment(specs=(SHORT, SHORT_GROWTH), measure=measure_short),
    Experiment(specs=(LONG, LONG_LOST), measure=measure_long),
)
