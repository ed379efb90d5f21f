"""Unit: Python's values in TLA+."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.conformance.tla_values import CHUNK, definitions, tla


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", '"a"'),
        ("", '""'),
        (3, "3"),
        (-3, "-3"),
        (True, "TRUE"),
        (False, "FALSE"),
        (None, '"none"'),
        ([1, "b", [True]], '<<1, "b", <<TRUE>>>>'),
        ((), "<<>>"),
        ({"b": 1, "a": None}, '[a |-> "none", b |-> 1]'),
    ],
)
def test_a_value_is_written_as_tla_has_it(value: object, expected: str) -> None:
    assert tla(value) == expected


@pytest.mark.parametrize("value", [1.5, {}, object(), {1, 2}, b"bytes"])
def test_what_tla_has_no_value_for_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="TLA"):
        tla(value)


@given(st.text(), st.text())
def test_a_string_stays_in_its_quotes_and_apart_from_others(one: str, other: str) -> None:
    inside = tla(one)[1:-1]

    assert inside.isascii()
    assert not set(inside) & set('"\\\n\r\t')
    assert (tla(one) == tla(other)) == (one == other)


def test_a_long_sequence_is_written_in_parts() -> None:
    text = definitions("Numbers", list(range(2 * CHUNK + 1)))

    assert text.count(" == <<") == 3
    assert text.endswith("Numbers == Numbers_0 \\o Numbers_1 \\o Numbers_2\n")


def test_an_empty_sequence_is_one_too() -> None:
    assert definitions("Nothing", []) == "Nothing == <<>>\n"
