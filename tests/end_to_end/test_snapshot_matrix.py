"""End-to-end tests: every cell of the table of failures, policies and contents, once.

Again and again: ``python -m tests.end_to_end.snapshot_matrix --rounds 20``.
"""

from __future__ import annotations

import pytest

import pyrepl3

from .snapshot_matrix import CASES, CAUSES, CONTENTS, POLICIES, Case, Cause, play, play_all


async def test_each_failure_under_each_policy_ends_as_the_table_says() -> None:
    assert await play_all() == []


@pytest.mark.parametrize(
    "lie",
    [
        Cause("exception", "None", False, None),  # which succeeds
        Cause("segfault", "None", True, "WORKER_DIED"),  # which does not crash
    ],
    ids=str,
)
async def test_the_judge_of_the_table_bites(lie: Cause) -> None:
    async with pyrepl3.open_supervisor() as supervisor:
        fault = await play(supervisor, Case(lie, "rollback_on_failure", CONTENTS[0]))

    assert fault is not None


def test_the_table_has_a_cell_for_each() -> None:
    assert len(CASES) == len(CAUSES) * len(POLICIES) * len(CONTENTS)
