"""End-to-end tests: the example of the actor layer, as a process of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_the_example_shows_two_restarts_and_ends_by_itself() -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    began_at = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(PROJECT / "examples" / "actors_alone.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    took_s = time.monotonic() - began_at
    lines = ended.stdout.splitlines()

    assert ended.returncode == 0, ended.stderr
    assert lines.count("thermometer: started") == 3
    assert lines.count("watchdog: nothing measured for a while") >= 2
    assert lines[-4:] == [
        "log: 14 measurements, mean 21.8 C",
        "restarts: {'watchdog': 0, 'log': 0, 'thermometer': 2}",
        "log: closing",
        "the end",
    ]
    assert ended.stderr.count("WARNING child 'thermometer' crashed") == 2
    assert "LooseCable: at tick 7" in ended.stderr
    # It sleeps for 0.82 s; the rest is for starting an interpreter on a busy machine.
    assert took_s < 10
