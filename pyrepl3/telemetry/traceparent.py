"""The trace that something belongs to, as one line of text: W3C Trace Context's `traceparent`.

Owns that text on its way through the service. OpenTelemetry is never imported here: a program that
has no use for it pays for a look into `sys.modules`. Must not make spans.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII
)
_API = "opentelemetry.trace"

_CALLER: ContextVar[str | None] = ContextVar("pyrepl3_caller", default=None)


def valid_traceparent(text: str | None) -> str | None:
    """The text, if it is one; what is none is ignored, as the standard has it."""
    return text if text is not None and _FORM.fullmatch(text) else None


def current_traceparent() -> str | None:
    """Of the span that is current in the caller's task; None where there is none."""
    api = sys.modules.get(_API)
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def called_from(traceparent: str | None) -> Iterator[None]:
    """What this task does during the block is done for a client of that trace."""
    token = _CALLER.set(valid_traceparent(traceparent))
    try:
        yield
    finally:
        _CALLER.reset(token)


def caller() -> str | None:
    """The trace of the client that this task does something for; None: it is not known."""
    return _CALLER.get()
