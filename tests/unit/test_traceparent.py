"""Unit tests: the trace that something belongs to, as text."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pyrepl3.errors import ConfigInvalid
from pyrepl3.telemetry.exporting import exporting, is_wanted
from pyrepl3.telemetry.traceparent import (
    called_from,
    caller,
    current_traceparent,
    valid_traceparent,
)

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"))
def test_what_is_taken_is_what_opentelemetry_takes(text: str) -> None:
    taken = valid_traceparent(text)

    if taken is not None:
        context = TraceContextTextMapPropagator().extract({"traceparent": taken})
        assert context
    assert taken in (None, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", TRACEPARENT + "\n", TRACEPARENT.upper(), TRACEPARENT[3:]),
        "ff" + TRACEPARENT[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
def test_what_is_none_is_none(text: str) -> None:
    assert valid_traceparent(text) is None
    assert valid_traceparent(TRACEPARENT) == TRACEPARENT
    assert valid_traceparent(None) is None


def test_the_current_one_is_as_the_standards_propagator_writes_it() -> None:
    tracer = TracerProvider().get_tracer("test")
    assert current_traceparent() is None

    with tracer.start_as_current_span("span"):
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        assert current_traceparent() == carrier["traceparent"]

    assert current_traceparent() is None


def test_the_caller_is_known_in_its_block() -> None:
    with called_from(TRACEPARENT):
        assert caller() == TRACEPARENT
        with called_from("nonsense"):
            assert caller() is None

    assert caller() is None


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_environment_says_whether_traces_are_wanted(
    variables: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    assert is_wanted() is wanted
    if not wanted:
        with exporting() as tracing:
            assert tracing is None


@pytest.mark.parametrize(
    ("name", "text"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
)
def test_what_cannot_be_had_is_told(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv(name, text)

    with pytest.raises(ConfigInvalid, match=text), exporting():
        pass


def test_what_is_not_installed_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(ConfigInvalid, match="is not installed") as caught, exporting():
        pass

    assert caught.value.how == "python -m pip install 'pyrepl3[otel]', or '.[otel]' in a clone"
