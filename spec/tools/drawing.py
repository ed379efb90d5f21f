"""``python -m spec draw``: pictures of the state machines, as TLC finds them in the specs.

Owns how a search is made to tell its steps, and how these become diagrams. Nothing in a picture is
drawn by hand: it shows what the spec does, also where nobody meant it to.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from pyrepl3.conformance.tlc import Outcome, Tlc, find_tlc
from pyrepl3.conformance.tlc_config import without_checks
from spec.tools.actions import SpecMalformed
from spec.tools.models import Model, Models, ModelsInvalid, read_models
from spec.tools.noting import VIEW, Note, noting, with_definitions
from spec.tools.pictures import GALLERIES, Gallery, Picture
from spec.tools.running import run_model
from spec.tools.tables import between_markers

MARKERS = "pictures"
PAGE = Path(__file__).parents[2] / "docs" / "formal-model.md"

_REGISTER = 77
"""TLC's, where the arrows that were told already are kept."""
_TOLD = re.compile(r'<<\s*"arrow of ([^"]*)",\s*"([^"]*)",\s*"([^"]*)",\s*"([^"]*)"\s*>>')


@attrs.frozen(order=True)
class Arrow:
    """A step of one thing: from where to where, by which action; "" is nowhere."""

    before: str
    after: str
    action: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--page", type=Path, default=PAGE, help="the page with the markers")
    parser.add_argument("--check", action="store_true", help="write nothing; tell what is old")


def run(arguments: argparse.Namespace) -> int:
    models = read_models(arguments.directory)
    page = arguments.page.read_text()
    drawn = between_markers(page, MARKERS, "\n\n".join(_parts(models)))
    if drawn == page:
        return 0
    if arguments.check:
        print(f"the pictures in {arguments.page.name} are out of date: python -m spec draw")
        return 1
    arguments.page.write_text(drawn)
    return 0


def _parts(models: Models) -> Iterator[str]:
    tlc = find_tlc()
    for gallery in GALLERIES:
        arrows = find_arrows(tlc, models, gallery)
        for picture in gallery.pictures:
            yield f"**{picture.name[0].upper()}{picture.name[1:]}**: {picture.about}"
            yield diagram(arrows[picture.name])


def find_arrows(tlc: Tlc, models: Models, gallery: Gallery) -> Mapping[str, set[Arrow]]:
    """Search some models, and collect every step of everything that is pictured, by name."""
    arrows: dict[str, set[Arrow]] = {picture.name: set() for picture in gallery.pictures}
    for model in models.chosen(gallery.models, "all"):
        print(f"drawing {model.name}", file=sys.stderr, flush=True)
        for name, action, before, after in _TOLD.findall(_search(tlc, models, model, gallery)):
            arrows[name].add(Arrow(before, after, action))
    return arrows


def _search(tlc: Tlc, models: Models, model: Model, gallery: Gallery) -> str:
    """TLC's output."""
    module = (models.directory / f"{model.spec}.tla").read_text()
    config = models.config(model).read_text()
    result = run_model(
        tlc,
        models,
        model,
        spec_text=telling_module(module, gallery.notes, gallery.pictures),
        config_text=f"{without_checks(config)}VIEW {VIEW}\nACTION_CONSTRAINT Drawn\n",
    )
    if result.outcome is not Outcome.OK:
        raise SpecMalformed(f"{model.name} cannot be drawn: {result.message}")
    # Noting the actions must not have kept any of them from being taken.
    if model.recorded is not None and model.recorded.distinct != result.distinct:
        raise ModelsInvalid(
            f"{model.name} has {result.distinct} states while it is drawn, and "
            f"{model.recorded.distinct} recorded"
        )
    return result.output


def telling_module(module: str, notes: Sequence[Note], pictures: Sequence[Picture]) -> str:
    """The spec, with each action noted, and each new arrow printed."""
    return with_definitions(noting(module, notes), list(_telling(notes[0].variable, pictures)))


def _telling(noted: str, pictures: Sequence[Picture]) -> Iterator[str]:
    """The definitions that print an arrow when it is new."""
    # Under a name of its own: specs define a Print too.
    yield "TlcDrawn == INSTANCE TLC"
    yield f"ASSUME TlcDrawn!TLCSet({_REGISTER}, {{}})"
    for number, picture in enumerate(pictures):
        bound, name = picture.bound or "{0}", f'"arrow of {picture.name}"'
        value = f"Value{number}Drawn"
        yield f"{value}(x) == {picture.value}"
        yield f'First{number}Drawn == IF {noted}[1] # "" THEN {{}} ELSE'
        yield f'    {{<<{name}, "", "", {value}(x)>> : x \\in {bound}}}'
        yield f"Next{number}Drawn =="
        yield f"    {{<<{name}, {noted}'[1], {value}(x), {value}(x)'>> :"
        yield f"        x \\in {{y \\in {bound} : {value}(y) # {value}(y)'}}}}"
    every = " \\cup ".join(f"First{n}Drawn \\cup Next{n}Drawn" for n in range(len(pictures)))
    yield "Drawn =="
    yield f"    LET arrows == ({every}) \\ TlcDrawn!TLCGet({_REGISTER})"
    yield "    IN  IF arrows = {} THEN TRUE ELSE"
    yield "        /\\ \\A arrow \\in arrows : TlcDrawn!PrintT(arrow)"
    yield f"        /\\ TlcDrawn!TLCSet({_REGISTER}, TlcDrawn!TLCGet({_REGISTER}) \\cup arrows)"


def diagram(arrows: Iterable[Arrow]) -> str:
    """A Mermaid diagram: an arrow for each two states, with all actions that lead that way."""
    return "\n".join(["```mermaid", "stateDiagram-v2", *_diagram_lines(arrows), "```"])


def _diagram_lines(arrows: Iterable[Arrow]) -> Iterator[str]:
    between: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for arrow in sorted(arrows):
        if (arrow.before, arrow.after) != ("", ""):
            between[arrow.before, arrow.after].append(arrow.action)
    for (before, after), actions in between.items():
        label = ", ".join(action for action in actions if action)
        line = f"    {before or '[*]'} --> {after or '[*]'}"
        yield f"{line}: {label}" if label else line
