"""Simulation: the known bugs of pools, put in on purpose, are found; what is sound is not accused.

Those of the field that every pool has had once are among them: a hand-over lost on cancellation,
a place lost by a cancelled reap, a worker leaked by a timeout, two callers with one session, and a
start failure that wakes nobody. Each is looked for from seed 0 on.
"""

from __future__ import annotations

import time

import pytest

from .planted_bugs import OTHER_BUGS, PLANTED_BUGS, POOL_BUGS
from .runs import Task, run_one, run_task

SEEDS_AT_MOST = 1000
FOUND_WITHIN_S = 60.0
AT_ONCE = 10


def first_accused(bug: str) -> int:
    """The first seed that finds this bug. Raises AssertionError where none does."""
    for first in range(0, SEEDS_AT_MOST, AT_ONCE):
        tally = run_task(Task(first, AT_ONCE, bug))
        if tally.failures:
            return tally.failures[0].seed
    raise AssertionError(f"{SEEDS_AT_MOST} seeds have not found {bug}")


@pytest.mark.parametrize("bug", sorted(PLANTED_BUGS))
def test_a_planted_bug_is_found_within_a_minute(bug: str) -> None:
    began = time.monotonic()
    seed = first_accused(bug)

    assert time.monotonic() - began < FOUND_WITHIN_S
    assert run_one(seed).accusations == [], "and without the bug the same world is fine"


def test_the_bugs_of_the_pools_state_are_told_from_the_others() -> None:
    assert set(POOL_BUGS) | set(OTHER_BUGS) == set(PLANTED_BUGS)
    assert not set(POOL_BUGS) & set(OTHER_BUGS)


def test_a_planted_bug_is_gone_after_its_block() -> None:
    for plant in PLANTED_BUGS.values():
        with plant():
            pass

    assert run_task(Task(0, 20)).failures == []
