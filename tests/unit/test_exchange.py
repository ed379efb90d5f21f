"""Unit tests: one request as an ASGI application sees it, and what becomes of its answer."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import trio
from memory_http import chunked, echo, get, post, serving
from trio.testing import (
    MockClock,
    lockstep_stream_pair,
    memory_stream_pair,
    wait_all_tasks_blocked,
)

from actors.testing import Recorder, assert_no_tasks_left, cancel_at_each_checkpoint
from pyrepl3.config import EndpointConfig
from pyrepl3.endpoint.asgi import Exchange, Receive, RequestContext, Scope, Send
from pyrepl3.endpoint.http_connection import AHEAD_BYTES, BadHead, ClientLeft, HttpConnection

START = {"type": "http.response.start", "status": 200, "headers": []}


def part(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


# --- bodies -------------------------------------------------------------------------------------


async def test_a_body_comes_as_it_is_sent_and_so_does_the_answer() -> None:
    """Each piece of it is answered before the next is sent."""

    async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        while True:
            message = await receive()
            if message["body"]:
                await send(part(message["body"].upper()))
            if not message["more_body"]:
                return await send(part(b"", more=False))

    async with serving(mirror, lockstep_stream_pair()) as served:
        await served.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        for piece in (b"ab", b"cd"):
            await served.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            answer = await served.stream.receive_some(65_536)
            assert answer.endswith(b"2\r\n%s\r\n" % piece.upper())
        await served.send(b"0\r\n\r\n")
        assert await served.stream.receive_some(65_536) == b"0\r\n\r\n"


async def test_an_application_that_tells_a_length_is_not_chunked() -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(post("/a", b"x" * 200_000))
        (answer,) = await served.read("POST")

    assert answer.headers["content-length"] == str(len(answer.body))
    assert "transfer-encoding" not in answer.headers
    assert answer.body == b"POST /a " + b"x" * 200_000


async def test_head_is_answered_without_a_body_and_the_connection_goes_on() -> None:
    """Also where the application would stream for ever: it is cancelled."""

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/echo":
            return await echo(scope, receive, send)
        await send(START)
        while True:
            await send(part(b"more"))

    async with serving(endless, memory_stream_pair()) as served:
        await served.send(get("/echo", method="HEAD") + get("/endless", method="HEAD"))
        await served.send(get("/echo"))
        first, second, third = await served.read("HEAD", "HEAD", "GET")

    assert (first.body, first.headers["content-length"]) == (b"", "11")
    assert (second.status, second.body) == (200, b"")
    assert third.body == b"GET /echo "


async def test_who_expects_a_100_is_told_to_go_on_once_the_body_is_wanted() -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(
            get("/", "Expect: 100-continue", "Content-Length: 3", method="PUT"),
        )
        assert await served.stream.receive_some(65_536) == b"HTTP/1.1 100 \r\n\r\n"
        await served.send(b"abc")
        (answer,) = await served.read("PUT")

    assert answer.body == b"PUT / abc"
    assert "connection" not in answer.headers


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without a look at the body."""
    await send({**START, "status": 403, "headers": [(b"content-length", b"2")]})
    await send(part(b"no", more=False))


async def test_who_expects_a_100_and_is_refused_is_told_so_at_once(
    autojump_clock: MockClock,
) -> None:
    async with serving(refuse, memory_stream_pair()) as served:
        await served.send(get("/", "Expect: 100-continue", "Content-Length: 3", method="PUT"))
        (answer,) = await served.read("PUT")

    assert (answer.status, answer.headers["connection"]) == (403, "close")


async def test_a_body_that_nobody_reads_ends_the_connection_in_order(
    autojump_clock: MockClock,
) -> None:
    """Its client can read the answer while it still sends: what it sends is thrown away."""
    async with serving(refuse, memory_stream_pair()) as served:
        await served.send(post("/", b"x" * 500_000) + get("/never"))
        (answer,) = await served.read("POST")
        await served.send(b"y" * 500_000)
        assert await served.read_to_end() == b""

    assert (answer.status, answer.body) == (403, b"no")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "body", [b"zz\r\nnonsense\r\n", b"-1\r\n", b"2\r\nabcdef\r\n", b"1" * 30 + b"\r\n"]
)
async def test_a_body_that_is_not_framed_as_it_says_is_answered_400(
    body: bytes, autojump_clock: MockClock
) -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(get("/", "Transfer-Encoding: chunked", method="POST") + body)
        await served.send(get("/smuggled"))
        (answer,) = await served.read("POST")

    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert json.loads(answer.body)["status"] == 400


async def test_a_badly_framed_body_behind_the_beginning_of_an_answer_cuts_that_off(
    autojump_clock: MockClock,
) -> None:
    async def eager(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(part(b"began"))
        await receive()
        await send(part(b"", more=False))

    async with serving(eager, memory_stream_pair()) as served:
        await served.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"nonsense\r\n")
        answer = await served.read_to_end()

    assert b"began" in answer
    assert not answer.endswith(b"0\r\n\r\n")


# --- clients that leave -------------------------------------------------------------------------


async def test_a_client_that_leaves_cancels_the_handler_and_receive_says_so() -> None:
    told: list[str] = []
    recorder = Recorder()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        recorder.record("handler", "began")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                told.append((await receive())["type"])
            recorder.record("handler", "ended")

    with assert_no_tasks_left():
        async with serving(wait, memory_stream_pair()) as served:
            await served.send(post("/", b"abc"))
            await recorder.wait_recorded("handler", "began")
            await served.stream.aclose()
            await recorder.wait_recorded("handler", "ended")
            await served.ended.wait()

    assert told == ["http.disconnect"]


