"""A hosted session's requests for input: which wait, and which have their answer.

Pure. Each takes one line; the same line, sent again by a client that lost the answer to it, is not
a second one. Must not know trio, nor how a line gets to where it is waited for.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import attrs

from pyrepl3.events import InputRequested

T = TypeVar("T")

REMEMBERED = 1000
"""Requests that wait, and as many that have their answer: a second one is told that it is one."""


@attrs.define(eq=False)
class Inputs:
    """By the ids that came with the events."""

    _waiting: dict[str, InputRequested] = attrs.field(factory=dict)
    _answered: dict[str, bytes] = attrs.field(factory=dict)
    """The oldest first, each with what tells its line from another one."""

    def ask(self, asked: InputRequested) -> None:
        """One more waits."""
        _remember(self._waiting, asked.input, asked)

    def waiting(self, number: str) -> InputRequested | None:
        """That request, if it waits for its line."""
        return self._waiting.get(number)

    def took(self, number: str, line: str | None) -> None:
        """It has its line."""
        self._waiting.pop(number, None)
        _remember(self._answered, number, _digest_of(line))

    def is_answered(self, number: str) -> bool:
        """Whether it had its line."""
        return number in self._answered

    def was_given(self, number: str, line: str | None) -> bool:
        """Whether it had this very line."""
        return self._answered.get(number) == _digest_of(line)

    def execution_ended(self, execution: str) -> None:
        """Nobody waits any more for what it asked: it was interrupted, say."""
        for number in [n for n, asked in self._waiting.items() if asked.execution == execution]:
            del self._waiting[number]


def _remember(inputs: dict[str, T], number: str, what: T) -> None:
    """One more, and the oldest no longer where there are very many."""
    inputs[number] = what
    if len(inputs) > REMEMBERED:
        del inputs[next(iter(inputs))]


def _digest_of(line: str | None) -> bytes:
    return hashlib.blake2b(repr(line).encode("utf-8", "surrogatepass"), digest_size=16).digest()
