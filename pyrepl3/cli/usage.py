"""How a command line is read, word by word, and how a wrong one is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence


class UsageError(Exception):
    """The command line cannot be understood; ``what`` is wrong, and ``how`` it could be right."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(what, how)
        self.what = what
        self.how = how


def value_of(option: str, words: Sequence[str], how: str) -> tuple[str, list[str]]:
    """What follows an option, as a word of its own or behind ``=``, and the words after that.

    Raises UsageError.
    """
    _, joined, value = words[0].partition("=")
    rest = list(words[1:])
    if not joined:
        value = rest.pop(0) if rest else ""
    if not value:
        raise UsageError(f"{option} needs a value", how)
    return value, rest


def whole_number(option: str, text: str, how: str) -> int:
    """Raises UsageError."""
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{option} takes a whole number, and {text!r} is none", how)
    return int(text)
