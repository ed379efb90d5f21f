"""Unit tests: how far the parts of an expression reach, and which definitions are conditions."""

from __future__ import annotations

from textwrap import dedent

import pytest

from spec.tools.actions import SpecMalformed, masked
from spec.tools.conditions import read_conditions
from spec.tools.expressions import Role, parts


def told(text: str) -> list[tuple[str, str]]:
    return [
        (part.role.name, " ".join(text[part.start : part.end].split()))
        for part in parts(masked(text))
    ]


def test_one_condition_has_no_parts() -> None:
    assert told("x = 1") == []


def test_what_stands_between_signs_is_an_operand() -> None:
    assert told("x = 1 /\\ ~y /\\ z \\in {1, 2}") == [
        ("CONJUNCT", "x = 1"),
        ("CONJUNCT", "~y"),
        ("CONJUNCT", "z \\in {1, 2}"),
    ]


def test_brackets_hold_parts_of_their_own() -> None:
    assert told("x /\\ (y \\/ z)") == [
        ("CONJUNCT", "x"),
        ("CONJUNCT", "(y \\/ z)"),
        ("DISJUNCT", "y"),
        ("DISJUNCT", "z"),
    ]


def test_a_list_goes_on_while_its_signs_stand_under_each_other() -> None:
    text = dedent(r"""
        /\ a
        /\ \/ b /\ c
           \/ d
        /\ e
    """)

    assert told(text) == [
        ("CONJUNCT", "a"),
        ("CONJUNCT", r"\/ b /\ c \/ d"),
        ("DISJUNCT", "b /\\ c"),
        ("CONJUNCT", "b"),
        ("CONJUNCT", "c"),
        ("DISJUNCT", "d"),
        ("CONJUNCT", "e"),
    ]


def test_what_is_said_of_all_reaches_as_far_as_it_can() -> None:
    assert told("a /\\ \\A x \\in S : b \\/ c") == [
        ("CONJUNCT", "a"),
        ("CONJUNCT", "\\A x \\in S : b \\/ c"),
        ("DISJUNCT", "b"),
        ("DISJUNCT", "c"),
    ]


def test_what_follows_from_something_is_no_operand_of_it() -> None:
    assert told("a /\\ b => c") == [("CONJUNCT", "a"), ("CONJUNCT", "b")]


def test_an_if_asks_and_each_of_its_arms_has_parts() -> None:
    text = dedent("""
        IF a \\/ b
        THEN c /\\ d
        ELSE e
    """)

    assert told(text) == [
        ("CONDITION", "a \\/ b"),
        ("DISJUNCT", "a"),
        ("DISJUNCT", "b"),
        ("CONJUNCT", "c"),
        ("CONJUNCT", "d"),
    ]
    assert [part.instead for part in parts(text) if part.role is Role.CONDITION] == [
        ("TRUE", "FALSE")
    ]


def test_an_arm_of_a_case_asks_except_the_last() -> None:
    text = dedent("""
        CASE x = 1 /\\ y -> 1
          [] x = 2 -> IF y THEN 2 ELSE 3
          [] OTHER -> 4
    """)

    assert told(text) == [
        ("ARM", "x = 1 /\\ y"),
        ("CONJUNCT", "x = 1"),
        ("CONJUNCT", "y"),
        ("ARM", "x = 2"),
        ("CONDITION", "y"),
    ]


def test_what_is_defined_for_an_expression_is_no_operand_of_it() -> None:
    text = dedent("""
        LET one == a /\\ b
            other(x) == c
        IN  one \\/ other(1)
    """)

    assert told(text) == [
        ("CONJUNCT", "a"),
        ("CONJUNCT", "b"),
        ("DISJUNCT", "one"),
        ("DISJUNCT", "other(1)"),
    ]


def test_a_bound_is_either_of_what_it_compares() -> None:
    (part,) = parts("Fewest(f(a, b) + 1, c)")

    assert part.role is Role.BOUND
    assert list(part.instead) == ["(f(a, b) + 1)", "(c)"]


def test_a_place_that_is_changed_is_no_operand_of_its_new_value() -> None:
    assert told("[f EXCEPT ![n].a = @ /\\ b, !.c = d]") == [("CONJUNCT", "@"), ("CONJUNCT", "b")]


def test_signs_in_strings_and_in_comments_are_none() -> None:
    assert told('x = "a /\\ b" \\* c /\\ d') == []


def test_conditions_are_the_definitions_between_their_marks() -> None:
    text = dedent(r"""
        Before == a /\ b
        \* ---- conditions ----
        One == c /\ d

        RECURSIVE Other(_)
        \* Of it.
        Other(x) ==
            /\ e
            /\ f
        \* ---- end of conditions ----
        After == g /\ h
    """)

    assert [(each.name, text[each.start : each.end].split()) for each in read_conditions(text)] == [
        ("One", ["c", "/\\", "d"]),
        ("Other", ["/\\", "e", "/\\", "f"]),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\n\\* ---- conditions ----\nOne == a\n",
        "\n\\* ---- end of conditions ----\n",
        "\n\\* ---- conditions ----\nASSUME a\n\\* ---- end of conditions ----\n",
    ],
)
def test_a_region_in_another_form_is_refused_instead_of_read_in_part(text: str) -> None:
    with pytest.raises(SpecMalformed):
        read_conditions(text)
