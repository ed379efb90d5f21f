"""Unit tests: what the end of an execution means to whoever started the command."""

from typing import Any

import pytest

from pyrepl3.cli.endings import (
    describe_death,
    describe_interrupt,
    describe_undoing,
    is_death,
    status_of,
)
from pyrepl3.events import Error, InterruptOutcome, Result, Usage


def _error(name: str, **fields: Any) -> Error:
    defaults: dict[str, Any] = {"value": "", "traceback": [], "code": None, "state": "kept"}
    return Error("e", name, **{**defaults, **fields})


def _death(**details: Any) -> Error:
    return _error("WorkerDied", code="WORKER_DIED", state="lost", details=details)


def test_a_result_is_success() -> None:
    result = Result("e", 1, True, "1", {}, {}, 1, 0.0, Usage(0.0, 0))

    assert status_of(result) == 0
    assert not is_death(result)


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (_error("ValueError"), 1),
        (_error("SystemExit", exit_status=7), 7),
        (_error("SystemExit", exit_status=0, code="INTERRUPTED"), 0),
        (_error("KeyboardInterrupt", code="INTERRUPTED"), 130),
        (_error("KeyboardInterrupt"), 130),
        (_error("ValueError", code="INTERRUPTED"), 1),
        (_death(signal="SIGKILL", exit_status=None), 137),
        (_death(signal="signal 40", exit_status=None), 168),
        (_death(signal=None, exit_status=9), 9),
        (_death(), 1),
    ],
)
def test_a_failure_has_pythons_status(ending: Error, status: int) -> None:
    assert status_of(ending) == status


def test_a_death_is_described_by_its_signal() -> None:
    death = _death(signal="SIGSEGV", exit_status=None)

    assert is_death(death)
    assert "SIGSEGV (Segmentation fault)" in describe_death(death)


def test_a_kill_by_the_service_says_why() -> None:
    death = _error(
        "KeyboardInterrupt",
        value="it did not end when interrupted: its process was killed",
        code="INTERRUPTED",
        state="lost",
        details={"signal": "SIGKILL"},
    )

    assert describe_death(death) == death.value


def test_what_was_undone_is_said_with_what_was_undone_with_it() -> None:
    crash = _error(
        "WorkerDied",
        state="rolled_back",
        lost_since=tuple(f"s1.{number}" for number in range(1, 13)),
        by_reference=(),
    )

    assert describe_undoing(crash).splitlines() == [
        "[rolled back: the variables are as they were before]",
        "[a crash has undone, with it: 2 more, and s1.3, s1.4, s1.5, s1.6, s1.7, s1.8, s1.9, "
        "s1.10, s1.11, s1.12]",
    ]


def test_what_could_not_be_copied_is_said_where_something_is_undone() -> None:
    undone = _error("ValueError", state="rolled_back", by_reference=("lock",))
    kept = _error("ValueError", state="kept", by_reference=("lock",))

    assert describe_undoing(undone).endswith("is not undone: lock]\n")
    assert describe_undoing(kept) == ""


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (InterruptOutcome("kept", "nothing"), "nothing ran"),
        (InterruptOutcome("kept", "signal"), "interrupted; its variables are kept"),
        (InterruptOutcome("lost", "kill"), "its process was ended; its variables are lost"),
    ],
)
def test_what_an_interrupt_came_to_is_told(outcome: InterruptOutcome, told: str) -> None:
    assert describe_interrupt(outcome) == told
