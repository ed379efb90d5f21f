"""End-to-end tests: what docs/protocol.md and the README say of REST is what the service does."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import httpx2
import pytest

from .command_driver import LIMIT_S, environment
from .rest_driver import client, serve
from .serve_driver import serving
from .test_protocol_document import holds

ROOT = Path(__file__).parents[2]
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONVERSATIONS = CONSOLE.findall((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"))
CURL = [
    block
    for block in CONSOLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    if "curl" in block
]


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with serve() as served, client(served) as rest:
        yield rest.http


@attrs.frozen
class Asked:
    """What a line of `curl` asks, of the options that the document uses."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None

    @classmethod
    def of(cls, line: str) -> Asked:
        """As curl would understand it."""
        words = iter(shlex.split(line))
        assert next(words) == "curl"
        method, url, headers, body = None, "", {}, None
        for word in words:
            if word == "-X":
                method = next(words)
            elif word == "-d":
                body = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            else:
                assert word.startswith("$URL/"), word
                url = word.removeprefix("$URL")
        return cls(method or ("GET" if body is None else "POST"), url, headers, body)


@attrs.define
class Player:
    """Sends what stands there, and holds the answers to what is under it."""

    http: httpx2.AsyncClient
    names: dict[str, str]

    async def ask(self, line: str) -> httpx2.Response:
        asked = Asked.of(self._named(line))
        return await self.http.request(
            asked.method, asked.url, headers=asked.headers, content=asked.body
        )

    def hold(self, answer: httpx2.Response, promised: list[str]) -> None:
        status, _, first = promised[0].partition(" ")
        assert answer.status_code == int(status), answer.text
        bodies = [json.loads(line) for line in answer.text.splitlines()]
        wanted = [first, *promised[1:]] if first else promised[1:]
        for line in wanted:
            if line.startswith("{"):
                self._hold(json.loads(line), bodies.pop(0))
            else:
                name, _, value = line.partition(": ")
                assert answer.headers[name] == self._named(value)
        assert bodies == []

    def _hold(self, wanted: dict[str, Any], came: dict[str, Any]) -> None:
        for name, value in wanted.items():
            if value == "SESSION":
                self.names[value] = came[name]
            else:
                assert name in came, (wanted, came)
                assert holds(value, came[name]), (wanted, came)

    def _named(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text


@pytest.mark.parametrize("conversation", CONVERSATIONS)
async def test_a_conversation_goes_as_it_stands_there(
    conversation: str, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    player = Player(http, {"FOLDER": str(tmp_path)})
    exchanges = re.split(r"^\$ ", conversation, flags=re.MULTILINE)[1:]
    assert exchanges
    for exchange in exchanges:
        line, *promised = exchange.splitlines()
        player.hold(await player.ask(line), promised)


def test_the_document_has_them() -> None:
    assert len(CONVERSATIONS) >= 5
    assert len(CURL) == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_readmes_curl_prints_what_stands_there(tmp_path: Path) -> None:
    """With the token file of that service, and its port."""
    (block,) = CURL
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    promised = [line for line in block.splitlines() if not line.startswith("$ ")]
    home = tmp_path / "home"
    with serving(home / ".local" / "state") as service:
        script = "\n".join(lines).replace("http://127.0.0.1:8765", service.served.url)
        done = subprocess.run(
            ["sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=environment(HOME=str(home)),
            check=False,
        )

    assert done.stdout.splitlines() == promised, done.stderr
