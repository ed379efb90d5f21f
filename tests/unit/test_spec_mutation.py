"""Unit tests: which parts of a spec mutants leave out, and what is made of their fates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrepl3.conformance.tlc import Outcome
from spec.__main__ import main
from spec.tools.actions import SpecMalformed, read_definitions
from spec.tools.mutants import Kind, Mutant, mutants
from spec.tools.mutation_table import as_markdown, write_tables
from spec.tools.verdicts import Killed, Report, Undecided, Verdict, stale_reasons

SPEC = r"""---- MODULE Desk ----
EXTENDS Naturals
VARIABLES desk, count
vars == <<desk, count>>
Init ==
    /\ desk = [lamp |-> "off", user |-> "nobody"]
    /\ count = 0

\* ---- actions ----
(* What people do at the desk:
   /\ this is no conjunct. *)

\* Somebody comes.
Sit(who) ==
    /\ desk.user = "nobody"  \* free
    \* There is a limit.
    /\ \/ count < 2
       \/ who = "anna"
    /\ desk' = [desk EXCEPT
                   !.lamp = IF who \in {"a, b"} THEN "off" ELSE "on", \* a comma, more
                   !.user = who]
    /\ count' = count + 1

Leave ==
    /\ desk.user # "nobody"
    /\ desk' = [desk EXCEPT !.user = "nobody", !.lamp = "off"]
    /\ UNCHANGED count
\* ---- end of actions ----

Fairness ==
    \* Everybody goes home.
    /\ WF_vars(Leave)
    /\ \A w \in {"anna"} :
           SF_vars(Sit(w))
Spec == Init /\ [][Leave \/ Sit("anna")]_vars /\ Fairness
====
"""

NAMES = [
    'Desk/Sit/guard: desk.user = "nobody"',
    'Desk/Sit/guard: \\/ count < 2 \\/ who = "anna"',
    "Desk/Sit/choice: count < 2",
    'Desk/Sit/choice: who = "anna"',
    "Desk/Sit/update: desk",
    'Desk/Sit/clause: !.lamp = IF who \\in {"a, b"} THEN "off" ELSE "on"',
    "Desk/Sit/clause: !.user = who",
    'Desk/Sit/condition: who \\in {"a, b"} is TRUE',
    'Desk/Sit/condition: who \\in {"a, b"} is FALSE',
    "Desk/Sit/update: count",
    'Desk/Leave/guard: desk.user # "nobody"',
    "Desk/Leave/update: desk",
    'Desk/Leave/clause: !.user = "nobody"',
    'Desk/Leave/clause: !.lamp = "off"',
    "Desk/Fairness/fairness: WF_vars(Leave)",
    'Desk/Fairness/fairness: \\A w \\in {"anna"} : SF_vars(Sit(w))',
    'Desk/Fairness/strength: \\A w \\in {"anna"} : SF_vars(Sit(w))',
]


def mutant(name: str) -> Mutant:
    return next(mutant for mutant in mutants("Desk", SPEC) if mutant.name == name)


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_guard_update_clause_and_fairness_has_a_mutant() -> None:
    assert [mutant.name for mutant in mutants("Desk", SPEC)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_can_be_read_as_a_spec_and_differs(name: str) -> None:
    text = mutant(name).module

    assert text != SPEC
    assert [d.name for d in read_definitions(text)] == ["Sit", "Leave", "Fairness"]


def test_a_guard_of_several_lines_is_left_out_whole() -> None:
    text = mutant(NAMES[1]).module

    assert '/\\ desk.user = "nobody"  \\* free' in text
    assert "count < 2" not in text
    assert 'who = "anna"' not in text


def test_an_update_that_is_left_out_keeps_its_variable_as_it_is() -> None:
    text = words(mutant("Desk/Sit/update: desk").module)

    assert "/\\ UNCHANGED desk /\\ count' = count + 1" in text


def test_a_clause_is_left_out_alone_first_or_last() -> None:
    first = words(mutant(NAMES[5]).module)
    last = words(mutant(NAMES[6]).module)

    assert "desk' = [desk EXCEPT !.user = who]" in first
    assert 'desk\' = [desk EXCEPT !.lamp = IF who \\in {"a, b"} THEN "off" ELSE "on"]' in last


def test_a_strong_fairness_is_weakened_too() -> None:
    text = words(mutant(NAMES[16]).module)

    assert '/\\ WF_vars(Leave) /\\ \\A w \\in {"anna"} : WF_vars(Sit(w))' in text


CONDITIONS = r"""
\* ---- conditions ----
\* Whether somebody may sit down.
MaySit(who) == \/ desk.user = "nobody"
               \/ who = "anna"  \* She may always.
