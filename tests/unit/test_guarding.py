"""Unit tests: how often `guard="auto"` takes a snapshot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.worker.guarding import MOST_AT_RISK, SHARE, Guarding


def guarded(*, cost_s: float, pages: int = 0, page_copy_s: float = 0.0) -> Guarding:
    guarding = Guarding()
    guarding.open(1, cost_s=cost_s, pages=pages, page_copy_s=page_copy_s)
    return guarding


def test_where_there_is_none_one_is_due() -> None:
    guarding = Guarding()

    assert guarding.is_due
    guarding.open(7, cost_s=0.002, pages=0, page_copy_s=0.0)
    assert (guarding.since, guarding.is_due) == (7, False)
    guarding.close()
    assert (guarding.since, guarding.is_due) == (0, True)


def test_the_next_one_is_due_when_the_last_is_paid_off() -> None:
    guarding = guarded(cost_s=0.002)

    guarding.note(0.019, 0)
    assert not guarding.is_due
    guarding.note(0.002, 0)
    assert guarding.is_due


def test_a_long_execution_pays_for_one_snapshot_and_not_for_those_to_come() -> None:
    guarding = guarded(cost_s=0.002)
    guarding.note(3600.0, 0)
    guarding.open(2, cost_s=0.002, pages=0, page_copy_s=0.0)

    guarding.note(0.001, 0)

    assert not guarding.is_due


def test_pages_that_are_copied_cost_too() -> None:
    guarding = guarded(cost_s=0.001, pages=1000, page_copy_s=1e-6)

    guarding.note(0.011, 200)
    assert not guarding.is_due
    guarding.note(0.003, 0)
    assert guarding.is_due


def test_no_more_pages_are_copied_than_there_were() -> None:
    guarding = guarded(cost_s=0.0, pages=1000, page_copy_s=1e-6)

    guarding.note(0.0, 900)
    guarding.note(0.0, 900)
    guarding.note(0.010001, 1_000_000)

    assert guarding.is_due


def test_no_more_are_at_risk_than_can_be_named() -> None:
    guarding = guarded(cost_s=1e6)
    for _ in range(MOST_AT_RISK - 1):
        guarding.note(0.0, 0)
    assert not guarding.is_due

    guarding.note(0.0, 0)

    assert guarding.is_full
    assert guarding.is_due


COSTS = st.floats(0, 0.1)
EXECUTIONS = st.lists(st.tuples(st.floats(0, 10), st.integers(0, 10_000), COSTS), max_size=300)


@given(EXECUTIONS)
def test_all_snapshots_but_the_last_cost_no_more_than_the_share(
    executions: list[tuple[float, int, float]],
) -> None:
    guarding = Guarding()
    worked_s = spent_s = last_s = 0.0
    for number, (execution_s, faults, cost_s) in enumerate(executions, start=1):
        if guarding.is_due:
            assert spent_s <= SHARE * worked_s + 1e-6
            guarding.open(number, cost_s=cost_s, pages=5000, page_copy_s=1e-6)
            spent_s += cost_s
            last_s, copied = cost_s, 0
        assert guarding.since <= number
        guarding.note(execution_s, faults)
        pages = min(faults, 5000 - copied)
        copied += pages
        spent_s += pages * 1e-6
        worked_s += execution_s
    assert spent_s - last_s <= SHARE * worked_s + 5000 * 1e-6 + 1e-6


@given(EXECUTIONS)
def test_what_is_paid_off_is_renewed_at_once(executions: list[tuple[float, int, float]]) -> None:
    guarding = Guarding()
    for number, (_, _, cost_s) in enumerate(executions, start=1):
        assert guarding.is_due
        guarding.open(number, cost_s=cost_s, pages=0, page_copy_s=0.0)
        guarding.note(cost_s / SHARE + 1e-9, 0)


@pytest.mark.parametrize("executions_s", [0.00005, 0.001, 0.05])
def test_short_executions_in_a_row_take_one_now_and_then(executions_s: float) -> None:
    guarding = Guarding()
    taken = 0
    for number in range(1, 1001):
        if guarding.is_due:
            taken += 1
            guarding.open(number, cost_s=0.002, pages=0, page_copy_s=0.0)
        guarding.note(executions_s, 0)

    assert taken == pytest.approx(1000 * min(1.0, executions_s * SHARE / 0.002), abs=2)
