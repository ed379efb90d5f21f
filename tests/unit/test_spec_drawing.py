"""Unit tests: pictures hold what TLC finds in a spec, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrepl3.conformance.tlc import find_tlc
from spec.tools.drawing import Arrow, diagram, find_arrows
from spec.tools.models import ModelsInvalid, Recorded, read_models, write_recorded
from spec.tools.noting import Note
from spec.tools.pictures import GALLERIES, Gallery, Picture
from spec.tools.tables import MarkersMissing, between_markers, markdown_table, table

SPEC = r"""---- MODULE Lamps ----
EXTENDS Naturals
CONSTANT Lamps
VARIABLES lamps,  \* those that are there
          moves
vars == <<lamps, moves>>
Init ==
    /\ lamps = [x \in Lamps |-> "off"]
    /\ moves = 0
\* ---- actions ----
Press(x) ==
    /\ lamps[x] = "off"
    /\ lamps' = [lamps EXCEPT ![x] = "on"]
    /\ moves' = 1 - moves

Break(x) ==
    /\ lamps[x] \in {"on", "off"}
    /\ lamps' = [lamps EXCEPT ![x] = ""]
    /\ moves' = 1 - moves
\* ---- end of actions ----
\* The name of an action is lost on TLC here.
Moves(x) == IF moves = 0 THEN Press(x) \/ Break(x) ELSE Break(x)
Next == (\E x \in DOMAIN lamps : Moves(x)) \/ UNCHANGED vars
Spec == Init /\ [][Next]_vars
====
"""

GALLERY = Gallery(
    models=("LampsSmall",),
    notes=(Note("actionTaken", (0,), ("vars",)),),
    pictures=(Picture(name="lamp", about="of two.", bound="Lamps", value="lamps[x]"),),
)


@pytest.fixture
def models(tmp_path: Path):
    (tmp_path / "Lamps.tla").write_text(SPEC)
    (tmp_path / "models").mkdir()
    config = "\\* Two.\nSPECIFICATION Spec\nCONSTANT Lamps = {1, 2}\nINVARIANT NotThere\n"
    (tmp_path / "models" / "LampsSmall.cfg").write_text(config)
    entry = {"spec": "Lamps", "size": "small", "exit_status": 0}
    (tmp_path / "models.json").write_text(json.dumps({"models": {"LampsSmall": entry}}))
    return read_models(tmp_path)


def test_every_step_of_a_spec_becomes_an_arrow(models) -> None:
    arrows = find_arrows(find_tlc(), models, GALLERY)

    assert arrows == {
        "lamp": {
            Arrow("", "off", ""),
            Arrow("off", "on", "Press"),
            Arrow("off", "", "Break"),
            Arrow("on", "", "Break"),
        }
    }


def test_a_search_with_other_states_than_recorded_is_no_picture(models) -> None:
    write_recorded(models, {"LampsSmall": Recorded(distinct=100)})

    with pytest.raises(ModelsInvalid, match="100 recorded"):
        find_arrows(find_tlc(), read_models(models.directory), GALLERY)


def test_actions_between_the_same_two_states_share_an_arrow() -> None:
    drawn = diagram(
        [
            Arrow("idle", "stopping", "Stop"),
            Arrow("idle", "stopping", "Died"),
            Arrow("", "idle", ""),
            Arrow("stopping", "", "Ended"),
        ]
    )

    assert drawn == "\n".join(
        [
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> idle",
            "    idle --> stopping: Died, Stop",
            "    stopping --> [*]: Ended",
            "```",
        ]
    )


def test_pictures_have_names_of_their_own() -> None:
    names = [picture.name for gallery in GALLERIES for picture in gallery.pictures]

    assert len(set(names)) == len(names)


def test_a_part_of_a_page_is_replaced_and_the_rest_kept() -> None:
    page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n"
    replaced = between_markers(page, "x", "new")

    assert replaced == "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n"
    assert between_markers(replaced, "x", "new") == replaced
    with pytest.raises(MarkersMissing):
        between_markers(page, "y", "new")


def test_tables_line_numbers_up_and_keep_bars_out_of_cells() -> None:
    assert table(["name", "n"], [("a", 1000), ("bb", None)]) == (
        "name      n\n----  -----\na     1,000\nbb        -"
    )
    assert markdown_table(["x"], [("a | b",)]) == "| x |\n| --- |\n| a &#124; b |"
