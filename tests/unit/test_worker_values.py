"""Unit tests: which values are sent as they are, and how text is cut."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.worker.values import VALUE_DEPTH, VALUE_NODES, cut, encodable, json_value, safe_repr

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30
)


@given(JSON_VALUES)
def test_what_json_holds_is_sent_as_it_is(value: object) -> None:
    assert json_value(value) == json.loads(json.dumps(value)) == value


@given(st.recursive(SCALARS | st.binary() | st.floats() | st.integers() | st.complex_numbers(),
                    lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner)))  # fmt: skip
def test_whatever_is_sent_can_be_written_as_strict_json(value: object) -> None:
    copied = json_value(value)

    assert json.loads(json.dumps(copied, allow_nan=False)) == copied


def test_bounds_on_depth_nodes_and_text() -> None:
    nested: list[object] = []
    for _ in range(VALUE_DEPTH + 1):
        nested = [nested]

    assert json_value(nested) is None
    assert json_value([0] * VALUE_NODES) is None
    assert json_value("x" * 2**21) is None
    assert json_value(["x" * 2**19] * 3) is None
    assert json_value(2**64) is None


def test_a_list_that_holds_itself_is_not_sent() -> None:
    endless: list[object] = []
    endless.append(endless)

    assert json_value(endless) is None
    assert safe_repr(endless) == "[[...]]"


def test_subclasses_are_more_than_json_holds() -> None:
    class Text(str):
        __slots__ = ()

    assert json_value(Text("x")) is None
    assert json_value([Text("x")]) is None


def test_tuples_become_lists_as_in_json() -> None:
    assert json_value((1, ("a", None))) == [1, ["a", None]]


@given(st.text(st.characters()))
def test_every_text_becomes_encodable(text: str) -> None:
    assert encodable(text).encode("utf-8")[:0] == b""


def test_what_is_cut_says_so() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc… [cut: 3 of 4 characters]"
