"""The parts of a spec that a mutant can leave out: conjuncts of its actions and of its fairness.

Owns the form in which our specs are written, and holds them to it: regions between marker
comments, an action as a definition at the margin, its conjuncts four columns in. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

REGIONS = {
    r"\* ---- actions ----": r"\* ---- end of actions ----",
    r"\* ---- the world ----": r"\* ---- end of the world ----",
    r"\* ---- turns ----": r"\* ---- end of turns ----",
}
FAIRNESS = "Fairness"

_MASKED = re.compile(r'"(?:[^"\\\n]|\\.)*"|\\\*[^\n]*|\(\*.*?\*\)', re.DOTALL)
_HEAD = re.compile(r"(\w+)(?:\([^)]*\))?\s*==\s*$")
_CONJUNCT = "    /\\ "
_UPDATE = re.compile(r"(\w+)'\s*=(?![=>])")


class SpecMalformed(Exception):
    """A spec is not in the form that the tools can read."""


@attrs.frozen
class Conjunct:
    """One conjunct: lines ``first`` up to and without ``end``, and its text without comments."""

    first: int
    end: int
    text: str

    @property
    def updates(self) -> str | None:
        """The variable that this gives its next value, if it is such a conjunct."""
        found = _UPDATE.match(self.text)
        return None if found is None else found[1]

    @property
    def is_unchanged(self) -> bool:
        return self.text.startswith("UNCHANGED")


@attrs.frozen
class Definition:
    """An action, or the fairness condition."""

    name: str
    conjuncts: Sequence[Conjunct]


def masked(text: str) -> str:
    """The text with blanks for comments and for what is in strings, character for character."""

    def blank(found: re.Match[str]) -> str:
        whole = found[0]
        if whole.startswith('"'):
            return f'"{" " * (len(whole) - 2)}"'
        return re.sub(r"[^\n]", " ", whole)

    return _MASKED.sub(blank, text)


def without_comments(text: str) -> str:
    """The text with comments blanked, and its strings kept."""
    return _MASKED.sub(
        lambda found: found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0]),
        text,
    )


def read_definitions(text: str) -> list[Definition]:
    """The actions of a spec in their order, then its fairness. Raises SpecMalformed."""
    plain = without_comments(text).splitlines()
    found = [definition for region in read_regions(text) for definition in region]
    fairness = [number for number, line in enumerate(plain) if line.rstrip() == f"{FAIRNESS} =="]
    for start in fairness:
        found += list(_read(plain, start, len(plain), whole=False))
    names = [definition.name for definition in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SpecMalformed(f"defined twice: {', '.join(sorted(twice))}")
    return found


def read_regions(text: str) -> list[list[Definition]]:
    """The actions of each region that a spec has. Raises SpecMalformed."""
    plain = without_comments(text).splitlines()
    return [
        list(_read(plain, start, end, whole=True)) for start, end in _regions(text.splitlines())
    ]


def variables(text: str) -> list[str]:
    """The names of a spec's variables."""
    found = re.search(r"^VARIABLES?\s+(\w+(?:\s*,\s*\w+)*)", without_comments(text), re.MULTILINE)
    if found is None:
        raise SpecMalformed("there are no variables")
    return [name.strip() for name in found[1].split(",")]


def _regions(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """From the line after a start marker to the line of its end marker."""
    stripped = [line.rstrip() for line in lines]
    for start, end in REGIONS.items():
        if stripped.count(start) != stripped.count(end) or stripped.count(start) > 1:
            raise SpecMalformed(f"needs one line {start!r} and one {end!r}, or neither")
        if start in stripped:
            yield stripped.index(start) + 1, stripped.index(end)


def _read(plain: Sequence[str], start: int, end: int, *, whole: bool) -> Iterator[Definition]:
    """The definitions in these lines; the first one only unless ``whole``."""
    number = start
    while number < end:
        if not plain[number].strip():
            number += 1
            continue
        head = _HEAD.match(plain[number])
        if head is None:
            raise SpecMalformed(f"line {number + 1} starts no definition: {plain[number]!r}")
        body_end = number + 1
        while body_end < end and (not plain[body_end].strip() or plain[body_end][0] == " "):
            body_end += 1
        yield Definition(head[1], list(_conjuncts(plain, number + 1, body_end)))
        if not whole:
            return
        number = body_end


def _conjuncts(plain: Sequence[str], start: int, end: int) -> Iterator[Conjunct]:
    starts = []
    for number in range(start, end):
        line = plain[number]
        if line.startswith(_CONJUNCT):
            starts.append(number)
        elif line.strip() and (not starts or not line.startswith(" " * 5)):
            raise SpecMalformed(f"line {number + 1} is no conjunct and continues none: {line!r}")
    if not starts:
        raise SpecMalformed(f"line {start} defines nothing")
    for first, following in zip(starts, [*starts[1:], end], strict=True):
        last = max(n for n in range(first, following) if plain[n].strip())
        text = "\n".join(plain[first : last + 1])
        yield Conjunct(first, last + 1, text[len(_CONJUNCT) :])
