"""How an execution ended: what a worker said of it, or what its death says.

Pure: checked messages in, terminal events out. The service has the last word on codes and on
what became of the state, since a worker cannot know that it was late, and the dead say nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

import attrs

from pyrepl3.effects import Uncovered, report_from, uncovered_from
from pyrepl3.errors import Code, SessionLost
from pyrepl3.events import Error, Result, State, Usage
from pyrepl3.transport.spawning import WorkerExit
from pyrepl3.wire.worker_reports import read_notes


@attrs.frozen
class Cause:
    """Why a process ended, in words and in figures."""

    text: str
    signal: str | None = None
    exit_status: int | None = None
    violation: str | None = None
    """What it did against the protocol, where it was killed for that."""
    killed_for_ladder: bool = False
    stack: str = ""
    uncovered: tuple[Uncovered, ...] | None = ()
    """What it had done by then that no roll back undoes, as far as it had noted that."""


def cause_of(
    exit_: WorkerExit | None,
    *,
    violation: str | None,
    killed_for_ladder: bool,
    stack: str,
    notes: bytes = b"",
) -> Cause:
    """The cause, from what the zygote reaped (None: it died too, or did not say)."""
    status = exit_.status if exit_ is not None else None
    name = _signal_name(exit_.signal) if exit_ is not None and exit_.signal is not None else None
    if violation is not None:
        text = f"its process broke the protocol by {violation}, and was killed"
    elif exit_ is None or exit_.zygote_died:
        text = "its process was killed, as the zygote that it came from died"
        name = name or "SIGKILL"
    elif exit_.stopped:
        text = "its process stopped itself (SIGSTOP), and was killed"
    elif name is not None:
        text = f"its process was killed by {name}"
    else:
        text = f"its process ended with exit status {status}"
    return Cause(
        text=text,
        signal=name,
        exit_status=status,
        violation=violation,
        killed_for_ladder=killed_for_ladder,
        stack=stack,
        uncovered=read_notes(notes),
    )


def result_of(message: Mapping[str, Any]) -> Result:
    """The event of a worker's `result`."""
    return Result(
        message["execution"],
        message["value"],
        message["has_value"],
        message["repr"],
        message["data"],
        message["metadata"],
        message["execution_count"],
        message["duration_s"],
        _usage(message["usage"]),
        message["state"],
        report_from(message.get("namespace")),
        uncovered_from(message.get("uncovered")),
        by_reference=_by_reference(message),
    )


def error_of(message: Mapping[str, Any], code: Code | None, limit_s: float | None) -> Error:
    """The event of a worker's `error`; ``code``: why the service had it interrupted, if so."""
    said = message["code"]
    name, value = message["name"], message["value"]
    if code is not None and said != Code.RUNNER_BROKEN:
        if said == Code.INTERRUPTED and code is Code.EXECUTION_TIMEOUT:
            name, value = "ExecutionTimeout", _late(limit_s)
        said = str(code)
    return Error(
        execution=message["execution"],
        name=name,
        value=value,
        traceback=message["traceback"],
        code=said,
        state="lost" if said == Code.RUNNER_BROKEN else message["state"],
        execution_count=message["execution_count"],
        duration_s=message["duration_s"],
        exit_status=message["exit_status"],
        namespace=report_from(message.get("namespace")),
        uncovered=uncovered_from(message.get("uncovered")),
        by_reference=_by_reference(message),
    )


def death_of(
    execution: str,
    cause: Cause,
    code: Code | None,
    limit_s: float | None,
    last_output: str,
    *,
    state: State = "lost",
) -> Error:
    """The event of an execution whose process ended under it."""
    details = {
        "signal": cause.signal,
        "exit_status": cause.exit_status,
        "last_output": last_output,
    }
    if cause.stack:
        details["stack"] = cause.stack
    if cause.violation is not None:
        final, name, value = Code.PROTOCOL_VIOLATION, "ProtocolViolation", cause.text
    elif cause.killed_for_ladder and code is Code.EXECUTION_TIMEOUT:
        final, name = code, "ExecutionTimeout"
        value = f"{_late(limit_s)}, and did not end when interrupted: its process was killed"
    elif cause.killed_for_ladder and code is not None:
        final, name = code, "KeyboardInterrupt"
        value = "it did not end when interrupted: its process was killed"
    else:
        final, name, value = Code.WORKER_DIED, "WorkerDied", cause.text
    return Error(
        execution=execution,
        name=name,
        value=value,
        traceback=[],
        code=str(final),
        state=state,
        details=details,
        uncovered=cause.uncovered if state == "rolled_back" else None,
    )


def died_of_question() -> SessionLost:
    """The refusal of a question in whose answering a process died that a snapshot outlived."""
    return SessionLost(
        what="the question has no answer",
        why="the session's process died of it, and the session was rolled back",
        how="Ask another one: the session goes on as it was before",
    )


def lost_with_question(cause: Cause) -> SessionLost:
    """The refusal of a question in whose answering the process of a session ended."""
    killed = "it did not end when interrupted: its process was killed"
    return SessionLost(
        what="the question has no answer, and the session is gone",
        why=killed if cause.killed_for_ladder else cause.text,
        how="Open a new session; its variables start empty",
    )


def never_sent() -> SessionLost:
    """The refusal of a request that came when its process had ended: nothing of it ran."""
    return SessionLost(
        what="the session is gone",
        why="its process had ended before it took this request, and nothing of it ran",
        how="Open a new session; its variables start empty",
    )


def _late(limit_s: float | None) -> str:
    return "the execution passed its deadline" + (f" of {limit_s:g} s" if limit_s else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time one, which has no name


def _by_reference(message: Mapping[str, Any]) -> tuple[str, ...] | None:
    names = message.get("by_reference")
    return None if names is None else tuple(names)


def _usage(usage: Mapping[str, Any]) -> Usage:
    cpu_s, max_rss_bytes = usage.get("cpu_s"), usage.get("max_rss_bytes")
    history_bytes = usage.get("history_bytes", 0)
    return Usage(
        float(cpu_s) if isinstance(cpu_s, int | float) else 0.0,
        max_rss_bytes if isinstance(max_rss_bytes, int) else 0,
        history_bytes if isinstance(history_bytes, int) else 0,
    )
