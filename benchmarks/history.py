"""Rows of a session's history: an execution that can be undone, undoing it, and redoing it.

Owns what the session holds: as in `snapshots.py`, 80 MB in one array.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
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
from benchmarks.snapshots import HELD_BYTES, HOLD, SETTLED_S, WARM_UP
from benchmarks.subjects import make_config, one_session

KEPT = Spec(
    "history_execute",
    "ms",
    "execute of 1+1 in a session of 80 MB of which 5 executions can be undone",
    Target(p50=2.5),  # as a guarded one, which it is
)
# As a roll back; besides that, a copy is made of what is left.
UNDONE = Spec(
    "history_undo", "ms", "undo of the last execution in a session of 80 MB", Target(p50=5)
)
REDONE = Spec("history_redo", "ms", "redo of an execution in a session of 80 MB", Target(p50=5))


async def measure(bench: Bench) -> Measured:
    """Each in turn, so that there is always one to be undone, and then redone."""
    if not bench.subject:
        return {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(one_session(make_config()))
        (await session.run(HOLD)).raise_for_error()
        await session.keep_history(5)

        async def timed(once: Callable[[], Awaitable[object]]) -> float:
            time.sleep(SETTLED_S)  # noqa: ASYNC251  # nothing else runs
            started = time.perf_counter()
            await once()
            return (time.perf_counter() - started) * MILLISECONDS

        turns = [
            Turn(KEPT.name, lambda: timed(lambda: session.run("1+1"))),
            Turn(UNDONE.name, lambda: timed(session.undo)),
            Turn(REDONE.name, lambda: timed(session.redo)),
        ]
        samples = await interleave(turns, rounds=bench.repeat(60, 20), warm_up=WARM_UP)
        expect((await session.run("len(held)")).value == HELD_BYTES, "the session lost its memory")
        return {
            name: as_samples({"subject": values}, warm_up=WARM_UP)
            for name, values in samples.items()
        }


EXPERIMENTS = (Experiment(specs=(KEPT, UNDONE, REDONE), measure=measure),)
