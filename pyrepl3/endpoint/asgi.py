"""One HTTP request, as an ASGI application handles it.

Owns the adapter: scope, receive and send of ASGI 3 over one `HttpConnection`. A client that leaves
is told to the application in both ways there are: `receive` has `http.disconnect`, and the call
is cancelled. Must not know any route.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import attrs
import trio

from pyrepl3.endpoint.http_connection import BadBody, ClientLeft, HttpConnection, RequestHead
from pyrepl3.endpoint.problems import PROBLEM_JSON, bare_problem
from pyrepl3.errors import InternalError, PyreplError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""ASGI 3; of the types of its scopes only `http`."""

ASGI_VERSIONS = {"version": "3.0", "spec_version": "2.4"}

logger = logging.getLogger("pyrepl3.endpoint")


@attrs.frozen(kw_only=True)
class RequestContext:
    """What is known of a request beside what it says."""

    scheme: str
    client: tuple[str, int]
    server: tuple[str, int]
    path: str
    """Its path, as the application knows it."""
    state: MutableMapping[str, Any] = attrs.field(factory=dict)
    """Handed to the application as it is."""


@attrs.define(eq=False)
class Exchange:
    """One request and its response."""

    connection: HttpConnection
    head: RequestHead
    context: RequestContext
    _start: tuple[int, list[tuple[bytes, bytes]]] | None = attrs.field(default=None, init=False)
    """A response's head that waits for the beginning of its body."""
    _is_read: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when all of the request has been."""
    _is_told: bool = attrs.field(default=False, init=False)
    """Whether the application knows that."""
    _is_over: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when the response is complete, or can never be."""
    _is_broken: bool = attrs.field(default=False, init=False)
    """Whether nothing more can be sent: its client has gone, or has half a response."""
    _handling: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    async def run(self, application: Application) -> None:
        """Have the application answer. What it raises is logged, and answered if it still can be.

        Raises ClientLeft where the connection is of no use any more.
        """
        if not self.head.has_body:
            await self._read()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            with self._handling:
                await self._handle(application)
            nursery.cancel_scope.cancel()
        if self._is_broken:
            raise ClientLeft

    async def _handle(self, application: Application) -> None:
        try:
            await application(self._scope(), self._receive, self._send)
            if not self._is_over.is_set():
                raise RuntimeError("the application did not answer in full")
        except Exception:  # a border: whatever a handler may raise is its bug
            logger.exception("a request to %s failed", self.head.path)
            self.connection.closes = True
            if self.connection.is_unanswered:
                self._start = None
                await self._answer(self.connection.respond_error(_internal_error()))
            elif not self._is_over.is_set():
                self._break()

    async def _answer(self, response: Awaitable[None]) -> None:
        try:
            await response
        except ClientLeft:
            self._break()

    async def _watch(self) -> None:
        await self._is_read.wait()
        await self.connection.wait_departed()
        self._break()

    def _break(self) -> None:
        self._is_broken = True
        self._is_over.set()
        self._handling.cancel()

    def _scope(self) -> Scope:
        head, context = self.head, self.context
        raw_path = context.path.encode("ascii")
        return {
            "type": "http",
            "asgi": ASGI_VERSIONS,
            "http_version": head.http_version,
            "method": head.method,
            "scheme": context.scheme,
            # Names of files may be any bytes; what is no UTF-8 is as the system's names are in str.
            "path": unquote_to_bytes(raw_path).decode("utf-8", "surrogateescape"),
            "raw_path": raw_path,
            "query_string": head.query.encode("ascii"),
            "root_path": "",
            "headers": head.raw_headers,
            "client": context.client,
            "server": context.server,
            "state": context.state,
            "extensions": {},
        }

    # --- what the application is told -----------------------------------------------------------

    async def _receive(self) -> Message:
        if self._is_told:
            await self._is_over.wait()
            return {"type": "http.disconnect"}
        data = b"" if self._is_read.is_set() else await self._read()
        if self._is_over.is_set():
            await trio.lowlevel.checkpoint()  # it is cancelled, and need not know why
            return {"type": "http.disconnect"}
        self._is_told = self._is_read.is_set()
        return {"type": "http.request", "body": data, "more_body": not self._is_told}

    async def _read(self) -> bytes:
        try:
            data = await self.connection.read_body()
        except ClientLeft:
            self._break()
            return b""
        except BadBody as error:
            self.connection.closes = True
            if self.connection.is_unanswered:
                body = bare_problem(HTTPStatus.BAD_REQUEST, str(error))
                await self._answer(
                    self.connection.respond(HTTPStatus.BAD_REQUEST, PROBLEM_JSON, body)
                )
            self._is_over.set()
            self._handling.cancel()
            return b""
        if self.connection.is_read:
            self._is_read.set()
        return data

    # --- what it says ---------------------------------------------------------------------------

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = (message["status"], _headers(message))
            return
        if self._is_over.is_set():
            await trio.lowlevel.checkpoint()
            return
        data = message.get("body", b"")
        is_whole = not message.get("more_body", False)
        is_last = is_whole or self.head.method == "HEAD"
        framed = self._framed(data, is_last=is_last)
        if framed:
            await self._answer(self.connection.write(framed))
        else:
            await trio.lowlevel.checkpoint()
        if is_last:
            self._is_over.set()
        if not is_whole and is_last:
            self._handling.cancel()  # nobody wants the body that it would go on with

    def _framed(self, data: bytes, *, is_last: bool) -> bytes:
        """As HTTP has it, behind the head if that was not sent yet: one write, and one packet."""
        head = b""
        if self._start is not None:
            if not self.connection.is_read:
                self.connection.closes = True
            (status, headers), self._start = self._start, None
            head = self.connection.head_bytes(status, headers)
        return head + self.connection.body_bytes(data, is_last=is_last)


def _internal_error() -> PyreplError:
    return InternalError(
        what="the request failed",
        why="there is a bug in PyREPL3; the service's log has it",
        how="Report it, with that part of the log",
    )


def _headers(message: Message) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
