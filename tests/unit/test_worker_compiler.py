"""Unit tests: how a cell is split, and what its code objects say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.worker.compiler import Compiler

STATEMENTS = st.lists(
    st.sampled_from(["x = 1", "x += 1", "if x: pass", "def f():\n    return 1", "import math", "x"])
)


def run(source: str) -> object:
    cell = Compiler().compile(source, "<cell 1>")
    names: dict[str, object] = {"x": 0}
    if cell.statements is not None:
        exec(cell.statements, names)
    return None if cell.expression is None else eval(cell.expression, names)


@given(STATEMENTS, st.integers())
def test_only_the_last_expression_is_the_value(statements: list[str], last: int) -> None:
    assert run("\n".join([*statements, str(last)])) == last


@given(STATEMENTS)
def test_a_last_statement_has_no_value(statements: list[str]) -> None:
    assert run("\n".join([*statements, "y = 5"])) is None


@pytest.mark.parametrize(
    ("source", "needs_loop"),
    [
        ("await f()", True),
        ("await f()\n1", True),
        ("x = 1\nawait f()", True),
        ("async for x in y: pass", True),
        ("async with x: pass", True),
        ("async def f(): await g()", False),
        ("'await'", False),
        ("", False),
    ],
)
def test_the_code_objects_flags_say_whether_a_loop_is_needed(source: str, needs_loop: bool) -> None:
    assert Compiler().compile(source, "<cell 1>").needs_loop is needs_loop


def test_a_future_import_that_fails_to_compile_changes_nothing() -> None:
    compiler = Compiler()
    with pytest.raises(SyntaxError):
        compiler.compile("from __future__ import annotations\nx = (", "<cell 1>")
    with pytest.raises(SyntaxError):
        compiler.compile("from __future__ import braces", "<cell 2>")

    names: dict[str, object] = {}
    cell = compiler.compile("def f(a: int): pass\nf.__annotations__", "<cell 3>")
    assert cell.statements is not None
    assert cell.expression is not None
    exec(cell.statements, names)
    assert eval(cell.expression, names) == {"a": int}
