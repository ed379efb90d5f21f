"""Unit tests: one connection over streams in memory, from its first byte to its end."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_http import chunked, echo, get, post, serving
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair

from pyrepl3.endpoint.http_connection import HEAD_BYTES
from pyrepl3.endpoint.web_socket import ReplayStream

PIPELINED = [
    get("/one"),
    post("/two", b"x" * 300),
    chunked("/three", b"ab", b"c" * 70),
    get("/four", "Content-Length: 0", method="DELETE"),
    get("/five"),
]
METHODS = ["GET", "POST", "POST", "DELETE", "GET"]
EXPECTED = [
    b"GET /one ",
    b"POST /two " + b"x" * 300,
    b"POST /three ab" + b"c" * 70,
    b"DELETE /four ",
    b"GET /five ",
]


async def test_requests_are_answered_one_after_the_other_on_one_connection() -> None:
    async with serving(echo, memory_stream_pair()) as served:
        for request, method, expected in zip(PIPELINED, METHODS, EXPECTED, strict=True):
            await served.send(request)
            (answer,) = await served.read(method)
            assert (answer.status, answer.body) == (200, expected)
            assert "connection" not in answer.headers
            parsedate_to_datetime(answer.headers["date"])
        assert not served.ended.is_set()


async def test_what_is_pipelined_is_answered_in_order() -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(b"".join(PIPELINED))
        answers = await served.read(*METHODS)

    assert [answer.body for answer in answers] == EXPECTED


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving(echo, lockstep_stream_pair()) as served, trio.open_nursery() as nursery:

        async def send() -> None:
            for byte in b"".join(PIPELINED):
                await served.send(bytes([byte]))

        nursery.start_soon(send)
        answers = await served.read(*METHODS)

    assert [answer.body for answer in answers] == EXPECTED


@settings(max_examples=60, deadline=None)
@given(cuts=st.sets(st.integers(1, len(b"".join(PIPELINED)) - 1), max_size=12))
def test_wherever_the_bytes_are_cut_the_answers_are_the_same(cuts: set[int]) -> None:
    data = b"".join(PIPELINED)
    pieces = [data[a:b] for a, b in pairwise([0, *sorted(cuts), len(data)])]

    async def main() -> list[bytes]:
        async with serving(echo, memory_stream_pair()) as served:
            for piece in pieces:
                await served.send(piece)
                await trio.testing.wait_all_tasks_blocked()
            return [answer.body for answer in await served.read(*METHODS)]

    assert trio.run(main, clock=MockClock(autojump_threshold=1)) == EXPECTED


# --- the last request of a connection -----------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [get("/", version="1.0"), get("/", "Connection: close"), get("/", version="1.0") + get("/2")],
)
async def test_who_asks_for_one_answer_gets_the_end_with_it(
    request_bytes: bytes, autojump_clock: MockClock
) -> None:
    """HTTP/1.0 has no keep-alive here; a client that reads to the end must not wait for it."""
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(request_bytes)
        answer = await served.read_to_end()
        assert trio.current_time() == 0

    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close\r\n" in answer


async def test_a_response_without_a_length_to_http_1_0_ends_with_the_connection() -> None:
    async def stream(scope, receive, send):  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"a", b"b"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"c"})

    async with serving(stream, memory_stream_pair()) as served:
        await served.send(get("/", version="1.0"))
        answer = await served.read_to_end()

    assert answer.endswith(b"\r\n\r\nabc")
    assert b"chunked" not in answer


async def test_an_idle_connection_ends_after_its_time(autojump_clock: MockClock) -> None:
    async with serving(echo, memory_stream_pair(), keep_alive_s=7.0) as served:
        await trio.sleep(6.9)
        await served.send(get("/"))
        await served.read("GET")
        began = trio.current_time()
        assert await served.read_to_end() == b""
        assert trio.current_time() - began == pytest.approx(7.0)


async def test_draining_ends_an_idle_connection_at_once_and_a_busy_one_after_its_answer(
    autojump_clock: MockClock,
) -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(get("/"))
        await served.read("GET")
        await trio.testing.wait_all_tasks_blocked()
        served.connection.end_if_idle()
        assert await served.read_to_end() == b""
        assert trio.current_time() == 0

    async with serving(echo, memory_stream_pair()) as served:
        await served.send(get("/slow", "Content-Length: 3", method="POST"))
        await trio.testing.wait_all_tasks_blocked()
        served.connection.end_if_idle()
        await served.send(b"abc" + get("/never"))
        (answer,) = await served.read("POST")
        assert answer.body == b"POST /slow abc"
        assert answer.headers["connection"] == "close"
        assert await served.read_to_end() == b""


async def test_draining_while_a_head_comes_answers_that_request(autojump_clock: MockClock) -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(get("/half")[:12])
        await trio.testing.wait_all_tasks_blocked()
        served.connection.end_if_idle()
        await served.send(get("/half")[12:])
        (answer,) = await served.read("GET")

    assert (answer.body, answer.headers["connection"]) == (b"GET /half ", "close")


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (get("/" + "a" * HEAD_BYTES), 431),
        (get("/", "X: " + "a" * HEAD_BYTES), 431),
    ],
)
async def test_what_is_no_head_is_answered_and_nothing_after_it(
    data: bytes, status: int, autojump_clock: MockClock
) -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(data + get("/smuggled"))
        answer = await served.read_to_end()

    head, _, body = answer.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"application/problem+json" in head
    assert b"Connection: close" in head
    assert problem["status"] == status
    assert problem["detail"]
    assert b"smuggled" not in answer


async def test_a_head_that_takes_too_long_is_answered_408(autojump_clock: MockClock) -> None:
    """The time goes by from its first byte on, however many follow."""
    async with serving(echo, memory_stream_pair(), head_timeout_s=3.0) as served:
        await trio.sleep(20)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def trickle() -> None:
                for byte in get("/", "X: " + "a" * 100):
                    await served.send(bytes([byte]))
                    await trio.sleep(0.5)

            nursery.start_soon(trickle)
            answer = await served.stream.receive_some(65_536)
            assert trio.current_time() - began == pytest.approx(3.0)
            nursery.cancel_scope.cancel()

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_half_a_head_and_the_end_is_answered_400_without_delay(
    autojump_clock: MockClock,
) -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(b"GET / HT")
        await served.stream.send_stream.aclose()
        answer = await served.read_to_end()
        assert trio.current_time() == 0

    assert answer.startswith(b"HTTP/1.1 400 ")


# --- upgrades -----------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"", get("/first"), post("/first", b"abc") + get("/second")])
@pytest.mark.parametrize("behind", [b"", b"\x81\x85maskedframe"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_an_upgrade_is_replayed_to_the_byte_with_what_came_behind_it(
    before: bytes, behind: bytes, size: int
) -> None:
    upgrade = get("/v1/ws", "Upgrade: WebSocket", "Connection: Upgrade")
    data = before + upgrade + behind
    async with serving(echo, lockstep_stream_pair()) as served:
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                for at in range(0, len(data), size):
                    await served.send(data[at : at + size])

            nursery.start_soon(send)
            with trio.CancelScope() as reading:

                async def until_upgraded() -> None:
                    await served.ended.wait()
                    reading.cancel()

                nursery.start_soon(until_upgraded)
                while True:
                    await served.stream.receive_some(65_536)
            nursery.cancel_scope.cancel()
        replayed = served.connection.replayed()

    assert served.upgrade is not None
    assert served.upgrade.path == "/v1/ws"
    assert replayed == (upgrade + behind)[: len(replayed)]
    assert len(replayed) >= len(upgrade)
    if size > 1000:
        assert replayed == upgrade + behind


async def test_a_replay_gives_its_bytes_first_and_then_the_streams(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = memory_stream_pair()
    await ours.send_all(b"and more")
    replay = ReplayStream(b"first", theirs)

    assert await replay.receive_some(3) == b"fir"
    assert await replay.receive_some() == b"st"
    assert await replay.receive_some(100) == b"and more"


async def test_what_a_socket_does_not_take_at_once_comes_before_all_that_is_sent_later() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    theirs = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    ours = await listeners[0].accept()
    replay = ReplayStream(b"", ours)
    sent = bytearray()
    async with theirs, ours:
        number = 0
        while replay.can_send_now:
            piece = number.to_bytes(4, "big") * 50_000
            number += 1
            sent += piece
            if not replay.send_nowait(piece):
                break
        assert not replay.can_send_now
        got = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replay.send_all, b"the end")
            while not got.endswith(b"the end"):
                got += await theirs.receive_some(2**20)
        assert replay.can_send_now
    await listeners[0].aclose()

    assert bytes(got) == bytes(sent) + b"the end"


async def test_a_stream_that_is_no_socket_sends_nothing_without_waiting() -> None:
    _, theirs = memory_stream_pair()

    assert not ReplayStream(b"", theirs).can_send_now


async def test_a_socket_that_has_ended_takes_nothing_and_says_so_where_it_is_waited_for() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    theirs = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    ours = await listeners[0].accept()
    replay = ReplayStream(b"", ours)
    await ours.aclose()
    assert not replay.send_nowait(b"to nobody")
    with pytest.raises(trio.ClosedResourceError):
        await replay.send_all(b"")
    await theirs.aclose()
    await listeners[0].aclose()
