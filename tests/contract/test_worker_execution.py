"""Contract tests: a real worker runs code: values, errors, names, exits. Every interpreter."""

from collections.abc import Iterator

import pytest
from worker_driver import Worker, interpreters, open_worker


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        yield opened


def test_the_last_expression_is_the_value(worker: Worker) -> None:
    end = worker.run("x = 20\nx + 22").end

    assert (end["type"], end["value"], end["has_value"]) == ("result", 42, True)
    assert (end["repr"], end["data"]) == ("42", {"text/plain": "42"})
    assert end["execution_count"] == 1
    assert end["usage"]["max_rss_bytes"] > 1_000_000


@pytest.mark.parametrize("code", ["x = 1", "None", "", "# nothing", "def f(): pass"])
def test_what_has_no_value_says_so(worker: Worker, code: str) -> None:
    end = worker.run(code).end

    assert (end["type"], end["value"], end["has_value"]) == ("result", None, False)
    assert (end["repr"], end["data"]) == ("", {})


def test_a_value_that_json_cannot_hold_has_only_its_repr(worker: Worker) -> None:
    end = worker.run("{1, 2}").end

    assert (end["value"], end["has_value"], end["repr"]) == (None, True, "{1, 2}")


def test_everything_printed_comes_before_the_result_in_order(worker: Worker) -> None:
    code = "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c', end='')\n5"

    execution = worker.run(code)

    parts = [(each["stream"], each["data"]) for each in execution.of("output")]
    assert parts == [("stdout", b"a\n"), ("stderr", b"b\n"), ("stdout", b"c")]
    assert execution.messages[-1]["value"] == 5


def test_a_traceback_shows_the_cells_own_lines_and_no_others(worker: Worker) -> None:
    worker.run("def divide(n):\n    return 1 / n")

    end = worker.run("y = 0\ndivide(y)").end

    text = "".join(end["traceback"])
    assert (end["name"], end["value"], end["code"]) == (
        "ZeroDivisionError",
        "division by zero",
        None,
    )
    assert "    divide(y)\n" in text
    assert "    return 1 / n\n" in text
    assert f'"<cell {worker.number}>", line 2, in <module>' in text
    assert "pyrepl3" not in text


def test_chains_notes_and_groups_are_in_the_traceback(worker: Worker) -> None:
    code = """
try:
    {}['k']
except KeyError as error:
    group = ExceptionGroup('both', [ValueError('one'), TypeError('two')])
    group.add_note('mind this')
    raise group from error
"""

    text = worker.run(code).traceback

    for part in ("KeyError: 'k'", "direct cause", "ExceptionGroup: both", "mind this", "two"):
        assert part in text
    assert "pyrepl3" not in text


def test_a_syntax_error_shows_its_place_with_a_caret(worker: Worker) -> None:
    execution = worker.run("x = 1\ny = (2 +\n")

    assert execution.end["name"] == "SyntaxError"
    assert "y = (2 +" in execution.traceback
    assert "^" in execution.traceback
    assert "pyrepl3" not in execution.traceback


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("x = '\0'", {"SyntaxError", "ValueError"}),
        ("(" * 100_000, {"SyntaxError", "MemoryError", "RecursionError"}),
        ("-" * 100_000 + "1", {"SyntaxError", "MemoryError", "RecursionError"}),
        ("print(10 ** 5000)", {"ValueError"}),
        ("def f(): return f()\nf()", {"RecursionError"}),
        ("'\ud800' + 1", {"UnicodeEncodeError"}),
    ],
)
def test_absurd_code_gets_the_languages_own_error(
    worker: Worker, code: str, names: set[str]
) -> None:
    assert worker.run(code).end["name"] in names
    assert worker.run("1 + 1").value == 2


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("exit()", 0),
        ("quit(3)", 3),
        ("import sys; sys.exit('why')", 1),
        ("raise SystemExit(256 + 7)", 7),
    ],
)
def test_an_exit_ends_the_execution_and_keeps_the_session(
    worker: Worker, code: str, status: int
) -> None:
    end = worker.run(code).end

    assert (end["name"], end["exit_status"], end["state"]) == ("SystemExit", status, "kept")
    assert worker.run("input()", "still open").value == "still open"


def test_the_last_three_values_have_names(worker: Worker) -> None:
    for code in ("10", "20", "30", "None"):
        worker.run(code)
    worker.run("40", silent=True)

    assert worker.run("[_, __, ___]").value == [30, 20, 10]


def test_an_underscore_of_the_users_own_is_left_alone(worker: Worker) -> None:
    worker.run("_ = 'mine'")
    worker.run("5")

    assert worker.run("_").value == "mine"

    worker.run("del _")


def test_future_imports_hold_for_later_cells(worker: Worker) -> None:
    worker.run("from __future__ import annotations")
    worker.run("def f(a: undefined_name): pass")

    assert worker.run("f.__annotations__").value == {"a": "undefined_name"}


def test_main_is_the_sessions_module(worker: Worker) -> None:
    code = """
import pickle, sys
class Point:
    def __init__(self, x): self.x = x
[__name__, sys.modules['__main__'].Point is Point, pickle.loads(pickle.dumps(Point(3))).x]
"""

    assert worker.run(code).value == ["__main__", True, 3]


def test_multiprocessing_forks_children_that_know_the_cells_classes(worker: Worker) -> None:
    code = """
import multiprocessing
def square(n): return n * n
with multiprocessing.get_context('fork').Pool(2) as pool:
    squares = pool.map(square, range(4))
squares
"""

    assert worker.run(code).value == [0, 1, 4, 9]


def test_inspect_finds_the_source_of_a_cells_function(worker: Worker) -> None:
    worker.run("def shown():\n    return 'a line to find'\n")
    worker.run("import gc, inspect; gc.collect()")

    assert "a line to find" in worker.run("inspect.getsource(shown)").value


def test_the_source_of_a_cell_without_reachable_code_is_not_kept(worker: Worker) -> None:
    code = "import linecache\nlen([name for name in linecache.cache if name.startswith('<cell')])"
    before = worker.run(code).value
    for number in range(30):
        worker.run(f"number = {number}")

    assert worker.run(code).value <= before + 1


def test_a_file_name_that_is_given_is_shown(worker: Worker) -> None:
    assert 'File "lesson.py", line 1' in worker.run("1/0", filename="lesson.py").traceback


def test_the_error_is_kept_for_debuggers(worker: Worker) -> None:
    worker.run("{}['missing']")

    assert worker.run("import sys; repr(sys.last_value)").value == "KeyError('missing')"


def test_what_the_runtime_owns_stays_out_of_the_users_sight(worker: Worker) -> None:
    code = """
import os, sys
[sys.path[0], sys.argv, [name for name in os.environ if name.startswith('PYREPL')]]
"""

    assert worker.run(code).value == ["", [""], []]
