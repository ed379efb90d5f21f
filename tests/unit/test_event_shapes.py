"""Unit tests: which events have the form that the recorders give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.conformance.event_shapes import complaint
from pyrepl3.conformance.pool_modules import pool_module
from pyrepl3.conformance.session_modules import session_module
from pyrepl3.conformance.vocabulary import (
    NUMBERS,
    POOL_FIELDS,
    SESSION_FIELDS,
    TRUTHS,
)

POOL_OPEN: dict[str, Any] = {
    "of": "pool",
    "action": "Open",
    "templates": ["a"],
    "min_idle": 0,
    "max_sessions": 2,
    "breaker_failures": 3,
}
SESSION_OPEN: dict[str, Any] = {
    "of": "session",
    "session": "s1",
    "action": "Open",
    "queued": 1,
    "handed_at_most": 2,
}
ACQUIRE = {
    "of": "pool",
    "action": "Acquire",
    "waiter": 1,
    "template": "a",
    "live": 0,
    "waiting": 1,
}
EXECUTE = {
    "of": "session",
    "session": "s1",
    "action": "Execute",
    "job": 1,
    "execution": "e1",
    "reads": False,
    "timed": True,
    "protected": False,
}


@pytest.mark.parametrize("event", [POOL_OPEN, SESSION_OPEN, ACQUIRE, EXECUTE])
def test_what_the_recorders_write_is_in_order(event: Mapping[str, Any]) -> None:
    assert complaint(event) is None


@pytest.mark.parametrize(
    ("event", "changes", "why"),
    [
        (ACQUIRE, {"action": "Nope"}, "'Nope' is no action of a pool"),
        (EXECUTE, {"action": "Acquire"}, "'Acquire' is no action of a session"),
        (ACQUIRE, {"waiter": "1"}, "its 'waiter' is '1', and should be a whole number from 0"),
        (ACQUIRE, {"waiter": True}, "its 'waiter' is True, and should be a whole number"),
        (ACQUIRE, {"waiter": 1.0}, "its 'waiter' is 1.0, and should be a whole number"),
        (ACQUIRE, {"waiter": -1}, "its 'waiter' is -1, and should be a whole number"),
        (ACQUIRE, {"waiter": 2**31}, "and should be a whole number"),
        (ACQUIRE, {"template": None}, "its 'template' is None, and should be a text"),
        (ACQUIRE, {"live": []}, "its 'live' is [], and should be a whole number"),
        (EXECUTE, {"reads": 0}, "its 'reads' is 0, and should be true or false"),
        (EXECUTE, {"execution": 5}, "its 'execution' is 5, and should be a text"),
        (POOL_OPEN, {"templates": "a"}, "its 'templates' is 'a', and should be a list of names"),
        (POOL_OPEN, {"templates": [1]}, "its 'templates' is [1], and should be a list of names"),
        (ACQUIRE, {"session": "s1"}, "it has a 'session', and no Acquire has that"),
        (SESSION_OPEN, {"queued": None}, "its 'queued' is None, and should be a whole number"),
    ],
)
def test_what_has_another_form_is_told(
    event: Mapping[str, Any], changes: Mapping[str, Any], why: str
) -> None:
    said = complaint({**event, **changes})

    assert said is not None
    assert why in said


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (event, name)
        for event in (POOL_OPEN, SESSION_OPEN, ACQUIRE, EXECUTE)
        for name in event
        if name not in ("of", "action", "session")
    ],
)
def test_no_field_may_be_missing(event: Mapping[str, Any], name: str) -> None:
    assert complaint({key: event[key] for key in event if key != name}) == f"it has no '{name}'"


def test_a_client_that_names_no_execution_means_the_one_that_runs() -> None:
    interrupt = {"of": "session", "session": "s1", "action": "Interrupt", "execution": None}

    assert complaint({**interrupt, "reply": 0, "patient": True}) is None


_anything = st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats() | st.text(max_size=3)


@st.composite
def events(draw: st.DrawFn, of: str, fields: Mapping[str, tuple[str, ...]]) -> Mapping[str, Any]:
    """Mostly in order: one value in it may be any."""
    action = draw(st.sampled_from(sorted(fields)))
    counts = ("live", "waiting") if of == "pool" and action != "ZygoteDies" else ()
    event: dict[str, Any] = {"of": of, "action": action}
    for name in (*fields[action], *counts, *(("session",) if of == "session" else ())):
        proper = st.text(max_size=3)
        if name in TRUTHS:
            proper = st.booleans()
        elif name in NUMBERS:
            proper = st.integers(0, 2**31 - 1)
        event[name] = draw(proper)
    for name in draw(st.sets(st.sampled_from([*sorted(event.keys() - {"of", "action"}), "job"]))):
        event[name] = draw(_anything | st.lists(_anything, max_size=2))
    return event


@given(st.data())
def test_what_is_in_order_can_be_told_to_tlc(data: st.DataObject) -> None:
    for opened, module, fields in (
        (POOL_OPEN, pool_module, POOL_FIELDS),
        (SESSION_OPEN, session_module, SESSION_FIELDS),
    ):
        event = data.draw(events(opened["of"], fields))
        if complaint(event) is None:
            assert f'action |-> "{event["action"]}"' in module([[opened, event]])
