"""Contract tests: a real worker asks questions and waits for the answers in place."""

from collections.abc import Iterator

import pytest
from worker_driver import Worker, interpreters, open_worker


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        yield opened


def test_several_inputs_in_a_row_and_in_functions(worker: Worker) -> None:
    code = "def ask(n): return input(f'{n}? ')\n[ask(1), ask(2), input()]"

    execution = worker.run(code, "one", "zwei→", "")

    assert execution.value == ["one", "zwei→", ""]
    questions = [(each["prompt"], each["password"]) for each in execution.of("input")]
    assert questions == [("1? ", False), ("2? ", False), ("", False)]


def test_what_was_printed_comes_before_the_question(worker: Worker) -> None:
    execution = worker.run("print('no newline', end=''); input('? ')", "x")

    assert [each["type"] for each in execution.messages] == ["output", "input", "result"]


def test_a_password_is_asked_for_as_one(worker: Worker) -> None:
    execution = worker.run("import getpass; getpass.getpass('Key: ')", "s3cret")

    assert execution.value == "s3cret"
    assert [(each["prompt"], each["password"]) for each in execution.of("input")] == [
        ("Key: ", True)
    ]


def test_the_end_of_file_raises_in_input_and_ends_stdin(worker: Worker) -> None:
    assert worker.run("input()", None).end["name"] == "EOFError"
    assert worker.run("input()", None).end["code"] is None
    assert worker.run("import sys; sys.stdin.read()", "a", "b", None).value == "a\nb\n"


def test_stdin_reads_lines_in_every_way(worker: Worker) -> None:
    code = """
import sys
[sys.stdin.readline(), next(sys.stdin), sys.stdin.buffer.readline().decode(), list(sys.stdin)]
"""

    answers = ("one", "two", "three", "four", "five", None)

    assert worker.run(code, *answers).value == ["one\n", "two\n", "three\n", ["four\n", "five\n"]]


def test_an_answer_of_several_lines_serves_several_reads(worker: Worker) -> None:
    assert worker.run("import sys; [sys.stdin.readline(), input()]", "a\nb").value == ["a\n", "b"]


def test_a_replaced_stdin_is_read_by_input(worker: Worker) -> None:
    code = "import io, sys\nsys.stdin = io.StringIO('from a file')\nx = input('')\n"

    assert worker.run(code + "sys.stdin = sys.__stdin__\nx").value == "from a file"


@pytest.mark.parametrize("way", ["input()", "sys.stdin.readline()", "getpass.getpass()"])
def test_where_no_one_can_answer_the_code_gets_an_end_of_file(worker: Worker, way: str) -> None:
    end = worker.run(f"import getpass, sys\n{way}").end

    assert (end["name"], end["code"]) == ("EOFError", "STDIN_UNAVAILABLE")


def test_a_refusal_that_is_caught_is_forgotten(worker: Worker) -> None:
    end = worker.run("try: input()\nexcept EOFError: pass\nraise EOFError('mine')").end

    assert (end["name"], end["code"]) == ("EOFError", None)


def test_input_works_in_threads_and_in_coroutines(worker: Worker) -> None:
    code = "import asyncio\nawait asyncio.to_thread(input, 'thread? ') + input('loop? ')"

    assert worker.run(code, "a", "b").value == "ab"


def test_requests_that_come_while_it_waits_are_answered_afterwards(worker: Worker) -> None:
    worker.execute("input()", allow_input=True)
    question = worker.receive()
    worker.send(type="is_complete", id=9, code="1")
    worker.send(type="input_response", input=question["input"], execution="e", data="x")

    assert worker.finish().value == "x"
    assert worker.receive() == {"type": "completeness", "id": 9, "status": "complete", "indent": ""}
