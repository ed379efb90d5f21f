"""Unit tests: what the suite of models calls a difference, and how its file is read and written."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from pyrepl3.conformance.tlc import Outcome, TlcResult
from pyrepl3.conformance.tlc_messages import State
from spec.tools.checking import complaints, counts
from spec.tools.models import Model, ModelsInvalid, Recorded, read_models, write_recorded

FINE = TlcResult(
    outcome=Outcome.OK,
    exit_status=0,
    generated=40,
    distinct=30,
    depth=5,
    violated=None,
    message="",
    trace=(),
    back_to=None,
    stutters=False,
    seconds=1.0,
    output="",
)
DEADLOCK = attrs.evolve(
    FINE,
    outcome=Outcome.DEADLOCK,
    exit_status=11,
    message="Deadlock reached.",
    trace=(State(1, "Init", "n = 0"), State(2, "Take", "n = 1")),
)
ANNOUNCE = "announce it with `python -m spec check --record`"


def model(exit_status: int = 0, recorded: Recorded | None = None) -> Model:
    return Model(name="M", spec="S", size="small", exit_status=exit_status, recorded=recorded)


def test_a_model_that_comes_to_what_was_recorded_is_fine() -> None:
    assert complaints(model(recorded=Recorded(30, 40, 5)), FINE) == ()


def test_a_changed_count_is_told_with_how_to_announce_it() -> None:
    expected = (f"changed unannounced: distinct 31 -> 30, depth 6 -> 5; {ANNOUNCE}",)

    assert complaints(model(recorded=Recorded(31, 40, 6)), FINE) == expected


def test_a_model_that_was_never_recorded_is_told() -> None:
    assert complaints(model(), FINE) == (f"never recorded: {ANNOUNCE}",)


def test_a_deadlock_that_must_be_found_is_fine_when_it_is_found_in_as_many_steps() -> None:
    wanted = model(exit_status=11, recorded=counts(DEADLOCK))

    assert complaints(wanted, DEADLOCK) == ()
    assert counts(DEADLOCK).trace == 2


def test_a_deadlock_that_must_be_found_and_is_not_is_wrong() -> None:
    wanted = model(exit_status=11, recorded=counts(DEADLOCK))

    assert complaints(wanted, FINE)[0] == "must end with 11, ended with 0"


def test_a_wrong_end_is_wrong_while_recording_too() -> None:
    assert complaints(model(), DEADLOCK, recording=True) == (
        "must end with 0, ended with 11",
        "Deadlock reached.",
    )
    assert complaints(model(recorded=Recorded(31, 40, 6)), FINE, recording=True) == ()


def write(directory: Path, **entry: object) -> None:
    content = {"models": {"M": entry}, "mutants": {"S": ["M"]}}
    (directory / "models.json").write_text(json.dumps(content))


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    write(tmp_path, spec="S", size="small", exit_status=11, heap_mb=512)
    write_recorded(read_models(tmp_path), {"M": counts(DEADLOCK)})
    models = read_models(tmp_path)

    assert models.models["M"].recorded == counts(DEADLOCK)
    assert models.models["M"].heap_mb == 512
    assert models.mutants == {"S": ["M"]}


@pytest.mark.parametrize(
    "entry",
    [
        {"spec": "S", "size": "small"},
        {"spec": "S", "size": "tiny", "exit_status": 0},
        {"spec": "S", "size": "small", "exit_status": 0, "exitstatus": 11},
        {"spec": "S", "size": "small", "exit_status": 0, "recorded": {"states": 1}},
    ],
)
def test_an_entry_that_says_too_little_or_too_much_is_refused(
    tmp_path: Path, entry: dict[str, object]
) -> None:
    write(tmp_path, **entry)

    with pytest.raises(ModelsInvalid):
        read_models(tmp_path)


def test_a_model_of_its_own_module_is_found_before_the_spec(tmp_path: Path) -> None:
    write(tmp_path, spec="S", size="small", exit_status=0)
    models = read_models(tmp_path)

    assert models.module(models.models["M"]) == tmp_path / "S.tla"

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "M.tla").touch()

    assert models.module(models.models["M"]) == tmp_path / "models" / "M.tla"


def test_a_size_chooses_unless_names_do(tmp_path: Path) -> None:
    write(tmp_path, spec="S", size="large", exit_status=0)
    models = read_models(tmp_path)

    assert models.chosen([], "small") == []
    assert [chosen.name for chosen in models.chosen([], "all")] == ["M"]
    assert [chosen.name for chosen in models.chosen(["M"], "small")] == ["M"]
    with pytest.raises(ModelsInvalid):
        models.chosen(["N"], "small")
