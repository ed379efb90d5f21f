"""``python -m spec deadlocks``: the deadlocks that TLC finds, told step by step.

Owns the parts of the page that tell them. Nothing there is written by hand but the prose between:
the steps are TLC's shortest counterexamples, the same each time, as one thread searches.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pyrepl3.conformance.tlc import Outcome, Tlc, TlcResult, find_tlc
from spec.tools.models import Model, Models, ModelsInvalid, read_models
from spec.tools.running import run_model
from spec.tools.stories import values
from spec.tools.tables import between_markers, markdown_table
from spec.tools.tla_reader import read_value
from spec.tools.tree_steps import Rooms, State, Waiting, cycle, step, waits

BROKEN_ON_PURPOSE = ("TreeCreationInAcquire", "TreeWaitingSession")
PAGE = Path(__file__).parents[2] / "docs" / "deadlocks.md"

_NUMBER = re.compile(r"^ +(\w+) = (\d+)$", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--page", type=Path, default=PAGE, help="the page with the markers")
    parser.add_argument("--check", action="store_true", help="write nothing; tell what is old")


def run(arguments: argparse.Namespace) -> int:
    models = read_models(arguments.directory)
    tlc = find_tlc()
    page = told = arguments.page.read_text()
    for model in models.chosen(BROKEN_ON_PURPOSE, "all"):
        told = between_markers(told, model.name, deadlock(tlc, models, model))
    if told == page:
        return 0
    if arguments.check:
        print(f"the deadlocks in {arguments.page.name} are out of date: python -m spec deadlocks")
        return 1
    arguments.page.write_text(told)
    return 0


def deadlock(tlc: Tlc, models: Models, model: Model) -> str:
    """The deadlock of a model, for a page. Raises ModelsInvalid where there is none."""
    result = run_model(tlc, models, model)
    if result.outcome is not Outcome.DEADLOCK:
        raise ModelsInvalid(f"{model.name} must deadlock, and came to: {result.outcome}")
    rooms = {
        name: int(number) for name, number in _NUMBER.findall(models.config(model).read_text())
    }
    return f"{_steps(result, rooms)}\n\n{_end(waits(_states(result)[-1], rooms))}"


def _states(result: TlcResult) -> Sequence[State]:
    return [
        {name: read_value(value) for name, value in values(state).items()} for state in result.trace
    ]


def _steps(result: TlcResult, rooms: Rooms) -> str:
    actions = [state.action for state in result.trace[1:]]
    steps = [
        step(action, before, now, rooms)
        for action, (before, now) in zip(actions, pairwise(_states(result)), strict=True)
    ]
    rows = [(number, one.who, one.what, f"`{one.action}`") for number, one in enumerate(steps, 1)]
    return markdown_table(("step", "who", "does what", "action"), rows)


def _end(waiting: Sequence[Waiting]) -> str:
    lines = [f"- The {one.who} waits for the {one.whom}: {one.why}." for one in waiting]
    lines = [re.sub(r"\b[Tt]he (?=caller \d|session \d)", "", line) for line in lines]
    lines = [f"{line[:2]}{line[2].upper()}{line[3:]}" for line in lines]
    around = " → ".join(cycle(waiting))
    return "\n".join(["Then nobody can do anything:", "", *lines, "", f"The cycle: **{around}**."])
