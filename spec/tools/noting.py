"""A spec that notes which action it takes, in variables that its states are not told apart by.

Owns that rewriting. TLC names a step after the part of Next that it is in, which is no action where
an IF or a conjunction comes before the actions, nor where a step is two actions at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from spec.tools.actions import SpecMalformed, read_regions, variables

VIEW = "WithoutNotes"


@attrs.frozen
class Note:
    """A variable that notes the actions of some regions."""

    variable: str
    regions: Sequence[int]
    """The actions of the first region, of the second."""
    tuples: Sequence[str]
    """Those of the spec's variables by which it says that nothing of this kind changes."""


NOTES: Mapping[str, Sequence[Note]] = {
    "Pool": (Note("actionTaken", (0, 1), ("vars",)),),
    # A step is an action of the session, a step of the world, or one of each.
    "Session": (
        Note("actionTaken", (0,), ("session",)),
        Note("worldTaken", (1,), ("World", "vars")),
    ),
    "Snapshot": (Note("actionTaken", (0, 1), ("vars",)),),
    "Tree": (Note("actionTaken", (0, 1), ("vars",)),),
}


def noting(module: str, notes: Sequence[Note]) -> str:
    """The text of a spec, with notes in it, and a view that leaves them out."""
    names = variables(module)
    text = "\n".join(_noted_lines(module, notes))
    for note in notes:
        # The second part tells two steps apart that take the same action.
        start = f'{note.variable} = <<"", 0>>'
        text = _once(r"^VARIABLES?\b", rf"VARIABLE {note.variable}\n\g<0>", text)
        text = _once(r"^Init ==\n", rf"\g<0>    /\\ {start}\n", text)
        for name in note.tuples:
            text = _once(rf"^{name} == <<", rf"\g<0>{note.variable}, ", text)
    return with_definitions(text, [f"{VIEW} == <<{', '.join(names)}>>"])


def _noted_lines(module: str, notes: Sequence[Note]) -> list[str]:
    regions = read_regions(module)
    insertions: dict[int, str] = {}
    for note in notes:
        for index in note.regions:
            for definition in regions[index] if index < len(regions) else ():
                kept = [c.text.split()[1:] for c in definition.conjuncts if c.is_unchanged]
                if any([name] in kept for name in note.tuples):
                    continue
                taken = f'<<"{definition.name}", 1 - {note.variable}[2]>>'
                end = definition.conjuncts[-1].end
                insertions[end] = f"    /\\ {note.variable}' = {taken}"
    return [
        line
        for number, original in enumerate(module.splitlines())
        for line in (*([insertions[number]] if number in insertions else ()), original)
    ]


def with_definitions(module: str, lines: Sequence[str]) -> str:
    """The text of a module, with more definitions at its end."""
    end = module.rindex("\n====")
    return "\n".join([module[:end], *lines]) + module[end:]


def _once(pattern: str, replacement: str, text: str) -> str:
    changed, times = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    if not times:
        raise SpecMalformed(f"no place for notes: there is no {pattern}")
    return changed
