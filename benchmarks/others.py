"""Two more round trips to set beside ours: execnet and trio-parallel, where they are installed.

Owns how each evaluates ``1+1`` in another process. They do less than a session does (no output,
no interrupt), so they are shown, and no target is stated against them.
"""

import importlib
import importlib.util
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.bench import MILLISECONDS, Turn, blocking, expect

EXECNET_LOOP = "for code in channel: channel.send(eval(code))"


@asynccontextmanager
async def round_trips(size: int) -> AsyncIterator[list[Turn]]:
    """A turn for each of the two that is installed."""
    turns: list[Turn] = []
    gateway: Any = None
    if importlib.util.find_spec("execnet"):
        execnet = importlib.import_module("execnet")
        gateway = execnet.makegateway(f"popen//python={sys.executable}")
        turns.append(Turn("execnet", blocking(_execnet_once(gateway)), size))
    try:
        if not importlib.util.find_spec("trio_parallel"):
            yield turns
            return
        trio_parallel = importlib.import_module("trio_parallel")
        async with trio_parallel.open_worker_context() as context:

            async def once() -> float:
                started = time.perf_counter()
                answer = await context.run_sync(eval, "1+1")
                elapsed = time.perf_counter() - started
                expect(answer == 2, f"trio-parallel gave {answer!r}")
                return elapsed * MILLISECONDS

            yield [*turns, Turn("trio-parallel", once, size)]
    finally:
        if gateway is not None:
            gateway.exit()


def _execnet_once(gateway: Any) -> Any:
    channel = gateway.remote_exec(EXECNET_LOOP)

    def once() -> float:
        started = time.perf_counter()
        channel.send("1+1")
        answer = channel.receive(timeout=10)
        elapsed = time.perf_counter() - started
        expect(answer == 2, f"execnet gave {answer!r}")
        return elapsed * MILLISECONDS

    return once
