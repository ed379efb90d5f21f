"""Unit tests: a browser's request and answer on a connection, cancelled at each of its waits."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import memory_stream_pair

from actors.testing import cancel_at_each_checkpoint
from pyrepl3.config import EndpointConfig
from pyrepl3.endpoint.access import Head
from pyrepl3.endpoint.browser_exchange import receive, send
from pyrepl3.endpoint.browser_requests import BODY_BYTES, BrowserAnswer, BrowserRequest
from pyrepl3.endpoint.http_connection import ClientLeft, HttpConnection
from pyrepl3.errors import BadMessage, MessageTooLarge

ASKED = Head(host="localhost", origin=None, authorization=None, method="POST")
BODY = json.dumps({"code": "AAAA"}).encode()


async def asked(body: bytes, *, length: int | None = None) -> tuple[HttpConnection, BrowserRequest]:
    """What a client that sends this body comes to, its connection too. It sends nothing more."""
    client, ours = memory_stream_pair()
    size = len(body) if length is None else length
    await client.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
    connection = HttpConnection(ours, EndpointConfig())
    head = await connection.next_head()
    assert head is not None
    return connection, await receive(connection, head, ASKED, "/", within_s=1.0)


async def test_a_request_is_read_to_its_end_and_no_further() -> None:
    connection, request = await asked(BODY)

    assert (request.body, request.path, request.head) == (BODY, "/", ASKED)
    assert connection.is_read


@pytest.mark.parametrize("length", [BODY_BYTES + 1, 10 * BODY_BYTES])
async def test_a_body_over_its_bound_is_refused_before_all_of_it_is_there(length: int) -> None:
    with pytest.raises(MessageTooLarge):
        await asked(b"x" * (BODY_BYTES + 1), length=length)


async def test_a_body_that_does_not_come_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(ClientLeft):
        await asked(b"{", length=9)
    assert trio.current_time() == 1.0


async def test_a_body_that_is_framed_wrongly_is_told_so() -> None:
    client, ours = memory_stream_pair()
    await client.send_all(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno chunk at all\r\n"
    )
    connection = HttpConnection(ours, EndpointConfig())
    head = await connection.next_head()
    assert head is not None
    with pytest.raises(BadMessage):
        await receive(connection, head, ASKED, "/", within_s=1.0)


@pytest.mark.parametrize(
    ("method", "status", "body", "length"),
    [("GET", 200, b"page", b"4"), ("HEAD", 200, b"", b"4"), ("GET", 304, b"", None)],
)
async def test_an_answer_is_framed_as_its_kind_is(
    method: str, status: int, body: bytes, length: bytes | None
) -> None:
    client, ours = memory_stream_pair()
    await client.send_all(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    connection = HttpConnection(ours, EndpointConfig())
    head = await connection.next_head()
    assert head is not None
    page = b"" if status == 304 else b"page"
    await send(connection, head, BrowserAnswer(status, {"ETag": '"x"'}, page))
    told = await client.receive_some()

    start, _, rest = bytes(told).partition(b"\r\n\r\n")
    lengths = [line[16:] for line in start.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    assert start.startswith(b"HTTP/1.1 %d " % status)
    assert (rest, lengths) == (body, [] if length is None else [length])


async def test_a_cancelled_answer_is_sent_whole_or_not_at_all() -> None:
    ends: list[tuple[trio.abc.Stream, trio.abc.Stream]] = []

    async def exchange() -> None:
        client, ours = memory_stream_pair()
        ends.append((client, ours))
        await client.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        connection = HttpConnection(ours, EndpointConfig())
        head = await connection.next_head()
        assert head is not None
        await receive(connection, head, ASKED, "/", within_s=1.0)
        await send(connection, head, BrowserAnswer(200, {}, b"page"))

    answers = set()
    async for _ in cancel_at_each_checkpoint(exchange):
        client, ours = ends.pop()
        await ours.aclose()
        answer = b""
        while data := await client.receive_some():
            answer += data
        answers.add(answer.rpartition(b"\r\n\r\n")[2] if answer else None)

    assert answers == {None, b"page"}
