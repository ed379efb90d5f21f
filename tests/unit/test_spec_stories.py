"""Unit tests: a counterexample is told as who did what, whatever form Next has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrepl3.conformance.tlc import find_tlc
from spec.__main__ import main
from spec.tools.actions import SpecMalformed
from spec.tools.models import read_models
from spec.tools.noting import NOTES, Note, noting
from spec.tools.running import run_model
from spec.tools.stories import story

SPEC = r"""---- MODULE Door ----
EXTENDS Naturals
VARIABLES door, room, bell
inside == <<door, room>>
outside == <<bell>>
vars == <<inside, outside>>
Init ==
    /\ door = "shut"
    /\ room = {}
    /\ bell = 0
\* ---- actions ----
Open ==
    /\ door = "shut"
    /\ door' = "open"
    /\ UNCHANGED room
Enter(who) ==
    /\ door = "open"
    /\ room' = room \cup {who}
    /\ UNCHANGED door
Listen ==
    /\ bell > 0
    /\ UNCHANGED inside
\* ---- end of actions ----
\* ---- the world ----
Ring ==
    /\ bell < 2
    /\ bell' = bell + 1
\* ---- end of the world ----
Everything == <<outside>>
Next == IF room = {} THEN \/ Open /\ Ring
                          \/ Enter("anna") /\ UNCHANGED Everything
                          \/ Ring /\ UNCHANGED inside
                     ELSE UNCHANGED vars
Spec == Init /\ [][Next]_vars
NobodyIsIn == room = {}
====
"""
NOTED = (Note("done", (0,), ("inside",)), Note("happened", (1,), ("Everything", "vars")))


def write(directory: Path) -> None:
    (directory / "Door.tla").write_text(SPEC)
    (directory / "models").mkdir()
    (directory / "models" / "DoorSmall.cfg").write_text(
        "SPECIFICATION Spec\nINVARIANT NobodyIsIn\n"
    )
    entry = {"spec": "Door", "size": "small", "exit_status": 12}
    (directory / "models.json").write_text(json.dumps({"models": {"DoorSmall": entry}}))


def test_each_step_has_its_action_of_either_kind_and_what_changed(tmp_path: Path) -> None:
    write(tmp_path)
    models = read_models(tmp_path)
    result = run_model(
        find_tlc(), models, models.models["DoorSmall"], spec_text=noting(SPEC, NOTED)
    )

    assert story(result, ["done", "happened"]) == "\n".join(
        [
            "   1 Init",
            "         bell = 0",
            '         door = "shut"',
            "         room = {}",
            "   2 Open, Ring",
            "         bell = 1",
            '         door = "open"',
            "   3 Enter",
            '         room = {"anna"}',
        ]
    )


def test_a_check_that_is_asked_to_tells_the_counterexample_that_must_be_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)

    assert main(["--directory", str(tmp_path), "check", "--record"]) == 0
    assert main(["--directory", str(tmp_path), "check", "--trace"]) == 0

    told = capsys.readouterr().out
    # Without notes a step has the name that TLC has for it.
    assert "DoorSmall: safety: NobodyIsIn: Invariant NobodyIsIn is violated.\n   1 Init" in told
    assert "   3 Next\n" in told
    assert "DoorSmall  safety (wanted)" in told


@pytest.mark.parametrize("name", sorted(NOTES))
def test_every_spec_can_note_its_actions(name: str) -> None:
    text = (Path(__file__).parents[2] / "spec" / f"{name}.tla").read_text()

    assert noting(text, NOTES[name]).count("' = <<\"") > 10


def test_a_spec_without_the_tuple_that_a_note_belongs_to_is_refused() -> None:
    with pytest.raises(SpecMalformed, match="no place for notes"):
        noting(SPEC, [Note("done", (0,), ("elsewhere",))])
