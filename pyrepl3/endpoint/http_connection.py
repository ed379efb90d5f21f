"""One client's connection as HTTP/1.1: requests in, one after the other, responses out.

Owns h11 and its limits: how long a head may take, how large it may be, how long a connection may
be idle, how much is read ahead. Must not know what is asked for, nor ASGI.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

import attrs
import h11
import trio

from pyrepl3.config import EndpointConfig
from pyrepl3.endpoint.problems import (
    PROBLEM_JSON,
    Headers,
    bare_problem,
    problem_body,
    problem_headers,
)
from pyrepl3.errors import CODES, PyreplError

READ_BYTES = 64 * 2**10
HEAD_BYTES = 16 * 2**10
"""Of a request's line and headers: room for cookies and traces, and none for bombs."""
AHEAD_BYTES = 64 * 2**10
"""Of requests that a client sends behind one that is not answered yet; more waits in its socket."""

LINGER_S = 2.0
LINGER_BYTES = 16 * 2**20
"""What a client may still send, unread, while it reads an answer that ends the connection."""


class ClientLeft(Exception):
    """Raised where the connection has ended, or broke, in the middle of something."""


class BadHead(Exception):
    """Raised by what is no head, is too large or takes too long; has been answered so."""


class BadBody(Exception):
    """Raised by a body that is not framed as its head says. Not answered yet."""


