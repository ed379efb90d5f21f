"""Unit tests: how an execution ended, said by its worker, its service, or its death."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from pyrepl3.effects import NameEntry, NamespaceReport, Uncovered
from pyrepl3.errors import Code, SessionLost
from pyrepl3.events import Error, Result, Usage
from pyrepl3.transport import verdicts
from pyrepl3.transport.spawning import WorkerExit
from pyrepl3.transport.verdicts import Cause


def cause(exit_: WorkerExit | None, **options: Any) -> Cause:
    told: dict[str, Any] = {"violation": None, "killed_for_ladder": False, "stack": "", **options}
    return verdicts.cause_of(exit_, **told)


def said(**fields: Any) -> dict[str, Any]:
    """A worker's `error`."""
    return {
        "execution": "e",
        "name": "KeyboardInterrupt",
        "value": "",
        "traceback": ["line\n"],
        "code": None,
        "state": "kept",
        "execution_count": 1,
        "duration_s": 0.5,
        "usage": {},
        "exit_status": None,
        **fields,
    }


def death(of: Cause, code: Code | None = None, limit_s: float | None = None) -> Error:
    return verdicts.death_of("e", of, code, limit_s, "the last words")


# --- causes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_", "expected"),
    [
        (WorkerExit(3, None), "its process ended with exit status 3"),
        (WorkerExit(None, signal.SIGSEGV), "its process was killed by SIGSEGV"),
        (WorkerExit(None, 42), "its process was killed by signal 42"),
        (
            WorkerExit(None, signal.SIGKILL, stopped=True),
            "its process stopped itself (SIGSTOP), and was killed",
        ),
        (
            WorkerExit(None, None, zygote_died=True),
            "its process was killed, as the zygote that it came from died",
        ),
        (None, "its process was killed, as the zygote that it came from died"),
    ],
)
def test_a_death_is_put_into_words(exit_: WorkerExit | None, expected: str) -> None:
    assert cause(exit_).text == expected


def test_a_death_is_put_into_figures() -> None:
    by_signal, by_status = cause(WorkerExit(None, signal.SIGSEGV)), cause(WorkerExit(3, None))

    assert (by_signal.signal, by_signal.exit_status) == ("SIGSEGV", None)
    assert (by_status.signal, by_status.exit_status) == (None, 3)
    assert cause(None).signal == "SIGKILL"


def test_a_violation_is_the_cause_whatever_the_process_died_of() -> None:
    told = cause(WorkerExit(None, signal.SIGKILL), violation="a forged result")

    assert told.text == "its process broke the protocol by a forged result, and was killed"


# --- what a worker says --------------------------------------------------------------------------


def test_a_result_is_told_as_it_was_said() -> None:
    message = {
        "execution": "e",
        "value": [1],
        "has_value": True,
        "repr": "[1]",
        "data": {"text/plain": "[1]"},
        "metadata": {},
        "execution_count": 2,
        "duration_s": 0.5,
        "usage": {"cpu_s": 0.25, "max_rss_bytes": 10},
        "state": "kept",
    }

    assert verdicts.result_of(message) == Result(
        "e", [1], True, "[1]", {"text/plain": "[1]"}, {}, 2, 0.5, Usage(0.25, 10)
    )


def test_what_was_done_beside_the_value_is_told_as_it_was_said() -> None:
    entry = {"name": "x", "type": "int", "size_bytes": 28}
    lists = {"added": [entry], "changed": [], "removed": []}
    message = said(
        namespace={**lists, "omitted": 2, "is_undone": True},
        uncovered=[{"kind": "file_written", "detail": "/x"}],
    )

    error = verdicts.error_of(message, None, None)

    report = NamespaceReport((NameEntry("x", "int", 28),), omitted=2, is_undone=True)
    assert error.namespace == report
    assert error.uncovered == (Uncovered("file_written", "/x"),)
    assert verdicts.error_of(said(), None, None).namespace is None


def test_of_a_death_that_is_rolled_back_it_is_told_what_was_noted_before() -> None:
    of = verdicts.cause_of(
        WorkerExit(3, None),
        violation=None,
        killed_for_ladder=False,
        stack="",
        notes=b"file_written\t/x\0",
    )

    undone = verdicts.death_of("e", of, None, None, "", state="rolled_back")

    assert undone.uncovered == (Uncovered("file_written", "/x"),)
    assert verdicts.death_of("e", of, None, None, "").uncovered is None


