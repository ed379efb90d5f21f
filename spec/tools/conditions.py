r"""What actions are decided by: the definitions of a spec between the marks of its conditions.

Owns the form of that region, and where in it each definition has its body. Other definitions (sets,
records, what is the least of numbers) decide nothing and stand outside it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from spec.tools.actions import SpecMalformed, masked

START = r"\* ---- conditions ----"
END = r"\* ---- end of conditions ----"

_DEFINITION = re.compile(r"^(\w+)(?:\([^)]*\))?\s*==", re.MULTILINE)
_AT_THE_MARGIN = re.compile(r"^\S", re.MULTILINE)


@attrs.frozen
class Condition:
    """A definition, whose body is these characters of the spec."""

    name: str
    start: int
    end: int


def read_conditions(text: str) -> list[Condition]:
    """In the order of the text; none where there is no such region. Raises SpecMalformed."""
    if text.count(f"\n{START}\n") != text.count(f"\n{END}\n") or text.count(f"\n{START}\n") > 1:
        raise SpecMalformed(f"needs one line {START!r} and one {END!r}, or neither")
    if f"\n{START}\n" not in text:
        return []
    start = text.index(f"\n{START}\n") + len(START) + 1
    return list(_definitions(masked(text), start, text.index(f"\n{END}\n", start)))


def _definitions(plain: str, start: int, end: int) -> Iterator[Condition]:
    at = _AT_THE_MARGIN.search(plain, start, end)
    while at is not None:
        following = _AT_THE_MARGIN.search(plain, at.end(), end)
        if not plain.startswith("RECURSIVE ", at.start()):
            found = _DEFINITION.match(plain, at.start(), end)
            if found is None:
                line = plain.count("\n", 0, at.start()) + 1
                raise SpecMalformed(f"line {line} defines nothing")
            yield Condition(found[1], found.end(), end if following is None else following.start())
        at = following
