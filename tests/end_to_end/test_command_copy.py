"""End-to-end tests: `pyrepl3 cp`, into a session's directory and out of it."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrepl3.cli.copying import describe

from .command_driver import COMMAND, LIMIT_S, environment, run
from .serve_driver import Serving, serving

Say = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def service(state: Path) -> Iterator[Serving]:
    with serving(state) as service:
        yield service


@pytest.fixture
def variables(service: Serving, state: Path) -> dict[str, str]:
    return {"PYREPL3_URL": service.served.url, "XDG_STATE_HOME": str(state)}


@pytest.fixture
def say(variables: dict[str, str], tmp_path: Path) -> Say:
    """The command, in a directory of its own."""

    def say(*words: str, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
        return run(COMMAND, *words, stdin=stdin, cwd=tmp_path, variables={**variables, **more})

    return say


@pytest.fixture
def session(service: Serving, tmp_path: Path) -> str:
    """A session in a directory of its own, `there`."""
    import http.client
    import json

    (tmp_path / "there").mkdir()
    connection = http.client.HTTPConnection(service.served.host, service.served.port)
    body = json.dumps({"cwd": str(tmp_path / "there")})
    headers = {"Authorization": f"Bearer {service.token}"}
    connection.request("POST", "/v1/sessions", body, headers)
    opened = json.loads(connection.getresponse().read())
    connection.close()
    return str(opened["session"])


def test_a_file_goes_in_and_comes_out(say: Say, session: str, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "data.bin").write_bytes(data)
    (tmp_path / "back").mkdir()
    quiet = (0, b"", b"")
    for words in (
        ("data.bin", f"{session}:"),
        ("./data.bin", f"{session}:a b/"),
        ("data.bin", f"{session}:a b/é.bin"),
        (f"{session}:data.bin", "back"),
        (f"{session}:a b/é.bin", "back/other.bin"),
    ):
        done = say("cp", *words)
        assert (done.returncode, done.stdout, done.stderr) == quiet

    there = sorted(
        str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("*")
    )
    assert there == ["a b", "a b/data.bin", "a b/é.bin", "data.bin"]
    assert sorted(os.listdir(tmp_path / "back")) == ["data.bin", "other.bin"]
    assert (tmp_path / "back" / "other.bin").read_bytes() == data
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "back" / "data.bin").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_dash_is_the_standard_input_or_output(say: Say, session: str) -> None:
    data = os.urandom(1_000_000)
    for each in (data, b""):
        assert say("cp", "-", f"{session}:piped", stdin=each).returncode == 0
        assert say("cp", f"{session}:piped", "-").stdout == each


def test_an_existing_file_keeps_its_mode(say: Say, session: str, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("old")
    (tmp_path / "here").chmod(0o640)
    (tmp_path / "there" / "file").write_text("new")

    assert say("cp", f"{session}:file", "here").returncode == 0
    assert (tmp_path / "here").read_text() == "new"
    assert (tmp_path / "here").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("none", "S:a"), "none: No such file or directory"),
        ((".", "S:a"), "Is a directory"),
        (("S:none", "here"), "code: NOT_FOUND"),
        (("S:folder", "here"), "S:folder is a directory"),
        (("S:file", "none/here"), "No such file or directory"),
        (("file", "nobody:a"), "code: SESSION_NOT_FOUND"),
        (("nobody:a", "file"), "code: SESSION_NOT_FOUND"),
        (("file", "S:../file"), "code: BAD_MESSAGE"),
        (("file", "S:file/below"), "code: NOT_FOUND"),
    ],
)
def test_what_cannot_be_copied_is_told_and_leaves_nothing(
    say: Say, session: str, tmp_path: Path, words: tuple[str, str], told: str
) -> None:
    (tmp_path / "there" / "folder").mkdir()
    (tmp_path / "there" / "file").write_text("there")
    (tmp_path / "file").write_text("here")
    before = sorted(path for path in tmp_path.rglob("*"))
    done = say("cp", *(word.replace("S:", f"{session}:") for word in words))

    assert done.returncode == 1
    assert told.replace("S:", f"{session}:") in done.stderr.decode(), done.stderr
    assert b"Traceback" not in done.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert (tmp_path / "there" / "file").read_text() == "there"


def test_who_may_not_come_in_is_told_so_in_the_midst_of_a_large_file(
    say: Say, session: str, tmp_path: Path
) -> None:
    """The service does not take it all before it says no."""
    (tmp_path / "wrong").touch(0o600)
    (tmp_path / "wrong").write_text("x" * 43)
    with open(tmp_path / "large", "wb") as file:
        file.truncate(200_000_000)
    done = say("cp", "large", f"{session}:large", "--token-file", "wrong")

    assert done.returncode == 1
    assert b"code: UNAUTHORIZED" in done.stderr


def test_a_service_that_is_not_there_is_told_so(say: Say, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    for words in (("file", "s:file"), ("s:file", "other")):
        done = say("cp", *words, PYREPL3_URL=url)
        assert done.returncode == 1
        assert b"code: SERVICE_UNREACHABLE" in done.stderr


def answering(*answers: bytes) -> Iterator[str]:
    """The URL of one that answers each connection with that, whatever it asks, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for each in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(each)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 10\r\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (HEAD + "\r\n12345", b"code: SERVICE_UNREACHABLE"),
        (HEAD + "Repr-Digest: sha-256=:AAAA:\r\n\r\n1234567890", b"code: STORAGE_IO"),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", b"Bad Gateway"),
        ("nonsense\r\n\r\n", b"code: SERVICE_UNREACHABLE"),
    ],
)
def test_what_does_not_come_whole_is_not_there(
    say: Say, tmp_path: Path, answer: str, told: bytes
) -> None:
    (tmp_path / "here").write_text("old")
    for url in answering(answer.encode()):
        done = say("cp", "s:file", "here", PYREPL3_URL=url)

    assert done.returncode == 1
    assert told in done.stderr, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["here"]
    assert (tmp_path / "here").read_text() == "old"


