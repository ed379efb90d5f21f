"""Unit tests: events as a response that goes on, in both forms."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pyrepl3.rest.event_stream import KEEP_ALIVE_S, EventStream, StreamForm, wanted_form

SSE, NDJSON = StreamForm.SERVER_SENT, StreamForm.NDJSON
Tell = Callable[[Mapping[str, Any]], Awaitable[None]]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", None),
        ("*/*", None),
        ("application/json", None),
        ("text/html, image/png", None),
        ("text/event-stream", SSE),
        ("TEXT/Event-Stream; charset=utf-8", SSE),
        ("application/x-ndjson", NDJSON),
        ("application/ndjson", NDJSON),
        ("application/jsonl", NDJSON),
        ("text/event-stream, application/x-ndjson", SSE),
        ("application/x-ndjson, text/event-stream", NDJSON),
        ("application/json, text/event-stream", None),
        ("application/json;q=0.5, text/event-stream", SSE),
        ("text/event-stream;q=0.5, application/json", None),
        ("text/event-stream; q=0.2, application/x-ndjson; q=0.3, */*;q=0.1", NDJSON),
        ("text/event-stream;q=0", None),
        ("text/event-stream;q=nonsense", None),
        ("text/event-stream;q=nan", None),
        (",;,=", None),
    ],
)
def test_the_form_is_the_one_that_a_client_likes_best(accept: str, form: StreamForm | None) -> None:
    assert wanted_form(accept) is form


async def told(form: StreamForm, produce: Callable[[Tell], Awaitable[None]]) -> list[Any]:
    """What is sent, with the times at which it is."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        sent.append((trio.current_time(), message))

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    await EventStream(form, produce)({}, receive, send)
    assert [message["type"] for _, message in sent[:1]] == ["http.response.start"]
    assert sent[-1][1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert all(message["more_body"] for _, message in sent[1:-1])
    return sent


EVENTS = [
    {"type": "output", "seq": 1, "data": "a\r\n\n: é\u2028 \ud800"},
    {"type": "gap", "from_seq": 2, "to_seq": 7},
    {"type": "odd"},
]


async def both(tell: Tell) -> None:
    for event in EVENTS:
        await tell(event)


async def test_server_sent_events_have_their_number_and_their_type() -> None:
    sent = await told(SSE, both)
    headers = dict(sent[0][1]["headers"])
    bodies = [message["body"].decode() for _, message in sent[1:] if message["body"]]

    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-store"
    for body, event, begin in zip(
        bodies,
        EVENTS,
        ["id: 1\nevent: output\n", "id: 7\nevent: gap\n", "event: odd\n"],
        strict=True,
    ):
        assert body.startswith(begin + "data: ")
        assert body.endswith("\n\n")
        assert "\r" not in body
        assert body.count("\n") == begin.count("\n") + 2
        assert json.loads(body.removeprefix(begin + "data: ")) == event


async def test_ndjson_is_a_line_for_each() -> None:
    sent = await told(NDJSON, both)
    text = b"".join(message["body"] for _, message in sent[1:]).decode()

    assert text.endswith("\n")
    assert [json.loads(line) for line in text.split("\n")[:-1]] == EVENTS


async def test_the_head_is_sent_before_there_is_an_event(autojump_clock: MockClock) -> None:
    async def wait(tell: Tell) -> None:
        await trio.sleep(3)

    sent = await told(NDJSON, wait)

    assert [at for at, _ in sent] == [0, 0, 3]


async def test_where_nothing_happens_for_long_a_comment_says_so(autojump_clock: MockClock) -> None:
    """So that no proxy ends it; and only where nothing else was sent meanwhile."""

    async def seldom(tell: Tell) -> None:
        await trio.sleep(KEEP_ALIVE_S * 1.5)
        await tell(EVENTS[0])
        await trio.sleep(KEEP_ALIVE_S * 2.5)

    sent = await told(SSE, seldom)
    comments = [at for at, message in sent[1:] if message["body"] == b": \n\n"]
    silent = await told(NDJSON, seldom)

    assert comments == pytest.approx([KEEP_ALIVE_S * at for at in (1, 2.5, 3.5)])
    assert len(silent) == 4