@pytest.mark.parametrize("usage", [{}, {"cpu_s": "much", "max_rss_bytes": 1.5}, {"cpu_s": None}])
def test_usage_that_makes_no_sense_is_none(usage: dict[str, Any]) -> None:
    message = {"value": None, "has_value": False, "repr": "", "data": {}, "metadata": {}}
    message |= {"execution": "e", "execution_count": 1, "duration_s": 0.1, "usage": usage}
    message["state"] = "kept"

    assert verdicts.result_of(message).usage == Usage(0.0, 0)


def test_a_users_exception_is_told_as_it_was_said() -> None:
    message = said(name="ValueError", value="bad", exit_status=3)

    assert verdicts.error_of(message, None, None) == Error(
        "e", "ValueError", "bad", ["line\n"], None, "kept", 1, 0.5, 3
    )


@pytest.mark.parametrize("code", ["INTERRUPTED", "STDIN_UNAVAILABLE"])
def test_a_workers_own_code_stands_where_the_service_has_none(code: str) -> None:
    error = verdicts.error_of(said(code=code), None, None)

    assert (error.code, error.state) == (code, "kept")


def test_a_broken_runner_has_lost_the_state_whoever_interrupted_it() -> None:
    for code in (None, Code.INTERRUPTED, Code.EXECUTION_TIMEOUT):
        error = verdicts.error_of(said(code="RUNNER_BROKEN"), code, 1.0)

        assert (error.code, error.state) == (Code.RUNNER_BROKEN, "lost")


def test_an_interrupt_at_the_deadline_is_a_timeout() -> None:
    error = verdicts.error_of(said(code="INTERRUPTED"), Code.EXECUTION_TIMEOUT, 1.5)

    assert (error.name, error.code, error.state) == (
        "ExecutionTimeout",
        Code.EXECUTION_TIMEOUT,
        "kept",
    )
    assert "1.5 s" in error.value
    assert error.traceback == ["line\n"]


def test_an_exception_at_the_deadline_keeps_its_name_and_has_the_code() -> None:
    """Code that answers the interrupt with an exception of its own."""
    error = verdicts.error_of(said(name="ValueError"), Code.EXECUTION_TIMEOUT, 1.5)

    assert (error.name, error.code) == ("ValueError", Code.EXECUTION_TIMEOUT)


# --- what a death says ---------------------------------------------------------------------------


def test_a_death_without_a_reason_of_ours_is_a_worker_that_died() -> None:
    error = death(cause(WorkerExit(None, signal.SIGSEGV)))

    assert (error.name, error.code, error.state) == ("WorkerDied", Code.WORKER_DIED, "lost")
    assert error.value == "its process was killed by SIGSEGV"
    assert error.details == {
        "signal": "SIGSEGV",
        "exit_status": None,
        "last_output": "the last words",
    }


@pytest.mark.parametrize(
    ("code", "name"),
    [(Code.EXECUTION_TIMEOUT, "ExecutionTimeout"), (Code.INTERRUPTED, "KeyboardInterrupt")],
)
def test_the_end_of_the_ladder_has_the_code_of_its_beginning(code: Code, name: str) -> None:
    killed = cause(WorkerExit(None, signal.SIGKILL), killed_for_ladder=True, stack="File x")

    error = death(killed, code, 1.5)

    assert (error.name, error.code, error.state) == (name, code, "lost")
    assert error.details["stack"] == "File x"


def test_a_death_of_its_own_after_an_interrupt_is_a_worker_that_died() -> None:
    error = death(cause(WorkerExit(None, signal.SIGSEGV)), Code.INTERRUPTED)

    assert error.code == Code.WORKER_DIED


def test_a_kill_that_no_execution_asked_for_is_a_worker_that_died() -> None:
    error = death(cause(WorkerExit(None, signal.SIGKILL), killed_for_ladder=True))

    assert error.code == Code.WORKER_DIED


def test_a_violation_has_its_code_also_on_the_ladder() -> None:
    broke = cause(
        WorkerExit(None, signal.SIGKILL), violation="a forged result", killed_for_ladder=True
    )

    error = death(broke, Code.EXECUTION_TIMEOUT, 1.0)

    assert (error.name, error.code) == ("ProtocolViolation", Code.PROTOCOL_VIOLATION)


def test_what_was_never_sent_is_a_lost_session() -> None:
    assert isinstance(verdicts.never_sent(), SessionLost)
