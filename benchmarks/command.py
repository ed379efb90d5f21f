"""Rows of whole processes: what an import adds, and the command from start to exit.

Owns how each is launched. Bytecode is compiled by the warm-up, as it is for any second start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

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

ROOT = Path(__file__).resolve().parent.parent
IMPORT = """
import time, trio
started = time.perf_counter()
import pyrepl3
print(time.perf_counter() - started)
"""
COMMAND = "import sys; from pyrepl3.cli.main import main; sys.exit(main())"
PROGRAM = "print(1)"
LIMIT_S = 30.0
WARM_UP = 2

IMPORT_COST = Spec(
    "import_pyrepl3", "ms", "import pyrepl3, where trio is imported already", Target(p50=15)
)
PRINT_COMMAND = Spec(
    "command_print",
    "ms",
    "pyrepl3 -c 'print(1)', the whole command (the floor: python -c)",
    Target(p50=250),
)


def run_process(arguments: list[str]) -> tuple[float, str]:
    """Milliseconds of a whole process, and what it printed.

    Raises CalledProcessError when it fails, TimeoutExpired when it does not end.
    """
    started = time.perf_counter()
    done = subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=LIMIT_S,
        env=environment(),
    )
    return (time.perf_counter() - started) * MILLISECONDS, done.stdout


def environment() -> dict[str, str]:
    """This process's own, with this tree on the path."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def command() -> list[str]:
    """The installed ``pyrepl3`` of this environment, or its entry point where it is not."""
    installed = Path(sys.executable).with_name("pyrepl3")
    return [str(installed)] if installed.exists() else [sys.executable, "-c", COMMAND]


async def measure_import(bench: Bench) -> Measured:
    """Timed inside a fresh interpreter each time."""

    def once() -> float:
        return float(run_process([sys.executable, "-c", IMPORT])[1]) * MILLISECONDS

    turns = [Turn("subject", blocking(once))] if bench.subject else []
    measured = await interleave(turns, rounds=bench.repeat(15, 5), warm_up=WARM_UP)
    return {IMPORT_COST.name: as_samples(measured, warm_up=WARM_UP)}


async def measure_command(bench: Bench) -> Measured:
    """The command beside the interpreter's own."""

    def once(program: list[str]) -> float:
        elapsed, printed = run_process([*program, "-c", PROGRAM])
        expect(printed == "1\n", f"{program} printed {printed!r}")
        return elapsed

    turns = [Turn("floor", blocking(lambda: once([sys.executable])))]
    if bench.subject:
        turns.insert(0, Turn("subject", blocking(lambda: once(command()))))
    measured = await interleave(turns, rounds=bench.repeat(15, 5), warm_up=WARM_UP)
    return {PRINT_COMMAND.name: as_samples(measured, warm_up=WARM_UP)}


EXPERIMENTS = (
    Experiment(specs=(IMPORT_COST,), measure=measure_import),
    Experiment(specs=(PRINT_COMMAND,), measure=measure_command),
)
