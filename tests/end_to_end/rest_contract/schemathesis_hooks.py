"""For schemathesis: what it may not send, as there would be no end to it."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A stream that is followed has no end before its session has one."""
    if query and "follow" in query:
        return {**query, "follow": "false"}
    return query
