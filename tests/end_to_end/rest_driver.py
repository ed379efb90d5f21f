"""Drives REST as any client would: over httpx2, which knows nothing of ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx2
import trio

import pyrepl3
from pyrepl3.endpoint.access import Principal, Tokens
from pyrepl3.serving import Served, open_endpoint

TOKEN = "ada-" + "a" * 40
OTHER = "eve-" + "e" * 40
ADMIN = "root-" + "r" * 40
LIMITED = "bob-" + "b" * 40
TOKENS = Tokens.of(
    [
        (TOKEN, Principal(name="ada")),
        (OTHER, Principal(name="eve")),
        (ADMIN, Principal(name="root", role="admin")),
        (LIMITED, Principal(name="bob", max_sessions=1)),
    ]
)
LIMIT_S = 30.0


@asynccontextmanager
async def serve(
    *, hosting: dict[str, Any] | None = None, pool: dict[str, Any] | None = None, **endpoint: Any
) -> AsyncIterator[Served]:
    """A service on a port of its own."""
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(**{"min_idle": 1, "max_sessions": 6, **(pool or {})}),
        hosting=pyrepl3.HostingConfig(**(hosting or {})),
        endpoint=pyrepl3.EndpointConfig(port=0, **endpoint),
    )
    with trio.fail_after(2 * LIMIT_S):
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            open_endpoint(supervisor, TOKENS) as served,
        ):
            yield served


@attrs.define
class Rest:
    """One client's requests."""

    http: httpx2.AsyncClient

    async def open(self, folder: object = None, **fields: Any) -> str:
        """A new session's id."""
        if folder is not None:
            fields["cwd"] = str(folder)
        answer = await self.http.post("/v1/sessions", json=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["session"])

    async def run(self, session: str, code: str, **headers: str) -> dict[str, Any]:
        """Its outcome."""
        url = f"/v1/sessions/{session}/executions"
        answer = await self.http.post(url, json={"code": code}, headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(self, url: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What is there, once that holds of it."""
        with trio.fail_after(LIMIT_S):
            while True:
                found = (await self.http.get(url)).json()
                if holds(found):
                    return dict(found)
                await trio.sleep(0.01)


@asynccontextmanager
async def client(served: Served, token: str | None = TOKEN, **options: Any) -> AsyncIterator[Rest]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(
        base_url=served.url, headers=headers, timeout=LIMIT_S, **options
    ) as http:
        yield Rest(http)


async def raw(served: Served, method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """All that comes for a request that no library would send, to the connection's end."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {served.host}",
        "Connection: close",
        f"Authorization: Bearer {TOKEN}",
        *headers,
    ]
    head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
    answer = b""
    with trio.fail_after(LIMIT_S):
        async with (
            await trio.open_tcp_stream(served.host, served.port) as stream,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(stream.send_all, head + body)
            while more := await stream.receive_some(65_536):
                answer += more
            nursery.cancel_scope.cancel()
    return answer


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Its fields, which are all there."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    fields = answer.json()
    assert (fields["status"], fields["code"]) == (status, code), fields
    assert fields["type"] == f"urn:pyrepl3:error:{code}"
    for name in ("title", "detail", "what", "why", "how"):
        assert fields[name], fields
    assert isinstance(fields["retryable"], bool)
    assert isinstance(fields["details"], dict)
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    if "retry-after" in answer.headers:
        assert int(answer.headers["retry-after"]) >= 1
    return dict(fields)


def server_sent(text: str) -> list[dict[str, Any]]:
    """The events of a stream, whose frames say the same as their data."""
    events = []
    for frame in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if line[:1] != ":")
        if lines:
            event = json.loads(lines["data"])
            assert lines["event"] == event["type"]
            assert lines["id"] == str(event["seq"])
            events.append(event)
    return events
