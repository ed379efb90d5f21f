"""For schemathesis: what it is not to send, as no schema can say so."""

from __future__ import annotations

from typing import Any

import schemathesis

BITS = 64
TRUE = frozenset({"true", "1", "on", "yes", "t", "y"})


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A stream that is followed has no end before its session has one.

    Here, and not in `map_query`: what the coverage phase makes does not go through that one.
    """
    if case.query and str(case.query.get("follow")).lower() in TRUE:
        case.query["follow"] = "false"


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
