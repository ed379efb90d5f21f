"""What a client reads of each answer, and whether it is there. Pure.

A service of another make, or of a version to come, is told as such where it is asked; what is made
of an answer need not look again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class _Answer:
    types: tuple[str, ...]
    fields: Mapping[str, type] = attrs.field(factory=dict)


_ANSWERS = {
    # A request for a session may go on as one to attach to it.
    "open_session": _Answer(("session_opened", "attached"), {"session": str}),
    "attach": _Answer(("attached",), {"session": str}),
    "list_sessions": _Answer(("sessions",), {"sessions": list}),
    "close_session": _Answer(("session_ended",)),
    "execute": _Answer(("accepted",)),
    "input_response": _Answer(("input_taken",)),
    "interrupt": _Answer(("interrupted",), {"state": str, "by": str}),
    "begin": _Answer(("begun",)),
    "commit": _Answer(("committed",)),
    "rollback": _Answer(("rolled_back",)),
    "keep_history": _Answer(("keeping",), {"dropped": list}),
    "history": _Answer(
        ("history",),
        {"entries": list, "undone": list, "dropped": int, "count": int, "bytes": int},
    ),
    "undo": _Answer(("undone",), {"execution": str}),
    "redo": _Answer(("redone",), {"execution": str}),
    "get_execution": _Answer(("execution",), {"state": str, "since": int}),
    "complete": _Answer(("completed",), {"matches": list, "cursor_start": int, "cursor_end": int}),
    "inspect": _Answer(("inspected",), {"found": bool, "text": str}),
    "is_complete": _Answer(("completeness",), {"status": str, "indent": str}),
}


def is_understood(kind: str, message: Mapping[str, Any]) -> bool:
    """Whether that message answers a request of that kind."""
    answer = _ANSWERS.get(kind)
    return answer is None or (
        message["type"] in answer.types
        and all(isinstance(message.get(name), type) for name, type in answer.fields.items())
    )
