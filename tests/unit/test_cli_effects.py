"""Unit tests: what an execution did, in lines for a terminal."""

from __future__ import annotations

from typing import get_args

from pyrepl3.cli.effects import MOST_LINES, names_told, not_undone
from pyrepl3.effects import NameEntry, NamespaceReport, Uncovered, UncoveredKind

X = NameEntry("x", "int", 28)


def test_each_name_has_a_line() -> None:
    report = NamespaceReport(
        added=(X,),
        changed=(NameEntry("y", "Odd", None), NameEntry("z", "list", 64, is_modified=True)),
        removed=(X,),
        omitted=7,
    )

    assert names_told(report) == (
        "[+ x: int, 28 bytes]\n[~ y: Odd]\n[~ z: list, 64 bytes, modified]\n"
        "[- x: int, 28 bytes]\n[7 more]\n"
    )


def test_what_was_undone_says_so() -> None:
    assert names_told(NamespaceReport((X,), is_undone=True)) == "[undone: + x: int, 28 bytes]\n"


def test_where_there_is_nothing_nothing_is_said() -> None:
    assert names_told(None) == names_told(NamespaceReport()) == ""
    assert not_undone(None) == not_undone(()) == ""


def test_every_kind_has_its_words() -> None:
    for kind in get_args(UncoveredKind):
        line = not_undone([Uncovered(kind, "THIS")])

        is_ended = kind in ("process_running", "thread_running")
        assert line.startswith("[ended with it: " if is_ended else "[not undone: ")
        assert "THIS" in line


def test_a_screen_is_enough() -> None:
    lines = not_undone([Uncovered("file_written", f"/{n}") for n in range(30)]).splitlines()

    assert len(lines) == MOST_LINES + 1
    assert lines[0] == "[not undone: /0 was written]"
    assert lines[-1] == "[not undone: 20 more]"
