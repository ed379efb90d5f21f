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
