"""Unit tests: what a pool recorded, in the names of its spec."""

from __future__ import annotations

import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.conformance.pool_modules import pool_module


def opened(max_sessions: int = 2) -> dict[str, Any]:
    return {
        "of": "pool",
        "action": "Open",
        "templates": ["a"],
        "min_idle": 0,
        "max_sessions": max_sessions,
        "breaker_failures": 3,
    }


def event(action: str, session: str) -> dict[str, Any]:
    return {"of": "pool", "action": action, "session": session, "live": 0, "waiting": 0}


def places(*events: dict[str, Any], max_sessions: int = 2) -> list[tuple[int, int]]:
    """The slot and epoch of each event's session."""
    module = pool_module([[opened(max_sessions), *events]])
    actions = [line for line in module.splitlines() if "slot |-> " in line]
    return [(number_after("slot |-> ", line), number_after("epoch |-> ", line)) for line in actions]


def number_after(name: str, line: str) -> int:
    return int(line.partition(name)[2].split(",")[0].split("]")[0])


def test_a_session_has_the_least_slot_that_is_free_and_an_epoch_of_its_own() -> None:
    assert places(
        event("Start", "s1"),
        event("Start", "s2"),
        event("SessionEnded", "s1"),
        event("Start", "s3"),
        event("StartFailed", "s2"),
        event("StartFailed", "s2"),
        event("Start", "s4"),
        event("SessionDied", "s1"),
    ) == [(1, 1), (2, 2), (1, 1), (1, 3), (2, 2), (2, 2), (2, 4), (1, 1)]


def test_one_that_is_too_many_has_a_slot_and_further_ones_have_none() -> None:
    starts = [event("Start", f"s{number}") for number in range(4)]

    assert places(*starts) == [(1, 1), (2, 2), (3, 3), (0, 0)]


def test_a_name_that_was_started_before_is_nobodys_when_it_starts_again() -> None:
    """The spec has no such start, whatever has become of the first one."""
    assert places(event("Start", "s1"), event("Start", "s1")) == [(1, 1), (0, 0)]
    assert places(event("Start", "s1"), event("SessionEnded", "s1"), event("Start", "s1")) == [
        (1, 1),
        (1, 1),
        (0, 0),
    ]


def test_room_for_very_many_sessions_costs_nothing() -> None:
    tracemalloc.start()
    try:
        assert places(event("Start", "s1"), max_sessions=2**31 - 1) == [(1, 1)]
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@given(st.lists(st.tuples(st.sampled_from(["Start", "SessionEnded"]), st.integers(1, 6))))
def test_no_two_living_sessions_share_a_slot(history: list[tuple[str, int]]) -> None:
    events = [event(action, f"s{number}") for action, number in history]
    living: dict[str, int] = {}
    for each, (slot, _) in zip(events, places(*events, max_sessions=10), strict=True):
        session = each["session"]
        if each["action"] == "SessionEnded":
            living.pop(session, None)
        elif slot:
            free = min(set(range(1, 12)) - set(living.values()))
            assert (session in living, slot) == (False, free)
            living[session] = slot
