"""One client's connection as HTTP/1.1: heads in, responses out, or the raw bytes for an upgrade.

Owns h11 and its limits: how long a head may take, how large it may be, how long a connection may
be idle. Must not know what is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import attrs
import h11
import trio

from pyrepl3.config import EndpointConfig
from pyrepl3.errors import CODES, PyreplError

READ_BYTES = 64 * 2**10
HEAD_BYTES = 16 * 2**10
"""Of a request's line and headers: room for cookies and traces, and none for bombs."""
WRITE_S = 30.0
"""For a response that its client does not take: then it is given up."""

LINGER_S = 2.0
LINGER_BYTES = 16 * 2**20
"""What a client may still send, unread, while it reads an answer that ends the connection."""

Headers = Sequence[tuple[str, str]]


class ClientLeft(Exception):
    """Raised where the connection has ended, or broke, in the middle of something."""


class BadHead(Exception):
    """Raised by what is no head, is too large or takes too long; has been answered so."""


@attrs.frozen
class RequestHead:
    """What a request asks for. Names of headers are in lower case; of several of one name the
    first counts, as h11 lets none of those through twice that could mean two things."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """Without the query."""
        return self.target.partition("?")[0]

    @property
    def wants_websocket(self) -> bool:
        """Whether it asks for an upgrade to a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"


@attrs.define(eq=False)
class HttpConnection:
    """A stream, and h11's state of it."""

    stream: trio.abc.Stream
    config: EndpointConfig
    _state: h11.Connection = attrs.field(init=False)
    _raw: bytearray = attrs.field(factory=bytearray, init=False)
    """What was received since the last request ended: an upgrade replays it."""

    def __attrs_post_init__(self) -> None:
        self._state = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    async def next_head(self) -> RequestHead | None:
        """The next request; None when the client has gone, or was idle for too long.

        Raises BadHead, once it has been answered with 400, 408 or 431; and ClientLeft.
        """
        if not self._raw and not await self._first_bytes():
            return None
        try:
            with trio.fail_after(self.config.head_timeout_s):
                while True:
                    event = self._state.next_event()
                    if isinstance(event, h11.Request):
                        return _head(event)
                    if not isinstance(event, type(h11.NEED_DATA)):
                        return None
                    await self._receive()
        except trio.TooSlowError:
            await self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the head of the request did not come")
        except h11.RemoteProtocolError as error:
            await self._refuse(HTTPStatus(error.error_status_hint), str(error))
        raise BadHead

    def replayed(self) -> bytes:
        """All bytes of the request whose head was read last, and of what came behind it."""
        return bytes(self._raw)

    async def respond_error(self, error: PyreplError, *, headers: Headers = ()) -> None:
        """Answer with a problem (RFC 9457), and end the connection. Raises ClientLeft."""
        await self.respond(
            CODES[error.code].http_status,
            "application/problem+json",
            json.dumps(problem(error)).encode(),
            headers=headers,
        )

    async def respond(
        self, status: int, content_type: str, body: bytes, *, headers: Headers = ()
    ) -> None:
        """Answer, and say that the connection ends. Raises ClientLeft."""
        response = h11.Response(
            status_code=status,
            reason=HTTPStatus(status).phrase,
            headers=[
                ("Date", formatdate(usegmt=True)),
                ("Content-Type", content_type),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
                *headers,
            ],
        )
        data = self._state.send(response) or b""
        data += self._state.send(h11.Data(data=body)) or b""
        data += self._state.send(h11.EndOfMessage()) or b""
        await self._write(data)
        await self._linger()

    async def _first_bytes(self) -> bool:
        with trio.move_on_after(self.config.keep_alive_s):
            try:
                await self._receive()
            except ClientLeft:
                return False
            return bool(self._raw)
        return False

    async def _receive(self) -> None:
        try:
            data = bytes(await self.stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientLeft from error
        self._raw += data
        self._state.receive_data(data)

    async def _refuse(self, status: HTTPStatus, why: str) -> None:
        if self._state.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = json.dumps({"title": status.phrase, "status": status.value, "detail": why}).encode()
        await self.respond(status.value, "application/problem+json", body)

    async def _linger(self) -> None:
        """Let the client read: closing while something of it is unread takes the answer back."""
        with trio.move_on_after(LINGER_S):
            try:
                if isinstance(self.stream, trio.abc.HalfCloseableStream):
                    await self.stream.send_eof()
                left_bytes = LINGER_BYTES
                while left_bytes > 0 and (data := await self.stream.receive_some(READ_BYTES)):
                    left_bytes -= len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _write(self, data: bytes) -> None:
        try:
            with trio.fail_after(WRITE_S):
                await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise ClientLeft from error


def problem(error: PyreplError) -> dict[str, Any]:
    """An error as problem+json has it, with this project's own fields beside the standard's."""
    info = CODES[error.code]
    return {
        "type": f"urn:pyrepl3:error:{error.code}",
        "title": info.meaning,
        "status": info.http_status,
        "detail": f"{error.what}: {error.why}",
        **error_fields(error),
    }


def error_fields(error: PyreplError) -> dict[str, Any]:
    """An error as every surface tells it: protocol.md 4."""
    return {
        "code": error.code.value,
        "what": error.what,
        "why": error.why,
        "how": error.how,
        "retryable": error.retryable,
        "details": dict(error.details),
    }


def _head(event: h11.Request) -> RequestHead:
    headers: dict[str, str] = {}
    for name, value in event.headers:
        headers.setdefault(name.decode("ascii"), value.decode("latin-1"))
    return RequestHead(event.method.decode("ascii"), event.target.decode("ascii"), headers)
