"""Where the traces of `pyrepl3 serve` go: as OpenTelemetry's standard variables say.

Owns the SDK's set-up for a process of the command. Without those variables nothing of OpenTelemetry
is imported. A program that embeds the service sets up its own, and this module is not for it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyrepl3.errors import ConfigInvalid
from pyrepl3.extras import install

if TYPE_CHECKING:
    from pyrepl3.telemetry.tracing import Tracing

FLUSH_S = 2.0
"""For spans that were not sent yet, at the end: a collector that is down must not hold it up."""


def is_wanted() -> bool:
    """Whether the environment says where traces go."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporters = os.environ.get("OTEL_TRACES_EXPORTER")
    if exporters is not None:
        return exporters not in ("", "none")
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return any(os.environ.get(name) for name in names)


@contextmanager
def exporting() -> Iterator[Tracing | None]:
    """The observer whose spans are exported during the block; None where nobody wants them.

    Raises ConfigInvalid where they are wanted, and cannot be had.
    """
    if not is_wanted():
        yield None
        return
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from pyrepl3.telemetry.tracing import Tracing

        exporter = _exporter()
    except ImportError as error:
        raise _invalid(f"{error.name} is not installed", install("otel")) from error
    provider = TracerProvider(resource=Resource.create(_own_name()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield Tracing(provider)
    finally:
        flushing = threading.Thread(target=provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)


def _exporter() -> Any:
    name = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    if name != "otlp":
        raise _invalid(f"there is no exporter {name!r}", "Set OTEL_TRACES_EXPORTER to otlp")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if protocol != "http/protobuf":
        how = "Set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf, and the endpoint to that of HTTP"
        raise _invalid(f"OTLP is spoken over HTTP, not by {protocol!r}", how)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _own_name() -> dict[str, str]:
    """The service's, where the environment does not give it another."""
    named = os.environ.get("OTEL_SERVICE_NAME")
    if named or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        return {}
    return {"service.name": "pyrepl3"}


def _invalid(why: str, how: str) -> ConfigInvalid:
    return ConfigInvalid(
        what="traces cannot be exported as the environment asks for",
        why=why,
        how=how,
        details={"field": "OTEL_TRACES_EXPORTER"},
    )
