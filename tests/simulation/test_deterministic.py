"""Simulation: the same seed gives the same world, to the last step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import trio
import trio._core._run as private

from . import deterministic
from .runs import digest, run_one

ROOT = Path(__file__).parents[2]
SEEDS = range(40)


def order_of_steps(seed: str) -> list[int]:
    """The order in which 20 tasks take 3 steps each."""
    steps: list[int] = []

    async def step(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            steps.append(number)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(step, number)

    deterministic.run(seed, main)
    return steps


def test_trio_keeps_its_scheduler_where_the_simulation_looks_for_it() -> None:
    """Fails when a new trio has changed it: then every seed means something else, or nothing."""
    deterministic.check_trio.cache_clear()

    deterministic.check_trio()


@pytest.mark.parametrize(("name", "value"), [("_r", object()), (deterministic._FLAG, None)])
def test_a_trio_that_has_changed_is_named_with_what_to_mend(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, name, value)
    deterministic.check_trio.cache_clear()

    with pytest.raises(deterministic.TrioChanged, match=r"trio \d.*deterministic\.py"):
        deterministic.run("a", trio.lowlevel.checkpoint)


def test_the_order_of_tasks_follows_from_the_seed_alone() -> None:
    first = order_of_steps("a seed")
    order_of_steps("another")
    private._r.random()

    assert order_of_steps("a seed") == first


def test_different_seeds_give_different_orders() -> None:
    assert len({tuple(order_of_steps(str(number))) for number in range(20)}) == 20


def test_trio_is_left_as_it_was_found() -> None:
    flag, state = getattr(private, deterministic._FLAG), private._r.getstate()
    order_of_steps("a seed")

    assert (getattr(private, deterministic._FLAG), private._r.getstate()) == (flag, state)


def test_time_begins_at_zero_and_jumps() -> None:
    async def main() -> float:
        await trio.sleep(80_000)
        return trio.current_time()

    assert deterministic.run("a", main) == 80_000


def test_a_world_is_the_same_each_time_it_is_run() -> None:
    first = [digest(run_one(seed)) for seed in SEEDS]
    Random(1).random()
    again = [digest(run_one(seed)) for seed in reversed(SEEDS)]

    assert first == again[::-1]
    assert len(set(first)) == len(SEEDS)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_a_world_is_the_same_in_another_process(hash_seed: str) -> None:
    """Also where strings hash differently, so that no order may come from a set of them."""
    code = (
        "from tests.simulation.runs import digest, run_one\n"
        f"for seed in range({SEEDS.stop}): print(digest(run_one(seed)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert run.stdout.split() == [digest(run_one(seed)) for seed in SEEDS]
