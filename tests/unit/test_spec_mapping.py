"""Unit: the specs and the code have the same names, and the tables that say so tell the truth."""

from __future__ import annotations

import enum
import importlib
import re
from pathlib import Path

import pytest

from pyrepl3.pool.pool_trace import PoolAction
from pyrepl3.session.session_trace import SessionAction
from spec.tools.actions import FAIRNESS, read_definitions

SPEC = Path(__file__).parents[2] / "spec"
README = (SPEC / "README.md").read_text()
TRACED: dict[str, type[enum.StrEnum]] = {"Pool": PoolAction, "Session": SessionAction}


def region(spec: str, begin: str, end: str) -> list[str]:
    """The names of the actions between these two marker comments, in their order."""
    text = (SPEC / f"{spec}.tla").read_text()
    part = text[text.index(rf"\* ---- {begin} ----") : text.index(rf"\* ---- {end} ----")]
    return re.findall(r"^(\w+)(?:\([^)]*\))? ==$", part, re.MULTILINE)


def variables(spec: str) -> list[str]:
    text = (SPEC / f"{spec}.tla").read_text()
    declared = text[text.index("VARIABLES") :]
    declared = declared[: declared.index("==")]
    return re.findall(r"^ {4}(\w+)(?:,|\s)", declared, re.MULTILINE)


def section(spec: str) -> str:
    """What the table of a spec says."""
    begin = README.index(f"### {spec}.tla")
    end = min(
        (README.index(mark, begin + 1) for mark in ("\n### ", "\n## ") if mark in README[begin:]),
        default=len(README),
    )
    return README[begin:end]


def first_cells(spec: str) -> set[str]:
    rows = [line.split(" | ")[0] for line in section(spec).splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("spec", TRACED)
def test_what_is_recorded_has_the_name_of_an_action_of_the_spec(spec: str) -> None:
    names = region(spec, "actions", "end of actions")

    assert sorted(names) == sorted(action.value for action in TRACED[spec])


@pytest.mark.parametrize("spec", [*TRACED, "Snapshot", "Tree"])
def test_the_table_has_every_action_and_variable_of_the_spec_and_no_other(spec: str) -> None:
    actions = {d.name for d in read_definitions((SPEC / f"{spec}.tla").read_text())} - {FAIRNESS}

    assert first_cells(spec) == actions | set(variables(spec))


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`(pyrepl3[\w.]*:[\w.]+)`", README))))
def test_what_the_tables_name_is_in_the_code(place: str) -> None:
    module, _, path = place.partition(":")
    found: object = importlib.import_module(module)
    for name in path.split("."):
        fields = {field.name for field in getattr(found, "__attrs_attrs__", ())}
        if name in fields:
            return  # a field of an instance; nothing is below it
        found = getattr(found, name)


@pytest.mark.parametrize("action", PoolAction)
def test_an_action_of_the_pool_is_a_method_or_an_effect_of_that_name(action: PoolAction) -> None:
    state = importlib.import_module("pyrepl3.pool.pool_state").PoolState
    records = importlib.import_module("pyrepl3.pool.pool_records")
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", action.value).lower()

    assert hasattr(state, method) or hasattr(records, action.value)