Taken(who) == [desk EXCEPT !.user = who, !.lamp = "on"]
\* ---- end of conditions ----
"""


def test_what_actions_are_decided_by_is_left_out_too() -> None:
    text = SPEC.replace("\nInit ==", f"{CONDITIONS}Init ==", 1)
    every = mutants("Desk", text)

    assert [mutant.name for mutant in every] == [
        'Desk/MaySit/choice: desk.user = "nobody"',
        'Desk/MaySit/choice: who = "anna"',
        "Desk/Taken/clause: !.user = who",
        'Desk/Taken/clause: !.lamp = "on"',
        *NAMES,
    ]
    first, second, third, *_ = (words(mutant.module) for mutant in every)
    assert 'MaySit(who) == \\/ FALSE \\/ who = "anna"' in first
    assert 'MaySit(who) == \\/ desk.user = "nobody" \\/ FALSE' in second
    assert 'Taken(who) == [desk EXCEPT !.lamp = "on"] \\*' in third


def test_what_stands_behind_or_below_a_part_stays_in_its_column() -> None:
    before, after = SPEC.splitlines(), mutant('Desk/Sit/choice: who = "anna"').module.splitlines()

    assert [len(line) for line in before] == [len(line) for line in after]


def test_the_same_part_twice_in_an_action_has_two_names() -> None:
    spec = SPEC.replace("    /\\ UNCHANGED count\n", '    /\\ desk.user # "nobody"\n')
    names = [mutant.name for mutant in mutants("Desk", spec)]

    assert 'Desk/Leave/guard: desk.user # "nobody"' in names
    assert 'Desk/Leave/guard: desk.user # "nobody" (2)' in names


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r"\* ---- end of actions ----", ""),
        ("Leave ==\n", "Leave == /\\ TRUE\n"),
        ('    /\\ desk.user # "nobody"\n', '   /\\ desk.user # "nobody"\n'),
        ('    /\\ desk.user # "nobody"\n', '    desk.user # "nobody"\n'),
        ("Sit(who) ==", "Leave =="),
    ],
)
def test_a_spec_in_another_form_is_refused_instead_of_read_in_part(before: str, after: str) -> None:
    assert before in SPEC
    with pytest.raises(SpecMalformed):
        mutants("Desk", SPEC.replace(before, after, 1))


def test_a_spec_without_any_action_is_refused() -> None:
    with pytest.raises(SpecMalformed):
        mutants("Empty", "---- MODULE Empty ----\n====\n")


KILLED = Killed("DeskSmall", Outcome.SAFETY, "OnePerDesk")
GUARD = NAMES[0]


def report(verdict: Verdict, reasons: dict[str, str]) -> Report:
    every = mutants("Desk", SPEC)
    return Report(
        "Desk", [mutant(GUARD)], {GUARD: verdict}, reasons, stale_reasons("Desk", every, reasons)
    )


def test_a_mutant_that_is_killed_or_has_its_reason_is_fine() -> None:
    assert report(KILLED, {}).complaints == []
    assert report(None, {GUARD: "It follows from the next one."}).complaints == []


def test_a_mutant_that_lives_without_a_reason_is_not_fine() -> None:
    assert report(None, {}).complaints == [f"{GUARD}: lives, and no reason says why that is right"]


def test_a_reason_for_a_mutant_that_is_killed_is_wrong() -> None:
    assert report(KILLED, {GUARD: "It cannot be."}).complaints == [
        f"{GUARD}: killed by OnePerDesk in DeskSmall, so the reason why it cannot be is wrong"
    ]


def test_a_reason_for_a_mutant_that_is_not_there_is_stale() -> None:
    reasons = {"Desk/Sit/guard: gone": "It was.", "Lamp/Burn/guard: x": "Of another spec."}

    assert report(KILLED, reasons).complaints == [
        "Desk/Sit/guard: gone: there is no such mutant any more: drop its reason"
    ]


def test_a_mutant_that_no_model_comes_to_an_end_with_needs_a_reason() -> None:
    late = Undecided("DeskSmall", Outcome.TIMED_OUT, "not done after 9 s")

    assert report(late, {}).complaints == [
        f"{GUARD}: undecided: timed out in DeskSmall: not done after 9 s"
    ]
    assert report(late, {GUARD: "It follows."}).complaints == []


def test_no_reason_excuses_a_mutant_that_cannot_be_read() -> None:
    broken = Undecided("DeskSmall", Outcome.ERROR, "Parse error")

    assert report(broken, {GUARD: "It follows."}).complaints != []


def test_the_table_is_written_between_its_markers_each_spec_for_itself(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("Before.\n\n<!-- mutants -->\n<!-- end of mutants -->\n\nAfter.\n")
    one = report(None, {GUARD: "It follows."})
    write_tables(page, [one])
    once = page.read_text()
    write_tables(page, [one])

    assert page.read_text() == once
    assert as_markdown(one) in once
    assert once.startswith("Before.\n\n<!-- mutants -->\n")
    assert once.endswith("<!-- end of mutants -->\n\nAfter.\n")
    assert "| `Sit` | guard 1 |  | 1 |" in once
    assert '- `Sit/guard: desk.user = "nobody"`: It follows.' in once


TINY = r"""---- MODULE Tiny ----
EXTENDS Naturals
VARIABLE n
\* ---- actions ----
Up ==
    /\ n < 2
    /\ n <= 2
    /\ n' = n + 1
