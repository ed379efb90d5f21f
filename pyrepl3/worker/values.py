"""What leaves the session of a value: its repr, and the value itself where JSON can hold it.

Owns the bounds and the guards: a repr that raises, recurses or is huge ends as a stated
placeholder. Must not know messages. Code of the user runs here only through ``call_user``.
"""

from math import isfinite
from typing import Any

from .interrupts import call_user

REPR_CHARACTERS = 256 * 2**10
"""The most of a repr that is sent; what is cut off is said."""
VALUE_DEPTH = 32
VALUE_NODES = 10_000
VALUE_CHARACTERS = 2**20
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

_type_name = type.__dict__["__name__"].__get__


def true_name(kind: type) -> str:
    """A class's name, whatever its metaclass says."""
    name: str = _type_name(kind)
    return name


def is_a(value: object, kind: type) -> bool:
    """``isinstance`` that asks the true class, and runs no code of the user's."""
    return issubclass(type(value), kind)


def encodable(text: str) -> str:
    """The same text, with backslash escapes for what UTF-8 cannot hold (lone surrogates)."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut(text: str, limit: int = REPR_CHARACTERS) -> str:
    """The text, or its beginning and how much of it there was."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [cut: {limit} of {len(text)} characters]"


def safe_repr(value: object) -> str:
    """``repr(value)``, cut and encodable; a placeholder where it fails.

    Raises KeyboardInterrupt alone: a repr may hang, and is then interrupted.
    """
    return _guarded(repr, value, "repr")


def safe_str(value: object) -> str:
    """``str(value)`` with the guards of `safe_repr`."""
    return _guarded(str, value, "str")


def _guarded(function: Any, value: object, verb: str) -> str:
    try:
        text = call_user(function, value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        kind, failure = true_name(type(value)), true_name(type(error))
        return encodable(f"<{kind} object: {verb}() raised {failure}>")
    # A subclass of str could lie about its length and its encoding.
    return encodable(cut(text if type(text) is str else str.__str__(text)))


class _NotJson(Exception):
    """The value holds something that JSON cannot."""


def json_value(value: object) -> Any:
    """The value as nil, bool, int, float, str, list and map, or None where it is more than that.

    Exact built-in types only, finite numbers, ints within 64 bits, depth <= 32, 10,000 nodes,
    1 MiB of text. Tuples become lists, as in JSON.
    """
    kind = type(value)
    if kind is int and _INT_MIN <= value <= _INT_MAX:  # type: ignore[operator]
        return value
    if kind in _CHECKS:
        try:
            return _Copier().copy(value, VALUE_DEPTH)
        except _NotJson:
            return None
    return None


class _Copier:
    """Copies one value within the bounds."""

    def __init__(self) -> None:
        self._nodes = VALUE_NODES
        self._characters = VALUE_CHARACTERS

    def copy(self, value: Any, depth: int) -> Any:
        self._nodes -= 1
        check = _CHECKS.get(type(value))
        if check is None or self._nodes < 0 or depth < 0:
            raise _NotJson
        return check(self, value, depth)

    def scalar(self, value: Any, depth: int) -> Any:
        return value

    def integer(self, value: int, depth: int) -> int:
        if not _INT_MIN <= value <= _INT_MAX:
            raise _NotJson
        return value

    def number(self, value: float, depth: int) -> float:
        if not isfinite(value):
            raise _NotJson
        return value

    def text(self, value: str, depth: int) -> str:
        self._characters -= len(value)
        if self._characters < 0:
            raise _NotJson
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise _NotJson from None
        return value

    def array(self, value: Any, depth: int) -> list[Any]:
        if len(value) > self._nodes:
            raise _NotJson
        copy = self.copy
        return [copy(each, depth - 1) for each in value]

    def map(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        copied = {}
        for key, each in value.items():
            if type(key) is not str:
                raise _NotJson
            copied[self.text(key, depth)] = self.copy(each, depth - 1)
        return copied


_CHECKS: dict[type, Any] = {
    type(None): _Copier.scalar,
    bool: _Copier.scalar,
    int: _Copier.integer,
    float: _Copier.number,
    str: _Copier.text,
    list: _Copier.array,
    tuple: _Copier.array,
    dict: _Copier.map,
}