@attrs.frozen
class RequestHead:
    """What a request asks for. Names of headers are in lower case; of several of one name the
    first counts, as h11 lets none of those through twice that could mean two things."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Values as they came, read as Latin-1."""
    raw_headers: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    """All of them, names in lower case, as they came."""
    http_version: str = "1.1"

    @property
    def path(self) -> str:
        """Without the query, and not unquoted."""
        path = self.target.partition("?")[0]
        if path.startswith("/"):
            return path
        # As a client has it that takes us for a proxy: the whole URL.
        scheme, separator, rest = path.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            return path
        return "/" + rest.partition("/")[2]

    @property
    def query(self) -> str:
        """What is behind the path's question mark."""
        return self.target.partition("?")[2]

    @property
    def has_body(self) -> bool:
        """Whether a body comes behind it."""
        length = self.headers.get("content-length", "0")
        return bool(length.strip("0")) or "transfer-encoding" in self.headers

    @property
    def wants_websocket(self) -> bool:
        """Whether it asks for an upgrade to a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"


@attrs.define(eq=False)
class HttpConnection:
    """A stream, and h11's state of it. One request at a time: its head, its body, its response."""

    stream: trio.abc.Stream
    config: EndpointConfig
    closes: bool = False
    """Whether the connection is to end with the next response."""
    _state: h11.Connection = attrs.field(init=False)
    _unread: bytes = attrs.field(default=b"", init=False)
    """From the beginning of the latest head on, all that was received: an upgrade replays it."""
    _idle: trio.CancelScope | None = attrs.field(default=None, init=False)
    _has_body: bool = attrs.field(default=True, init=False)
    """Whether the response to this request has one: to HEAD it has none."""

    def __attrs_post_init__(self) -> None:
        self._state = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    # --- heads ----------------------------------------------------------------------------------

    async def next_head(self) -> RequestHead | None:
        """The next request; None when there is none, as the client has gone, or was idle for too
        long, or the connection has no future.

        Raises BadHead, once it has been answered with 400, 408 or 431; and ClientLeft.
        """
        if self._state.our_state is h11.DONE:
            if self.closes:
                return None
            self._state.start_next_cycle()
            self._has_body = True
        self._unread = self._state.trailing_data[0]
        if not self._unread and not await self._first_bytes():
            return None
        try:
            with trio.fail_after(self.config.head_timeout_s):
                return await self._read_head()
        except trio.TooSlowError:
            await self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the head of the request did not come")
        except h11.RemoteProtocolError as error:
            await self._refuse(HTTPStatus(error.error_status_hint), str(error))
        raise BadHead

    async def _read_head(self) -> RequestHead | None:
        while True:
            self._unread = self._state.trailing_data[0]
            event = self._state.next_event()
            if isinstance(event, h11.Request):
                self._has_body = event.method != b"HEAD"
                # h11 looks at the size of what is not whole yet: this came in one piece.
                if len(self._unread) - len(self._state.trailing_data[0]) > HEAD_BYTES:
                    raise h11.RemoteProtocolError("the head is too large", error_status_hint=431)
                return _head(event)
            if event is not h11.NEED_DATA:
                return None
            await self._receive()

    def replayed(self) -> bytes:
        """All bytes of the request whose head was read last, and of what came behind it."""
        return self._unread

    def end_if_idle(self) -> None:
        """No request comes any more: end at once between two of them, or else after this one."""
        self.closes = True
        if self._idle is not None:
            self._idle.cancel()

    async def _first_bytes(self) -> bool:
        if self.closes:
            return False
        with trio.move_on_after(self.config.keep_alive_s) as self._idle:
            try:
                return await self._receive()
            except ClientLeft:
                return False
            finally:
                self._idle = None
        return False

    # --- bodies ---------------------------------------------------------------------------------

    async def read_body(self) -> bytes:
        """More of the body of the request whose head was read; `is_read` says whether it is all.

        Raises ClientLeft, BadBody. Says "100 Continue" to a client that waits for it.
        """
        data = b""
        while not self.is_read:
            try:
                event = self._state.next_event()
            except h11.RemoteProtocolError as error:
                raise BadBody(str(error)) from error
            if isinstance(event, h11.Data):
                data += event.data
            elif event is h11.NEED_DATA:
                if data:
                    break
                if self._state.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await self.write(self._state.send(go_on) or b"")
                if not await self._receive():
                    raise ClientLeft
        return data

    @property
    def is_read(self) -> bool:
        """Whether all of the request has been."""
        return self._state.their_state is not h11.SEND_BODY

    async def wait_departed(self) -> None:
        """Until the client has gone, once its request has been read.

        What it sends meanwhile is for its next request, and kept up to AHEAD_BYTES: behind so
        much a departure is found when it is written to.
        """
        while len(self._state.trailing_data[0]) < AHEAD_BYTES:
            try:
                if not await self._receive():
                    return
            except ClientLeft:
                return
        await trio.sleep_forever()

    async def _receive(self) -> bool:
        """False: the client sends nothing any more. Raises ClientLeft."""
        try:
            data = bytes(await self.stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientLeft from error
        self._state.receive_data(data)
        return bool(data)

    # --- responses ------------------------------------------------------------------------------

    @property
    def is_unanswered(self) -> bool:
        """Whether no response to this request has begun."""
        return self._state.our_state is h11.SEND_RESPONSE

    def head_bytes(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The beginning of a response. h11 decides how its body is framed."""
        response = h11.Response(
            status_code=status,
            reason=HTTPStatus(status).phrase,
            headers=[
                (b"Date", formatdate(usegmt=True).encode()),
                *headers,
                *([(b"Connection", b"close")] if self.closes else []),
            ],
        )
        return self._state.send(response) or b""

    def body_bytes(self, data: bytes, *, is_last: bool) -> bytes:
        """More of its body, as it is framed; nothing where it has none."""
        framed = b""
        if data and self._has_body:
            framed = self._state.send(h11.Data(data=data)) or b""
        if is_last:
            framed += self._state.send(h11.EndOfMessage()) or b""
            # Else its client is of HTTP/1.0, or has asked for that, or has not sent all.
            self.closes |= self._state.our_state is not h11.DONE or not self.is_read
        return framed

    async def write(self, data: bytes) -> None:
        """Raises ClientLeft, also where the client takes nothing for ``slow_client_s``."""
        try:
            with trio.fail_after(self.config.slow_client_s):
                await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise ClientLeft from error

    async def respond(
        self, status: int, content_type: str, body: bytes, *, headers: Headers = ()
    ) -> None:
        """Answer in full. Raises ClientLeft."""
        head = self.head_bytes(
            status,
            [
                (b"Content-Type", content_type.encode()),
                (b"Content-Length", str(len(body)).encode()),
                *((name.encode(), value.encode()) for name, value in headers),
            ],
        )
        await self.write(head + self.body_bytes(body, is_last=True))

    async def respond_error(self, error: PyreplError) -> None:
        """Answer with a problem (RFC 9457). Raises ClientLeft."""
        await self.respond(
            CODES[error.code].http_status,
            PROBLEM_JSON,
            problem_body(error),
            headers=problem_headers(error),
        )

    async def _refuse(self, status: HTTPStatus, why: str) -> None:
        if self._state.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        self.closes = True
        await self.respond(status.value, PROBLEM_JSON, bare_problem(status, why))
        await self.linger()

    async def linger(self) -> None:
        """Let the client read: closing while something of it is unread takes the answer back."""
        with trio.move_on_after(LINGER_S):
            try:
                transport = await self._say_end()
                left_bytes = LINGER_BYTES
                while left_bytes > 0 and (data := await transport.receive_some(READ_BYTES)):
                    left_bytes -= len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _say_end(self) -> trio.abc.Stream:
        """Nothing more comes; what there is to read from then on. TLS has a word of its own for it,
        without which a client that reads to the end does not know that it has all."""
        stream = self.stream
        if isinstance(stream, trio.SSLStream):
            with suppress(trio.BrokenResourceError):  # said; its client sends on, or has gone
                await stream.unwrap()
            stream = stream.transport_stream
        if isinstance(stream, trio.abc.HalfCloseableStream):
            await stream.send_eof()
        return stream


def _head(event: h11.Request) -> RequestHead:
    headers: dict[str, str] = {}
    raw = [(bytes(name), bytes(value)) for name, value in event.headers]
    for name, value in raw:
        headers.setdefault(name.decode("ascii"), value.decode("latin-1"))
    return RequestHead(
        event.method.decode("ascii"),
        event.target.decode("ascii"),
        headers,
        raw,
        event.http_version.decode("ascii"),
    )
