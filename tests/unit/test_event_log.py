"""Unit tests: which happenings are lines of the log, and what these say."""

from __future__ import annotations

import logging
import typing
from typing import Any

import pytest
from test_metrics import execution

from pyrepl3.errors import Code
from pyrepl3.telemetry import observing
from pyrepl3.telemetry.event_log import EventLog
from pyrepl3.telemetry.notes import Note
from pyrepl3.telemetry.observing import Happening

ENDED = observing.ExecutionEnded(
    execution(
        principal="ada",
        started_at=1.5,
        ended_at=1.7500001,
        outcome="timeout",
        code=Code.EXECUTION_TIMEOUT,
        output_bytes=3,
    )
)
HAPPENINGS: list[tuple[Happening, str, str, dict[str, Any]]] = [
    (
        ENDED,
        "INFO",
        "execution ended",
        {
            "session": "s",
            "execution": "e",
            "principal": "ada",
            "template": "python",
            "outcome": "timeout",
            "code": "EXECUTION_TIMEOUT",
            "queued_s": 0.5,
            "duration_s": 0.25,
            "output_bytes": 3,
        },
    ),
    (
        observing.SessionAcquired(template="python", warm=True, wait_s=0.1),
        "DEBUG",
        "session acquired",
        {"template": "python", "warm": True, "wait_s": 0.1},
    ),
    (
        observing.AcquisitionFailed(template="python", code=Code.POOL_EXHAUSTED, wait_s=5.0),
        "WARNING",
        "no session acquired",
        {"template": "python", "code": "POOL_EXHAUSTED", "wait_s": 5.0},
    ),
    (
        observing.SessionOpened(session="s", template="python", principal="ada", pid=7),
        "INFO",
        "session opened",
        {"session": "s", "principal": "ada", "template": "python", "pid": 7},
    ),
    (
        observing.SessionEnded(session="s", principal="ada", standing="expired"),
        "INFO",
        "session expired",
        {"session": "s", "principal": "ada"},
    ),
    (
        observing.SessionEnded(session="s", principal="ada", standing="died", cause="SIGKILL"),
        "WARNING",
        "session died",
        {"session": "s", "principal": "ada", "cause": "SIGKILL"},
    ),
    (
        observing.ConnectionOpened(principal="ada", peer="192.0.2.1"),
        "INFO",
        "connection admitted",
        {"principal": "ada", "peer": "192.0.2.1"},
    ),
    (
        observing.ConnectionEnded(principal="ada", peer=None, reason=None, duration_s=1.0),
        "INFO",
        "connection ended",
        {"principal": "ada", "duration_s": 1.0},
    ),
    (
        observing.ConnectionEnded(principal="ada", peer=None, reason="SLOW_CLIENT", duration_s=1.0),
        "WARNING",
        "slow client left",
        {"principal": "ada", "reason": "SLOW_CLIENT", "duration_s": 1.0},
    ),
    (
        observing.AdmissionRefused(code=Code.UNAUTHORIZED, peer="192.0.2.1"),
        "WARNING",
        "admission refused",
        {"code": "UNAUTHORIZED", "peer": "192.0.2.1"},
    ),
    (
        observing.AdmissionRefused(code=Code.RATE_LIMITED, peer="192.0.2.1"),
        "DEBUG",
        "admission refused",
        {"code": "RATE_LIMITED", "peer": "192.0.2.1"},
    ),
    (
        observing.SessionReturned(session="s", principal="ada", by="undo"),
        "INFO",
        "session returned",
        {"session": "s", "principal": "ada", "by": "undo"},
    ),
    (
        observing.RequestRefused(code=Code.QUEUE_FULL, principal="ada", request=4),
        "INFO",
        "request refused",
        {"code": "QUEUE_FULL", "request": 4, "principal": "ada"},
    ),
    (
        observing.RequestAnswered(
            method="GET", route="/v1/sessions/{id}", status=200, duration_s=0.5, principal="ada"
        ),
        "INFO",
        "request answered",
        {
            "method": "GET",
            "route": "/v1/sessions/{id}",
            "status": 200,
            "duration_s": 0.5,
            "principal": "ada",
        },
    ),
]
UNTOLD = {
    observing.ExecutionSent,
    observing.ExecutionStarted,
    # Their times are in the line of the end.
    observing.HistoryDropped,
    # As its client set the bound.
}


@pytest.mark.parametrize(("happening", "level", "event", "fields"), HAPPENINGS)
def test_a_happening_is_a_line(
    happening: Happening,
    level: str,
    event: str,
    fields: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "pyrepl3"):
        EventLog().notice(happening)

    (record,) = caplog.records
    assert isinstance(record.msg, Note)
    assert (record.levelname, record.msg.event) == (level, event)
    assert record.msg.fields == fields


def test_every_happening_is_one_or_is_known_to_be_none() -> None:
    told = {type(happening) for happening, *_ in HAPPENINGS}

    assert told | UNTOLD == set(typing.get_args(Happening))


def test_what_is_not_logged_costs_no_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "pyrepl3"):
        for happening, *_ in HAPPENINGS:
            EventLog().notice(happening)

    assert caplog.records == []
