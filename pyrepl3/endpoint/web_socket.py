"""A WebSocket from a connection whose upgrade request was read already.

Owns how trio-websocket is given that request again, and the bounds that it does not have: on
fragments of a message, and on the time that a client may take to read one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage

from pyrepl3.endpoint.outbox import Written

MESSAGE_BYTES = 8 * 2**20
"""Of one message: code of the largest size that a frame of the worker link has room for."""
FRAGMENTS = 10_000
"""Of one message: what 8 MiB come in at a few hundred bytes each. Endless empty ones would
otherwise be kept for ever."""
RECEIVE_BYTES = 64 * 2**10

Closed = ConnectionClosed
"""Raised by everything that is done with a WebSocket that has ended."""


class ReplayStream(trio.abc.Stream):
    """A stream whose first bytes were read already, and are given again.

    And that can send without waiting, where it is one of a bare socket.
    """

    def __init__(self, first: bytes, stream: trio.abc.Stream) -> None:
        self._first = first
        self._stream = stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None
        self._rest = b""
        """Of what was sent without waiting."""
        self._is_sending = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._first:
            await trio.lowlevel.checkpoint()
            size = len(self._first) if max_bytes is None else max_bytes
            data, self._first = self._first[:size], self._first[size:]
            return data
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        self._is_sending = True
        try:
            await self._stream.send_all(data)
        finally:
            self._is_sending = False

    @property
    def can_send_now(self) -> bool:
        """Whether nothing is on its way that has to come before."""
        return self._socket is not None and not self._is_sending and not self._rest

    def send_nowait(self, data: bytes) -> bool:
        """Send what the socket takes; whether that is all. The rest comes with the next
        `send_all`. Only while it ``can_send_now``."""
        assert self._socket is not None
        try:
            sent = os.write(self._socket.fileno(), data)
        except OSError:
            sent = 0  # there is no room; or it has ended, which whoever sends the rest is told
        self._rest = data[sent:]
        return not self._rest

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class BoundedWSConnection(WSConnection):
    """wsproto's state of a connection, that gives up on a message in too many fragments.

    And that says goodbye to a client that breaks the protocol: wsproto tells of that as though
    the client had closed, and trio-websocket would then close the stream without a word.
    """

    def __init__(self) -> None:
        super().__init__(ConnectionType.SERVER)
        self._fragments = 0
        self._gives_up = False

    @property
    def state(self) -> ConnectionState:
        """To whoever asks before the goodbye is sent, the other side is closing."""
        return ConnectionState.REMOTE_CLOSING if self._gives_up else super().state

    def events(self) -> Iterator[Event]:  # type: ignore[override]  # it says Generator
        for event in super().events():
            if isinstance(event, TextMessage | BytesMessage):
                self._fragments = 0 if event.message_finished else self._fragments + 1
                if self._fragments > FRAGMENTS:
                    self._gives_up = True
                    yield CloseConnection(code=1009, reason=f"more than {FRAGMENTS} fragments")
                    return
            elif isinstance(event, CloseConnection):
                self._gives_up = super().state is ConnectionState.OPEN
            yield event

    def send(self, event: Event) -> bytes:
        data = super().send(event)
        if isinstance(event, CloseConnection):
            self._gives_up = False
        return data


async def receive_upgrade(
    nursery: trio.Nursery, first: bytes, stream: trio.abc.Stream
) -> WebSocketRequest:
    """The WebSocket request in ``first`` and what follows it, to be accepted or rejected.

    As `trio_websocket.wrap_server_stream`, but for the bounds.
    """
    connection = WebSocketConnection(
        ReplayStream(first, stream),
        BoundedWSConnection(),
        max_message_size=MESSAGE_BYTES,
        receive_buffer_size=RECEIVE_BYTES,
    )
    nursery.start_soon(connection._reader_task)
    return await connection._get_request()


async def send_frames(socket: WebSocketConnection, frames: Sequence[str | bytes]) -> None:
    """Send messages in one write, where trio-websocket has one for each. Raises Closed."""
    if socket.closed:
        raise Closed(socket.closed)
    data = b"".join([socket._wsproto.send(_event(frame)) for frame in frames])
    lock = socket._stream_lock
    if lock.locked():
        await lock.acquire()
    else:
        lock.acquire_nowait()  # without a turn of the loop
    try:
        await socket._stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await socket._abort_web_socket()  # noqa: ASYNC120  # whose error comes of it is made below
        raise Closed(socket.closed) from None
    finally:
        lock.release()


def send_frames_nowait(socket: WebSocketConnection, frames: Sequence[str | bytes]) -> Written:
    """The same without waiting, where that can be. Raises nothing."""
    stream = socket._stream
    assert isinstance(stream, ReplayStream)
    is_open = socket._wsproto.state is ConnectionState.OPEN
    if not (is_open and stream.can_send_now) or socket.closed:
        return Written.NOTHING
    data = b"".join([socket._wsproto.send(_event(frame)) for frame in frames])
    return Written.ALL if stream.send_nowait(data) else Written.A_PART


async def drop(socket: WebSocketConnection) -> None:
    """End it without a word."""
    socket._reader_running = False
    await trio.aclose_forcefully(socket._stream)


def _event(frame: str | bytes) -> Event:
    return BytesMessage(data=frame) if isinstance(frame, bytes) else TextMessage(data=frame)
