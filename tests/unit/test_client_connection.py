"""Unit tests: a client's connection and a session that it uses, real both, without any process."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, cast

import attrs
import trio
from trio.testing import wait_all_tasks_blocked
from trio_websocket import WebSocketConnection

from actors import Address, Inbox, ask, open_mailbox
from pyrepl3.client.session import Session
from pyrepl3.client.transactions import Transactions
from pyrepl3.config import Config, JournalConfig, Limits
from pyrepl3.endpoint.access import Principal
from pyrepl3.endpoint.client_connection import ClientConnection
from pyrepl3.endpoint.outbox import never
from pyrepl3.endpoint.web_socket import Closed
from pyrepl3.errors import SessionLost
from pyrepl3.hosting.hosted_session import HostedSession
from pyrepl3.hosting.hosting_messages import (
    Attached,
    Detached,
    Find,
    HostMessage,
    Opened,
    Submit,
)
from pyrepl3.journal.journals import open_journals
from pyrepl3.messages import EventChannel, Query
from pyrepl3.telemetry.observing import Observers
from pyrepl3.wire import client_requests as wire
from pyrepl3.wire.client_codec import Format, decode_msgpack


@attrs.define(eq=False)
class Worker:
    """A session that takes code and runs none of it, until a test says what comes of it."""

    executions: dict[str, EventChannel] = attrs.field(factory=dict)
    abandoned: list[str] = attrs.field(factory=list)
    transactions: Transactions = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.transactions = Transactions(self.take, self.lost, lambda: None)

    async def take(self, query: Query) -> None:
        raise AssertionError

    def lost(self) -> SessionLost:
        raise AssertionError

    async def send(self, execution: str, code: str, events: EventChannel, **options: Any) -> None:
        self.executions[execution] = events

    async def abandon(self, execution: str) -> None:
        await trio.lowlevel.checkpoint()
        self.abandoned.append(execution)
        self.executions[execution].close()

    async def wait_ended(self) -> str:
        await trio.sleep_forever()
        raise AssertionError


@attrs.define(eq=False)
class Socket:
    """A client's end: what it sends, and all that it was told."""

    sent: trio.MemorySendChannel[str]
    arrives: trio.MemoryReceiveChannel[str]
    told: list[dict[str, Any]] = attrs.field(factory=list)

    async def get_message(self) -> str:
        try:
            return await self.arrives.receive()
        except trio.EndOfChannel:
            raise Closed(None) from None

    async def ask(self, kind: str, **fields: Any) -> None:
        await self.sent.send(json.dumps({"type": kind, "id": 1, **fields}))

    def leave(self) -> None:
        self.sent.close()

    async def aclose(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()

    async def write(self, frames: Sequence[str | bytes]) -> None:
        await trio.lowlevel.checkpoint()
        self.told.extend(json.loads(frame) for frame in frames)

    def types(self) -> list[str]:
        return [message["type"] for message in self.told]


@attrs.define(eq=False)
class World:
    hosted: HostedSession
    worker: Worker
    host: Address[HostMessage]
    nursery: trio.Nursery
    """Of the tasks of a test, which is over when they are."""

    async def serve(self) -> None:
        """From now on the session takes its messages."""
        self.nursery.start_soon(self.hosted.run, self.nursery)
        await wait_all_tasks_blocked()

    def connect(self) -> Socket:
        socket = Socket(*trio.open_memory_channel[str](10))
        connection = ClientConnection(
            cast(WebSocketConnection, socket),
            Format.JSON,
            Principal(name="ada"),
            self.host,
            Config(),
        )
        connection._outbox.write, connection._outbox.write_nowait = socket.write, never
        self.nursery.start_soon(connection.run)
        return socket

    async def find(self, inbox: Inbox[HostMessage]) -> None:
        async for message in inbox:
            assert isinstance(message, Find)
            message.reply.answer(
                Opened(
                    session=self.hosted.id,
                    template="python",
                    journal=self.hosted.journal,
                    address=self.hosted.address,
                    directory="/",
                    pid=1,
                    warm=True,
                    wait_s=0.0,
                )
            )

    async def told(self) -> list[dict[str, Any]]:
        """All that the session's journal has."""
        batch = await self.hosted.journal.read(0)
        return [] if batch is None else [decode_msgpack(entry.body) for entry in batch.entries]


async def no_snapshots(at_most: object) -> None:
    raise AssertionError("nothing is kept here")


async def no_host(branches: object, names: object) -> Sequence[Opened]:
    raise AssertionError("nothing is forked here")


@asynccontextmanager
async def a_world(**asked: Any) -> AsyncIterator[World]:
    worker = Worker()
    address: Address[HostMessage]
    address, inbox = open_mailbox(10)
    with open_journals(JournalConfig()) as journals:
        hosted = HostedSession(
            id="s",
            principal="ada",
            request=wire.OpenSession(id=1, **asked),
            session=cast(Session, worker),
            limits=Limits(queued_executions=1),
            journal=journals.open(),
            idle_timeout_s=math.inf,
            transaction_idle_s=math.inf,
            directory="/",
            observers=Observers(),
            adopt=no_host,
            counted=lambda at_most, count: nullcontext(),
            check_snapshots=no_snapshots,
        )
        async with trio.open_nursery() as nursery:
            world = World(hosted, worker, address, nursery)
            nursery.start_soon(world.find, inbox)
            yield world
            nursery.cancel_scope.cancel()


async def test_who_has_sent_code_is_there_when_the_client_before_it_leaves() -> None:
    async with a_world(on_disconnect="interrupt") as world:
        await world.hosted.address.send(Attached())
        client = world.connect()
        await client.ask("execute", session="s", execution="e", code="1")
        await wait_all_tasks_blocked()
        await world.hosted.address.send(Detached())
        await world.serve()

        assert world.worker.abandoned == []

        client.leave()
        await wait_all_tasks_blocked()

        assert world.worker.abandoned == ["e"]


async def test_who_leaves_before_its_code_is_taken_has_it_interrupted_as_it_asked() -> None:
    async with a_world(on_disconnect="interrupt") as world:
        client = world.connect()
        await client.ask("execute", session="s", execution="e", code="1")
        await wait_all_tasks_blocked()
        client.leave()
        await wait_all_tasks_blocked()
        await world.serve()

        assert world.worker.abandoned == ["e"]


async def test_who_is_refused_is_not_attached_and_interrupts_nobody_by_that() -> None:
    async with a_world(on_disconnect="interrupt") as world:
        await world.serve()
        code = wire.Execute(id=1, session="s", execution="e", code="1")
        await ask(world.hosted.address, lambda reply: Submit(code, reply))
        client = world.connect()
        await client.ask("execute", session="s", execution="e", code="2")
        await wait_all_tasks_blocked()

        assert client.types() == ["welcome", "refused"]
        assert world.hosted.info().attached == 0
        assert world.worker.abandoned == []


async def test_code_attaches_its_client_from_its_own_first_event_on() -> None:
    async with a_world() as world:
        await world.serve()
        first, other = world.connect(), world.connect()
        await first.ask("execute", session="s", execution="e", code="1")
        await wait_all_tasks_blocked()
        world.worker.executions["e"].close()
        await wait_all_tasks_blocked()
        await other.ask("execute", session="s", execution="f", code="1")
        await wait_all_tasks_blocked()
        world.worker.executions["f"].close()
        await wait_all_tasks_blocked()

        assert [message.get("seq") for message in other.told] == [None, None, 2]
        assert world.hosted.info().attached == 2

        await other.ask("execute", session="s", execution="e", code="1")
        await wait_all_tasks_blocked()

        assert [message.get("seq") for message in other.told] == [None, None, 2, None, 1]


async def test_what_is_still_under_way_when_nobody_waits_for_it_any_more_has_its_outcome() -> None:
    async with a_world() as world:
        client = world.connect()
        await client.ask("execute", session="s", execution="e", code="1")
        async with trio.open_nursery() as work:
            work.start_soon(world.hosted.run, work)
            await wait_all_tasks_blocked()
            world.hosted._end("closed")
            await wait_all_tasks_blocked()
            work.cancel_scope.cancel()  # as the host does after its time for outcomes
        world.hosted.ended()
        await wait_all_tasks_blocked()

        told = [message for message in client.told if "seq" in message]
        assert [message["type"] for message in told] == ["error", "session_closed"]
        assert (told[0]["execution"], told[0]["state"]) == ("e", "unknown")
