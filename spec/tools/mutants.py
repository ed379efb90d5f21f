"""Mutants of a spec: each is the spec with one of its parts left out.

Owns which parts those are, and the names under which the reasons are kept. Must not know how a
mutant is tried. Pure.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Iterator

import attrs

from spec.tools.actions import (
    FAIRNESS,
    Conjunct,
    Definition,
    SpecMalformed,
    masked,
    read_definitions,
    without_comments,
)
from spec.tools.conditions import read_conditions
from spec.tools.expressions import Role, parts

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
    CHOICE = "choice"
    """One of several ways in which a condition may hold."""
    CONDITION = "condition"
    """What an IF asks: it is always so, or never."""
    ARM = "arm"
    """Of a CASE."""
    BOUND = "bound"
    """That there is a most or a least of something."""


_KINDS = {
    Role.CONJUNCT: Kind.GUARD,
    Role.DISJUNCT: Kind.CHOICE,
    Role.CONDITION: Kind.CONDITION,
    Role.ARM: Kind.ARM,
    Role.BOUND: Kind.BOUND,
}
_ARE = {Role.CONDITION, Role.BOUND}


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
    """Characters ``start`` up to ``end`` of the spec, and what stands there in the mutant."""

    kind: Kind
    definition: str
    what: str
    start: int
    end: int
    instead: str


def mutants(spec: str, module: str) -> list[Mutant]:
    """All mutants of a spec, in the order of its text. Raises SpecMalformed."""
    found: list[Mutant] = []
    times: Counter[str] = Counter()
    for change in [*_in_conditions(module), *_in_actions(module)]:
        name = f"{spec}/{change.definition}/{change.kind}: {change.what}"
        times[name] += 1
        if times[name] > 1:
            name = f"{name} ({times[name]})"
        changed = module[: change.start] + change.instead + module[change.end :]
        found.append(Mutant(name, change.kind, change.definition, changed))
    if not found:
        raise SpecMalformed(f"{spec} has no region of actions and no {FAIRNESS}")
    return found


def _in_conditions(module: str) -> Iterator[_Change]:
    for condition in read_conditions(module):
        yield from _decisions(module, condition.name, condition.start, condition.end)
        body = module[condition.start : condition.end]
        for clause, rest in _clauses(without_comments(body)):
            yield _Change(Kind.CLAUSE, condition.name, clause, condition.start, condition.end, rest)


def _in_actions(module: str) -> Iterator[_Change]:
    starts = [0, *(found.end() for found in re.finditer("\n", module))]
    for definition in read_definitions(module):
        for conjunct in definition.conjuncts:
            start, end = starts[conjunct.first], starts[conjunct.end]
            for kind, what, instead in _changes(definition, conjunct):
                text = f"    /\\ {instead}\n"
                yield _Change(kind, definition.name, what, start, end, text)
            if definition.name != FAIRNESS and not conjunct.is_unchanged:
                sign = len("    /\\ ")
                yield from _decisions(module, definition.name, start + sign, end)


def _changes(definition: Definition, conjunct: Conjunct) -> Iterator[tuple[Kind, str, str]]:
    """A conjunct that is left out whole, or a clause of it: its kind, its name, what is instead."""
    text = " ".join(conjunct.text.split())
    if definition.name == FAIRNESS:
        yield Kind.FAIRNESS, text, "TRUE"
        if "SF_" in text:
            yield Kind.STRENGTH, text, conjunct.text.replace("SF_", "WF_")
    elif (variable := conjunct.updates) is not None:
        yield Kind.UPDATE, variable, f"UNCHANGED {variable}"
        for clause, rest in _clauses(conjunct.text):
            yield Kind.CLAUSE, clause, rest
    elif not conjunct.is_unchanged:
        yield Kind.GUARD, text, "TRUE"


def _decisions(module: str, name: str, start: int, end: int) -> Iterator[_Change]:
    """What is decided within these characters."""
    line = module.rfind("\n", 0, start) + 1
    plain = " " * (start - line) + masked(module)[start:end]
    for part in parts(plain):
        first, last = line + part.start, line + part.end
        text = " ".join(without_comments(module)[first:last].split())
        for instead in part.instead:
            told = f"{text} is {instead}" if part.role in _ARE else text
            padded = _padded(module, first, last, instead)
            yield _Change(_KINDS[part.role], name, told, first, last, padded)


def _padded(module: str, start: int, end: int, instead: str) -> str:
    """As long as what was there, and with its line ends: what follows stays in its column."""
    blank = re.sub(r"[^\n]", " ", module[start:end])
    return instead + blank[min(len(instead), len(blank.partition("\n")[0])) :]


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
