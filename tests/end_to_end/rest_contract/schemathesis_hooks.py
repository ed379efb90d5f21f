"""For schemathesis: what it is not to send, as no schema can say so."""

from __future__ import annotations

from typing import Any

import schemathesis

BITS = 64


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A stream that is followed has no end before its session has one."""
    if query and "follow" in query:
        return {**query, "follow": "false"}
    return query


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Whole numbers have 64 bits, wherever they are: in fields that nobody knows, too."""
    return _bounded(body)


def _bounded(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _bounded(each) for name, each in part.items()}
    if isinstance(part, list):
        return [_bounded(each) for each in part]
    if isinstance(part, int) and part.bit_length() >= BITS:
        return part >> (part.bit_length() - BITS + 1)
    return part