async def test_a_client_that_leaves_in_the_middle_of_its_body_ends_it_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(echo, memory_stream_pair()) as served:
        await served.send(get("/", "Content-Length: 10", method="POST") + b"abc")
        await served.stream.aclose()
        await served.ended.wait()

    assert caplog.records == []


async def test_what_is_sent_ahead_waits_in_the_socket_beyond_a_bound() -> None:
    """And the requests in it are answered, when their turn comes."""
    release = trio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()
        await echo(scope, receive, send)

    streams = memory_stream_pair()
    ahead = [get(f"/{number}", "X: " + "a" * 1000) for number in range(200)]
    async with serving(wait, streams) as served:
        await served.send(get("/first") + b"".join(ahead))
        await wait_all_tasks_blocked()
        kept = len(served.connection._state.trailing_data[0])
        assert AHEAD_BYTES <= kept < AHEAD_BYTES + 65_536
        release.set()
        answers = await served.read("GET", *["GET"] * 200)

    assert answers[-1].body == b"GET /199 "


async def test_a_client_that_takes_nothing_is_left(autojump_clock: MockClock) -> None:
    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        while True:
            await send(part(b"x" * 1000))

    async with serving(flood, lockstep_stream_pair(), slow_client_s=4.0) as served:
        await served.send(get("/"))
        await served.stream.receive_some(10)
        await served.ended.wait()
        assert trio.current_time() == pytest.approx(4.0)


# --- applications that fail ---------------------------------------------------------------------


async def test_an_application_that_fails_before_it_answers_is_an_internal_error(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)  # its head is not sent before the body begins
        raise ValueError("a secret")

    for method in ("GET", "HEAD"):
        async with serving(fail, memory_stream_pair()) as served:
            await served.send(get("/", method=method))
            (answer,) = await served.read(method)
            assert await served.read_to_end() == b""

        assert (answer.status, answer.headers["connection"]) == (500, "close")
        assert b"secret" not in answer.body
        assert method == "HEAD" or json.loads(answer.body)["code"] == "INTERNAL_ERROR"
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "a secret" in caplog.text


@pytest.mark.parametrize("raises", [True, False])
async def test_an_answer_that_is_not_completed_is_cut_off(
    raises: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """So that its client cannot take the half for the whole."""

    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"content-length", b"10")]})
        await send(part(b"12345"))
        if raises:
            raise ValueError

    async with serving(half, memory_stream_pair()) as served:
        await served.send(get("/") + get("/next"))
        answer = await served.read_to_end()

    assert answer.endswith(b"\r\n\r\n12345")
    assert len(caplog.records) == 1


async def test_what_fails_behind_a_whole_answer_takes_nothing_back(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        raise ValueError

    async with serving(late, memory_stream_pair()) as served:
        await served.send(get("/"))
        assert (await served.read("GET"))[0].body == b"GET / "
        assert await served.read_to_end() == b""

    assert len(caplog.records) == 1


async def test_more_than_was_told_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def lie(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"content-length", b"2")]})
        await send(part(b"ok"))
        await send(part(b"smuggled", more=False))

    async with serving(lie, memory_stream_pair()) as served:
        await served.send(get("/"))
        answer = await served.read_to_end()

    assert answer.endswith(b"\r\n\r\nok")


# --- what the application is given --------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a%20b/%C3%A9?x=%201&y", "/a b/é", b"x=%201&y"),
        ("/%FF", "/\udcff", b""),
        ("http://example.org:8/a?b", "/a", b"b"),
        ("http://example.org", "/", b""),
        ("*", "*", b""),
    ],
)
async def test_the_scope_says_what_was_asked(target: str, path: str, query: bytes) -> None:
    scopes: list[Scope] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo({**scope, "path": "/"}, receive, send)

    async with serving(note, memory_stream_pair()) as served:
        await served.send(get(target, "X-Two: 1", "X-Two: 2", method="OPTIONS"))
        await served.read("OPTIONS")

    (scope,) = scopes
    assert (scope["type"], scope["method"], scope["http_version"]) == ("http", "OPTIONS", "1.1")
    assert (scope["path"], scope["query_string"]) == (path, query)
    assert scope["headers"] == [(b"host", b"a"), (b"x-two", b"1"), (b"x-two", b"2")]
    assert scope["asgi"]["version"] == "3.0"
    assert scope["client"] == ("127.0.0.1", 1)


# --- cancellation -------------------------------------------------------------------------------


async def test_a_connection_that_is_cancelled_anywhere_leaves_nothing(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    """And never says anything that would be taken for a whole answer where there was none."""
    answers: list[bytes] = []

    async def once() -> None:
        ours, theirs = memory_stream_pair()
        with trio.CancelScope(shield=True):
            await ours.send_all(post("/1", b"abc") + chunked("/2", b"d", b"e") + get("/3"))
        connection = HttpConnection(theirs, EndpointConfig())
        try:
            for _ in range(3):
                head = await connection.next_head()
                assert head is not None
                context = RequestContext(
                    scheme="http", client=("c", 1), server=("s", 2), path=head.path
                )
                await Exchange(connection, head, context).run(echo)
        except (BadHead, ClientLeft):
            raise AssertionError("the client is there") from None
        finally:
            theirs.send_stream.close()
            with trio.CancelScope(shield=True):
                answers.append(b"".join([data async for data in ours.receive_stream]))

    with assert_no_tasks_left():
        async for _run in cancel_at_each_checkpoint(once):
            assert answers[-1].count(b"HTTP/1.1 200 ") <= 3

    assert answers[-1].count(b"HTTP/1.1 200 ") == 3
    assert b"500" not in b"".join(answers)
    assert len(answers) > 10
    assert caplog.records == []
