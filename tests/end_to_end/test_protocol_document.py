"""End-to-end tests: the conversations and tables of docs/protocol.md are what the service does."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

from pyrepl3.serving import Served
from pyrepl3.wire.client_events import _TYPES
from pyrepl3.wire.client_requests import REQUESTS

from .websocket_driver import Client, connect, serve

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
CONVERSATIONS = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
NAMES = ("SESSION", "INPUT")
"""What stands in the document for ids that the service chooses."""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as (_, served):
        yield served


@attrs.define
class Player:
    """Plays the client's part of a conversation, and holds the service to its own."""

    served: Served
    connections: AsyncExitStack
    client: Client = attrs.field(init=False)
    names: dict[str, str] = attrs.field(factory=dict)

    async def connect(self) -> None:
        await self.connections.aclose()
        self.client = await self.connections.enter_async_context(connect(self.served))
        self.client.told.append(self.client.welcome)

    async def play(self, sign: str, rest: str) -> None:
        if sign == "=":
            await self.connect()
        elif sign == "→":
            message = json.loads(self._named(rest))
            await self.client.socket.send_message(json.dumps(message))
        else:
            self._hold(json.loads(rest), await self._next(json.loads(rest)))

    async def _next(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Answers and events may overtake each other, but no answer another, nor an event."""
        return await self.client.first(
            lambda message: (
                _is_event(message) == _is_event(wanted)
                and (message["type"] == "welcome") == (wanted["type"] == "welcome")
            )
        )

    def _hold(self, wanted: dict[str, Any], came: dict[str, Any]) -> None:
        for name, value in wanted.items():
            if value in NAMES and value not in self.names:
                self.names[value] = came[name]
            if isinstance(value, str):
                value = self._named(value)
            assert holds(value, came.get(name)), (wanted, came)

    def _named(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text


def holds(wanted: Any, came: Any) -> bool:
    """Whether it is so; within a list, objects may have more fields than are told."""
    if isinstance(wanted, list) and isinstance(came, list):
        return len(wanted) == len(came) and all(map(holds, wanted, came))
    if isinstance(wanted, dict) and isinstance(came, dict):
        return all(holds(value, came.get(name)) for name, value in wanted.items())
    return bool(came == wanted)


def _is_event(message: dict[str, Any]) -> bool:
    return "seq" in message and "reply_to" not in message


def lines(conversation: str) -> Iterator[tuple[str, str]]:
    for line in conversation.splitlines():
        sign, _, rest = line.partition(" ")
        assert sign in ("→", "←", "="), line
        yield sign, rest


@pytest.mark.parametrize("conversation", CONVERSATIONS)
async def test_a_conversation_goes_as_it_stands_there(conversation: str, served: Served) -> None:
    async with AsyncExitStack() as connections:
        player = Player(served, connections)
        await player.connect()
        for sign, rest in lines(conversation):
            await player.play(sign, rest)


def rows(heading: str) -> list[str]:
    """The first cells of the table below a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_the_tables_name_every_request_and_event() -> None:
    assert rows("Requests") == list(REQUESTS)
    assert rows("Events") == [
        *_TYPES.values(),
        "session_rolled_back",
        "session_undone",
        "session_redone",
        "history_kept",
        "session_died",
        "session_closed",
    ]


def test_the_tables_name_every_field() -> None:
    section = TEXT.partition("\n## Requests\n")[2].partition("\n## Events\n")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    for kind, request in REQUESTS.items():
        names = {field.name for field in attrs.fields(request)} - {"id"}
        # There is one language for now.
        for name in names - {"language"}:
            assert f"`{name}`" in told[kind], (kind, name)