def test_ctrl_c_leaves_nothing_half_written(
    variables: dict[str, str], session: str, tmp_path: Path
) -> None:
    """While it waits for its standard input; the service throws away what it has."""
    with subprocess.Popen(
        [*COMMAND, "cp", "-", f"{session}:half"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**variables),
        cwd=tmp_path,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"x" * 1_000_000)
        process.stdin.flush()
        there = tmp_path / "there"
        until(lambda: len(os.listdir(there)) == 1)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
        assert process.wait(LIMIT_S) == 130
        until(lambda: os.listdir(there) == [])


def until(claim: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + LIMIT_S
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_terminal_is_shown_how_far_it_is(
    variables: dict[str, str], session: str, tmp_path: Path
) -> None:
    """As its input comes slowly; and nothing is left of that on the line at the end."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "cp", "-", f"{session}:slow"],
        stdin=subprocess.PIPE,
        stderr=theirs,
        env=environment(**variables),
        cwd=tmp_path,
    ) as process:
        os.close(theirs)
        assert process.stdin is not None
        seen = b""
        stop = threading.Event()

        def feed() -> None:
            assert process.stdin is not None
            while not stop.wait(0.05):
                process.stdin.write(b"x" * 262_144)
                process.stdin.flush()
            process.stdin.close()

        thread = threading.Thread(target=feed)
        thread.start()
        while b"MiB" not in seen:
            seen += os.read(ours, 1000)
        stop.set()
        thread.join()
        process.stdin = None
        assert process.wait(LIMIT_S) == 0
        while True:
            try:
                seen += os.read(ours, 1000)
            except OSError:
                break
        os.close(ours)

    assert b"standard input" in seen
    assert seen.endswith(b"\r\x1b[K")


def test_progress_is_one_line() -> None:
    assert describe("a" * 60, 2**20, None) == "a" * 40 + "  1.0 MiB"
    assert describe("a", 2**20, 4 * 2**20) == "a  1.0 of 4.0 MiB  25 %"
    assert describe("a", 0, 0) == "a  0.0 MiB"
