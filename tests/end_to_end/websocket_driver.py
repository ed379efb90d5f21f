"""Drives the endpoint as any client would: frames out, frames in, and nothing of ours between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import msgpack
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

import pyrepl3
from pyrepl3.endpoint.access import Principal, Tokens
from pyrepl3.serving import Served, open_endpoint

TOKEN = "ada-" + "a" * 40
OTHER = "eve-" + "e" * 40
LIMITED = "bob-" + "b" * 40
"""Of one who may have two sessions at a time."""
TOKENS = Tokens.of(
    [
        (TOKEN, Principal(name="ada")),
        (OTHER, Principal(name="eve")),
        (LIMITED, Principal(name="bob", max_sessions=2)),
    ]
)
JSON = "pyrepl3.v1.json"
MSGPACK = "pyrepl3.v1.msgpack"


@asynccontextmanager
async def serve(**settings: Any) -> AsyncIterator[tuple[pyrepl3.Supervisor, Served]]:
    """A service on a port of its own; ``settings`` are those of its endpoint."""
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=1, max_sessions=4),
        endpoint=pyrepl3.EndpointConfig(port=0, **settings),
    )
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
    ):
        yield supervisor, served


@attrs.define
class Client:
    """What any client has to do, and no more."""

    socket: WebSocketConnection
    welcome: dict[str, Any] = attrs.field(factory=dict)
    told: list[dict[str, Any]] = attrs.field(factory=list)
    """Everything that came and was not looked for."""
    number: int = 0

    async def receive(self) -> dict[str, Any]:
        message = await self.socket.get_message()
        if isinstance(message, bytes):
            return dict(msgpack.unpackb(message))
        return dict(json.loads(message))

    async def send(self, kind: str, **fields: Any) -> int:
        self.number += 1
        message = {"type": kind, "id": self.number, **fields}
        if self.socket.subprotocol == MSGPACK:
            await self.socket.send_message(msgpack.packb(message))
        else:
            await self.socket.send_message(json.dumps(message))
        return self.number

    async def until(self, **fields: Any) -> dict[str, Any]:
        """The first message, of those that came and those to come, that has these fields."""
        return await self.first(
            lambda message: all(message.get(name) == value for name, value in fields.items())
        )

    async def first(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for message in self.told:
            if wanted(message):
                self.told.remove(message)
                return message
        while True:
            message = await self.receive()
            if wanted(message):
                return message
            self.told.append(message)

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        return await self.until(reply_to=await self.send(kind, **fields))

    async def run(self, session: str, code: str, execution: str) -> dict[str, Any]:
        answer = await self.ask("execute", session=session, code=code, execution=execution)
        assert answer["type"] == "accepted", answer
        return await self.outcome(execution)

    async def outcome(self, execution: str) -> dict[str, Any]:
        return await self.first(
            lambda message: (
                message["type"] in ("result", "error") and message["execution"] == execution
            )
        )


@asynccontextmanager
async def connect(
    served: Served, *, token: str = TOKEN, subprotocol: str | None = JSON
) -> AsyncIterator[Client]:
    with trio.fail_after(30):
        # The stream is ours: trio-websocket leaves it open where the other side closes first.
        async with (
            await trio.open_tcp_stream(served.host, served.port) as stream,
            trio.open_nursery() as nursery,
        ):
            socket = await wrap_client_stream(
                nursery,
                stream,
                f"{served.host}:{served.port}",
                "/v1/ws",
                subprotocols=[subprotocol] if subprotocol else None,
                extra_headers=[(b"Authorization", f"Bearer {token}".encode())],
            )
            async with socket:
                client = Client(socket)
                client.welcome = await client.receive()
                yield client
