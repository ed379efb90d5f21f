"""Unit tests: copying all variables at once, as far as they can be."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.worker.copies import Copies, CopyUnavailable
from pyrepl3.worker.copying import MOST_NAMES, NAME_CHARACTERS, Copier, TooLarge
from pyrepl3.worker.interrupts import Interrupts

MEBIBYTE = 2**20


def copier(
    most_bytes: int = MEBIBYTE, *, is_called_off: Callable[[], bool] = lambda: False
) -> Copier:
    return Copier(Interrupts(), most_bytes, is_called_off=is_called_off)


class Raising:
    """Cannot be copied, by an error of its own."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __deepcopy__(self, memo: object) -> object:
        raise self.error


def function() -> None:
    """Of no interest."""


leaves = st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(bytearray, st.binary(max_size=5))
    ),
    max_leaves=10,
)


def shape(value: Any, seen: dict[int, int]) -> Any:
    """The value with each object's place in the order of their first occurrence."""
    if not isinstance(value, list | dict | bytearray):
        return [shape(each, seen) for each in value] if isinstance(value, tuple) else value
    if id(value) in seen:
        return ("again", seen[id(value)])
    seen[id(value)] = len(seen)
    if isinstance(value, bytearray):
        return bytes(value)
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [(key, shape(each, seen)) for key, each in items]


@given(st.dictionaries(st.text(max_size=3), values, max_size=5), st.data())
def test_copies_are_equal_and_alias_as_the_originals_do(
    names: dict[str, Any], data: st.DataObject
) -> None:
    if names:
        one = data.draw(st.sampled_from(sorted(names)))
        names["alias"] = names[one]
        names["within"] = [names[one], names[one]]
    copied = copier().copy_names(names)

    assert list(copied) == list(names)
    assert shape(list(copied.values()), {}) == shape(list(names.values()), {})
    originals = {id(value) for value in names.values() if isinstance(value, list | dict)}
    assert not originals & {id(value) for value in copied.values()}


def test_a_cycle_is_a_cycle_of_copies() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    copied = copier().copy_names({"cycle": cycle})["cycle"]

    assert copied[0] is copied is not cycle


def test_what_code_is_made_of_is_shared_silently() -> None:
    names = {
        "module": sys,
        "function": function,
        "kind": Raising,
        "within": [sys, function, Raising],
        "__builtins__": {"a": Raising(ValueError())},
    }
    made = copier()
    copied = made.copy_names(names)

    assert copied == names
    assert made.by_reference == []
    assert copied["__builtins__"] is names["__builtins__"]
    assert copied["within"] is not names["within"]


@pytest.mark.parametrize(
    "value",
    [
        threading.Lock(),
        (number for number in ()),
        Raising(ValueError("unique")),
        Raising(SystemExit(3)),
        Raising(KeyboardInterrupt()),
        [Raising(ValueError())],
    ],
)
def test_what_cannot_be_copied_is_kept_and_named(value: object) -> None:
    made = copier()
    copied = made.copy_names({"before": [1], "value": value, "behind": [2]})

    assert copied["value"] is value
    assert made.by_reference == ["value"]
    assert (copied["before"], copied["behind"]) == ([1], [2])


def test_what_nests_too_deep_is_kept_and_named() -> None:
    deep: list[Any] = []
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    made = copier()

    assert made.copy_names({"deep": deep})["deep"] is deep
    assert made.by_reference == ["deep"]


def test_half_a_copy_is_part_of_no_other() -> None:
    part: list[int] = [1]
    whole = [part, Raising(ValueError())]
    copied = copier().copy_names({"whole": whole, "part": part})

    assert copied["whole"][0] is part
    assert copied["part"] == [1]
    assert copied["part"] is not part


def test_what_was_copied_before_stays_so_where_a_later_one_fails() -> None:
    part: list[int] = [1]
    made = copier()
    copied = made.copy_names({"part": part, "whole": [part, Raising(ValueError())], "again": part})

    assert copied["again"] is copied["part"] is not part
    assert made.counterpart(part) is copied["part"]


def test_what_is_not_among_them_stands_for_itself() -> None:
    made = copier()
    made.copy_names({})
    value: list[int] = []

    assert made.counterpart(value) is value


@pytest.mark.parametrize(
    "value", [bytearray(MEBIBYTE), [bytearray(MEBIBYTE)], [[n] for n in range(20_000)]]
)
def test_more_than_may_be_is_refused_with_both_figures(value: object) -> None:
    with pytest.raises(TooLarge, match=rf"take \d{{7}} bytes or more, and may take {MEBIBYTE}"):
        copier().copy_names({"value": value})


def test_what_was_given_up_does_not_count() -> None:
    large = [bytearray(MEBIBYTE // 2), Raising(ValueError())]
    copied = copier().copy_names({"one": large, "other": list(large), "last": [1]})

    assert copied["last"] == [1]


def test_a_size_that_code_tells_is_not_asked_for() -> None:
    class Lying:
        def __sizeof__(self) -> int:
            raise AssertionError

    copied = copier().copy_names({"value": Lying()})

    assert type(copied["value"]) is Lying


def test_where_it_is_called_off_it_ends_with_the_next_object() -> None:
    asked = 0

    def is_called_off() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    with pytest.raises(KeyboardInterrupt):
        copier(is_called_off=is_called_off).copy_names({"value": [[[[[[[]]]]]]]})
    assert asked < 10


def test_names_that_are_told_have_bounds() -> None:
    lock = threading.Lock()
    made = copier()
    names: dict[Any, Any] = {"x" * 1000: lock, "\udc80": lock, 7: lock}
    made.copy_names(names)
    for number in range(MOST_NAMES):
        names[f"n{number}"] = lock
    many = copier()
    many.copy_names(names)

    assert len(made.by_reference[0]) < NAME_CHARACTERS + 60
    assert made.by_reference[1:] == ["\\udc80", "a name that is no text"]
    assert len(many.by_reference) == MOST_NAMES


class Names:
    """A namespace, as `Copies` knows it."""

    def __init__(self, **names: object) -> None:
        self.names = names
        self.last = names.get("_")

    def replace(self, names: dict[Any, Any], last: object) -> None:
        self.names.clear()
        self.names.update(names)
        self.last = last


def test_what_is_restored_is_what_there_was() -> None:
    value = [1]
    names: Any = Names(a=value, _=value)
    undo = Copies(names, Interrupts()).take(MEBIBYTE, number=1)
    value.append(2)
    names.names["b"] = 1
    undo.restore()

    assert names.names == {"a": [1], "_": [1]}
    assert names.last is names.names["a"] is names.names["_"]


def test_what_has_no_memory_is_refused_as_what_is_too_large() -> None:
    names: Any = Names(a=Raising(MemoryError()))

    with pytest.raises(CopyUnavailable, match="no memory"):
        Copies(names, Interrupts()).take(MEBIBYTE, number=1)
