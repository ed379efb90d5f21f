"""End-to-end tests: what a real `pyrepl3 serve` logs, and what it never does."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import pyrepl3
from pyrepl3.serving import open_endpoint
from pyrepl3.telemetry.log_lines import JsonFormatter

from .command_driver import COMMAND, LIMIT_S, environment, run
from .serve_driver import serving
from .websocket_driver import MSGPACK, TOKENS, connect

CANARY = "canary-{}-7d1f"
CODE, OUTPUT, VALUE, RAISED, INPUT, ENV, NAME = (
    CANARY.format(word) for word in ("code", "output", "value", "raised", "input", "env", "name")
)
SECRETS = (CODE, OUTPUT, VALUE, RAISED, INPUT, ENV)


def objects(text: str) -> list[dict[str, Any]]:
    """One JSON object a line, and nothing else."""
    lines = text.splitlines()
    told = [json.loads(line) for line in lines]
    assert all(isinstance(each, dict) for each in told)
    return told


def these(told: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [each for each in told if each["event"] == event]


def without_canaries(text: str, token: str) -> None:
    assert [canary for canary in (*SECRETS, token) if canary in text] == []


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_each_line_is_an_object_with_the_ids_and_no_secret(
    level: str, tmp_path: Path
) -> None:
    with serving(tmp_path, "--log-format", "json", "--log-level", level) as service:
        async with connect(service.served, token=service.token, subprotocol=MSGPACK) as client:
            opened = await client.ask("open_session", name=NAME, env={"CANARY": ENV})
            session, pid = opened["session"], opened["pid"]
            await client.run(session, f"print('{OUTPUT}')  # {CODE}\n'{VALUE}'", "one")
            await client.run(session, f"raise ValueError('{RAISED}')  # {CODE}", "two")
            await client.ask("execute", session=session, execution="three", code="input()")
            asked = await client.until(type="input")
            await client.ask("input_response", session=session, input=asked["input"], data=INPUT)
            await client.outcome("three")
            refused = await client.ask("execute", session=session, execution="one", code=CODE)
            assert refused["code"] == "ID_CONFLICT"
            dying = f"print('{OUTPUT}', flush=True); import os; os.kill({pid}, 9)"
            assert (await client.run(session, dying, "four"))["code"] == "WORKER_DIED"
            await client.until(type="session_died")
        _, said = service.end()
        assert service.process.stdout is not None
        text = service.process.stdout.read().decode()

    told = objects(text)
    without_canaries(text + said + service.told, service.token)
    assert all({"time", "level", "logger", "event"} <= each.keys() for each in told)
    assert [(each["execution"], each["outcome"]) for each in these(told, "execution ended")] == [
        ("one", "ok"),
        ("two", "error"),
        ("three", "ok"),
        ("four", "died"),
    ]
    for each in these(told, "execution ended"):
        assert (each["session"], each["principal"]) == (session, "owner")
        assert each["duration_s"] > 0
    assert these(told, "execution ended")[0]["output_bytes"] == len(OUTPUT) + 1
    (died,) = these(told, "session died")
    assert died["cause"] == "its process was killed by SIGKILL"
    assert (died["level"], died["session"]) == ("warning", session)
    assert these(told, "session opened")[0]["pid"] == pid
    assert these(told, "service started")[0]["url"] == service.served.url
    assert these(told, "service ending")[0]["signal"] == "SIGTERM"
    assert told[-1]["event"] == "service ended"
    assert "traceback" not in text


async def test_for_people_lines_stand_between_what_is_said_to_them(tmp_path: Path) -> None:
    with serving(tmp_path, "--log-format", "console") as service:
        async with connect(service.served, token=service.token) as client:
            session = (await client.ask("open_session"))["session"]
            await client.run(session, "1", "e1")
        _, said = service.end()
        assert service.process.stdout is not None
        assert service.process.stdout.read() == b""

    lines = said.splitlines()
    assert any(f"execution ended      session={session} execution=e1 " in line for line in lines)
    assert any(line.startswith("ending: nobody more is let in") for line in lines)


async def test_without_a_terminal_it_is_json(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        _, said = service.end()
        assert service.process.stdout is not None
        told = objects(service.process.stdout.read().decode())

    assert [each["event"] for each in told] == [
        "service started",
        "service ending",
        "service ended",
    ]
    assert "service started" not in said


async def test_a_journal_that_fails_is_told_with_whose_it_is() -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Kept()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("pyrepl3.journal")
    logger.addHandler(handler)
    journal = pyrepl3.JournalConfig(memory_bytes=2**16, directory="/there/is/none")
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=1),
        endpoint=pyrepl3.EndpointConfig(port=0),
        hosting=pyrepl3.HostingConfig(journal=journal),
    )
    try:
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            open_endpoint(supervisor, TOKENS) as served,
            connect(served) as client,
        ):
            session = (await client.ask("open_session"))["session"]
            await client.run(session, f"print('{OUTPUT}' * 10_000)", "e1")
    finally:
        logger.removeHandler(handler)

    told = [json.loads(line) for line in lines]
    assert told
    for each in told:
        assert (each["session"], each["principal"]) == (session, "ada")
        assert each["event"].startswith("events of a session are forgotten, as the disk failed")
    assert OUTPUT not in "".join(lines)


async def test_a_log_that_nobody_reads_does_not_stop_the_service(tmp_path: Path) -> None:
    """Its pipe has room for 64 KiB, which is some 300 executions."""
    with serving(tmp_path, "--log-format", "json") as service:
        async with connect(service.served, token=service.token) as client:
            session = (await client.ask("open_session"))["session"]
            for number in range(1000):
                assert (await client.run(session, "1", f"e{number}"))["value"] == 1
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(LIMIT_S) == 0


def test_a_log_on_a_full_disk_does_not_stop_the_service(tmp_path: Path) -> None:
    with (
        open("/dev/full", "wb") as full,
        subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--min-idle", "1", "--log-format", "json"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(XDG_STATE_HOME=str(tmp_path)),
        ) as process,
    ):
        assert process.stderr is not None
        assert b"listens on" in process.stderr.readline()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--log-format", "xml"), "--log-format cannot be 'xml'"),
        (("--log-level", "loud"), "--log-level cannot be 'loud'"),
    ],
)
def test_what_there_is_not_is_told(words: tuple[str, str], what: str) -> None:
    done = run(COMMAND, "serve", *words)

    assert done.returncode == 2
    assert what in done.stderr.decode()
