"""One WebSocket connection, on trio and on asyncio: messages out, messages in.

Owns the connection: TCP, TLS, the upgrade and its refusal, pings, the goodbye. wsproto knows the
frames. Must not know what a message means.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import msgspec
from anyio.abc import ByteStream, SocketAttribute
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from pyrepl3.errors import Code, PyreplError
from pyrepl3.remote.addresses import ServiceAddress
from pyrepl3.remote.told_errors import START, as_error, no_tls
from pyrepl3.wire.client_codec import Format

READ_BYTES = 256 * 2**10
CLOSE_S = 2.0
REFUSAL_BYTES = 64 * 2**10


FOR_GOOD = (1002, 1003, 1007, 1009)
"""Close codes of a service that does not take what it was sent, and would not take it again."""
IS_AWAY = (502, 503, 504)
"""What a proxy answers while there is no service behind it."""


class Disconnected(Exception):
    """Raised by everything that is done with a connection that is no more.

    ``is_for_good``: another one would fare no better. ``how``: what would help.
    """

    def __init__(self, why: str, how: str = START, *, is_for_good: bool = False) -> None:
        super().__init__(why)
        self.how = how
        self.is_for_good = is_for_good


def first_of(group: BaseExceptionGroup[Disconnected]) -> Disconnected:
    """One of them: several tasks notice the same end."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Disconnected)
    return found


