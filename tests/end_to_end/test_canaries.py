"""End-to-end tests: secrets are searched for in everything that a service leaves or shows.

A canary is a word that nobody could say by chance: the token, one that was guessed wrongly, code,
what it printed, an environment variable's value, a line of input. None may be found in what the
service says (with every logger at its most verbose), in its recording, in the names and the
contents of its files, in how its processes were started, or in what it tells strangers.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import psutil
import pytest
import trio

from pyrepl3.serving import Served

from .command_driver import LIMIT_S, descendants, environment
from .raw_websocket import answer, upgrade
from .serve_driver import served_elsewhere
from .websocket_driver import Client, connect

VERBOSE = """
import logging, sys
logging.basicConfig(level=1)
from pyrepl3.cli.main import main
sys.exit(main())
"""
"""`pyrepl3 serve`, with all that any library logs on its standard error."""

WRONG = "wrongtoken" + "5" * 33
CANARIES = {
    "code": "codecanary6d1b",
    "output": "outputcanary83f0",
    "env": "envcanary27ac",
    "input": "inputcanary9e45",
    "exception": "exceptioncanary1c77",
}
SPEAK = (  # so that what is printed does not stand in the code
    "import os\n"
    "codecanary6d1b = 'outputcanary' + '83f0'\n"
    "print(codecanary6d1b, os.environ['SECRET'], input())\n"
    "print('x' * 2_000_000)\n"  # more than the journal keeps in memory
    "codecanary6d1b\n"
)
LOOK = """
import os, sys
seen = [*sys.argv, *sys.orig_argv, *os.environ.values()]
for name in os.listdir("/proc/self"):
    if name in ("environ", "cmdline", "maps", "mountinfo", "status", "comm"):
        seen.append(open(f"/proc/self/{name}", "rb").read().decode(errors="replace"))
for number in os.listdir("/proc/self/fd"):
    try:
        target = os.readlink(f"/proc/self/fd/{number}")
        seen.append(target)
        if os.path.isfile(f"/proc/self/fd/{number}"):
            seen.append(open(f"/proc/self/fd/{number}", "rb").read().decode(errors="replace"))
    except OSError:
        pass
chr(10).join(seen).replace(chr(0), "")[:600_000]
"""
"""All that a session can find of how it was started."""


@attrs.frozen
class Verbose:
    """A running service that says all that it can."""

    process: subprocess.Popen[bytes]
    folder: Path
    served: Served
    token: str

    @property
    def said(self) -> bytes:
        return (self.folder / "stderr").read_bytes() + (self.folder / "stdout").read_bytes()

    def started_with(self) -> dict[str, bytes]:
        """The words and the variables of all its processes."""
        processes = [psutil.Process(self.process.pid), *descendants(self.process.pid)]
        return {
            f"{process.pid}/{name}": Path(f"/proc/{process.pid}/{name}").read_bytes()
            for process in processes
            for name in ("cmdline", "environ")
        }

    def names_of_files(self) -> list[str]:
        """Those in its folders, and those that it has open, the journal's among them."""
        open_files = Path(f"/proc/{self.process.pid}/fd")
        return [
            *(str(path) for path in self.folder.rglob("*")),
            *(os.readlink(path) for path in open_files.iterdir()),
        ]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Verbose]:
    (tmp_path / "tmp").mkdir()
    words = ("serve", "--port", "0", "--min-idle", "2", "--record-trace", str(tmp_path / "trace"))
    with (
        open(tmp_path / "stderr", "wb") as stderr,
        open(tmp_path / "stdout", "wb") as stdout,
        subprocess.Popen(
            [sys.executable, "-c", VERBOSE, *words],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment(XDG_STATE_HOME=str(tmp_path), TMPDIR=str(tmp_path / "tmp")),
        ) as process,
    ):
        try:
            told = wait_told(tmp_path / "stderr", b"Ctrl-C ends it")
            port = re.search(rb"listens on http://127\.0\.0\.1:(\d+)\n", told)
            assert port is not None
            token = (tmp_path / "pyrepl3" / "token").read_text().strip()
            served = served_elsewhere(int(port[1]))
            yield Verbose(process, tmp_path, served, token)
        finally:
            process.kill()


def wait_told(path: Path, words: bytes) -> bytes:
    """What another process has written there, once these words are in it."""
    deadline = time.monotonic() + LIMIT_S
    while words not in (told := path.read_bytes()):
        assert time.monotonic() < deadline, told
        time.sleep(0.02)
    return told


