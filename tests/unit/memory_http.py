"""Serves one connection in memory, as the endpoint does over a socket, and reads its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import trio

from pyrepl3.config import EndpointConfig
from pyrepl3.endpoint.asgi import Application, Exchange, Receive, RequestContext, Scope, Send
from pyrepl3.endpoint.http_connection import BadHead, ClientLeft, HttpConnection, RequestHead

CONTEXT = {"scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}


async def serve(connection: HttpConnection, application: Application) -> RequestHead | None:
    """Until the connection has no future; the head of an upgrade where one is asked for."""
    try:
        while (head := await connection.next_head()) is not None:
            if head.wants_websocket:
                return head
            context = RequestContext(path=head.path, **CONTEXT)
            await Exchange(connection, head, context).run(application)
            if connection.closes:
                await connection.linger()
                return None
    except (BadHead, ClientLeft):
        return None
    return None


@attrs.define(eq=False)
class Served:
    """A client's end of a connection that is served."""

    stream: Any
    """Speaks to the service."""
    connection: HttpConnection
    ended: trio.Event = attrs.field(factory=trio.Event)
    upgrade: RequestHead | None = None

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def read_to_end(self) -> bytes:
        """All that comes until the service closes."""
        data = b""
        while more := await self.stream.receive_some(65_536):
            data += more
        return data

    async def read(self, *methods: str) -> list[Answer]:
        """One answer for each request of these methods; what they are framed with is checked."""
        answers = []
        data = b""
        for method in methods:
            answer, data = await self._read_one(method, data)
            answers.append(answer)
        assert data == b""
        return answers

    async def _read_one(self, method: str, data: bytes) -> tuple[Answer, bytes]:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        if data:
            client.receive_data(data)
        answer = Answer()
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(await self.stream.receive_some(65_536))
            elif isinstance(event, h11.Response):
                answer.status = event.status_code
                answer.headers = {n.decode(): v.decode() for n, v in event.headers}
            elif isinstance(event, h11.Data):
                answer.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return answer, client.trailing_data[0]


@attrs.define
class Answer:
    """One response."""

    status: int = 0
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes = b""


@asynccontextmanager
async def serving(application: Application, streams: Any, **settings: Any) -> AsyncIterator[Served]:
    """``streams``: two that are connected. At the end of the block the client leaves."""
    ours, theirs = streams
    connection = HttpConnection(theirs, EndpointConfig(**settings))
    served = Served(ours, connection)

    async def run() -> None:
        served.upgrade = await serve(connection, application)
        if served.upgrade is None:
            await theirs.aclose()
        served.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield served
        await ours.aclose()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the method, the path and the body, with a length."""
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            break
    text = f"{scope['method']} {scope['path']} ".encode() + body
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: a", *headers, "", ""]
    return "\r\n".join(lines).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A request with one, whose length is told."""
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


def chunked(path: str, *pieces: bytes) -> bytes:
    """A request whose body comes in pieces."""
    head = get(path, "Transfer-Encoding: chunked", method="POST")
    return head + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*pieces, b""))
