"""End-to-end tests: clients that speak badly, slowly or not at all (rows 47 to 52, 57 to 60)."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from itertools import repeat

import msgpack
import pytest
import trio
from trio_websocket import ConnectionClosed

from pyrepl3.endpoint.http_connection import HEAD_BYTES
from pyrepl3.endpoint.web_socket import FRAGMENTS, MESSAGE_BYTES
from pyrepl3.serving import Served

from ..raw_websocket import answer, frame, upgrade
from ..websocket_driver import MSGPACK, TOKEN, Client, connect, serve
from .oracle import SETTLE_S


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as (_, served):
        yield served
        # Whatever was done to one connection, another one works.
        async with connect(served) as client:
            session = (await client.ask("open_session"))["session"]
            with trio.fail_after(1):
                assert (await client.run(session, "6 * 7", "canary"))["value"] == 42


async def closed_with(client: Client) -> int:
    """Listen until the other side says goodbye."""
    with suppress(ConnectionClosed):
        while True:
            await client.receive()
    assert client.socket.closed is not None
    return int(client.socket.closed.code)


async def code_after(served: Served, frames: Iterable[bytes]) -> int | None:
    """The code that the other side closes with, when it is sent these bytes on an open WebSocket;
    None where it closes without a word."""
    async with await trio.open_tcp_stream(served.host, served.port) as stream:

        async def send() -> None:
            with suppress(trio.BrokenResourceError):  # the other side has had enough
                for data in frames:
                    await stream.send_all(data)

        await stream.send_all(upgrade(served))
        received = b""
        while b"welcome" not in received:
            received += await stream.receive_some()
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                with suppress(trio.BrokenResourceError):
                    async for data in stream:
                        received += data
    return close_code(received.partition(b"\r\n\r\n")[2])


def close_code(frames: bytes) -> int | None:
    """Of the first close frame among frames of a server, which are not masked."""
    while frames:
        size, start = frames[1], 2
        if size == 126:
            (size,), start = struct.unpack("!H", frames[2:4]), 4
        if frames[0] == 0x88:
            (code,) = struct.unpack("!H", frames[start : start + 2])
            return int(code)
        frames = frames[start + size :]
    return None


async def test_invalid_utf8_in_a_text_frame_closes_with_1007(served: Served) -> None:
    """Row 47."""
    assert await code_after(served, [frame(1, b'{"type":"ping\xff"}')]) == 1007


@pytest.mark.parametrize("subprotocol", ["pyrepl3.v1.json", MSGPACK])
async def test_what_is_no_message_is_refused_and_ten_of_them_close(
    subprotocol: str, served: Served
) -> None:
    """Row 48."""
    async with connect(served, subprotocol=subprotocol) as client:
        for strike in range(1, 11):
            bad = b"\xc1" if subprotocol == MSGPACK else "{"
            await client.socket.send_message(bad)
            refused = await client.receive()
            assert (refused["type"], refused["code"]) == ("refused", "BAD_MESSAGE")
            assert refused["reply_to"] is None
            if strike == 9:
                assert (await client.ask("ping"))["type"] == "pong"

        assert await closed_with(client) == 1008


async def test_an_oversized_message_closes_with_1009(served: Served) -> None:
    """Row 49."""
    assert await code_after(served, [frame(1, b" " * (MESSAGE_BYTES + 1))]) == 1009


@pytest.mark.parametrize("payload", [b"", b" "])
async def test_an_endlessly_fragmented_message_closes_with_1009(
    payload: bytes, served: Served
) -> None:
    """Row 49."""
    endless = repeat(frame(0, payload, last=False) * 1000, 10 * FRAGMENTS // 1000)

    assert await code_after(served, [frame(1, payload, last=False), *endless]) == 1009


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ping","id":1,"a":' + "[" * 100_000,
        '{"type":"ping","id":1,"a":' + '{"a":' * 100 + "1" + "}" * 101,
        '{"type":"ping","id":1,"id":2}',
        '{"type":"ping","id":1,"a":NaN}',
        '{"type":"ping","id":1,"a":1e400}',
    ],
    ids=["endless nesting", "deep nesting", "key twice", "NaN", "1e400"],
)
async def test_json_that_is_none_is_refused(text: str, served: Served) -> None:
    """Row 50."""
    async with connect(served) as client:
        await client.socket.send_message(text)
        refused = await client.receive()
        pong = await client.ask("ping")

    assert refused["code"] == "BAD_MESSAGE"
    assert pong["type"] == "pong"


async def test_msgpack_that_json_could_not_say_is_refused(served: Served) -> None:
    """Row 50."""
    async with connect(served, subprotocol=MSGPACK) as client:
        for extra in (float("nan"), b"bytes", msgpack.ExtType(1, b""), nested(100)):
            await client.socket.send_message(
                msgpack.packb({"type": "ping", "id": 1, "extra": extra})
            )
            assert (await client.receive())["code"] == "BAD_MESSAGE"


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


async def test_an_unknown_type_is_an_error_and_an_unknown_field_is_none(served: Served) -> None:
    """Row 51."""
    async with connect(served) as client:
        for _ in range(20):  # a newer client is no reason to close
            refused = await client.ask("teleport")
        pong = await client.ask("ping", colour="blue")

    assert (refused["code"], refused["details"]) == ("UNKNOWN_TYPE", {"type": "teleport"})
    assert pong["type"] == "pong"


async def test_another_version_is_refused_with_those_that_are_spoken(served: Served) -> None:
    """Row 52."""
    status, body = await handshake(served, protocol="pyrepl3.v2.json, soap")
    async with connect(served) as client:
        hello = await client.ask("hello", versions=[0, 2])

    assert (status, body["code"]) == (400, "UNSUPPORTED_VERSION")
    assert body["details"] == {"supported": ["pyrepl3.v1.json", "pyrepl3.v1.msgpack"]}
    assert (hello["code"], hello["details"]) == ("UNSUPPORTED_VERSION", {"supported": [1]})


# --- slow and silent ones -----------------------------------------------------------------------


async def test_a_slow_reader_is_left_and_slows_nobody() -> None:
    """Row 57."""
    async with serve(slow_client_s=1.0) as (_, served), connect(served) as client:
        session = (await client.ask("open_session"))["session"]
        async with connect(served) as slow:
            await slow.ask("attach", session=session, since=0)
            # From here on it reads nothing: not the library's task either.
            await stop_reading(slow)
            code = "for _ in range(400): print('x' * 65_000)"
            end = await client.run(session, code, "e")
            with trio.fail_after(SETTLE_S):  # its second for a message, and one to finish it
                while True:
                    infos = (await client.ask("list_sessions"))["sessions"]
                    if infos[0]["attached"] == 1:  # ours
                        break
                    await trio.sleep(0.05)
        printed = sum(len(event["data"]) for event in client.told if event["type"] == "output")

    assert end["type"] == "result"
    assert printed == 400 * 65_001


@pytest.mark.parametrize("pause_s", [1.6, 2.2, 3.5])
async def test_nothing_is_told_in_the_middle_of_a_message_that_was_not_taken(
    pause_s: float,
) -> None:
    """Row 57. The closing frame comes behind whole messages, or not at all."""
    code = "for _ in range(300): print('x' * 65_000)"
    asked = (
        {"type": "open_session", "id": 1, "name": "mine"},
        {"type": "execute", "id": 2, "session": "mine", "execution": "e", "code": code},
    )
    async with serve(slow_client_s=1.0) as (_, served), connect(served) as other:
        stream = await trio.open_tcp_stream(served.host, served.port)
        async with stream:
            await stream.send_all(upgrade(served))
            received = bytes(await stream.receive_some())
            await stream.send_all(frame(1, json.dumps(asked[0]).encode()))
            while True:
                if (await other.ask("list_sessions"))["sessions"]:
                    break
                await trio.sleep(0.01)
            await stream.send_all(frame(1, json.dumps(asked[1]).encode()))
            await trio.sleep(pause_s)
            with suppress(trio.BrokenResourceError), trio.fail_after(10):
                async for data in stream:
                    received += data

    frames, rest = whole_frames(received.partition(b"\r\n\r\n")[2])
    assert b"SLOW_CLIENT" not in rest
    for opcode, payload in frames:
        if opcode == 1:
            assert isinstance(json.loads(payload), dict)
        else:
            assert (opcode, payload[2:]) == (8, b"SLOW_CLIENT")


def whole_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Those that the service sent, as opcodes and payloads, and what is left of the last one."""
    frames: list[tuple[int, bytes]] = []
    while len(data) >= 2:
        begin, size = 2, data[1]
        if size == 126:
            begin, size = 4, int.from_bytes(data[2:4], "big")
        elif size == 127:
            begin, size = 10, int.from_bytes(data[2:10], "big")
        if len(data) < begin + size:
            break
        frames.append((data[0] & 0x0F, data[begin : begin + size]))
        data = data[begin + size :]
    return frames, data


