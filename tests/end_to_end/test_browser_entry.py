"""End-to-end tests: how browsers come in, as it is on the wire."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from pyrepl3.serving import Served

from .websocket_driver import JSON, TOKEN, serve

FAILURES = 5
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@attrs.define(eq=False)
class Browser:
    """One connection that is kept alive, as browsers do."""

    served: Served
    cookie: str | None = None
    _connection: http.client.HTTPConnection = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(self.served.host, self.served.port)

    @property
    def origin(self) -> str:
        return self.served.url

    async def ask(
        self, method: str, path: str, fields: object = None, **headers: str | None
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items() if value}
        if self.cookie is not None:
            sent.setdefault("Cookie", self.cookie)
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        return await trio.to_thread.run_sync(
            self._ask, method, path, body if fields is not None else None, sent
        )

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        self._connection.request(method, path, body, dict(headers))
        answer = self._connection.getresponse()
        told = Answer(answer.status, dict(answer.getheaders()), answer.read())
        if "Set-Cookie" in told.headers:
            self.cookie = told.headers["Set-Cookie"].partition(";")[0]
        return told

    async def sign_in(self) -> None:
        code = (await self.ask("POST", "/v1/browser/codes", **BEARER)).fields["code"]
        entered = await self.ask("POST", "/v1/browser/session", {"code": code}, Origin=self.origin)
        assert entered.status == 204

    def close(self) -> None:
        self._connection.close()


@asynccontextmanager
async def browser(**settings: Any) -> AsyncIterator[Browser]:
    with trio.fail_after(60):
        async with serve(**settings) as (_, served):
            browser = Browser(served)
            try:
                yield browser
            finally:
                browser.close()


async def test_each_answer_leaves_the_connection_to_the_next_request() -> None:
    async with browser() as its:
        page = await its.ask("GET", "/")
        head = await its.ask("HEAD", "/")
        again = await its.ask("GET", "/", If_None_Match=page.headers["ETag"])
        await its.sign_in()
        out = await its.ask("DELETE", "/v1/browser/session", Origin=its.origin)
        style = await its.ask("GET", "/console/console.css")

        assert (page.status, head.status, again.status) == (200, 200, 304)
        assert page.body.startswith(b"<!doctype html>")
        assert head.body == again.body == b""
        assert head.headers["Content-Length"] == str(len(page.body))
        assert out.status == 204
        assert "Content-Length" not in out.headers
        assert style.headers["Content-Type"] == "text/css; charset=utf-8"
        assert "Connection" not in style.headers


async def test_a_cookie_opens_rest_and_what_changes_something_needs_our_page() -> None:
    async with browser() as its:
        stranger = await its.ask("GET", "/v1/sessions")
        await its.sign_in()
        listed = await its.ask("GET", "/v1/sessions")
        nowhere = await its.ask("POST", "/v1/sessions", {})
        near = await its.ask("POST", "/v1/sessions", {}, Sec_Fetch_Site="same-site")
        foreign = await its.ask("POST", "/v1/sessions", {}, Origin="http://127.0.0.1:1")
        opened = await its.ask(
            "POST", "/v1/sessions", {}, Origin=its.origin, Content_Type="application/json"
        )

        assert (stranger.status, listed.status) == (401, 200)
        assert [answer.status for answer in (nowhere, near, foreign)] == [403, 403, 403]
        assert nowhere.fields["code"] == "FORBIDDEN_ORIGIN"
        assert "by cookie" in nowhere.fields["why"]
        assert opened.status == 201, opened.body


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": JSON,
}


async def upgrade(its: Browser, headers: Mapping[str, str]) -> int:
    """The status of the answer; 101 is a WebSocket."""
    lines = {"Host": f"{its.served.host}:{its.served.port}", **UPGRADE, **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    async with await trio.open_tcp_stream(its.served.host, its.served.port) as stream:
        await stream.send_all(f"GET /v1/ws HTTP/1.1\r\n{head}\r\n".encode())
        answer = b""
        while b"\r\n" not in answer:
            answer += await stream.receive_some()
    return int(answer.split()[1])


async def test_a_websocket_by_cookie_is_of_our_page_or_not_at_all() -> None:
    async with browser() as its:
        await its.sign_in()
        assert its.cookie is not None
        cookie = {"Cookie": its.cookie}
        for more in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-site"}):
            assert await upgrade(its, {**cookie, **more}) == 403
        assert await upgrade(its, {**cookie, "Origin": "http://localhost:3000"}) == 403
        assert await upgrade(its, {"Origin": its.origin}) == 401
        assert await upgrade(its, {"Cookie": "pyrepl3_1=x", "Origin": its.origin}) == 401

        assert await upgrade(its, {**cookie, "Origin": its.origin}) == 101
        await its.ask("DELETE", "/v1/browser/session", Origin=its.origin)
        assert await upgrade(its, {**cookie, "Origin": its.origin}) == 401


async def test_guessing_codes_is_slowed_down_as_guessing_tokens_is() -> None:
    async with browser(failures_per_peer=FAILURES) as its:
        code = (await its.ask("POST", "/v1/browser/codes", **BEARER)).fields["code"]
        statuses = []
        for _ in range(FAILURES + 2):
            guessed = await its.ask("POST", "/v1/browser/session", {"code": "AAAA"})
            statuses.append(guessed.status)

        assert statuses == [401] * FAILURES + [429] * 2
        assert int(guessed.headers["Retry-After"]) > 0
        assert (await its.ask("GET", "/v1/sessions", Authorization="Bearer wrong")).status == 429
        # Whoever has the right one is let in, whatever others do from the same address.
        right = await its.ask("POST", "/v1/browser/session", {"code": code}, Origin=its.origin)
        assert right.status == 204


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"x", 400, "BAD_MESSAGE"),
        (b"{" * 4000, 400, "BAD_MESSAGE"),
        (b" " * 100_000, 413, "MESSAGE_TOO_LARGE"),
    ],
)
async def test_a_body_that_is_none_is_told_so(body: bytes, status: int, code: str) -> None:
    async with browser() as its:
        told = await its.ask("POST", "/v1/browser/session", body)

        assert (told.status, told.fields["code"]) == (status, code)


async def test_a_body_that_does_not_come_holds_nothing_up() -> None:
    async with browser(head_timeout_s=0.2) as its:
        async with await trio.open_tcp_stream(its.served.host, its.served.port) as stream:
            head = b"POST /v1/browser/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9"
            await stream.send_all(head + b"\r\n\r\n{")
            assert await stream.receive_some() == b""
        assert (await its.ask("GET", "/")).status == 200


async def test_another_site_gets_not_even_the_page() -> None:
    async with browser() as its:
        assert (await its.ask("GET", "/", Host="evil.example")).status == 421
        assert (await its.ask("GET", "/", Origin="http://evil.example")).status == 403
        code = (await its.ask("POST", "/v1/browser/codes", **BEARER)).fields["code"]
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            told = await its.ask("POST", "/v1/browser/session", {"code": code}, **headers)
            assert told.status in (403, 421)
        assert its.cookie is None


async def test_the_page_without_a_slash_behind_its_prefix_leads_to_the_page() -> None:
    async with browser(path_prefix="/python") as its:
        moved = await its.ask("GET", "/python")

        assert (moved.status, moved.headers["Location"]) == (308, "/python/")
        assert (await its.ask("GET", "/python/")).status == 200
        assert (await its.ask("GET", "/python/console/console.css")).status == 200
        given = await its.ask("POST", "/python/v1/browser/codes", **BEARER)
        assert given.fields["url"].startswith(f"{its.served.url}/python/#code=")