@attrs.define(eq=False)
class WebSocket:
    """Made by `open_web_socket`. One task may receive, any may send."""

    _stream: ByteStream
    _state: WSConnection = attrs.field(factory=lambda: WSConnection(ConnectionType.CLIENT))
    _sends: anyio.Lock = attrs.field(factory=lambda: anyio.Lock(fast_acquire=True))
    _pieces: list[bytes] = attrs.field(factory=list)
    _messages: list[dict[str, Any]] = attrs.field(factory=list)
    _lost: Disconnected | None = None
    """The end of the connection, which came right behind the last messages."""
    _socket: socket.socket | None = None
    """Where messages may be sent without waiting; None: nowhere."""
    _rest: bytes = b""
    """Of what was sent so; comes before anything else."""

    async def shake_hands(self, address: ServiceAddress, token: str) -> None:
        """Ask for the upgrade. Raises PyreplError with what the service refused it for, and
        Disconnected."""
        request = Request(
            host=address.authority,
            target=address.target,
            subprotocols=[Format.MSGPACK.value],
            extra_headers=[(b"Authorization", f"Bearer {token}".encode())],
        )
        await self._write(self._state.send(request))
        refusal: int | None = None
        body = b""
        while True:
            try:
                events = self._events(await self._read())
            except Disconnected:
                if refusal is None:
                    raise
                raise _refused(refusal, body) from None  # it was cut, or goes on to the end
            for number, event in enumerate(events, start=1):
                if isinstance(event, AcceptConnection):
                    # The welcome may have come in the same piece.
                    await self._take(events[number:])
                    return
                if isinstance(event, RejectConnection):
                    refusal = event.status_code
                    if not event.has_body:
                        raise _refused(refusal, b"")
                elif isinstance(event, RejectData):
                    body += event.data
                    if event.body_finished or len(body) > REFUSAL_BYTES:
                        raise _refused(refusal or 0, body)

    async def send(self, data: bytes) -> None:
        """One message. Raises Disconnected."""
        async with self._sends:
            try:
                frame = self._state.send(BytesMessage(data=data))
            except LocalProtocolError as error:
                raise Disconnected(str(error)) from error
            await self._write(frame)

    def send_nowait(self, data: bytes) -> bool:
        """The same without a turn of the loop, where that can be; False: nothing was sent.

        Where `has_rest` then, it is to be flushed.
        """
        if self._socket is None or self._sends.locked() or self._rest:
            return False
        try:
            frame = self._state.send(BytesMessage(data=data))
            sent = os.write(self._socket.fileno(), frame)
        except LocalProtocolError:
            return False
        except OSError:
            sent = 0  # there is no room; or it has ended, which whoever flushes it is told
        self._rest = frame[sent:]
        return True

    @property
    def has_rest(self) -> bool:
        """Whether a part of a message waits for room."""
        return bool(self._rest)

    async def flush(self) -> None:
        """Send that part. Raises Disconnected."""
        async with self._sends:
            await self._write(b"")

    async def receive(self) -> list[dict[str, Any]]:
        """The messages that come next, one at least. Raises Disconnected, with why."""
        while not self._messages:
            if self._lost is not None:
                raise self._lost
            await self._take(self._events(await self._read()))
        messages, self._messages = self._messages, []
        return messages

    async def close(self) -> None:
        """Say goodbye, bounded."""
        with anyio.move_on_after(CLOSE_S, shield=True):
            try:
                await self._write(self._state.send(CloseConnection(code=1000)))
            except (LocalProtocolError, Disconnected):
                return

    async def _take(self, events: list[Event]) -> None:
        """Keep the messages, and answer pings. What came before the end counts."""
        try:
            await self._take_each(events)
        except Disconnected as error:
            self._lost = error

    async def _take_each(self, events: list[Event]) -> None:
        """Raises Disconnected."""
        for event in events:
            if isinstance(event, BytesMessage):
                self._pieces.append(bytes(event.data))
                if event.message_finished:
                    self._messages.append(_decoded(b"".join(self._pieces)))
                    self._pieces.clear()
            elif isinstance(event, Ping):
                async with self._sends:
                    await self._write(self._state.send(event.response()))
            elif isinstance(event, CloseConnection):
                raise _closed(event)
            elif isinstance(event, TextMessage):
                raise Disconnected("it sent text, and speaks msgpack")

    def _events(self, data: bytes) -> list[Event]:
        try:
            self._state.receive_data(data)
            return list(self._state.events())
        except RemoteProtocolError as error:
            raise Disconnected(f"what came is no WebSocket: {error}") from error

    async def _read(self) -> bytes:
        try:
            return await self._stream.receive(READ_BYTES)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Disconnected("the connection was lost") from error
        except ssl.SSLError as error:
            raise Disconnected(*no_tls(error)) from error

    async def _write(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        try:
            await self._stream.send(data)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Disconnected("the connection was lost") from error
        except ssl.SSLError as error:
            raise Disconnected(*no_tls(error)) from error


@asynccontextmanager
async def open_web_socket(
    address: ServiceAddress, token: str, *, context: ssl.SSLContext | None, within_s: float
) -> AsyncGenerator[WebSocket]:
    """A connection that has been let in, for the length of the block.

    Raises PyreplError with what it was refused for, and Disconnected.
    """
    try:
        with anyio.fail_after(within_s):
            stream = await _connect(address, context)
    except TimeoutError as error:
        raise Disconnected("it does not answer") from error
    try:
        connection = WebSocket(stream, socket=_bare_socket(address, stream))
        try:
            with anyio.fail_after(within_s):
                await connection.shake_hands(address, token)
        except TimeoutError as error:
            raise Disconnected("it does not answer") from error
        yield connection
    finally:
        await anyio.aclose_forcefully(stream)


async def _connect(address: ServiceAddress, context: ssl.SSLContext | None) -> ByteStream:
    try:
        if address.scheme == "http":
            return await anyio.connect_tcp(address.host, address.port)
        return await anyio.connect_tcp(
            address.host,
            address.port,
            ssl_context=context or ssl.create_default_context(),
            tls_standard_compatible=False,
        )
    except ssl.SSLError as error:
        raise Disconnected(*no_tls(error)) from error
    except OSError as error:
        raise Disconnected(_reason(error)) from error
    except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise Disconnected("the connection was lost in the TLS handshake") from error


def _bare_socket(address: ServiceAddress, stream: ByteStream) -> socket.socket | None:
    """trio's. asyncio's is its own alone, and sends without waiting by itself; TLS has a state that
    is not ours."""
    found = stream.extra(SocketAttribute.raw_socket, None)
    return found if address.scheme == "http" and isinstance(found, socket.socket) else None


def _reason(error: OSError) -> str:
    """anyio tells of several addresses that all failed by a group, as the cause."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    found = cause if isinstance(cause, OSError) else error
    if found.errno is not None and found.errno > 0:
        return os.strerror(found.errno)
    return found.strerror or str(found)


def _closed(event: CloseConnection) -> Disconnected:
    reason = event.reason or "closed"
    is_for_good = event.code in FOR_GOOD or reason.startswith(Code.BAD_MESSAGE)
    return Disconnected(f"{reason} ({event.code})", is_for_good=is_for_good)


_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
"""Seven times as quick as what a service takes a client's message by, which looks for all that two
formats could not say alike: to a client that makes no difference."""


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        message = _decode(body)
    except (ValueError, RecursionError) as error:  # a broken string is no MsgspecError
        raise Disconnected(f"it sent what is no message: {error}") from error
    if not isinstance(message.get("type"), str):
        raise Disconnected("it sent a message without a type")
    return message


def _refused(status: int, body: bytes) -> PyreplError | Disconnected:
    """What the service says of it; or that it was none, but a proxy before it, perhaps."""
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and isinstance(fields.get("code"), str):
        return as_error(fields)
    return Disconnected(
        f"this is no PyREPL3 service: status {status}", is_for_good=status not in IS_AWAY
    )
