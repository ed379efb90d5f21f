"""Unit: a session's recording in the spec's names, as the text of a module."""

from __future__ import annotations

from typing import Any

from pyrepl3.conformance.session_modules import session_actions, session_module, session_runs
from pyrepl3.session.session_trace import SessionAction


def event(action: str, session: str = "s1", **fields: Any) -> dict[str, Any]:
    return {"of": "session", "session": session, "action": action, **fields}


def opening(session: str = "s1", queued: int = 16) -> dict[str, Any]:
    return event("Open", session, queued=queued, handed_at_most=8)


def test_each_session_is_a_run_of_its_own() -> None:
    events = [
        {"of": "pool", "action": "Open"},
        opening("s1"),
        opening("s2"),
        event("Died", "s1"),
        event("Close", "s2", graceful=True),
        opening("s1"),
        event("Broke", "s1", job=1),
    ]

    runs = session_runs(events)

    actions = [[(e["session"], e["action"]) for e in run] for run in runs]
    assert actions == [
        [("s1", "Open"), ("s1", "Died")],
        [("s2", "Open"), ("s2", "Close")],
        [("s1", "Open"), ("s1", "Broke")],
    ]


def test_a_run_becomes_a_definition_in_the_names_of_the_spec() -> None:
    run = [
        opening(queued=3),
        event("Execute", job=1, execution="a \\ b", reads=False, timed=True),
        event("Interrupt", execution=None, reply=1, patient=True),
        event("Interrupt", execution="other", reply=2, patient=False),
        event("Abandon", execution="a \\ b"),
        event("Settle", reply=1, outcome="kept"),
    ]

    text = session_module([run])

    assert text.splitlines() == [
        "---- MODULE SessionRuns ----",
        "EXTENDS Naturals, Sequences",
        "Actions_1_0 == <<",
        '[action |-> "Execute", execution |-> 1, job |-> 1, reads |-> FALSE, timed |-> TRUE],',
        '[action |-> "Interrupt", execution |-> 0, reply |-> 1, wish |-> "patient"],',
        '[action |-> "Interrupt", execution |-> 2, reply |-> 2, wish |-> "soon"],',
        '[action |-> "Abandon", execution |-> 1],',
        '[action |-> "Settle", outcome |-> "kept", reply |-> 1]>>',
        "Actions_1 == Actions_1_0",
        "",
        "Run_1 == [queued |-> 3, handed_at_most |-> 8, whole |-> TRUE, actions |-> Actions_1]",
        "Runs == <<Run_1>>",
        "RecordedHandedAtMost == 8",
        "====",
    ]


def test_a_module_of_no_runs_is_one_that_tlc_can_read() -> None:
    assert "Runs == <<>>\nRecordedHandedAtMost == 0" in session_module([])


def test_each_run_says_whether_it_was_cut() -> None:
    text = session_module([[opening()], [opening()]], whole=[False, True])

    runs = [line for line in text.splitlines() if line.startswith("Run_")]
    assert ["whole |-> FALSE" in line for line in runs] == [True, False]
    assert ["whole |-> TRUE" in line for line in runs] == [False, True]


def test_every_action_is_counted_also_those_that_never_came() -> None:
    counts = session_actions([[opening(), event("Died")], [opening(), event("Died")]])

    assert set(counts) == {action.value for action in SessionAction}
    assert counts["Died"] == 2
    assert counts["Broke"] == 0
