"""One of each body over REST that says more than its types do, for the OpenAPI document.

Must not know what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrepl3.rest.answers import Outcome, StoredFile
from pyrepl3.rest.wishes import (
    ExecutionWish,
    InputLine,
    InterruptWish,
    OneShot,
    SessionChange,
    SessionWish,
    UndoWish,
)

EXAMPLES: Mapping[type[Any], Mapping[str, Any]] = {
    SessionWish: {"name": "analysis", "idle_timeout_s": 600, "metadata": {"user": "ada"}},
    SessionChange: {"metadata": {"user": "grace"}},
    ExecutionWish: {"code": "x = 20\nx + 22", "timeout_s": 5},
    OneShot: {"code": "print(6 * 7)"},
    InterruptWish: {"grace_s": 1},
    InputLine: {"input": "i1", "data": "Ada"},
    UndoWish: {"to": "cell-1"},
    Outcome: {
        "type": "result",
        "session": "0f3c5a1b2d4e6f708192a3b4",
        "execution": "cell-1",
        "seq": 2,
        "logs": {"stdout": "", "stderr": "", "truncated": False},
        "displays": [],
        "value": 42,
        "has_value": True,
        "repr": "42",
        "data": {"text/plain": "42"},
        "metadata": {},
        "execution_count": 1,
        "duration_s": 0.0002,
        "usage": {"cpu_s": 0.0001, "max_rss_bytes": 14_000_000, "history_bytes": 0},
        "state": "kept",
    },
    StoredFile: {
        "path": "data.csv",
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    },
}
"""One of each that says more than its types do."""
