"""End-to-end tests: `pyrepl3 session` and `pyrepl3 exec`, on a running service."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from .command_driver import COMMAND, LIMIT_S, environment, run
from .serve_driver import Serving, serving

Say = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as service:
        yield service


@pytest.fixture
def variables(service: Serving, tmp_path: Path) -> dict[str, str]:
    return {"PYREPL3_URL": service.served.url, "XDG_STATE_HOME": str(tmp_path)}


@pytest.fixture
def say(variables: dict[str, str]) -> Say:
    """The command, as the user of that service has it."""

    def say(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return run(COMMAND, *words, stdin=stdin, variables=variables)

    return say


def test_code_is_undone_as_its_policy_and_its_guard_say(say: Say) -> None:
    say("session", "create", "--name", "mine")
    say("exec", "mine", "-c", "x = 1")
    dry = say("exec", "mine", "--policy", "rollback_always", "-c", "x = 2; x")
    assert (dry.returncode, dry.stdout) == (0, b"2\n")
    assert dry.stderr == b"[rolled back: the variables are as they were before]\n"
    died = say("exec", "mine", "--guard", "-c", "import os; os._exit(3)")
    assert died.returncode == 3
    assert b"[rolled back: " in died.stderr
    assert b"lost" not in died.stderr
    automatic = say("exec", "mine", "--guard=auto", "-c", "import os; os._exit(3)")
    assert b"[rolled back: " in automatic.stderr
    never = say("exec", "mine", "--policy", "never", "-c", "1")
    assert never.returncode == 2
    assert b"rollback_on_failure" in never.stderr

    assert say("exec", "mine", "-c", "x").stdout == b"1\n"


def test_what_ran_is_undone_and_redone(say: Say) -> None:
    say("session", "create", "--name", "mine")
    assert b"no history is kept" in say("session", "history", "mine").stdout
    assert b"from here on 3" in say("session", "history", "mine", "--keep", "3").stdout
    for number in range(3):
        say("exec", "mine", "-c", f"x = {number}")
    told = json.loads(say("session", "history", "mine", "--json").stdout)
    first, second, third = [each["execution"] for each in told["entries"]]
    assert say("session", "undo", "mine").stdout.decode() == f"{third}\n"
    assert say("session", "undo", "mine", "--to", first).stdout.decode() == f"{second}\n"
    assert b"(undone)" in say("session", "history", "mine").stdout
    assert say("session", "redo", "mine").stdout.decode() == f"{second}\n"
    assert say("exec", "mine", "-c", "x").stdout == b"1\n"
    nothing = say("session", "redo", "mine")

    assert (nothing.returncode, nothing.stdout) == (1, b"")
    assert b"nothing was undone" in nothing.stderr


def test_a_session_is_forked_and_its_state_is_kept(say: Say) -> None:
    say("session", "create", "--name", "mine")
    say("exec", "mine", "-c", "x = 5")
    branches = say("session", "fork", "mine", "--count", "2").stdout.decode().split()
    say("exec", branches[0], "-c", "x += 1")
    assert say("exec", branches[0], "-c", "x").stdout == b"6\n"
    assert say("exec", branches[1], "-c", "x").stdout == b"5\n"
    assert say("session", "snapshot", branches[0], "--name", "six").stdout == b"six\n"
    assert say("session", "snapshots").stdout.startswith(b"six  python  ")
    assert json.loads(say("session", "snapshots", "--json").stdout)[0]["name"] == "six"
    say("session", "create", "--name", "other", "--from-snapshot", "six")
    assert say("exec", "other", "-c", "x").stdout == b"6\n"
    assert say("session", "drop", "--name", "six").returncode == 0
    missing = say("session", "drop", "--name", "six")

    assert (missing.returncode, missing.stdout) == (1, b"")
    assert b"no snapshot 'six'" in missing.stderr


def test_what_code_does_to_names_is_shown_and_what_is_not_undone(say: Say, tmp_path: Path) -> None:
    say("session", "create", "--name", "mine")
    first = say("exec", "mine", "--report", "-c", "x = 1; y = [1]; z = 2; print('hi')")
    assert (first.returncode, first.stdout) == (0, b"hi\n")
    assert first.stderr == b"[+ x: int, 28 bytes]\n[+ y: list, 64 bytes]\n[+ z: int, 28 bytes]\n"
    second = say("exec", "mine", "--report", "-c", "x = 2; y.append(2); del z")
    grown = [1]
    grown.append(2)
    assert second.stderr.decode() == (
        "[~ x: int, 28 bytes]\n"
        f"[~ y: list, {sys.getsizeof(grown)} bytes, modified]\n"
        "[- z: int, 28 bytes]\n"
    )
    path = tmp_path / "made"
    code = f"w = 1; open({str(path)!r}, 'w').close()"
    dry = say("exec", "mine", "--report", "--policy", "rollback_always", "-c", code)
    assert dry.stderr.decode() == (
        "[undone: + w: int, 28 bytes]\n"
        "[rolled back: the variables are as they were before]\n"
        f"[not undone: {path} was written]\n"
    )
    assert path.exists()


def test_what_cannot_be_undone_by_a_copy_is_named(say: Say) -> None:
    say("session", "create", "--name", "mine")
    thread = "import threading as t; stop = t.Event(); t.Thread(target=stop.wait).start()"
    say("exec", "mine", "-c", thread)
    dry = ("exec", "mine", "--policy", "rollback_always", "-c", "stop.set()")
    refused = say(*dry)
    allowed = say(*dry, "--allow-copy")

    assert (refused.returncode, allowed.returncode) == (1, 0)
    assert b"other threads" in refused.stderr
    assert allowed.stderr.decode().splitlines() == [
        "[rolled back: the variables are as they were before]",
        "[could not be copied, and is not undone: stop]",
    ]


def test_a_session_keeps_its_variables_between_commands(say: Say) -> None:
    assert say("session", "create", "--name", "mine").stdout == b"mine\n"
    assert say("exec", "mine", "-c", "x = 6").stdout == b""
    assert say("exec", "mine", "-c", "print('hi')\nx * 7").stdout == b"hi\n42\n"
    assert say("exec", "mine", "-", stdin=b"print(x)").stdout == b"6\n"
    assert say("exec", "mine", "-c", "input('who? ')", stdin=b"Ada\n").stdout == b"who? 'Ada'\n"
    failed = say("exec", "mine", "-c", "1 / 0")
    assert (failed.returncode, failed.stdout) == (1, b"")
    assert failed.stderr.endswith(b"ZeroDivisionError: division by zero\n")
    assert say("exec", "mine", "-c", "import sys; sys.exit(7)").returncode == 7

    logs = say("session", "logs", "mine")
    assert logs.stdout == b"hi\n6\n"
    assert b"ZeroDivisionError" in logs.stderr

    assert say("session", "close", "mine").returncode == 0
    # To its end, which has come.
    assert say("session", "logs", "mine", "--follow").stdout == b"hi\n6\n"
    lost = say("exec", "mine", "-c", "x")
    assert lost.returncode == 1
    assert b"code: SESSION_LOST" in lost.stderr


def test_a_name_that_is_used_again_means_the_session_that_is_open(
    say: Say, variables: dict[str, str]
) -> None:
    say("session", "create", "--name", "mine")
    say("exec", "mine", "-c", "for n in range(50): print('old', flush=True)")
    assert say("exec", "mine", "-c", "import os; os._exit(3)").returncode == 3
    ended = json.loads(say("session", "info", "mine").stdout)
    refused = say("session", "attach", "mine")
    assert ended["standing"] == "died"
    assert b"why: its process has ended\n" in refused.stderr

    say("session", "create", "--name", "mine")
    empty = say("session", "logs", "mine")
    say("exec", "mine", "-c", "print('new')")
    info = json.loads(say("session", "info", "mine").stdout)
    assert (info["standing"], info["session"] != ended["session"]) == ("open", True)
    assert (empty.returncode, empty.stdout) == (0, b"")
    assert say("session", "logs", "mine").stdout == b"new\n"
    assert say("session", "logs", ended["session"]).stdout == b"old\n" * 50
    with subprocess.Popen(
        [*COMMAND, "session", "attach", "mine"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(**variables),
    ) as process:
        wait_attached(say, "mine")
        say("session", "close", "mine")
        assert process.stderr is not None
        assert b"the session is gone: it is closed" in process.stderr.read()
        assert process.wait(LIMIT_S) == 0

    # Both have ended.
    assert json.loads(say("session", "info", "mine").stdout)["session"] == info["session"]
    assert say("session", "logs", "mine", "--follow").stdout == b"new\n"


def wait_attached(say: Say, name: str) -> None:
    """Until one client is attached to it."""
    deadline = time.monotonic() + LIMIT_S
    while json.loads(say("session", "info", name).stdout)["attached"] == 0:
        assert time.monotonic() < deadline


def test_code_in_whatever_encoding_is_read_as_python_reads_it(say: Say) -> None:
    say("session", "create", "--name", "mine")
    latin = say("exec", "mine", "-", stdin=b"# coding: latin-1\nlen('\xe9\xe9')")
    marked = say("exec", "mine", "-", stdin=b"\xef\xbb\xbf6 * 7")
    none = say("exec", "mine", "-", stdin=b"'\xff'")

    assert (latin.stdout, marked.stdout) == (b"2\n", b"42\n")
    assert none.returncode == 1
    assert b"\nSyntaxError: (unicode error) 'utf-8' codec can't decode" in none.stderr


def test_sessions_are_listed_for_people_and_for_programs(say: Say) -> None:
    id = say("session", "create").stdout.decode().strip()
    say("session", "create", "--name=two", "--template", "python")

    table = say("session", "ls").stdout.decode().splitlines()
    listed = json.loads(say("session", "ls", "--json").stdout)
    info = json.loads(say("session", "info", "two").stdout)

    assert " ".join(table[0].split()) == "SESSION NAME TEMPLATE STATUS RUNNING QUEUED CLIENTS USED"
    assert [row.split()[0] for row in table[1:]] == [each["session"] for each in listed]
    assert listed[0]["session"] == id
    assert info == {**listed[1], "last_used_at": info["last_used_at"]}


def test_ctrl_c_interrupts_the_code_and_keeps_the_session(
    say: Say, variables: dict[str, str]
) -> None:
    say("session", "create", "--name", "mine")
    say("exec", "mine", "-c", "kept = 1")
    with subprocess.Popen(
        [*COMMAND, "exec", "mine", "-c", "print('up', flush=True)\nwhile True: pass"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**variables),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.stderr.read()
        assert process.wait(LIMIT_S) == 130

    assert say("exec", "mine", "-c", "kept").stdout == b"1\n"


def test_code_that_passes_its_deadline_is_told_so(service: Serving, say: Say) -> None:
    wish = {"name": "brief", "limits": {"execution_timeout_s": 0.3}}
    request = Request(
        f"{service.served.url}/v1/sessions",
        json.dumps(wish).encode(),
        {"Authorization": f"Bearer {service.token}"},
    )
    with urlopen(request) as answer:
        assert answer.status == 201

    late = say("exec", "brief", "-c", "while True: pass")
    assert late.returncode == 1
    assert late.stderr.endswith(
        b"pyrepl3: it was interrupted at its deadline, which the session's limits set\n"
    )


def test_another_command_interrupts_what_runs(say: Say, variables: dict[str, str]) -> None:
    say("session", "create", "--name", "mine")
    assert say("session", "interrupt", "mine").stdout == b"nothing ran\n"
    with subprocess.Popen(
        [*COMMAND, "exec", "mine", "-c", "print('up', flush=True)\nwhile True: pass"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(**variables),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        interrupted = say("session", "interrupt", "mine")
        assert interrupted.stdout == b"interrupted; its variables are kept\n"
        assert process.wait(LIMIT_S) == 130


def test_the_death_of_a_session_is_told(say: Say) -> None:
    say("session", "create", "--name", "mine")
    died = say("exec", "mine", "-c", "import os; os._exit(3)")

    assert died.returncode == 3
    assert died.stderr.startswith(
        b"pyrepl3: the session is lost: its process ended with exit status 3"
    )
    assert died.stderr.count(b"\n") == 1
    assert b" died " in say("session", "ls").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("session", "info", "nope"),
        ("session", "logs", "nope"),
        ("session", "interrupt", "nope"),
        ("session", "close", "nope"),
        ("exec", "nope", "-c", "1"),
    ],
)
def test_a_session_that_is_not_there_is_told(words: tuple[str, ...], say: Say) -> None:
    done = say(*words)

    assert done.returncode == 1
    assert b"there is no session nope" in done.stderr
    assert b"code: SESSION_NOT_FOUND" in done.stderr


def test_a_service_that_is_not_there_is_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("t" * 43)
    where = ("--connect", "http://127.0.0.1:1", "--token-file", str(token))
    done = run(COMMAND, "session", "ls", *where)

    assert done.returncode == 1
    assert b"http://127.0.0.1:1 cannot be reached\n  why: Connection refused\n" in done.stderr


def test_before_there_was_a_service_it_is_told_to_start_one(tmp_path: Path) -> None:
    done = run(COMMAND, "session", "ls", variables={"XDG_STATE_HOME": str(tmp_path)})

    assert done.returncode == 1
    assert done.stderr.startswith(b"pyrepl3: there is no token yet\n")
    assert b"how: Start it first: pyrepl3 serve." in done.stderr


def test_a_token_file_that_was_named_and_is_not_there_is_told(tmp_path: Path) -> None:
    named = str(tmp_path / "mistyped")
    done = run(COMMAND, "session", "ls", "--token-file", named)

    assert done.returncode == 1
    assert f"the token file {named} cannot be used\n  why: No such file".encode() in done.stderr
    assert b"`pyrepl3 serve` says where its token is" in done.stderr
