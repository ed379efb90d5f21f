"""Contract tests: what a real worker answers besides executions, and how it starts and ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from worker_driver import BOOT, MSGPACK_FOLDER, Worker, interpreters, open_worker


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        opened.run("import os\nclass Trap:\n  @property\n  def sprung(self): 1/0\ntrap = Trap()")
        opened.run("table = {'alps': 1, 'alpha': 2, 'be ta': 3, 'al\\n': 4, 5: 6}")
        yield opened


@pytest.mark.parametrize(
    ("code", "expected", "start"),
    [
        ("x = pri", ["print"], 4),
        ("os.path.basen", ["basename"], 8),
        ("trap.s", ["sprung"], 5),
        ("trap.sprung.", [], 12),
        ("import tokeni", ["tokenize"], 7),
        ("import os, tokeni", ["tokenize"], 11),
        ("from os import getpi", ["getpid"], 15),
        ("await", ["await"], 0),
        ("f(1).", [], 5),
        ("open('pri", [], 6),
        ("'it\\'s pri", [], 1),
        ("# pri", [], 1),
        ("'''a\n'pri", [], 3),
        ("x = 'a' + pri", ["print"], 10),
        ("'#'; pri", ["print"], 5),
        ("# it's\npri", ["print"], 7),
        ("f'{pri", ["print"], 3),
        ("f'{{pri", [], 2),
        ("table['al", ["alpha", "alps"], 7),
        ('table["be', ["be ta"], 7),
        ("trap['al", [], 6),
    ],
)
def test_complete_finds_names_attributes_and_modules(
    worker: Worker, code: str, expected: list[str], start: int
) -> None:
    answer = worker.ask("complete", code=code, cursor_pos=len(code))

    assert answer == {
        "type": "completed", "id": 7, "matches": expected, "cursor_start": start,
        "cursor_end": len(code),
    }  # fmt: skip


def test_inspect_tells_the_signature_and_the_docstring(worker: Worker) -> None:
    worker.run("def f(a, *, b=2):\n    'What f does.'")

    answer = worker.ask("inspect", code="f(1)", cursor_pos=1)

    assert (answer["found"], answer["text"]) == (True, "f(a, *, b=2)\n\nWhat f does.")
    assert worker.ask("inspect", code="nothing_here", cursor_pos=3)["found"] is False
    assert worker.ask("inspect", code="trap.sprung", cursor_pos=11)["found"] is False


@pytest.mark.parametrize(
    ("code", "status", "indent"),
    [
        ("1 + 1", "complete", ""),
        ("await f()", "complete", ""),
        ("x = (", "incomplete", ""),
        ("for x in y:", "incomplete", "    "),
        ("def f():\n    return 1", "incomplete", "    "),
        ("def f():\n    return 1\n", "complete", ""),
        ("x = )", "invalid", ""),
        ("", "complete", ""),
    ],
)
def test_is_complete_knows_when_more_is_to_come(
    worker: Worker, code: str, status: str, indent: str
) -> None:
    answer = worker.ask("is_complete", code=code)

    assert answer == {"type": "completeness", "id": 7, "status": status, "indent": indent}


def test_configure_sets_folder_environment_and_limits(tmp_path: Path) -> None:
    with open_worker() as worker:
        answer = worker.ask(
            "configure", cwd=str(tmp_path), env={"GREETING": "hi"},
            limits={"memory_bytes": 2**29, "open_files": 20},
        )  # fmt: skip
        assert answer == {"type": "configured", "id": 7}

        code = """
import os
from resource import RLIMIT_DATA, RLIMIT_NOFILE, getrlimit
[os.getcwd(), os.environ['GREETING'], getrlimit(RLIMIT_NOFILE), getrlimit(RLIMIT_DATA)]
"""
        expected = [str(tmp_path), "hi", [20, 20], [2**29, 2**29]]
        assert worker.run(code).value == expected
        assert worker.run("bytes(2**30)").end["name"] == "MemoryError"
        assert worker.run("[open('/dev/null') for _ in range(30)]").end["name"] == "OSError"
        assert worker.run("1 + 1").value == 2


def test_a_configuration_that_fails_changes_nothing(worker: Worker, tmp_path: Path) -> None:
    before = worker.run("os.getcwd()").value

    answer = worker.ask("configure", cwd="/does/not/exist", env={"X": "1"}, limits={})
    assert (answer["type"], answer["id"], answer["name"]) == ("failed", 7, "FileNotFoundError")
    answer = worker.ask("configure", cwd=str(tmp_path), env={}, limits={"open_files": -5})
    assert (answer["type"], answer["name"]) == ("failed", "ValueError")

    assert worker.run("[os.getcwd(), os.environ.get('X')]").value == [before, None]


def test_an_unknown_request_is_answered_as_failed(worker: Worker) -> None:
    assert worker.ask("dance")["type"] == "failed"


def test_shutdown_joins_threads_and_runs_exit_handlers_and_finalizers() -> None:
    with open_worker() as worker:
        worker.run(
            "import atexit, threading, time\n"
            "def work(): time.sleep(0.05); print('thread')\n"
            "threading.Thread(target=work).start()\n"
            "atexit.register(print, 'atexit')\n"
            "class Last:\n  def __del__(self): print('finalizer')\n"
            "last = Last()"
        )
        worker.send(type="shutdown", reason="test", grace_s=1.0)

        assert [worker.receive()["data"] for _ in range(3)] == [
            b"thread\n", b"atexit\n", b"finalizer\n",
        ]  # fmt: skip
        assert worker.process.wait(timeout=5) == 0


def test_shutdown_ends_a_question_that_waits() -> None:
    with open_worker() as worker:
        worker.execute("input()", allow_input=True)
        worker.receive()
        worker.send(type="shutdown", reason="test", grace_s=1.0)

        assert worker.finish().end["name"] == "EOFError"
        assert worker.process.wait(timeout=5) == 0


def test_warm_up_code_and_preloaded_modules_are_there_from_the_start() -> None:
    with open_worker(preload=["json"], warmup_code="ready = json = __import__('json')") as worker:
        assert worker.run("ready.dumps([1])").value == "[1]"


def test_a_failing_warm_up_ends_the_start_with_its_traceback() -> None:
    with pytest.raises(EOFError), open_worker(warmup_code="1/0"):
        raise AssertionError("it started")


def test_the_protocol_can_use_stdin_and_stdout_where_descriptors_cannot_be_passed() -> None:
    body = msgpack.packb(
        {"type": "execute", "execution": "e", "number": 1, "code": "print('to stderr'); 6 * 7"}
    )
    process = subprocess.run(
        [sys.executable, str(BOOT), "worker", f"--msgpack-path={MSGPACK_FOLDER}"],
        input=len(body).to_bytes(4, "big") + body, capture_output=True, timeout=20,
        env={"PATH": os.environ["PATH"], "PYREPL_FD_SEPARATION": "false"},
    )  # fmt: skip

    assert process.returncode == 0
    assert b"result" in process.stdout
