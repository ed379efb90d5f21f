"""Traces by OpenTelemetry: a span for each execution and acquisition, within its client's trace.

Owns the spans and their names. Imported by who wants traces, and by nobody else: it needs the API
of OpenTelemetry. Where spans go is the business of its SDK. No code and no output is in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import attrs
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pyrepl3 import __version__
from pyrepl3.telemetry import observing
from pyrepl3.telemetry.observing import Happening, ObservedExecution
from pyrepl3.telemetry.traceparent import caller

NANOSECONDS = 1_000_000_000

_propagator = TraceContextTextMapPropagator()


@attrs.define(eq=False)
class _Spans:
    whole: Span
    phase: Span
    """``queued``, then ``running``."""


class Tracing:
    """An observer that makes spans.

    ``execute`` is an execution from its acceptance to its end, ``queued`` and ``running`` are its
    parts; what the code itself traces is below ``execute``. ``acquire`` is a caller's wait for a
    session. Their parent is the client's span where the client told it, otherwise the one that is
    current where the session is used. ``provider``: None for the one that OpenTelemetry has.
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("pyrepl3", __version__, provider)
        self._spans: dict[ObservedExecution, _Spans] = {}
        self._tellers: dict[type, Callable[[Any], None]] = {
            observing.ExecutionSent: self._sent,
            observing.ExecutionStarted: self._started,
            observing.ExecutionEnded: self._ended,
            observing.SessionAcquired: self._acquired,
            observing.AcquisitionFailed: self._acquisition_failed,
        }

    def notice(self, happening: Happening) -> None:
        """Begin or end a span."""
        teller = self._tellers.get(type(happening))
        if teller is not None:
            teller(happening)

    def _sent(self, happening: observing.ExecutionSent) -> None:
        execution = happening.execution
        facts = {
            "pyrepl3.session": execution.session,
            "pyrepl3.execution": execution.execution,
            "pyrepl3.template": execution.template,
        }
        if execution.principal is not None:
            facts["pyrepl3.principal"] = execution.principal
        parent = _context_of(execution.traceparent)
        whole = self._tracer.start_span("execute", parent, SpanKind.SERVER, facts)
        phase = self._tracer.start_span("queued", trace.set_span_in_context(whole))
        self._spans[execution] = _Spans(whole, phase)
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(whole))
        execution.traceparent = carrier.get("traceparent", execution.traceparent)

    def _started(self, happening: observing.ExecutionStarted) -> None:
        spans = self._spans.get(happening.execution)
        if spans is not None:
            spans.phase.end()
            within = trace.set_span_in_context(spans.whole)
            spans.phase = self._tracer.start_span("running", within)

    def _ended(self, happening: observing.ExecutionEnded) -> None:
        execution = happening.execution
        spans = self._spans.pop(execution, None)
        if spans is None:
            return  # it was sent before this was there
        spans.phase.end()
        spans.whole.set_attribute("pyrepl3.outcome", execution.outcome or "unknown")
        spans.whole.set_attribute("pyrepl3.output_bytes", execution.output_bytes)
        if execution.outcome != "ok":
            # Of an exception of the code's own not even the name is told: it is the code's.
            kind = execution.code or execution.outcome or "unknown"
            spans.whole.set_attribute("error.type", kind)
            spans.whole.set_status(StatusCode.ERROR, kind)
        spans.whole.end()

    def _acquired(self, happening: observing.SessionAcquired) -> None:
        self._acquire(happening.template, happening.wait_s, warm=happening.warm).end()

    def _acquisition_failed(self, happening: observing.AcquisitionFailed) -> None:
        span = self._acquire(happening.template, happening.wait_s)
        span.set_attribute("error.type", happening.code)
        span.set_status(StatusCode.ERROR, happening.code)
        span.end()

    def _acquire(self, template: str, wait_s: float, **facts: bool) -> Span:
        """It is over when it is heard of: a span that began before."""
        return self._tracer.start_span(
            "acquire",
            _context_of(caller()),
            attributes={"pyrepl3.template": template}
            | {f"pyrepl3.{name}": fact for name, fact in facts.items()},
            start_time=time.time_ns() - int(wait_s * NANOSECONDS),
        )


def _context_of(traceparent: str | None) -> Context | None:
    """None: the current one."""
    return None if traceparent is None else _propagator.extract({"traceparent": traceparent})
