"""Unit tests: which executions a crash may undo that were told as kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.transport.at_risk import MOST_AT_RISK, AtRisk
from pyrepl3.worker import guarding


def test_those_behind_the_snapshot_are_lost_with_it() -> None:
    at_risk = AtRisk()
    for number in (3, 4, 6):
        at_risk.note(number, f"e{number}", 3)

    assert at_risk.since == 3
    assert at_risk.lost_with(3) == ("e3", "e4", "e6")
    assert at_risk.lost_with(6) == ("e6",)
    assert at_risk.lost_with(7) == ()


def test_a_newer_snapshot_has_those_before_it() -> None:
    at_risk = AtRisk()
    at_risk.note(1, "e1", 1)
    at_risk.note(2, "e2", 2)

    assert at_risk.lost_with(1) == ("e2",)


def test_without_one_nothing_is_at_risk() -> None:
    at_risk = AtRisk()
    at_risk.note(1, "e1", 1)
    at_risk.note(2, "e2", 0)

    assert (at_risk.since, at_risk.lost_with(1)) == (0, ())


@pytest.mark.parametrize(("number", "since"), [(3, 4), (3, 1), (3, -1)])
def test_a_snapshot_that_cannot_be_is_not_believed(number: int, since: int) -> None:
    at_risk = AtRisk()
    at_risk.note(2, "e2", 2)

    with pytest.raises(ValueError, match="cannot be open"):
        at_risk.note(number, "e3", since)


def test_no_more_are_at_risk_than_a_worker_lets_be() -> None:
    assert MOST_AT_RISK == guarding.MOST_AT_RISK
    at_risk = AtRisk()
    for number in range(1, MOST_AT_RISK + 1):
        at_risk.note(number, "e", 1)

    with pytest.raises(ValueError, match="more at risk"):
        at_risk.note(MOST_AT_RISK + 1, "e", 1)


@given(st.lists(st.booleans(), max_size=100))
def test_each_execution_is_in_the_snapshot_or_lost_with_it(renewals: list[bool]) -> None:
    at_risk = AtRisk()
    since = 1
    for number, is_renewed in enumerate(renewals, start=1):
        since = number if is_renewed else since
        at_risk.note(number, str(number), since)
    expected = tuple(str(number) for number in range(since, len(renewals) + 1))

    assert at_risk.lost_with(since) == expected
