"""Figures for Prometheus: counted as things happen, or read from the service when they are scraped.

Owns the names, and a registry of its own, so that two services in one process do not meet. Must
not change anything, nor hold what a client chose as a label: labels are words of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import attrs
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pyrepl3 import __version__
from pyrepl3.events import TrimReason
from pyrepl3.pool.pool_statistics import PoolStatistics
from pyrepl3.telemetry import observing
from pyrepl3.telemetry.figures import Figures, HostStatistics
from pyrepl3.telemetry.observing import Happening, Outcome, Return

OUTCOMES: tuple[Outcome, ...] = ("ok", "error", "interrupted", "timeout", "died", "refused")
STANDINGS = ("closed", "died", "expired")
RETURNS: tuple[Return, ...] = ("rollback", "abandoned", "undo", "redo")
TRIM_REASONS: tuple[TrimReason, ...] = ("count", "bytes")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Of HTTP; any other word is told as ``other``: a client may make one up for each request."""

RUN_BUCKETS_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
"""From an execution that does nothing (0.2 ms) to a long job."""
WAIT_BUCKETS_S = (
    *(0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
"""From a warm session, or an idle one's empty queue, to where callers give up."""


@attrs.frozen
class Page:
    """What `/metrics` answers."""

    body: bytes
    content_type: str


class Metrics:
    """Watches one service. Made with what reads its figures, and the names of its templates.

    An increment of a child that was looked up before costs 0.4 microseconds, an observation of a
    histogram 0.9: about 3 for one execution, and 9 with all of observing, of the 230 that `1+1`
    takes. To look a child up by its labels costs several, so only what is rare, or HTTP, does that.
    """

    def __init__(self, read: Callable[[], Figures], templates: Collection[str]) -> None:
        self.registry = registry = CollectorRegistry()
        self._executions = _Executions(registry)
        self._sessions = _Sessions(registry)
        self._clients = _Clients(registry)
        self._tellers: dict[type, Callable[[Any], None]] = {
            **self._executions.tellers(),
            **self._sessions.tellers(),
            **self._clients.tellers(),
        }
        info = Gauge("pyrepl3_build_info", "The version.", ["version"], registry=registry)
        info.labels(__version__).set(1)
        registry.register(_Scraped(read, tuple(templates)))
        ProcessCollector(registry=registry)
        self._plain = CollectorRegistry()
        self._plain.register(_WithoutCreated(registry))

    def notice(self, happening: Happening) -> None:
        """Count it."""
        teller = self._tellers.get(type(happening))
        if teller is not None:
            teller(happening)

    def render(self, accept: str | None = None) -> Page:
        """The page, in the format that the scraper's ``Accept`` header asks for."""
        encode, content_type = choose_encoder(accept or "")
        is_new = content_type.startswith("application/openmetrics")
        return Page(encode(self.registry if is_new else self._plain), content_type)


class _WithoutCreated(Collector):
    """The older text format has no place for when a counter was made: each would be one more gauge,
    and the page twice as long."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def describe(self) -> Iterable[Metric]:
        """Nothing: see `_Scraped`."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All but those."""
        for metric in self._registry.collect():
            kept = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            kept.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield kept


class _Executions:
    def __init__(self, registry: CollectorRegistry) -> None:
        ended = Counter(
            "pyrepl3_executions",
            "Executions that have ended, by what came of them.",
            ["outcome"],
            registry=registry,
        )
        self._ended = {outcome: ended.labels(outcome) for outcome in OUTCOMES}
        undone = Counter(
            "pyrepl3_executions_rolled_back",
            "Executions that were undone, by what came of them.",
            ["outcome"],
            registry=registry,
        )
        self._undone = {outcome: undone.labels(outcome) for outcome in OUTCOMES}
        self._run = Histogram(
            "pyrepl3_execution_duration_seconds",
            "How long executions ran.",
            buckets=RUN_BUCKETS_S,
            registry=registry,
        )
        self._queued = Histogram(
            "pyrepl3_execution_queue_seconds",
            "How long executions waited for those before them.",
            buckets=WAIT_BUCKETS_S,
            registry=registry,
        )
        self._output = Counter(
            "pyrepl3_output_bytes", "What executions printed, as UTF-8.", registry=registry
        )

    def tellers(self) -> dict[type, Callable[[Any], None]]:
        return {observing.ExecutionStarted: self._start, observing.ExecutionEnded: self._end}

    def _start(self, happening: observing.ExecutionStarted) -> None:
        queued_s = happening.execution.queued_s
        if queued_s is not None:
            self._queued.observe(queued_s)

    def _end(self, happening: observing.ExecutionEnded) -> None:
        execution = happening.execution
        if execution.outcome is not None:
            self._ended[execution.outcome].inc()
            if execution.is_rolled_back:
                self._undone[execution.outcome].inc()
        if execution.output_bytes:
            self._output.inc(execution.output_bytes)
        run_s = execution.run_s
        if run_s is not None:
            self._run.observe(run_s)


class _Sessions:
    def __init__(self, registry: CollectorRegistry) -> None:
        acquired = Histogram(
            "pyrepl3_acquisition_seconds",
            "How long callers waited for a session of the pool; warm: it had been started before.",
            ["warm"],
            buckets=WAIT_BUCKETS_S,
            registry=registry,
        )
        self._acquired = {warm: acquired.labels(str(warm).lower()) for warm in (True, False)}
        self._failed = Counter(
            "pyrepl3_acquisitions_failed",
            "Callers who got no session, by code.",
            ["code"],
            registry=registry,
        )
        self._opened = Counter(
            "pyrepl3_sessions_opened", "Sessions that clients opened.", registry=registry
        )
        ended = Counter(
            "pyrepl3_sessions_ended",
            "Sessions of clients that have ended, by how.",
            ["standing"],
            registry=registry,
        )
        self._ended = {standing: ended.labels(standing) for standing in STANDINGS}
        returned = Counter(
            "pyrepl3_session_returns",
            "Sessions that went back to what they were, or forward again, on request.",
            ["by"],
            registry=registry,
        )
        self._returned = {by: returned.labels(by) for by in RETURNS}
        dropped = Counter(
            "pyrepl3_history_dropped",
            "Executions that could be undone, and gave way to newer ones, by what was too much.",
            ["reason"],
            registry=registry,
        )
        self._dropped = {reason: dropped.labels(reason) for reason in TRIM_REASONS}

    def tellers(self) -> dict[type, Callable[[Any], None]]:
        return {
            observing.SessionAcquired: lambda got: self._acquired[got.warm].observe(got.wait_s),
            observing.AcquisitionFailed: lambda failed: self._failed.labels(failed.code).inc(),
            observing.SessionOpened: lambda _: self._opened.inc(),
            observing.SessionEnded: lambda ended: self._ended[ended.standing].inc(),
            observing.SessionReturned: lambda returned: self._returned[returned.by].inc(),
            observing.HistoryDropped: lambda dropped: self._dropped[dropped.reason].inc(),
        }


class _Clients:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._opened = Counter(
            "pyrepl3_websocket_connections", "WebSockets of clients so far.", registry=registry
        )
        self._open = Gauge(
            "pyrepl3_websocket_connections_open", "WebSockets of clients now.", registry=registry
        )
        self._slow = Counter(
            "pyrepl3_slow_clients",
            "WebSockets that were closed as their client did not read.",
            registry=registry,
        )
        self._not_admitted = Counter(
            "pyrepl3_admissions_refused",
            "Requests that were not let in, by code.",
            ["code"],
            registry=registry,
        )
        self._refused = Counter(
            "pyrepl3_requests_refused",
            "Requests over WebSocket that were not taken, by code.",
            ["code"],
            registry=registry,
        )
        self._answered = Histogram(
            "pyrepl3_http_request_duration_seconds",
            "Requests over HTTP, by route and status: their number, and how long they took.",
            ["method", "route", "status"],
            registry=registry,
        )

    def tellers(self) -> dict[type, Callable[[Any], None]]:
        return {
            observing.ConnectionOpened: self._come,
            observing.ConnectionEnded: self._go,
            observing.AdmissionRefused: lambda who: self._not_admitted.labels(who.code).inc(),
            observing.RequestRefused: lambda what: self._refused.labels(what.code).inc(),
            observing.RequestAnswered: self._answer,
        }

    def _come(self, _: observing.ConnectionOpened) -> None:
        self._opened.inc()
        self._open.inc()

    def _go(self, happening: observing.ConnectionEnded) -> None:
        self._open.dec()
        if happening.reason == "SLOW_CLIENT":
            self._slow.inc()

    def _answer(self, happening: observing.RequestAnswered) -> None:
        method = happening.method if happening.method in METHODS else "other"
        child = self._answered.labels(method, happening.route, str(happening.status))
        child.observe(happening.duration_s)


class _Scraped(Collector):
    """What the service knows by itself, asked when somebody wants it and not before."""

    def __init__(self, read: Callable[[], Figures], templates: tuple[str, ...]) -> None:
        self._read = read
        self._templates = templates

    def describe(self) -> Iterable[Metric]:
        """Nothing: the service may not be up yet when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of it, of one moment."""
        figures = self._read()
        yield from _of_pool(figures.pool, figures.snapshots)
        opened = figures.pool.open_breakers
        yield _gauges(
            "pyrepl3_pool_breaker_open",
            "1 where sessions of a template fail to start, and callers are refused.",
            "template",
            {name: name in opened for name in self._templates},
        )
        restarts = CounterMetricFamily(
            "pyrepl3_actor_restarts", "Actors that failed and were started again.", labels=["actor"]
        )
        for actor, times in figures.restarts.items():
            restarts.add_metric([actor], times)
        yield restarts
        if figures.host is not None:
            yield from _of_host(figures.host)


def _of_pool(pool: PoolStatistics, snapshots: int) -> Iterator[Metric]:
    yield _gauges(
        "pyrepl3_pool_sessions",
        "Sessions of the pool, by phase.",
        "phase",
        {phase: getattr(pool, phase) for phase in ("starting", "idle", "leased", "stopping")},
    )
    yield GaugeMetricFamily(
        "pyrepl3_pool_waiting", "Callers that wait for a session.", value=pool.waiting
    )
    yield GaugeMetricFamily(
        "pyrepl3_pool_hit_ratio",
        "Acquisitions that found an idle session, of all since the start.",
        value=pool.hit_rate,
    )
    yield GaugeMetricFamily(
        "pyrepl3_snapshots", "Kept states that sessions can be opened from.", value=snapshots
    )
    for name, text, value in (
        ("hits", "Acquisitions that found an idle session.", pool.hits),
        ("misses", "Acquisitions that had to wait.", pool.misses),
        ("timeouts", "Acquisitions that ended in POOL_EXHAUSTED.", pool.timeouts),
        ("starts", "Sessions that were started.", pool.started),
        ("start_failures", "Sessions that failed to start.", pool.start_failures),
        ("deaths", "Processes that ended by themselves before they were given back.", pool.deaths),
        ("breaker_openings", "How often a template was given up.", pool.breaker_openings),
    ):
        yield CounterMetricFamily(f"pyrepl3_pool_{name}", text, value=value)


def _of_host(host: HostStatistics) -> Iterator[Metric]:
    yield _gauges(
        "pyrepl3_sessions",
        "Sessions of clients: open, and ended ones that can still be read.",
        "standing",
        {"open": host.sessions_open, "ended": host.sessions_ended},
    )
    yield _gauges(
        "pyrepl3_executions_under_way",
        "Executions of clients that run, or wait behind one that does.",
        "state",
        {"running": host.executions_running, "queued": host.executions_queued},
    )
    yield GaugeMetricFamily(
        "pyrepl3_attachments", "Connections, by session that they follow.", value=host.attachments
    )
    yield GaugeMetricFamily(
        "pyrepl3_history_bytes",
        "Memory that is kept for executions that can be undone, about.",
        value=host.history_bytes,
    )
    yield _gauges(
        "pyrepl3_journal_bytes",
        "Events of sessions that are kept for clients who come back.",
        "place",
        {"memory": host.journal_memory_bytes, "disk": host.journal_disk_bytes},
    )


def _gauges(name: str, text: str, label: str, values: dict[str, Any]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, figure in values.items():
        family.add_metric([value], float(figure))
    return family
