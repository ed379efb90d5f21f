"""What sessions recorded, as the module that `spec/traces/SessionTrace.tla` extends.

Pure: events in, TLA+ out. Owns how the names of a recording become those of the spec; must not
judge: an event that makes no sense becomes an action that the spec does not allow.

An execution's id is a client's, any text; the spec has numbers, and 0 for no execution at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyrepl3.conformance.tla_values import definitions, tla
from pyrepl3.session.session_trace import SessionAction

SESSION_RUNS = "SessionRuns"
"""The module's name. A definition there is evaluated once, and a constant of a configuration
wherever it is used."""
UNNAMED = 0

SESSION_CONFIG = f"""\
SPECIFICATION TraceSpec
CONSTANTS
    HandedAtMost <- RecordedHandedAtMost
    Unnamed = {UNNAMED}
    Ids = {{}}
    Interrupts = {{}}
    Patient = {{}}
    Kinds = {{}}
    Timed = {{}}
    Protected = {{}}
    Limits = {{0}}
    Outputs = 0
    SocketRoom = 0
    May = {{}}
INVARIANTS
    EveryJobIsSomewhereOnce
    NothingIsBehindCodeThatMayReadInput
    OnlyWhatRunsHasALadder
    NothingWaitsInASessionThatEnds
    AnInterruptBeginsWithItsJob
    OnlyWhatIsOutlivedIsKilledAlone
"""
"""TLC's configuration for any recording. The numbers that a session was configured with stand in
the recording itself; the sets that only a search needs are empty, but for the limits, of which
the world knows the greatest at first."""

_SAME = frozenset(
    {
        *("action", "job", "reply", "reason", "queued"),
        *("reads", "timed", "protected", "rolled_back", "open", "graceful"),
    }
)
_OF_AN_EXECUTION = frozenset(
    {
        SessionAction.EXECUTE,
        SessionAction.QUERY,
        SessionAction.ANSWER_INPUT,
        SessionAction.INTERRUPT,
        SessionAction.ABANDON,
    }
)


def session_runs(events: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The events of each session of a recording, its `Open` first.

    A session's name may come again, after a restart of the service's tree; its `Open` tells.
    """
    runs: list[list[Mapping[str, Any]]] = []
    latest: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        if event["of"] != "session":
            continue
        if event["action"] == "Open":
            runs.append([])
            latest[event["session"]] = runs[-1]
        latest[event["session"]].append(event)
    return runs


def session_module(
    runs: Sequence[Sequence[Mapping[str, Any]]],
    *,
    whole: Sequence[bool] | None = None,
    after: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The module for these runs: each the events of one session, its `Open` first.

    The event at index n of a run is the n-th of its actions, as TLA+ counts from 1. ``whole``
    tells of each run whether it was recorded to its end (None: all were); one that was cut may
    end between an action and its effects. Each run goes on from the events ``after`` which it
    comes, that are not in the module.
    """
    lines = [f"---- MODULE {SESSION_RUNS} ----", "EXTENDS Naturals, Sequences"]
    names: list[str] = []
    ends = [True] * len(runs) if whole is None else whole
    for number, (run, has_end) in enumerate(zip(runs, ends, strict=True), start=1):
        names.append(f"Run_{number}")
        actions = _actions([*after, *run[1:]])[len(after) :]
        lines.append(definitions(f"Actions_{number}", actions))
        queued, handed = tla(run[0]["queued"]), tla(run[0]["handed_at_most"])
        fields = f"queued |-> {queued}, handed_at_most |-> {handed}, whole |-> {tla(has_end)}"
        lines.append(f"{names[-1]} == [{fields}, actions |-> Actions_{number}]")
    lines.append(f"Runs == <<{', '.join(names)}>>")
    handed_at_most = max((run[0]["handed_at_most"] for run in runs), default=0)
    lines.append(f"RecordedHandedAtMost == {tla(handed_at_most)}")
    lines.append("====\n")
    return "\n".join(lines)


def session_actions(runs: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """How often each recorded action is in these runs; all that there are, also those in none."""
    counts = dict.fromkeys((action.value for action in SessionAction), 0)
    for run in runs:
        for event in run[1:]:
            counts[event["action"]] = counts.get(event["action"], 0) + 1
    return counts


def _actions(events: Iterable[Mapping[str, Any]]) -> list[dict[str, object]]:
    numbers: dict[str, int] = {}
    actions = []
    for event in events:
        action = {name: value for name, value in event.items() if name in _SAME}
        if event["action"] in _OF_AN_EXECUTION:
            execution = event.get("execution")
            if execution is not None:
                numbers.setdefault(execution, len(numbers) + 1)
            action["execution"] = UNNAMED if execution is None else numbers[execution]
        if "patient" in event:
            action["wish"] = "patient" if event["patient"] else "soon"
        if "outcome" in event:
            action["outcome"] = event["outcome"]
        actions.append(action)
    return actions
