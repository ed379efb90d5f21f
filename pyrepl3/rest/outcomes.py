"""An execution's events, folded into the one answer of a request that waits for its end.

Pure. Owns what such an answer holds, and how much of it. Must not know where events come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from pyrepl3.errors import Code
from pyrepl3.wire.client_events import TERMINAL

LOG_CHARACTERS = 10 * 2**20
"""Of what was printed, on each stream: an answer is held in memory as a whole. Who wants more has
the events."""
DISPLAYS = 1000
_OF_DISPLAY = ("data", "metadata", "display_id", "update")


@attrs.define(eq=False)
class Fold:
    """One execution, as far as it has been told."""

    execution: str
    terminal: Mapping[str, Any] | None = None
    _printed: dict[str, list[str]] = attrs.field(factory=lambda: {"stdout": [], "stderr": []})
    _characters: dict[str, int] = attrs.field(factory=lambda: {"stdout": 0, "stderr": 0})
    _displays: list[Mapping[str, Any]] = attrs.field(factory=list)
    _truncated: bool = False

    def add(self, event: Mapping[str, Any]) -> None:
        """One more event of its session; others' are passed over."""
        if event.get("execution") != self.execution:
            return
        kind = event["type"]
        if kind == "output":
            self._print(event["stream"], event["data"])
        elif kind == "display":
            self._display(event)
        elif kind == "output_gap":
            self._truncated = True
        elif kind in TERMINAL:
            self.terminal = event

    def miss(self) -> None:
        """Events were forgotten before they were read here, maybe of this execution."""
        self._truncated = True

    def answer(self) -> dict[str, Any]:
        """The fields of the terminal event, with what was printed and displayed before it."""
        assert self.terminal is not None
        return {
            **self.terminal,
            "logs": {
                **{stream: "".join(parts) for stream, parts in self._printed.items()},
                "truncated": self._truncated,
            },
            "displays": self._displays,
        }

    def _print(self, stream: str, text: str) -> None:
        room = LOG_CHARACTERS - self._characters[stream]
        if len(text) > room:
            self._truncated = True
            text = text[:room]
        self._printed[stream].append(text)
        self._characters[stream] += len(text)

    def _display(self, event: Mapping[str, Any]) -> None:
        if len(self._displays) >= DISPLAYS:
            self._truncated = True
            return
        self._displays.append({name: event[name] for name in _OF_DISPLAY if name in event})


def forgotten(session: str, execution: str, seq: int) -> dict[str, Any]:
    """Instead of a terminal event that the journal does not have any more."""
    return {
        "type": "error",
        "session": session,
        "execution": execution,
        "seq": seq,
        "name": "OutputGap",
        "value": "it has ended, and how is forgotten: the journal does not go back so far",
        "traceback": [],
        "code": Code.OUTPUT_GAP,
        "state": "unknown",
        "execution_count": None,
        "duration_s": None,
        "exit_status": None,
        "details": {},
    }
