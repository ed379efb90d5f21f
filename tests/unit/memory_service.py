"""A service in memory, as a client's link sees it: connections that a test answers and cuts."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

import pyrepl3
from pyrepl3.errors import PyreplError
from pyrepl3.remote.link import Link
from pyrepl3.remote.web_socket import Disconnected
from pyrepl3.wire.client_codec import decode_msgpack

WELCOME = {"type": "welcome", "version": 1, "limits": {"message_bytes": 10_000}}
BOUND_S = 1000.0
"""Of the virtual time that these tests run on."""


@attrs.define(eq=False)
class MemoryConnection:
    """One connection; `Connection` of `pyrepl3.remote.link`."""

    asked: list[dict[str, Any]] = attrs.field(factory=list)
    """What the client sent, and no test has looked for yet."""
    is_open: bool = True
    _lost: Disconnected | None = None
    _to_come: list[Mapping[str, Any]] = attrs.field(factory=list)
    _news: trio.Condition = attrs.field(factory=trio.Condition)

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self._lost is not None:
            raise self._lost
        async with self._news:
            self.asked.append(decode_msgpack(data))
            self._news.notify_all()

    def send_nowait(self, data: bytes) -> bool:
        return False

    @property
    def has_rest(self) -> bool:
        return False

    async def flush(self) -> None:
        raise AssertionError

    async def receive(self) -> list[dict[str, Any]]:
        async with self._news:
            while not self._to_come and self._lost is None:
                await self._news.wait()
        if self._to_come:
            messages, self._to_come = self._to_come, []
            return [dict(message) for message in messages]
        assert self._lost is not None
        raise self._lost

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()

    # --- the service's end ------------------------------------------------------------------------

    async def tell(self, *messages: Mapping[str, Any]) -> None:
        async with self._news:
            self._to_come.extend(messages)
            self._news.notify_all()

    async def lose(self, *, is_for_good: bool = False) -> None:
        async with self._news:
            self._lost = Disconnected("it was cut", is_for_good=is_for_good)
            self._news.notify_all()

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next request of that kind; those before it stay to be looked for."""
        with trio.fail_after(BOUND_S):
            async with self._news:
                while True:
                    for message in self.asked:
                        if message["type"] == kind:
                            self.asked.remove(message)
                            return message
                    await self._news.wait()

    async def answer(self, asked: Mapping[str, Any], kind: str, **fields: Any) -> None:
        await self.tell({"type": kind, "reply_to": asked["id"], **fields})

    async def hear_and_answer(self, heard: str, kind: str, **fields: Any) -> dict[str, Any]:
        asked = await self.hear(heard)
        await self.answer(asked, kind, **fields)
        return asked


@attrs.define(eq=False)
class MemoryService:
    """Lets clients in, while it is not ``refuses`` or down."""

    first: Mapping[str, Any] | None = attrs.field(factory=lambda: dict(WELCOME))
    """What it begins with; None: it is cut before it does."""
    refusal: PyreplError | None = None
    is_silent: bool = False
    """Whether an attempt comes to nothing, for as long as it may take."""
    attempts: int = 0
    _connections: list[MemoryConnection] = attrs.field(factory=list)
    _arrival: trio.Condition = attrs.field(factory=trio.Condition)

    @asynccontextmanager
    async def connect(self, *_: Any, within_s: float, **__: Any) -> AsyncIterator[MemoryConnection]:
        self.attempts += 1
        if self.is_silent:
            await trio.sleep(within_s)
            raise Disconnected("it does not answer")
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        connection = MemoryConnection()
        if self.first is None:
            await connection.lose()
        else:
            await connection.tell(self.first)
        async with self._arrival:
            self._connections.append(connection)
            self._arrival.notify_all()
        try:
            yield connection
        finally:
            connection.is_open = False

    async def connection(self, number: int) -> MemoryConnection:
        """The connection of that number, from 1, as soon as there is one."""
        with trio.fail_after(BOUND_S):
            async with self._arrival:
                while len(self._connections) < number:
                    await self._arrival.wait()
        return self._connections[number - 1]


def make_client(service: MemoryService, **settings: Any) -> pyrepl3.Client:
    """A client of that service."""
    client = pyrepl3.Client("http://memory", "t" * 40, **settings)
    client._link.connect = service.connect
    return client


@asynccontextmanager
async def run_link(
    service: MemoryService, reconnect_timeout_s: float = math.inf
) -> AsyncIterator[Link]:
    """A link to that service, which is connected."""
    link = make_client(service, reconnect_timeout_s=reconnect_timeout_s)._link
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda *, task_status: link.run(task_status=task_status))
        yield link
        link.stop()
