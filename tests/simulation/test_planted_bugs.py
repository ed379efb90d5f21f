"""Simulation: the known bugs of pools, put in on purpose, are found; what is sound is not accused.

Those of the field that every pool has had once are among them: a hand-over lost on cancellation,
a place lost by a cancelled reap, a worker leaked by a timeout, two callers with one session, and a
start failure that wakes nobody. Each is looked for from seed 0 on, which takes less than a minute
(2,000 seeds do), and must be accused of what it does.
"""

from __future__ import annotations

import pytest

from .planted_bugs import OTHER_BUGS, PLANTED_BUGS, POOL_BUGS
from .runs import Task, run_one, run_task

SEEDS_AT_MOST = 2000
AT_ONCE = 10

NO_REST = "the pool does not come to rest"
WAITS_FOR_EVER = "there are callers who wait for ever"
SHOWS_AS = {
    "hand-over-lost": (NO_REST, WAITS_FOR_EVER),
    "hand-over-lost-by-its-caller": (NO_REST, WAITS_FOR_EVER),
    "place-lost-in-a-reap": (NO_REST, WAITS_FOR_EVER),
    "place-lost-by-a-cancelled-reap": (NO_REST, WAITS_FOR_EVER),
    "timeout-leaks-a-worker": (NO_REST, WAITS_FOR_EVER),
    "slow-spawn-leaks-a-worker": (NO_REST, "processes were alive at once"),
    "two-get-one-session": ("has it",),
    "failure-wakes-nobody": (NO_REST, WAITS_FOR_EVER),
    "death-is-not-heard": ("is no more", "had died"),
    "last-come-first-served": ("is served before",),
    "end-is-not-told": ("came to nothing for no reason",),
    "end-is-told-twice": ("after the end of its execution comes",),
    "queue-is-lost-in-a-death": (WAITS_FOR_EVER,),
}
"""What each of them may be accused of first."""


def first_accused(bug: str) -> int:
    """The first seed that finds this bug. Raises AssertionError where none does."""
    for first in range(0, SEEDS_AT_MOST, AT_ONCE):
        tally = run_task(Task(first, AT_ONCE, bug))
        if tally.failures:
            return tally.failures[0].seed
    raise AssertionError(f"{SEEDS_AT_MOST} seeds have not found {bug}")


@pytest.mark.parametrize("bug", sorted(PLANTED_BUGS))
def test_a_planted_bug_is_found_and_accused_of_what_it_does(bug: str) -> None:
    seed = first_accused(bug)
    accusation = run_one(seed, bug=bug).accusations[0]

    assert any(words in accusation for words in SHOWS_AS[bug]), accusation
    assert run_one(seed).accusations == [], "and without the bug the same world is fine"


def test_the_bugs_of_the_pools_state_are_told_from_the_others() -> None:
    assert set(POOL_BUGS) | set(OTHER_BUGS) == set(PLANTED_BUGS)
    assert not set(POOL_BUGS) & set(OTHER_BUGS)


def test_a_planted_bug_is_gone_after_its_block() -> None:
    for plant in PLANTED_BUGS.values():
        with plant():
            pass

    assert run_task(Task(0, 20)).failures == []
