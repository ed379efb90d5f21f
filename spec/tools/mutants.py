"""Mutants of a spec: each is the spec with one of its parts left out.

Owns which parts those are, and the names under which the reasons are kept. Must not know how a
mutant is tried. Pure.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from spec.tools.actions import (
    FAIRNESS,
    Conjunct,
    Definition,
    SpecMalformed,
    masked,
    read_definitions,
)

_EXCEPT = re.compile(r"\bEXCEPT\b")
_BRACKETS = re.compile(r"<<|>>|[\[\](){},]")
_OPENING = {"<<", "[", "(", "{"}


class Kind(enum.StrEnum):
    """What is left out."""

    GUARD = "guard"
    UPDATE = "update"
    CLAUSE = "clause"
    """One of several places that one update changes."""
    FAIRNESS = "fairness"
    STRENGTH = "strength"
    """What makes a fairness strong, as the weakest that does it is wanted."""


@attrs.frozen
class Mutant:
    """One mutant. Its name says where and what, and stays the same when lines move."""

    name: str
    kind: Kind
    definition: str
    module: str
    """The text of the mutated module."""


@attrs.frozen
class _Change:
    kind: Kind
    definition: str
    what: str
    conjunct: Conjunct
    replacement: Sequence[str]


def mutants(spec: str, module: str) -> list[Mutant]:
    """All mutants of a spec, in the order of its text. Raises SpecMalformed."""
    found: list[Mutant] = []
    times: Counter[str] = Counter()
    lines = module.splitlines()
    for definition in read_definitions(module):
        for change in _changes(definition):
            name = f"{spec}/{definition.name}/{change.kind}: {change.what}"
            times[name] += 1
            if times[name] > 1:
                name = f"{name} ({times[name]})"
            part = change.conjunct
            changed = [*lines[: part.first], *change.replacement, *lines[part.end :]]
            found.append(Mutant(name, change.kind, definition.name, "\n".join(changed) + "\n"))
    if not found:
        raise SpecMalformed(f"{spec} has no region of actions and no {FAIRNESS}")
    return found


def _changes(definition: Definition) -> Iterator[_Change]:
    for conjunct in definition.conjuncts:
        text = " ".join(conjunct.text.split())

        def change(kind: Kind, what: str, instead: str, part: Conjunct = conjunct) -> _Change:
            replacement = f"    /\\ {instead}".splitlines()
            return _Change(kind, definition.name, what, part, replacement)

        if definition.name == FAIRNESS:
            yield change(Kind.FAIRNESS, text, "TRUE")
            if "SF_" in text:
                yield change(Kind.STRENGTH, text, conjunct.text.replace("SF_", "WF_"))
        elif (variable := conjunct.updates) is not None:
            yield change(Kind.UPDATE, variable, f"UNCHANGED {variable}")
            for clause, rest in _clauses(conjunct.text):
                yield change(Kind.CLAUSE, clause, rest)
        elif not conjunct.is_unchanged:
            yield change(Kind.GUARD, text, "TRUE")


def _clauses(text: str) -> Iterator[tuple[str, str]]:
    """Each clause of each EXCEPT with several, and the text without that clause."""
    plain = masked(text)
    for found in _EXCEPT.finditer(plain):
        ends = list(_clause_ends(plain, found.end()))
        starts = [found.end(), *(end + 1 for end in ends[:-1])]
        if len(ends) < 2:
            continue
        for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
            # The last clause goes with the comma before it, any other with the one after it.
            cut = (start, end + 1) if index < len(ends) - 1 else (start - 1, end)
            yield " ".join(text[start:end].split()), text[: cut[0]] + text[cut[1] :]


def _clause_ends(plain: str, start: int) -> Iterator[int]:
    """Where each clause after an EXCEPT ends: at a comma, the last at the closing bracket."""
    depth = 0
    for found in _BRACKETS.finditer(plain, start):
        bracket = found[0]
        if bracket == ",":
            if depth == 0:
                yield found.start()
        elif bracket in _OPENING:
            depth += 1
        elif depth == 0:
            yield found.start()
            return
        else:
            depth -= 1
    raise SpecMalformed(f"an EXCEPT without an end: {plain!r}")