async def stop_reading(client: Client) -> None:
    """Its task stops at a message that nobody takes from it."""
    await trio.testing.wait_all_tasks_blocked()


async def test_a_client_that_has_gone_without_a_word_is_found() -> None:
    """Row 58. Nothing comes from it, not even to a ping."""
    async with serve(ping_every_s=0.3, pong_within_s=0.3) as (_, served):
        stream = await trio.open_tcp_stream(served.host, served.port)
        async with stream:
            await stream.send_all(upgrade(served))
            received = b""
            with trio.fail_after(5):
                async for data in stream:
                    received += data

    assert b"101 " in received
    assert b"SLOW_CLIENT" in received


async def test_a_client_that_answers_pings_may_be_silent() -> None:
    """Row 58."""
    async with (
        serve(ping_every_s=0.1, pong_within_s=0.3) as (_, served),
        connect(served) as client,
    ):
        await trio.sleep(1)
        assert (await client.ask("ping"))["type"] == "pong"


# --- before the upgrade -------------------------------------------------------------------------


async def handshake(served: Served, **fields: str | None) -> tuple[int, dict[str, object]]:
    head, _, body = (await answer(served, upgrade(served, **fields))).partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"token": None}, 401, "UNAUTHORIZED"),
        ({"token": "wrong" * 10}, 401, "UNAUTHORIZED"),
        ({"origin": "http://evil.example"}, 403, "FORBIDDEN_ORIGIN"),
        ({"host": "evil.example"}, 421, "MISDIRECTED_HOST"),
        ({"host": "evil.example", "token": None}, 421, "MISDIRECTED_HOST"),
        ({"path": "/nothing"}, 404, "NOT_FOUND"),
        ({"path": "/nothing", "token": None}, 401, "UNAUTHORIZED"),
    ],
)
async def test_who_may_not_come_in_is_refused_before_the_upgrade(
    fields: dict[str, str | None], status: int, code: str, served: Served
) -> None:
    """Row 59."""
    got, body = await handshake(served, **fields)

    assert (got, body["code"]) == (status, code)
    assert body["status"] == status


