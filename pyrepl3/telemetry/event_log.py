"""What happens in the service, as lines of the log.

Owns which happening is worth a line, and its level. Ids, codes and figures only: no code, no
output, no message of an exception. Must not know formats.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pyrepl3.errors import Code
from pyrepl3.telemetry import observing
from pyrepl3.telemetry.notes import note
from pyrepl3.telemetry.observing import Happening

executions = logging.getLogger("pyrepl3.executions")
sessions = logging.getLogger("pyrepl3.sessions")
pool = logging.getLogger("pyrepl3.pool")
connections = logging.getLogger("pyrepl3.connections")
http = logging.getLogger("pyrepl3.http")

ASKED_ALL_THE_TIME = frozenset({"/healthz", "/readyz", "/metrics"})
"""By machines, every few seconds: of no interest to whoever reads what happened."""
DEBUG, INFO, WARNING = logging.DEBUG, logging.INFO, logging.WARNING


class EventLog:
    """An observer that logs by the standard library's loggers, below `pyrepl3`."""

    def notice(self, happening: Happening) -> None:
        """Log it, if it is worth a line."""
        tell = _TELLERS.get(type(happening))
        if tell is not None:
            tell(happening)


def _execution_ended(happening: observing.ExecutionEnded) -> None:
    if not executions.isEnabledFor(INFO):
        return  # what is below is not for nothing
    execution = happening.execution
    note(
        executions,
        INFO,
        "execution ended",
        session=execution.session,
        execution=execution.execution,
        principal=execution.principal,
        template=execution.template,
        outcome=execution.outcome,
        code=execution.code,
        queued_s=_rounded(execution.queued_s),
        duration_s=_rounded(execution.run_s),
        output_bytes=execution.output_bytes,
    )


def _acquired(happening: observing.SessionAcquired) -> None:
    note(
        pool,
        DEBUG,
        "session acquired",
        template=happening.template,
        warm=happening.warm,
        wait_s=_rounded(happening.wait_s),
    )


def _acquisition_failed(happening: observing.AcquisitionFailed) -> None:
    note(
        pool,
        WARNING,
        "no session acquired",
        template=happening.template,
        code=happening.code,
        wait_s=_rounded(happening.wait_s),
    )


def _session_opened(happening: observing.SessionOpened) -> None:
    note(
        sessions,
        INFO,
        "session opened",
        session=happening.session,
        principal=happening.principal,
        template=happening.template,
        pid=happening.pid,
    )


def _session_ended(happening: observing.SessionEnded) -> None:
    note(
        sessions,
        WARNING if happening.standing == "died" else INFO,
        f"session {happening.standing}",
        session=happening.session,
        principal=happening.principal,
        cause=happening.cause or None,
    )


def _session_returned(happening: observing.SessionReturned) -> None:
    note(
        sessions,
        INFO,
        "session returned",
        session=happening.session,
        principal=happening.principal,
        by=happening.by,
    )


def _connection_opened(happening: observing.ConnectionOpened) -> None:
    note(
        connections,
        INFO,
        "connection admitted",
        principal=happening.principal,
        peer=happening.peer,
    )


def _connection_ended(happening: observing.ConnectionEnded) -> None:
    is_slow = happening.reason == "SLOW_CLIENT"
    note(
        connections,
        WARNING if is_slow else INFO,
        "slow client left" if is_slow else "connection ended",
        principal=happening.principal,
        peer=happening.peer,
        reason=happening.reason,
        duration_s=_rounded(happening.duration_s),
    )


def _admission_refused(happening: observing.AdmissionRefused) -> None:
    # Of somebody who has failed too often each further attempt is worth no line.
    level = DEBUG if happening.code == Code.RATE_LIMITED else WARNING
    note(connections, level, "admission refused", code=happening.code, peer=happening.peer)


def _request_refused(happening: observing.RequestRefused) -> None:
    note(
        connections,
        INFO,
        "request refused",
        code=happening.code,
        request=happening.request,
        session=happening.session,
        principal=happening.principal,
    )


def _request_answered(happening: observing.RequestAnswered) -> None:
    note(
        http,
        DEBUG if happening.route in ASKED_ALL_THE_TIME else INFO,
        "request answered",
        method=happening.method,
        route=happening.route,
        status=happening.status,
        duration_s=_rounded(happening.duration_s),
        principal=happening.principal,
        peer=happening.peer,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


_TELLERS: dict[type, Callable[[Any], None]] = {
    observing.ExecutionEnded: _execution_ended,
    observing.SessionAcquired: _acquired,
    observing.AcquisitionFailed: _acquisition_failed,
    observing.SessionOpened: _session_opened,
    observing.SessionEnded: _session_ended,
    observing.SessionReturned: _session_returned,
    observing.ConnectionOpened: _connection_opened,
    observing.ConnectionEnded: _connection_ended,
    observing.AdmissionRefused: _admission_refused,
    observing.RequestRefused: _request_refused,
    observing.RequestAnswered: _request_answered,
}