async def use(client: Client) -> str:
    """A session through which all canaries go."""
    session = (await client.ask("open_session", env={"SECRET": CANARIES["env"]}))["session"]
    await client.send("execute", session=session, execution="e", code=SPEAK)
    asked = await client.until(type="input")
    await client.ask(
        "input_response", session=session, input=asked["input"], data=CANARIES["input"]
    )
    end = await client.outcome("e")
    printed = "".join(each["data"] for each in client.told if each["type"] == "output")
    assert end["value"] == CANARIES["output"]
    words = (CANARIES["output"], CANARIES["env"], CANARIES["input"])
    assert printed.startswith(" ".join(words) + "\n")
    error = await client.run(session, f"raise ValueError({CANARIES['exception']!r})", "f")
    assert error["value"] == CANARIES["exception"]
    return str(session)


async def misuse(client: Client, session: str) -> list[bytes]:
    """Messages that are refused, with canaries in them: what the refusals say."""
    code = CANARIES["code"]
    wrong = [
        {"type": "execute", "id": 900, "session": session, "execution": "g", "code": [code]},
        {"type": "execute", "id": 901, "session": session, "execution": code + " ", "code": code},
        {"type": "execute", "id": 902, "session": session, "execution": "e", "code": code},
        {"type": "execute", "id": 903, "session": session, "execution": "h", "code": code * 10**5},
        {"type": "open_session", "id": 904, "env": {"SECRET": [CANARIES["env"]]}},
        {"type": "open_session", "id": 905, "env": {"A=B": CANARIES["env"]}},
        {"type": "input_response", "id": 906, "session": session, "input": "no", "data": code},
    ]
    said = []
    for message in wrong:
        await client.socket.send_message(json.dumps(message))
        refused = await client.first(lambda each: each["type"] == "refused")
        said.append(json.dumps(refused).encode())
    return said


def found_in(data: bytes, words: dict[str, str]) -> set[str]:
    """Which of these are in there."""
    return {name for name, word in words.items() if word.encode() in data}


async def test_no_secret_is_in_anything_that_a_service_says_or_leaves(service: Verbose) -> None:
    secrets = {**CANARIES, "token": service.token, "wrong": WRONG}
    tmp = service.folder / "tmp"
    async with connect(service.served, token=service.token) as client:
        session = await use(client)
        refusals = await misuse(client, session)
        refusals += [
            await answer(service.served, upgrade(service.served, token=WRONG)),
            await answer(service.served, upgrade(service.served, token=None, host=WRONG)),
            await answer(
                service.served, upgrade(service.served, token=service.token, protocol="soap")
            ),
            await answer(
                service.served,
                upgrade(service.served, token=service.token).replace(b"\r\n", b"\r\n\0", 1),
            ),
        ]
        started_with, names = service.started_with(), service.names_of_files()
    service.process.send_signal(signal.SIGTERM)
    assert await trio.to_thread.run_sync(service.process.wait, LIMIT_S) == 0

    assert len(started_with) >= 2 * 4  # the service, its zygote, its sessions
    for where, data in started_with.items():
        assert found_in(data, secrets) == set(), where
    for refusal in refusals:
        assert found_in(refusal, secrets) == set(), refusal
    assert any("/tmp/" in name and "(deleted)" in name for name in names)  # the journal's
    for name in names:
        assert found_in(name.encode(), secrets) == set(), name
    assert b"DEBUG" in service.said  # so it was at its most verbose
    assert found_in(service.said, secrets) == set()
    trace = (service.folder / "trace").read_bytes()
    assert trace.count(b"\n") > 10
    assert found_in(trace, secrets) == set()
    assert list(tmp.iterdir()) == []
    holders = [
        path.name
        for path in service.folder.rglob("*")
        if path.is_file() and found_in(path.read_bytes(), secrets)
    ]
    assert holders == ["token"]


async def test_a_session_cannot_find_the_token(service: Verbose) -> None:
    """Not where it was started, not among its descriptors, and not in its memory."""
    async with connect(service.served, token=service.token) as client:
        opened = await client.ask("open_session")
        look = await client.run(opened["session"], LOOK, "look")
        below = descendants(service.process.pid)
        held = {process.pid: memory_of(process.pid, service.token) for process in below}
        # That this search can find something is shown by the word that the session itself has.
        mine = "mine" + "7" * 39
        await client.run(opened["session"], f"word = {mine!r}", "word")
        own = memory_of(opened["pid"], mine)

    assert look["type"] == "result"
    assert "PATH=" in look["value"]  # so it has looked
    assert service.token not in look["value"]
    assert str(service.folder / "pyrepl3") not in look["value"]
    assert len(held) >= 3
    assert set(held.values()) == {False}
    assert own


def memory_of(process: int, word: str) -> bool:
    """Whether it is anywhere in that process's memory."""
    wanted = word.encode()
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in maps:
            area, rights, *_ = line.split()
            start, end = (int(number, 16) for number in area.split("-"))
            if not rights.startswith("r") or "[v" in line:
                continue  # [vvar] and [vsyscall] are the kernel's
            try:
                memory.seek(start)
                if wanted in memory.read(end - start):
                    return True
            except (OSError, OverflowError):
                continue  # gone meanwhile, or nobody's to read
    return False
