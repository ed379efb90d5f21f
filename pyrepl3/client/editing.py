"""What editors ask of a session: completions, inspections, completeness.

Data only, made from a worker's checked answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs


@attrs.frozen
class Completion:
    """``matches`` may each replace the characters from ``cursor_start`` to ``cursor_end``."""

    matches: tuple[str, ...]
    cursor_start: int
    cursor_end: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Completion:
        """From a worker's `completed`."""
        return cls(tuple(answer["matches"]), answer["cursor_start"], answer["cursor_end"])


@attrs.frozen
class Inspection:
    """The signature and docstring of a name, or ``found`` is False and ``text`` empty."""

    found: bool
    text: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Inspection:
        """From a worker's `inspected`."""
        return cls(answer["found"], answer["text"])


@attrs.frozen
class Completeness:
    """Whether code is whole; ``indent`` is what the next line of incomplete code begins with."""

    status: Literal["complete", "incomplete", "invalid"]
    indent: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Completeness:
        """From a worker's `completeness`."""
        status = answer["status"]
        return cls(status if status in ("complete", "incomplete") else "invalid", answer["indent"])


def at_cursor(code: str, cursor_pos: int | None) -> Mapping[str, Any]:
    """The fields of a question; a cursor outside of the code is at its end. Raises TypeError."""
    if cursor_pos is None:
        return {"code": code, "cursor_pos": len(code)}
    if not isinstance(cursor_pos, int):
        raise TypeError(f"cursor_pos is an int, not a {type(cursor_pos).__name__}")
    return {"code": code, "cursor_pos": min(max(cursor_pos, 0), len(code))}
