"""Unit tests: what a report sees of names, and that it runs no code of the user's for it."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.worker.looks import LOOKED_INTO, SHORT
from pyrepl3.worker.reports import MOST_NAMES, Look, report_of

Names = dict[str, Any]


def change(names: Names, code: str) -> dict[str, Any]:
    """The report of that code, run over those names."""
    before = Look(names)
    exec(code, {"__builtins__": __builtins__, "gc": gc}, names)
    return report_of(before, Look(names), is_undone=False)


def told(report: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """The names of the three lists."""
    added, changed, removed = (
        [entry["name"] for entry in report[each]] for each in ("added", "changed", "removed")
    )
    return added, changed, removed


def test_names_that_are_new_hold_something_else_or_are_gone() -> None:
    report = change({"kept": 1, "x": 1, "y": "a"}, "z = [1, 2]; x = 2; del y")

    assert report == {
        "added": [{"name": "z", "type": "list", "size_bytes": sys.getsizeof([1, 2])}],
        "changed": [
            {"name": "x", "type": "int", "size_bytes": sys.getsizeof(2), "is_modified": False}
        ],
        "removed": [{"name": "y", "type": "str", "size_bytes": sys.getsizeof("a")}],
        "omitted": 0,
        "is_undone": False,
    }


def test_names_that_nobody_gave_are_left_out() -> None:
    report = change({"_": 1, "__doc__": "a"}, "_ = 2; __doc__ = 'b'; _private = 3; globals")

    assert told(report) == ([], [], [])


def test_keys_that_are_no_names_are_passed_over() -> None:
    names: Any = {}
    before = Look(names)
    names[5] = 1
    names["ok"] = 1

    assert told(report_of(before, Look(names), is_undone=False)) == (["ok"], [], [])


class Plain:
    """With attributes of its own."""

    def __init__(self) -> None:
        self.a = 1


class Slotted:
    """With no dictionary: its slots are not looked into."""

    __slots__ = ("a",)


class Rows(list):  # type: ignore[type-arg]
    """A list that lies, if asked."""

    def __len__(self) -> int:
        return 0


MODIFIED: list[tuple[Any, str]] = [
    ([1], "x.append(2)"),
    ([1, 2], "x[0] = -1"),
    ([-1], "x[0] = -2"),
    (Rows([1, 2]), "x[0] = 5"),
    ({"a": 1}, "x['a'] = 2"),
    ({"a": 1}, "x['b'] = x.pop('a')"),
    ({"a": 1.5}, "for _ in range(4): x['a'] = _ * 1.5"),
    (Counter("ab"), "x['a'] += 1"),
    (OrderedDict(a=1), "x['a'] = 'b'"),
    ({1, 2}, "x.add(3); x.remove(1)"),
    (deque([1], maxlen=1), "x.append(2)"),
    (bytearray(b"abc"), "x[0] = 0"),
    (Plain(), "x.a = 2"),
    (Plain(), "x.b = 2"),
    (numpy.zeros(1000), "x += 1"),
    (numpy.zeros((10, 10)), "x.shape = (100,)"),
    (numpy.zeros(3, dtype="int8"), "x[2] = 1"),
    (pandas.DataFrame({"a": [1, 2]}), "x['b'] = 1"),
    (pandas.DataFrame({"a": [1, 2]}), "x.loc[1, 'a'] = 7"),
    (type("Made", (), {"a": 1}), "x.a = 2"),
]


@pytest.mark.parametrize(("value", "code"), MODIFIED)
def test_what_is_modified_in_place_is_seen(value: Any, code: str) -> None:
    report = change({"x": value}, code)

    assert told(report) == ([], ["x"], [])
    assert report["changed"][0]["is_modified"] is True


UNSEEN: list[tuple[Any, str]] = [
    ({str(each): each for each in range(LOOKED_INTO + 1)}, "x['0'] = 'other'"),
    ([[1]], "x[0][0] = 2"),
    (numpy.zeros(10_000), "x[77] = 1"),
    (Slotted(), "x.a = 1"),
]


@pytest.mark.parametrize(("value", "code"), UNSEEN)
def test_what_the_documentation_says_is_not_seen(value: Any, code: str) -> None:
    """Were it seen by now, the documentation would be wrong."""
    assert told(change({"x": value}, code)) == ([], [], [])


UNCHANGED: list[Any] = [
    None,
    1000,
    float("nan"),
    "text" * SHORT,
    b"bytes" * SHORT,
    [1, [2]],
    {"a": [1]},
    Plain(),
    Slotted(),
    Plain,
    sys,
    len,
    lambda: 1,
    memoryview(b"x"),
    numpy.zeros(0),
    numpy.zeros((4, 4))[:, 1],
    numpy.array([object()]),
    numpy.zeros(2, dtype="datetime64[s]"),
    pandas.DataFrame({"a": ["x"]}),
    pandas.Series([1, 2]),
]


@pytest.mark.parametrize("value", UNCHANGED)
def test_what_nothing_was_done_to_is_not_told(value: Any) -> None:
    assert told(change({"x": value}, "y = x; del y")) == ([], [], [])


def test_an_equal_number_or_text_is_no_change_and_an_equal_list_is() -> None:
    names = {"number": int("1000"), "text": "".join(["a", "b"]), "row": [1], "truth": 1}

    report = change(
        names, "number = int('1000'); text = ''.join(['a', 'b']); row = [1]; truth = True"
    )

    assert told(report) == ([], ["row", "truth"], [])
    assert not any(entry["is_modified"] for entry in report["changed"])


@pytest.mark.parametrize("make", ["Plain()", "set()", "lambda: 1", "numpy.zeros(5)"])
def test_another_object_at_the_same_address_is_another_one(make: str) -> None:
    for _ in range(20):
        names: Names = {"Plain": Plain, "numpy": numpy}
        exec(f"x = {make}", names)

        report = change(names, f"del x; gc.collect(0); x = {make}")

        assert told(report) == ([], ["x"], [])


@pytest.mark.parametrize("make", [Plain, lambda: numpy.zeros(5), lambda: {1, 2}])
def test_what_the_code_lets_go_of_is_freed_at_once(make: Callable[[], Any]) -> None:
    names = {"x": make()}
    gone = weakref.ref(names["x"])
    before = Look(names)
    del names["x"]

    assert gone() is None
    report = report_of(before, Look(names), is_undone=False)
    assert told(report) == ([], [], ["x"])
    assert report["removed"][0]["size_bytes"] > 0


def hang(*_: object) -> NoReturn:
    raise AssertionError("code of the user's was run")


class Liar:
    """Whatever is asked of it runs its own code."""

    __len__ = __sizeof__ = __eq__ = __hash__ = __getattribute__ = hang  # type: ignore[assignment]
    nbytes = shape = __dict__ = property(hang)  # type: ignore[assignment]


class Meta(type):
    """A class of classes that answers with its own code, too."""

    __getattribute__ = __eq__ = __hash__ = hang  # type: ignore[assignment]


LIARS: list[Callable[[], object]] = [
    Liar,
    lambda: [Liar()],
    lambda: {"a": Liar()},
    lambda: type.__call__(Meta, "Lied", (), {}),
    lambda: type("Text", (str,), {"__len__": hang, "__eq__": hang, "__hash__": hang})(),
    lambda: type("Number", (int,), {"__eq__": hang, "__hash__": hang})(5),
    lambda: type("Map", (dict,), {"__len__": hang, "items": hang, "__iter__": hang})(a=1),
    lambda: type("Array", (numpy.ndarray,), {"nbytes": property(hang)})(3),
    lambda: type("NDFrame", (), {"__module__": type("Liar", (), {"__eq__": hang})()})(),
    lambda: type("NDFrame", (), {"__module__": "pandas.core.generic", "_mgr": property(hang)})(),
    lambda: type("Module", (ModuleType,), {"__getattribute__": hang})("m"),
]


@pytest.mark.parametrize("make", LIARS)
def test_no_code_of_the_users_is_run(make: Callable[[], object]) -> None:
    names = {"x": make(), "y": make(), "z": make()}
    before = Look(names)
    names["x"], names["a"] = make(), make()
    del names["y"]

    report = report_of(before, Look(names), is_undone=False)

    assert told(report) == (["a"], ["x"], ["y"])


def test_a_size_that_only_python_code_could_tell_is_not_told() -> None:
    sized = type("Sized", (), {"__sizeof__": lambda self: 5})

    report = change({"sized": sized}, "x = sized()")

    assert report["added"][0]["size_bytes"] is None


def test_an_array_and_a_frame_are_as_large_as_their_data() -> None:
    names = {"array": numpy.zeros(1000), "view": numpy.zeros(1000)[::2]}
    names["frame"] = pandas.DataFrame({"a": numpy.zeros(100), "b": numpy.zeros(100)})
    before = Look({})

    sizes = [
        entry["size_bytes"] for entry in report_of(before, Look(names), is_undone=False)["added"]
    ]

    assert sizes == [8000, 4000, 1600]


def test_there_are_bounds_on_names_and_on_their_length() -> None:
    names: Names = {f"n{number}": number for number in range(MOST_NAMES + 5)}
    names["x" * 500] = 1

    report = report_of(Look({}), Look(names), is_undone=True)

    assert (len(report["added"]), report["omitted"]) == (MOST_NAMES, 6)
    assert report["is_undone"] is True
    long = report_of(Look({}), Look({"x" * 500 + "\ud800": 1}), is_undone=False)["added"][0]["name"]
    assert long.startswith("xxx")
    assert len(long.encode("utf-8")) < 300


def test_beyond_so_many_elements_objects_are_known_by_their_size_and_never_wrongly_told() -> None:
    names: Names = {f"n{number}": [number] * LOOKED_INTO for number in range(200)}
    before = Look(names)
    # The first ones take more of the looks than before: the last are not looked into any more.
    names["n0"].append(1)
    names["n199"][0] = "unseen"
    names["n198"].append(1)

    assert told(report_of(before, Look(names), is_undone=False))[1] == ["n0", "n198"]


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=3)
)
NAMES = st.dictionaries(st.sampled_from("abcdef"), VALUES)


@given(NAMES, NAMES)
def test_a_report_is_what_a_comparison_by_hand_finds(one: Names, other: Names) -> None:
    names = dict(one)
    before = Look(names)
    names.clear()
    names.update(other)

    added, changed, removed = told(report_of(before, Look(names), is_undone=False))

    assert set(added) == other.keys() - one.keys()
    assert set(removed) == one.keys() - other.keys()
    both = one.keys() & other.keys()
    assert (
        {name for name in both if repr(one[name]) != repr(other[name])}
        - {name for name in both if one[name] == other[name] and type(one[name]) is float}
        <= set(changed)
        <= both
    )
