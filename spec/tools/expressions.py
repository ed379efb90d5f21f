r"""The parts of an expression that decide: operands of /\ and \/, conditions of IF, bounds.

Owns how far each of them reaches. TLA+ says that by columns as well as by brackets: a list of /\
or \/ goes on as long as its signs stand under each other (Lamport, Specifying Systems, 15.2.2).
Only what our specs use is read; anything else is part of an operand. Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence

import attrs

_TOKEN = re.compile(
    r'"[^"]*"|/\\|\\/|\\\w+|<=>|=>|==|\|->|->|<<|>>|\[\]|[\w\']+|[\[\](){},:]|[^\s\w]'
)
_JUNCTIONS = ("/\\", "\\/")
_CLOSING = {"(": ")", "[": "]", "{": "}", "<<": ">>"}
_ENDS = {")", "]", "}", ">>", "THEN", "ELSE", "IN"}
_PAUSES = {",", ":", "|->", "->", "=>", "<=>", "=="}
_ARMS = {"CASE", "[]"}
_PLACE = "!"
"""Begins the name of a place that an EXCEPT changes."""
_BINDERS = {"\\A", "\\E", "CHOOSE", "LAMBDA"}
_BOUNDS = {"Most", "Fewest"}


class Role(enum.Enum):
    """What a part is to the whole."""

    CONJUNCT = enum.auto()
    DISJUNCT = enum.auto()
    CONDITION = enum.auto()
    """Of an IF: the one arm always, or the other."""
    ARM = enum.auto()
    """What an arm of a CASE is for: another arm is taken, or there is none."""
    BOUND = enum.auto()
    """A call of Most or Fewest: either of what it compares."""


_INSTEAD = {
    Role.CONJUNCT: ("TRUE",),
    Role.DISJUNCT: ("FALSE",),
    Role.CONDITION: ("TRUE", "FALSE"),
    Role.ARM: ("FALSE",),
}


@attrs.frozen
class Part:
    """Characters ``start`` up to ``end`` of the text, and what may stand there instead."""

    role: Role
    start: int
    end: int
    instead: Sequence[str]


@attrs.frozen
class _Token:
    text: str
    start: int
    line: int
    column: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def parts(text: str) -> list[Part]:
    """All parts of an expression, and of those in it, in the order in which they begin.

    ``text`` has its strings and comments blanked, and every line begins at its own column: what
    stands before the expression on its first line is blanked too.
    """
    reader = _Reader(text)
    reader.expression(column=-1)
    return sorted(reader.found, key=lambda part: (part.start, -part.end))


class _Reader:
    def __init__(self, text: str) -> None:
        self.found: list[Part] = []
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0

    def expression(self, *, column: int) -> None:
        """As far as it reaches: a closing bracket or word, or a later line not right of column."""
        first = self._at
        operands: list[tuple[int, int]] = []
        sign = ""
        start = self._at
        while not self._ends(first, column):
            token = self._tokens[self._at]
            if token.text in _JUNCTIONS and self._at == start:
                self._list(column)
            elif token.text in _JUNCTIONS:
                operands.append((start, self._at))
                sign = token.text
                self._at += 1
                start = self._at
            elif token.text in _PAUSES or token.text in _ARMS or token.text == _PLACE:
                self._operands(sign, [*operands, (start, self._at)])
                operands, sign = [], ""
                self._at = 1 + (self._reach(self._at, "=") if token.text == _PLACE else self._at)
                start = self._at
                if token.text in _ARMS and self._tokens[start].text != "OTHER":
                    arm = self._reach(start, "->")
                    self._keep(Role.ARM, start, arm, _INSTEAD[Role.ARM])
            else:
                self._step(token, column)
        self._operands(sign, [*operands, (start, self._at)])

    def _step(self, token: _Token, column: int) -> None:
        """Past one token of an operand, or past all that it opens."""
        self._at += 1
        if token.text in _CLOSING:
            if token.text == "(" and self._previous(2) in _BOUNDS:
                self._bound()
            self.expression(column=-1)
            self._at += 1
        elif token.text == "IF":
            first = self._at
            self.expression(column=column)
            self._keep(Role.CONDITION, first, self._at, _INSTEAD[Role.CONDITION])
            for _ in ("THEN", "ELSE"):
                self._at += 1
                self.expression(column=column)
        elif token.text == "LET":
            while self._tokens[self._at].text != "IN":
                self.expression(column=self._tokens[self._at].column)
            self._at += 1
            self.expression(column=column)
        elif token.text in _BINDERS:
            while self._tokens[self._at].text != ":":
                self._step(self._tokens[self._at], column)
            self._at += 1
            self.expression(column=column)

    def _list(self, column: int) -> None:
        """Items under each other, each behind the same sign."""
        sign = self._tokens[self._at]
        items: list[tuple[int, int]] = []
        while not self._ends(self._at, column):
            token = self._tokens[self._at]
            if token.text != sign.text or token.column != sign.column:
                break
            self._at += 1
            first = self._at
            self.expression(column=sign.column)
            items.append((first, self._at))
        self._operands(sign.text, items)

    def _bound(self) -> None:
        """The two that are compared; the reader stays where it was."""
        comma = self._reach(self._at, ",")
        end = self._reach(self._at, ")")
        one = self._text[self._tokens[self._at].start : self._tokens[comma].start].strip()
        other = self._text[self._tokens[comma].end : self._tokens[end].start].strip()
        self._keep(Role.BOUND, self._at - 2, end + 1, (f"({one})", f"({other})"))

    def _reach(self, at: int, wanted: str) -> int:
        """Where this stands next outside of what brackets open from here on."""
        depth = 0
        while depth or self._tokens[at].text != wanted:
            text = self._tokens[at].text
            depth += (text in _CLOSING) - (text in _CLOSING.values())
            at += 1
        return at

    def _operands(self, sign: str, operands: Sequence[tuple[int, int]]) -> None:
        if len(operands) > 1:
            role = Role.CONJUNCT if sign == "/\\" else Role.DISJUNCT
            for first, end in operands:
                self._keep(role, first, end, _INSTEAD[role])

    def _keep(self, role: Role, first: int, end: int, instead: Sequence[str]) -> None:
        start, last = self._tokens[first].start, self._tokens[end - 1].end
        self.found.append(Part(role, start, last, instead))

    def _ends(self, first: int, column: int) -> bool:
        if self._at >= len(self._tokens):
            return True
        token = self._tokens[self._at]
        later = first < self._at and token.line > self._tokens[first].line
        return token.text in _ENDS or (later and token.column <= column)

    def _previous(self, back: int) -> str:
        return self._tokens[self._at - back].text if self._at >= back else ""


def _tokens(text: str) -> Iterator[_Token]:
    for number, line in enumerate(text.splitlines(keepends=True)):
        start = sum(len(each) for each in text.splitlines(keepends=True)[:number])
        for found in _TOKEN.finditer(line):
            yield _Token(found[0], start + found.start(), number, found.start())
