"""Unit tests: the deadlocks in the documentation are those that TLC finds, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spec.__main__ import main
from spec.tools.deadlocks import BROKEN_ON_PURPOSE, PAGE
from spec.tools.models import read_models
from spec.tools.tla_reader import ValueUnknown, read_value
from spec.tools.tree_steps import StepUnknown, Waiting, cycle, step


def test_the_page_tells_what_tlc_finds() -> None:
    assert main(["deadlocks", "--check"]) == 0


def test_a_page_that_is_not_there_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deadlocks", "--check", "--page", str(tmp_path / "none")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_page_that_tells_something_else_is_found_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "deadlocks.md"
    page.write_text(PAGE.read_text().replace("| 8 | pool |", "| 8 | nobody |"))

    assert main(["deadlocks", "--check", "--page", str(page)]) == 1
    assert "out of date" in capsys.readouterr().out
    assert main(["deadlocks", "--page", str(page)]) == 0
    assert page.read_text() == PAGE.read_text()


def test_the_variants_are_models_of_the_suite_that_must_deadlock() -> None:
    models = read_models().models

    assert {(models[name].size, models[name].exit_status) for name in BROKEN_ON_PURPOSE} == {
        ("small", 11)
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("TRUE", True),
        ("-3", -3),
        ('"a, <<b>>"', "a, <<b>>"),
        ("<< >>", ()),
        ('<<<<"Run", 1>>, << >>>>', (("Run", 1), ())),
        ("{}", []),
        ("{1, 2}", [1, 2]),
        (
            '[state |-> "open", marked |-> {}, of |-> <<1>>]',
            {"state": "open", "marked": [], "of": (1,)},
        ),
    ],
)
def test_values_are_read_as_tlc_writes_them(text: str, value: Any) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize("text", ["", "<<1", "<<1 2>>", "[a 1]", "(1 :> 2)", "1 2", "model"])
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(ValueUnknown):
        read_value(text)


def test_a_step_without_words_is_refused_rather_than_left_out() -> None:
    with pytest.raises(StepUnknown):
        step("WorkerDies", {}, {}, {})


def test_a_cycle_is_found_behind_those_who_wait_for_it() -> None:
    waiting = [Waiting("caller", "pool", ""), Waiting("pool", "session", "")]

    assert cycle(waiting) == []
    assert cycle([*waiting, Waiting("session", "pool", "")]) == ["pool", "session", "pool"]