@pytest.mark.parametrize("path", ["/v1/ws", "/v1/sessions", "/healthz", "/"])
@pytest.mark.parametrize("name", ["Authorization", "Origin"])
async def test_of_two_headers_that_decide_neither_counts(
    name: str, path: str, served: Served
) -> None:
    """Row 59."""
    origin = f"http://{served.host}:{served.port}"
    twice = upgrade(served, origin=origin, path=path)
    value = f"Bearer {TOKEN}" if name == "Authorization" else origin
    twice = twice.replace(b"\r\n\r\n", f"\r\n{name.lower()}: {value}\r\n\r\n".encode())

    got, _, body = (await answer(served, twice)).partition(b"\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "BAD_MESSAGE"
    assert name in json.loads(body)["why"]


async def test_a_stranger_is_told_how_to_authorize_and_after_many_attempts_to_wait(
    served: Served,
) -> None:
    """Row 59."""
    first = await answer(served, upgrade(served, token=None))
    statuses = [(await handshake(served, token="wrong" * 10))[0] for _ in range(12)]
    last = await answer(served, upgrade(served, token=None))

    assert b"www-authenticate: bearer" in first.lower()
    assert set(statuses[:8]) == {401}
    assert statuses[-1] == 429
    assert b"retry-after: " in last.lower()
    # The right token is let in all the same: the fixture's canary comes from this address.


async def test_a_head_that_does_not_come_is_answered_with_408() -> None:
    """Row 60."""
    async with serve(head_timeout_s=0.3) as (_, served):
        assert b"HTTP/1.1 408 " in await answer(served, b"GET / HTTP/1.1\r\nHost: a\r\nX: ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (2 * HEAD_BYTES),
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * HEAD_BYTES,
        b"GET /" + b"x" * (2 * HEAD_BYTES),
    ],
    ids=["long header", "many headers", "long target"],
)
async def test_a_header_bomb_is_answered_with_431(head: bytes, served: Served) -> None:
    """Row 60."""
    assert b"HTTP/1.1 431 " in await answer(served, head)


@pytest.mark.parametrize("head", [b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x00\r\n\r\n"])
async def test_what_is_no_http_is_answered_with_400(head: bytes, served: Served) -> None:
    """Row 60."""
    assert b"HTTP/1.1 400 " in await answer(served, head)


async def test_an_upgrade_that_is_none_is_refused(served: Served) -> None:
    request = upgrade(served).replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"")

    assert b"HTTP/1.1 400 " in await answer(served, request)