\* ---- end of actions ----
Next == Up \/ (n = 2 /\ n' = 0)
Spec == n = 0 /\ [][Next]_n
AtMostTwo == n <= 2
====
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "Tiny.tla").write_text(TINY)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "TinySmall.cfg").write_text("SPECIFICATION Spec\nINVARIANT AtMostTwo\n")
    entry = {"spec": "Tiny", "size": "small", "exit_status": 0}
    content = {"models": {"TinySmall": entry}, "mutants": {"Tiny": ["TinySmall"]}}
    (tmp_path / "models.json").write_text(json.dumps(content))
    return tmp_path


def test_of_two_mutants_of_a_tiny_spec_tlc_kills_one_and_one_lives(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--directory", str(tiny), "mutate", "--only"]

    assert main([*command, "guard"]) == 1

    printed = capsys.readouterr()
    assert "Tiny/Up/guard: n < 2: killed by AtMostTwo in TinySmall" in printed.err
    assert "Tiny/Up/guard: n <= 2: lives, and no reason says why that is right" in printed.out
    assert printed.out.endswith("2 mutants: 1 killed, 1 live, 0 undecided; 1 complaints\n")

    reason = {"Tiny/Up/guard: n <= 2": "n < 2 is one conjunct above."}
    (tiny / "equivalent_mutants.json").write_text(json.dumps(reason))

    assert main([*command, "guard: n <="]) == 0


def test_a_run_goes_on_from_the_verdicts_of_the_one_before(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tiny / "verdicts"
    command = ["--directory", str(tiny), "mutate", "--log", str(log), "--only"]
    main([*command, "guard: n < 2"])
    with log.open("a") as file:
        file.write('{"mutant": "cut o')
    first = capsys.readouterr()

    main([*command, "guard"])
    second = capsys.readouterr()
    assert "[1/1] Tiny/Up/guard: n < 2" in first.err
    assert "n < 2" not in second.err
    assert "[2/2] Tiny/Up/guard: n <= 2: None" in second.err
    assert second.out.endswith("2 mutants: 1 killed, 1 live, 0 undecided; 1 complaints\n")

    config = tiny / "models" / "TinySmall.cfg"
    config.write_text(config.read_text() + "\n")
    main([*command, "guard"])
    assert "[2/2]" in capsys.readouterr().err, "the models are others now"


def test_what_chooses_no_mutant_at_all_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutate", "Pool", "--list", "--only", "Nope"]) == 2
    assert "no mutant of Pool has 'Nope' in its name" in capsys.readouterr().err
    assert main(["mutate", "Pool", "Session", "--list", "--only", "Session/Hand/"]) == 0
    assert capsys.readouterr().out.startswith("Session/Hand/")


def test_kinds_have_the_names_that_reasons_are_kept_under() -> None:
    assert [kind.value for kind in Kind] == [
        "guard",
        "update",
        "clause",
        "fairness",
        "strength",
        "choice",
        "condition",
        "arm",
        "bound",
    ]
