"""Starts the command for the tests: as a process with pipes, or on a terminal of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = Path(__file__).with_name("scripts")
COMMAND = [sys.executable, "-m", "pyrepl3.cli"]
PYTHON = [sys.executable]
LIMIT_S = 60.0
GONE_S = 5.0


def environment(**variables: str) -> dict[str, str]:
    """The caller's, with this tree on the path and python's own choices for its streams."""
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONUNBUFFERED", "PYTHONPATH", "COLUMNS", "LINES")
    }
    return {**own, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", **variables}


def run(
    program: list[str],
    *words: str,
    stdin: bytes | None = b"",
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        [*program, *words],
        input=stdin,
        capture_output=True,
        timeout=LIMIT_S,
        cwd=cwd,
        env=environment(**(variables or {})),
    )


@contextmanager
def started(*words: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The command, running; killed at the end of the block if it still is."""
    with subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def descendants(process: int) -> list[psutil.Process]:
    """Every process below this one, now."""
    return psutil.Process(process).children(recursive=True)


def wait_gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there after a while that is long enough for a clean end."""
    deadline = time.monotonic() + GONE_S
    while time.monotonic() < deadline:
        alive = [each for each in processes if each.is_running() and each.status() != "zombie"]
        if not alive:
            return []
        time.sleep(0.02)
    return alive
