"""Simulation: 2,000 worlds, each with its own troubles, and none in which a promise is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrepl3.pool.pool_trace import PoolAction

from .runs import Task, run_task

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("PYREPL3_TEST_SEEDS", "2000"))


def simulate(*arguments: str, timeout_s: float = 280.0) -> subprocess.CompletedProcess[str]:
    """`python -m tests.simulation`, as anybody would run it."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def test_no_seed_breaks_a_promise() -> None:
    run = simulate("--seeds", str(SEEDS), "--keep-going")

    assert run.returncode == 0, run.stdout
    assert f"{SEEDS:,} seeds, 0 failed" in run.stdout


def test_the_worlds_together_do_all_that_a_pool_can() -> None:
    tally = run_task(Task(first=0, count=150))
    done = {action.removeprefix("pool ") for action in tally.actions if action.startswith("pool ")}

    assert tally.failures == []
    assert set(PoolAction) <= done


def test_a_seed_that_fails_is_named_with_the_command_that_shows_it() -> None:
    run = simulate("--seeds", "200", "--bug", "two-get-one-session", "--jobs", "1")
    command = next(line for line in run.stdout.splitlines() if "to see it" in line)
    seed = command.split("--seed ")[1].split()[0]
    shown = simulate("--seed", seed, "--verbose", "--bug", "two-get-one-session")

    assert run.returncode == shown.returncode == 1
    assert f"seed {seed} FAILED" in run.stdout
    assert "HandOver" in shown.stdout
    assert "ACCUSED" in shown.stdout
    assert simulate("--seed", seed).returncode == 0


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_seeds_are_shared_out_and_each_is_run(jobs: str) -> None:
    run = simulate("--seeds", "60", "--from", "1000", "--jobs", jobs)

    assert run.returncode == 0
    assert "60 seeds, 0 failed" in run.stdout
