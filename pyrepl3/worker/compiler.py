"""A cell's source as code objects.

Owns how the last expression becomes the cell's value, top-level await, and the ``__future__``
flags that a session keeps. The code object's flags say whether a cell needs an event loop, never
a guess from the text. Must not run anything.
"""

import __future__

import _ast
from types import CodeType
from typing import NamedTuple

CO_COROUTINE = 0x80
"""``inspect.CO_COROUTINE``; importing ``inspect`` for it would cost a fork its memory."""

_PARSE = _ast.PyCF_ONLY_AST | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def _all_future_flags() -> int:
    flags = 0
    for name in __future__.all_feature_names:
        flags |= getattr(__future__, name).compiler_flag
    return flags


_FUTURE_FLAGS = _all_future_flags()


class Cell(NamedTuple):
    """The parts of a cell: the statements, and the last expression, where there are such."""

    statements: CodeType | None
    expression: CodeType | None

    @property
    def needs_loop(self) -> bool:
        """Whether one of the parts is a coroutine when it is evaluated."""
        return any(code is not None and code.co_flags & CO_COROUTINE for code in self)


class Compiler:
    """Compiles the cells of one session; a ``from __future__ import`` holds for later cells."""

    def __init__(self) -> None:
        self._flags = 0

    def compile(self, source: str, filename: str) -> Cell:
        """The cell of a source.

        Raises what the language raises: SyntaxError, ValueError for NUL bytes, MemoryError and
        RecursionError for absurd nesting, UnicodeEncodeError for lone surrogates.
        """
        flags = self._flags
        tree = compile(source, filename, "exec", _PARSE | flags, dont_inherit=True)
        statements, expression = None, None
        flags |= _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        body: list[_ast.stmt] = tree.body
        last = body[-1] if body else None
        if type(last) is _ast.Expr:
            body.pop()
        if body:
            statements = compile(tree, filename, "exec", flags, dont_inherit=True)
            flags |= statements.co_flags & _FUTURE_FLAGS
        if type(last) is _ast.Expr:
            last_tree = _ast.Expression(body=last.value)
            expression = compile(last_tree, filename, "eval", flags, dont_inherit=True)
        self._flags = flags & _FUTURE_FLAGS
        return Cell(statements, expression)
