"""Unit tests: the specs, their models and the list of models agree, and all of it is shipped."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pyrepl3.conformance.tlc_config import read_config
from spec.tools.models import SPEC, read_models

MODELS = read_models()
SPECS = sorted(path.stem for path in SPEC.glob("*.tla"))
CONFIGS = sorted(path.stem for path in (SPEC / "models").glob("*.cfg"))


def definitions(module: Path) -> set[str]:
    """The names that a module defines, those of ours that it extends included."""
    text = module.read_text()
    names = set(re.findall(r"^(\w+)(?:\([^)]*\))?\s*==", text, re.MULTILINE))
    for line in re.findall(r"^EXTENDS (.*)$", text, re.MULTILINE):
        for extended in line.replace(" ", "").split(","):
            if (path := SPEC / f"{extended}.tla").exists():
                names |= definitions(path)
    return names


def test_every_configuration_is_in_the_list_of_models() -> None:
    assert sorted(MODELS.models) == CONFIGS


@pytest.mark.parametrize("name", sorted(MODELS.models))
def test_a_model_is_of_a_spec_that_is_there(name: str) -> None:
    assert MODELS.models[name].spec in SPECS


@pytest.mark.parametrize("name", sorted(MODELS.models))
def test_what_a_configuration_names_is_defined(name: str) -> None:
    model = MODELS.models[name]
    config = read_config(MODELS.config(model).read_text())
    named = {*config.invariants, *config.properties, *config.others, config.specification}

    assert named - definitions(MODELS.module(model)) == set()


@pytest.mark.parametrize("name", sorted(MODELS.models))
def test_a_configuration_says_in_its_first_line_what_it_is_for(name: str) -> None:
    assert MODELS.config(MODELS.models[name]).read_text().startswith("\\* ")


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_has_a_small_model_that_its_mutants_are_tried_with(spec: str) -> None:
    small = [name for name in MODELS.mutants[spec] if MODELS.models[name].size == "small"]

    assert {MODELS.models[name].spec for name in MODELS.mutants[spec]} == {spec}
    assert small != []


def test_a_module_of_a_model_has_its_configuration() -> None:
    modules = {path.stem for path in (SPEC / "models").glob("*.tla")}

    assert modules <= set(CONFIGS)


def test_the_specs_are_shipped_where_the_package_looks_for_them() -> None:
    build = tomllib.loads((SPEC.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shipped = build["targets"]["wheel"]["force-include"]
    files = [*SPEC.glob("*.tla"), *(SPEC / "traces").glob("*.tla")]
    names = sorted(str(path.relative_to(SPEC)) for path in files)

    assert shipped == {f"spec/{name}": f"pyrepl3/conformance/spec/{name}" for name in names}
