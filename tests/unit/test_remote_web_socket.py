"""Unit tests: a client's WebSocket over a real socket, whose other end reads late or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Ping, Request

from pyrepl3.remote.addresses import find_address
from pyrepl3.remote.web_socket import Disconnected, WebSocket, open_web_socket
from pyrepl3.wire.client_codec import Format

PIECE_BYTES = 200_000


@attrs.define(eq=False)
class Service:
    """The other end, which reads when a test says so."""

    stream: trio.SocketStream
    state: WSConnection = attrs.field(factory=lambda: WSConnection(ConnectionType.SERVER))
    messages: list[bytes] = attrs.field(factory=list)
    pieces: list[bytes] = attrs.field(factory=list)

    async def read(self) -> None:
        self.state.receive_data(await self.stream.receive_some(2**20))
        for event in self.state.events():
            if isinstance(event, Request):
                accept = AcceptConnection(subprotocol=Format.MSGPACK.value)
                await self.stream.send_all(self.state.send(accept))
            elif isinstance(event, BytesMessage):
                self.pieces.append(bytes(event.data))
                if event.message_finished:
                    self.messages.append(b"".join(self.pieces))
                    self.pieces.clear()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[WebSocket, Service]]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    services: list[Service] = []
    accepted = trio.Event()

    async def accept() -> None:
        services.append(Service(await listener.accept()))
        await services[0].read()
        accepted.set()

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        address = find_address(f"http://127.0.0.1:{port}")
        async with open_web_socket(address, "t" * 40, context=None, within_s=5) as connection:
            await accepted.wait()
            yield connection, services[0]
            await services[0].stream.aclose()


def piece(number: int) -> bytes:
    return number.to_bytes(4, "big") * (PIECE_BYTES // 4)


async def fill(connection: WebSocket) -> int:
    """How many messages were sent until one did not fit."""
    for number in range(10_000):
        assert connection.send_nowait(piece(number))
        if connection.has_rest:
            return number + 1
    raise AssertionError("it takes everything")


async def test_a_message_is_sent_without_waiting_where_there_is_room() -> None:
    async with connected() as (connection, service):
        assert connection.send_nowait(b"one")
        assert not connection.has_rest
        await service.read()

    assert service.messages == [b"one"]


async def test_the_rest_of_a_message_comes_before_all_that_is_sent_later() -> None:
    async with connected() as (connection, service):
        number = await fill(connection)
        assert not connection.send_nowait(b"not before the rest")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.flush)
            while len(service.messages) < number:
                await service.read()
        assert not connection.has_rest
        assert connection.send_nowait(b"the last")
        while len(service.messages) < number + 1:
            await service.read()

    assert service.messages == [*map(piece, range(number)), b"the last"]


async def test_a_pong_does_not_come_into_the_middle_of_a_message() -> None:
    async with connected() as (connection, service):
        number = await fill(connection)
        await service.stream.send_all(service.state.send(Ping(b"are you there")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.receive)
            while len(service.messages) < number:  # which comes with the pong
                await service.read()
            nursery.cancel_scope.cancel()

    assert service.messages == list(map(piece, range(number)))


async def test_what_is_sent_into_a_connection_that_was_lost_is_told_where_it_is_flushed() -> None:
    async with connected() as (connection, service):
        await fill(connection)
        await trio.aclose_forcefully(service.stream)
        with pytest.raises(Disconnected), trio.fail_after(5):
            await connection.flush()


@pytest.mark.parametrize(
    "body", [b"\x81\xa4type\xa1\xff", b"\x81\xa1\xff\x01", b"\x91" * 100_000, b"\xc0"]
)
async def test_what_is_no_message_is_the_end_of_the_connection(body: bytes) -> None:
    async with connected() as (connection, service):
        await service.stream.send_all(service.state.send(BytesMessage(data=body)))
        with pytest.raises(Disconnected, match="no message"), trio.fail_after(5):
            await connection.receive()
