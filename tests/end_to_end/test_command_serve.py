"""End-to-end tests: `pyrepl3 serve`, as its operator and its clients see it."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from pyrepl3.serving import Served

from .command_driver import COMMAND, LIMIT_S, descendants, environment, run, wait_gone
from .serve_driver import served_elsewhere, serving
from .websocket_driver import Client, connect

SLOW = "import time\nprint('begun', flush=True)\ntime.sleep({seconds})\n'done'"


async def begin(client: Client, seconds: float) -> str:
    """Have something run for so long; the session it runs in."""
    answer = await client.ask("open_session")
    session = str(answer["session"])
    code = SLOW.format(seconds=seconds)
    await client.ask("execute", session=session, execution="slow", code=code)
    await client.until(type="output", data="begun\n")
    return session


async def test_a_client_is_served_with_the_token_that_was_made(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        token = tmp_path / "pyrepl3" / "token"
        assert f"token      in {token} (made just now: you alone can read it)" in service.told
        assert "each session is a process of its own" in service.told
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        async with connect(service.served, token=service.token) as client:
            session = (await client.ask("open_session"))["session"]
            assert (await client.run(session, "6 * 7", "e1"))["value"] == 42
        assert service.token not in service.told

    with serving(tmp_path) as again:
        assert f"token      in {token}\n" in again.told
        assert again.token == service.token


async def test_it_lets_what_runs_end_and_tells_its_client(tmp_path: Path) -> None:
    """Row 73, by the command; nothing is taken meanwhile."""
    with serving(tmp_path) as service:
        async with connect(service.served, token=service.token) as client:
            session = await begin(client, 3.0)
            below = descendants(service.process.pid)
            service.process.send_signal(signal.SIGTERM)
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", service.served.port)
                except OSError:
                    break
                await stream.aclose()
            late = await client.ask("execute", session=session, execution="late", code="1")
            end = await client.outcome("slow")
            last = await client.until(type="session_closed")

        assert (late["type"], late["code"]) == ("refused", "SHUTTING_DOWN")
        assert (end["type"], end["value"]) == ("result", "done")
        assert last["seq"] == end["seq"] + 1
        assert service.process.wait(LIMIT_S) == 0
        assert wait_gone(below) == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
async def test_a_second_signal_ends_it_at_once(number: int, status: int, tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        async with connect(service.served, token=service.token) as client:
            await begin(client, 60.0)
            below = descendants(service.process.pid)
            service.process.send_signal(number)
            assert service.process.stderr is not None
            assert b"once more ends it at once" in service.process.stderr.readline()
            assert service.end(number)[0] == status

        assert wait_gone(below) == []


async def test_a_killed_service_leaves_no_process_behind(tmp_path: Path) -> None:
    """Row 74, by the command; and the next one starts, and knows the same token."""
    with serving(tmp_path) as service:
        async with connect(service.served, token=service.token) as client:
            await begin(client, 60.0)
            below = descendants(service.process.pid)
            assert below
            service.process.kill()
            assert wait_gone(below) == []
    with serving(tmp_path, "--port", str(service.served.port)) as again:
        async with connect(again.served, token=service.token) as client:
            assert (await client.ask("list_sessions"))["sessions"] == []


# --- what it is told wrongly --------------------------------------------------------------------


def refused(*words: str, state: Path) -> tuple[int, str]:
    done = run(COMMAND, "serve", *words, variables={"XDG_STATE_HOME": str(state)})
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


def test_a_port_that_is_taken_is_told_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, told = refused("--port", port, state=tmp_path)

    assert status == 1
    assert f"cannot listen on 127.0.0.1:{port}\n  why: Address already in use\n" in told
    assert "Traceback" not in told
    assert "  code: CONFIG_INVALID\n" in told


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--host", "0.0.0.0"), "without TLS whoever is between can read"),
        (("--host", "0.0.0.0"), "or set --insecure-bind where a proxy has the TLS"),
        (("--tls-cert", "cert.pem"), "there is a --tls-cert, and TLS needs both"),
        (("--record-trace", "/nowhere/trace"), "--record-trace '/nowhere/trace' cannot be"),
        (("--tls-cert", "no.pem", "--tls-key", "no.pem"), "No such file or directory"),
        (("--port", "70000"), "the most is 65535"),
        (("--token-fd", "77"), "Bad file descriptor"),
        (("--token-file", "slip/of/token"), "there is no directory slip/of\n"),
    ],
)
def test_what_cannot_be_served_is_told(words: tuple[str, ...], why: str, tmp_path: Path) -> None:
    status, told = refused(*words, state=tmp_path)

    assert status == 1
    assert why in told
    assert "how: " in told
    assert "Traceback" not in told


def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a" * 43)
    token.chmod(0o644)

    status, told = refused("--token-file", str(token), state=tmp_path)

    assert status == 1
    assert "its mode is 644" in told
    assert "a" * 43 not in told


@contextmanager
def serving_by_descriptor(state: Path, token: str) -> Iterator[Served]:
    """Then no token is on the disk."""
    reader, writer = os.pipe()
    os.write(writer, token.encode())
    os.close(writer)
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--min-idle", "0", "--token-fd", str(reader)],
        stderr=subprocess.PIPE,
        pass_fds=[reader],
        env=environment(XDG_STATE_HOME=str(state)),
    ) as process:
        os.close(reader)
        assert process.stderr is not None
        port = re.search(rb":(\d+)\n", process.stderr.readline())
        assert port is not None
        yield served_elsewhere(int(port[1]))
        process.terminate()
        assert process.wait(LIMIT_S) == 0
    assert list(state.iterdir()) == []


async def test_tokens_come_by_a_descriptor_too(tmp_path: Path) -> None:
    with serving_by_descriptor(tmp_path, "t" * 43) as served:
        async with connect(served, token="t" * 43) as client:
            assert client.welcome["type"] == "welcome"


def test_help_teaches() -> None:
    done = run(COMMAND, "serve", "--help")

    assert done.returncode == 0
    for words in (b"--token-file FILE", b"[principals.ada]", b"Exit status:"):
        assert words in done.stdout
