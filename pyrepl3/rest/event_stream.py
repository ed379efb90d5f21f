"""Events as a response that goes on: server-sent events, or NDJSON.

Owns both forms. An ASGI response of its own, so that it ends in order where its client leaves.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import trio

from pyrepl3.endpoint.asgi import Receive, Scope, Send
from pyrepl3.wire.client_codec import encode_json

KEEP_ALIVE_S = 15.0
"""Between two comments that say that nothing has happened: proxies end what is silent for long."""

Event = Mapping[str, Any]


class StreamForm(enum.StrEnum):
    """By their media types."""

    SERVER_SENT = "text/event-stream"
    NDJSON = "application/x-ndjson"


_FORMS: Mapping[str, StreamForm | None] = {
    "text/event-stream": StreamForm.SERVER_SENT,
    "application/x-ndjson": StreamForm.NDJSON,
    "application/ndjson": StreamForm.NDJSON,
    "application/jsonl": StreamForm.NDJSON,
    "application/json": None,
    "application/*": None,
    "*/*": None,
}


def wanted_form(accept: str) -> StreamForm | None:
    """The form that a client likes best, of those there are, the first of several; None: one JSON
    document, which is for whoever names none."""
    best, best_quality = None, 0.0
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = _quality(parameters)
        if name in _FORMS and quality > best_quality:
            best, best_quality = _FORMS[name], quality
    return best


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


@attrs.define(eq=False)
class EventStream:
    """``produce`` is given what sends one event, and returns when there are no more."""

    form: StreamForm
    produce: Callable[[Callable[[Event], Awaitable[None]]], Awaitable[None]]
    _last_at: float = attrs.field(default=0.0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        headers = [
            (b"content-type", f"{self.form}; charset=utf-8".encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        sending = trio.Lock()

        async def tell(event: Event) -> None:
            async with sending:
                self._last_at = trio.current_time()
                body = self._framed(event)
                await send({"type": "http.response.body", "body": body, "more_body": True})

        async with trio.open_nursery() as nursery:
            if self.form is StreamForm.SERVER_SENT:
                nursery.start_soon(self._keep_alive, send, sending)
            await self.produce(tell)
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _framed(self, event: Event) -> bytes:
        text = encode_json(event)
        if self.form is StreamForm.NDJSON:
            return text.encode() + b"\n"
        number = event.get("seq", event.get("to_seq"))
        named = "" if number is None else f"id: {number}\n"
        return f"{named}event: {event['type']}\ndata: {text}\n\n".encode()

    async def _keep_alive(self, send: Send, sending: trio.Lock) -> None:
        self._last_at = trio.current_time()
        while True:
            await trio.sleep_until(self._last_at + KEEP_ALIVE_S)
            async with sending:
                if trio.current_time() < self._last_at + KEEP_ALIVE_S:
                    continue
                self._last_at = trio.current_time()
                await send({"type": "http.response.body", "body": b": \n\n", "more_body": True})
