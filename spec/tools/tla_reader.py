"""Values of TLA+, read as TLC writes them.

Owns their grammar, as far as our specs need it: numbers, strings, booleans, sets, tuples (also
functions from 1 on, which TLC writes as tuples) and records. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(r'\s*(<<|>>|\|->|[\[\]{},]|"[^"]*"|-?\d+|\w+)')
_WORDS = {"TRUE": True, "FALSE": False}
_CLOSING = {"<<": ">>", "{": "}", "[": "]"}


class ValueUnknown(Exception):
    """What TLC wrote is no value that can be read here."""


def read_value(text: str) -> Any:
    """An int, str or bool; a tuple, a list of a set's elements, a dict of a record.

    Raises ValueUnknown.
    """
    tokens = _Tokens(text)
    value = _value(tokens)
    if tokens.next() is not None:
        raise ValueUnknown(text)
    return value


class _Tokens:
    """What is still to be read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._at = 0

    def next(self) -> str | None:
        """The next token, taken; None at the end."""
        if not self.text[self._at :].strip():
            return None
        found = _TOKEN.match(self.text, self._at)
        if found is None:
            raise ValueUnknown(self.text)
        self._at = found.end()
        return found[1]

    def take(self, token: str) -> bool:
        """Take this token, if it comes next."""
        at = self._at
        if self.next() == token:
            return True
        self._at = at
        return False


def _value(tokens: _Tokens) -> Any:
    token = tokens.next()
    if token == "<<":
        return tuple(_elements(tokens, token))
    if token == "{":
        return list(_elements(tokens, token))
    if token == "[":
        return dict(_elements(tokens, token))
    if token in _WORDS:
        return _WORDS[token]
    if token is not None and token.startswith('"'):
        return token[1:-1]
    if token is not None and token.lstrip("-").isdigit():
        return int(token)
    raise ValueUnknown(tokens.text)


def _elements(tokens: _Tokens, opening: str) -> Iterator[Any]:
    closing = _CLOSING[opening]
    if tokens.take(closing):
        return
    while True:
        yield _field(tokens) if opening == "[" else _value(tokens)
        if tokens.take(closing):
            return
        if not tokens.take(","):
            raise ValueUnknown(tokens.text)


def _field(tokens: _Tokens) -> tuple[str, Any]:
    name = tokens.next()
    if name is None or not tokens.take("|->"):
        raise ValueUnknown(tokens.text)
    return name, _value(tokens)
