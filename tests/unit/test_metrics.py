"""Unit tests: what is counted, under which names, and what a scrape reads."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_health import NOTHING

from pyrepl3.errors import Code
from pyrepl3.telemetry import observing
from pyrepl3.telemetry.figures import Figures, HostStatistics
from pyrepl3.telemetry.metrics import OUTCOMES, Metrics
from pyrepl3.telemetry.observing import ExecutionEnded, ExecutionStarted, ObservedExecution

HOST = HostStatistics(
    sessions_open=3,
    sessions_ended=1,
    executions_running=2,
    executions_queued=5,
    history_bytes=4096,
    attachments=4,
    journal_memory_bytes=1000,
    journal_disk_bytes=2000,
    is_draining=False,
)


@attrs.define
class Service:
    """Has figures to be read, and counts how often they are."""

    figures: Figures = attrs.field(factory=lambda: Figures(pool=NOTHING, restarts={}))
    reads: int = 0

    def read(self) -> Figures:
        self.reads += 1
        return self.figures


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    text = metrics.render().body.decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, *labels: str) -> float:
    return samples(metrics)[name, labels]


def execution(**fields: Any) -> ObservedExecution:
    return ObservedExecution(
        **{
            "session": "s",
            "execution": "e",
            "template": "python",
            "sent_at": 1.0,
            "notice": lambda _: None,
            **fields,
        }
    )


def made(figures: Figures | None = None) -> Metrics:
    service = Service() if figures is None else Service(figures)
    return Metrics(service.read, ["python", "other"])


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_executions_are_counted_by_outcome(outcome: observing.Outcome) -> None:
    metrics = made()
    metrics.notice(ExecutionEnded(execution(outcome=outcome)))

    counted = {name: value(metrics, "pyrepl3_executions_total", name) for name in OUTCOMES}

    assert counted == {name: float(name == outcome) for name in OUTCOMES}


def test_executions_that_were_undone_are_counted_by_outcome() -> None:
    metrics = made()
    for outcome, is_rolled_back in (("ok", True), ("died", True), ("error", False)):
        fields = {"outcome": outcome, "is_rolled_back": is_rolled_back}
        metrics.notice(ExecutionEnded(execution(**fields)))

    counted = {
        name: value(metrics, "pyrepl3_executions_rolled_back_total", name) for name in OUTCOMES
    }
    assert counted == {name: float(name in ("ok", "died")) for name in OUTCOMES}


def test_times_and_output_of_an_execution_are_counted() -> None:
    metrics = made()
    ran = execution(started_at=1.5, ended_at=4.5, output_bytes=7, outcome="ok")
    metrics.notice(ExecutionStarted(ran))
    metrics.notice(ExecutionEnded(ran))
    metrics.notice(ExecutionEnded(execution(ended_at=2.0, outcome="refused")))

    assert value(metrics, "pyrepl3_execution_queue_seconds_sum") == 0.5
    assert value(metrics, "pyrepl3_execution_duration_seconds_sum") == 3.0
    assert value(metrics, "pyrepl3_execution_duration_seconds_count") == 1.0
    assert value(metrics, "pyrepl3_execution_duration_seconds_bucket", "2.5") == 0.0
    assert value(metrics, "pyrepl3_execution_duration_seconds_bucket", "5.0") == 1.0
    assert value(metrics, "pyrepl3_output_bytes_total") == 7.0


def test_sessions_and_acquisitions_are_counted() -> None:
    metrics = made()
    for happening in (
        observing.SessionAcquired(template="python", warm=True, wait_s=0.25),
        observing.AcquisitionFailed(template="python", code=Code.POOL_EXHAUSTED, wait_s=5.0),
        observing.SessionOpened(session="s", template="python", principal="ada", pid=1),
        observing.SessionEnded(session="s", principal="ada", standing="died", cause="SIGKILL"),
        observing.SessionReturned(session="s", principal="ada", by="undo"),
        observing.HistoryDropped(session="s", bytes=4096, reason="bytes"),
    ):
        metrics.notice(happening)

    assert value(metrics, "pyrepl3_acquisition_seconds_sum", "true") == 0.25
    assert value(metrics, "pyrepl3_acquisition_seconds_count", "false") == 0.0
    assert value(metrics, "pyrepl3_acquisitions_failed_total", "POOL_EXHAUSTED") == 1.0
    assert value(metrics, "pyrepl3_sessions_opened_total") == 1.0
    assert value(metrics, "pyrepl3_sessions_ended_total", "died") == 1.0
    assert value(metrics, "pyrepl3_sessions_ended_total", "closed") == 0.0
    assert value(metrics, "pyrepl3_session_returns_total", "undo") == 1.0
    assert value(metrics, "pyrepl3_session_returns_total", "rollback") == 0.0
    assert value(metrics, "pyrepl3_history_dropped_total", "bytes") == 1.0


def test_clients_are_counted() -> None:
    metrics = made()
    came = observing.ConnectionOpened(principal="ada", peer="192.0.2.1")
    went = observing.ConnectionEnded(
        principal="ada", peer="192.0.2.1", reason="SLOW_CLIENT", duration_s=1.0
    )
    answered = observing.RequestAnswered(
        method="GET", route="/v1/sessions/{id}", status=404, duration_s=0.1
    )
    for happening in (
        *(came, came, went, answered),
        observing.AdmissionRefused(code=Code.UNAUTHORIZED, peer="192.0.2.1"),
        observing.RequestRefused(code=Code.QUEUE_FULL, principal="ada"),
    ):
        metrics.notice(happening)

    assert value(metrics, "pyrepl3_websocket_connections_total") == 2.0
    assert value(metrics, "pyrepl3_websocket_connections_open") == 1.0
    assert value(metrics, "pyrepl3_slow_clients_total") == 1.0
    assert value(metrics, "pyrepl3_admissions_refused_total", "UNAUTHORIZED") == 1.0
    assert value(metrics, "pyrepl3_requests_refused_total", "QUEUE_FULL") == 1.0
    labels = ("GET", "/v1/sessions/{id}", "404")
    assert value(metrics, "pyrepl3_http_request_duration_seconds_count", *labels) == 1.0


def test_methods_that_clients_make_up_are_counted_as_one() -> None:
    metrics = made()
    for number in range(100):
        metrics.notice(
            observing.RequestAnswered(
                method=f"MADE-UP-{number}", route="", status=405, duration_s=0.1
            )
        )

    page = metrics.render().body.decode()
    assert value(metrics, "pyrepl3_http_request_duration_seconds_count", "other", "", "405") == 100
    assert "MADE-UP" not in page


def test_a_scrape_reads_the_service_as_it_is_then() -> None:
    service = Service()
    metrics = Metrics(service.read, ["python", "other"])
    assert service.reads == 0
    pool = attrs.evolve(NOTHING, idle=2, leased=1, hits=3, misses=1, open_breakers=("other",))
    service.figures = Figures(pool=pool, restarts={"pool": 2}, host=HOST)

    found = samples(metrics)

    assert service.reads == 1
    assert found["pyrepl3_pool_sessions", ("idle",)] == 2.0
    assert found["pyrepl3_pool_sessions", ("leased",)] == 1.0
    assert found["pyrepl3_pool_hit_ratio", ()] == 0.75
    assert found["pyrepl3_pool_hits_total", ()] == 3.0
    assert found["pyrepl3_pool_breaker_open", ("python",)] == 0.0
    assert found["pyrepl3_pool_breaker_open", ("other",)] == 1.0
    assert found["pyrepl3_actor_restarts_total", ("pool",)] == 2.0
    assert found["pyrepl3_sessions", ("open",)] == 3.0
    assert found["pyrepl3_executions_under_way", ("queued",)] == 5.0
    assert found["pyrepl3_journal_bytes", ("disk",)] == 2000.0
    assert found["pyrepl3_history_bytes", ()] == 4096.0


def test_two_services_in_one_process_count_apart() -> None:
    one, other = made(), made()
    one.notice(ExecutionEnded(execution(outcome="ok")))

    assert value(one, "pyrepl3_executions_total", "ok") == 1.0
    assert value(other, "pyrepl3_executions_total", "ok") == 0.0


def test_the_names_are_as_prometheus_wants_them() -> None:
    metrics = made(Figures(pool=NOTHING, restarts={}, host=HOST))
    families = list(text_string_to_metric_families(metrics.render().body.decode()))
    own = [family for family in families if not family.name.startswith("process_")]
    untold = [family.name for family in own if not family.documentation]
    units = re.compile(r"_(ms|milliseconds|kib|kilobytes)\b")

    assert all(re.fullmatch(r"pyrepl3(_[a-z0-9]+)+", family.name) for family in own)
    assert untold == []
    assert not any(units.search(family.name) for family in own)


def test_the_format_is_the_one_that_is_asked_for() -> None:
    plain = made().render()
    assert b"_created" not in plain.body
    assert plain.content_type.startswith("text/plain; version=")

    new = made().render("application/openmetrics-text; version=1.0.0")
    assert new.content_type.startswith("application/openmetrics-text")
    assert new.body.endswith(b"# EOF\n")
