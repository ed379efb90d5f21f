"""Rows of the namespace report: what it costs to be told of names, with few of them and with many.

Owns what the names hold: a fifth each of numbers, texts, lists, maps and objects. Here the floor is
the same execution in the same session without the report.
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
    expect,
    interleave,
)
from benchmarks.metrics import Spec, Target
from benchmarks.subjects import make_config, one_session, timed_run

BATCH = 20
WARM_UP = 20
FILL = """\
class Thing:
    def __init__(self, number): self.number = number
make = (lambda n: n * 1.5, str, lambda n: [n] * 10, lambda n: {{"key": n}}, Thing)
globals().update({{f"name_{{n}}": make[n % 5](n) for n in range({names})}})
"""

SPECS = {
    names: Spec(
        f"namespace_report_{names}",
        "ms",
        f"1+1 with a report, where there are {names} names (the floor: without)",
        target,
    )
    for names, target in (
        (10, Target(floor_ratio=1.5)),
        (1_000, Target(p50=2)),
        (10_000, Target(p50=15)),
    )
}


async def measure(names: int, bench: Bench) -> Measured:
    """With and without, in turn, in one session."""
    if not bench.subject:
        return {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(one_session(make_config()))
        (await session.run(FILL.format(names=names))).raise_for_error()

        async def reported() -> float:
            started = time.perf_counter()
            execution = await session.run("1+1", report_namespace=True)
            elapsed = time.perf_counter() - started
            expect(execution.text == "2", f"1+1 gave {execution.text!r}")
            expect(execution.namespace is not None, "it told nothing of the names")
            expect(not execution.namespace, f"1+1 did something: {execution.namespace}")
            return elapsed * MILLISECONDS

        turns = [
            Turn("subject", reported, BATCH),
            Turn("floor", lambda: timed_run(session), BATCH),
        ]
        samples = await interleave(turns, rounds=bench.repeat(15, 5), warm_up=WARM_UP)
        return {SPECS[names].name: as_samples(samples, warm_up=WARM_UP)}


def _experiment(names: int) -> Experiment:
    return Experiment(specs=(SPECS[names],), measure=lambda bench: measure(names, bench))


EXPERIMENTS = tuple(_experiment(names) for names in SPECS)
