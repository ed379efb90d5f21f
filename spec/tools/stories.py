"""A counterexample as a story: who did what, and what changed.

Owns how it is told. TLC writes every variable of every state, most of which are as they were.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from pyrepl3.conformance.tlc import Tlc, TlcResult
from pyrepl3.conformance.tlc_messages import State
from spec.tools.actions import SpecMalformed
from spec.tools.models import Model, Models
from spec.tools.noting import NOTES, VIEW, noting
from spec.tools.running import run_model

_VARIABLE = re.compile(r"^(?:/\\ )?(\w+) = ", re.MULTILINE)
_NOTED = re.compile(r'"(\w*)"')


def tell(tlc: Tlc, models: Models, model: Model, result: TlcResult) -> str:
    """The story of what a model came to, with the names of its actions if they can be found."""
    notes = NOTES.get(model.spec, ())
    try:
        spec_text = noting((models.directory / f"{model.spec}.tla").read_text(), notes)
    except SpecMalformed:
        return story(result)
    config_text = f"{models.config(model).read_text()}\nVIEW {VIEW}\n"
    noted = run_model(tlc, models, model, spec_text=spec_text, config_text=config_text)
    found, wanted = ((r.outcome, r.violated, len(r.trace)) for r in (noted, result))
    return story(noted, [note.variable for note in notes]) if found == wanted else story(result)


def story(result: TlcResult, notes: Collection[str] = ()) -> str:
    """The steps of a counterexample. ``notes`` are variables that name the action of a step."""
    return "\n".join(_lines(result, notes))


def values(state: State) -> Mapping[str, str]:
    """The value of each variable, on one line."""
    parts = _VARIABLE.split(state.variables)
    return {
        name: " ".join(value.split()) for name, value in zip(parts[1::2], parts[2::2], strict=True)
    }


def _lines(result: TlcResult, notes: Collection[str]) -> Iterator[str]:
    before: Mapping[str, str] = {}
    for state in result.trace:
        now = values(state)
        changed = {name: value for name, value in now.items() if before.get(name) != value}
        noted = [found[1] for note in notes if (found := _NOTED.search(changed.get(note, "")))]
        action = ", ".join(filter(None, noted)) if before else ""
        yield f"{state.number:4} {action or state.action}"
        shown = {name: value for name, value in changed.items() if name not in notes}
        yield from (f"         {name} = {value}" for name, value in sorted(shown.items()))
        before = now
    if result.back_to is not None:
        yield f"     and so on for ever, from {result.back_to}"
    if result.stutters:
        yield "     and nothing more, for ever"
