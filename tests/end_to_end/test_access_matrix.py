"""End-to-end tests: every Host, Origin and token together, over a real port (row 59).

Owns an oracle of its own, made from the words of docs/protocol.md: what came out must not be judged
by the code that let it in.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from math import prod

import attrs
import trio

from pyrepl3.serving import Served

from .websocket_driver import OTHER, TOKEN, serve

AT_ONCE = 16
FAILURES_AN_ADDRESS = 8
"""One peer may fail only so often before it has to wait: each eight come from another address."""
OWN_NAME = "box.example"
FRIEND = "https://friend.example:8443"
BOUND_S = 10.0
IN = 0

# What each column holds, and what the words say of it: whether the name, the origin or the token is
# one that may come in. {port} is the service's.
HOSTS: dict[tuple[str, ...], bool | None] = {
    ("127.0.0.1:{port}",): True,
    ("localhost:{port}",): True,
    ("localhost",): True,
    ("localhost:1",): True,  # a name is what counts: proxies and tunnels have other ports
    ("LOCALHOST:{port}",): True,
    ("[::1]:{port}",): True,
    (OWN_NAME,): True,
    ("Box.Example:443",): True,
    ("evil.example",): False,
    ("localhost.",): False,
    ("localhost.evil.example:{port}",): False,
    ("localhost@evil.example",): False,
    ("::1",): False,
    ("[::ffff:127.0.0.1]:{port}",): False,
    ("2130706433:{port}",): False,
    ("localhost:port",): False,
    ("localhost, evil.example",): False,
    ("",): False,
    (): None,  # HTTP/1.1 has one Host: anything else is no request
    ("localhost", "evil.example"): None,
}
ORIGINS: dict[str | None, bool] = {
    None: True,
    "http://{host}": True,
    FRIEND: True,
    "http://evil.example": False,
    "null": False,
    "": False,
    "https://{host}": False,
    "http://{host}:1": False,
    "https://friend.example": False,
    "://": False,
}
TOKENS: dict[str | None, bool] = {
    None: False,
    f"Bearer {TOKEN}": True,
    f"bearer {TOKEN}": True,
    f"Bearer {TOKEN}  ": True,
    f"Bearer {OTHER}": True,
    "": False,
    "Bearer": False,
    "Bearer " + "wrong" * 9: False,
    f"Bearer {TOKEN[:-1]}": False,
    f"Basic {TOKEN}": False,
    TOKEN: False,
    "?token=" + TOKEN: False,  # a query, and no header
}
REFUSAL_HEADERS = {"date", "content-type", "content-length", "connection"}
PROBLEM_FIELDS = {
    *("type", "title", "status", "detail", "code", "what", "why", "how", "retryable", "details")
}
CODES = {421: "MISDIRECTED_HOST", 403: "FORBIDDEN_ORIGIN", 401: "UNAUTHORIZED"}


@attrs.frozen
class Cell:
    """One request of the matrix."""

    hosts: tuple[str, ...]
    origin: str | None
    authorization: str | None
    upgrade: bool

    @property
    def expected(self) -> int:
        """A status, or IN."""
        host_fits = HOSTS[self.hosts]
        if host_fits is None:
            return 400
        if not host_fits:
            return 421
        if not ORIGINS[self.origin]:
            return 403
        return IN if TOKENS[self.authorization] else 401

    def request(self, port: int) -> bytes:
        path = "/v1/ws" if self.upgrade else "/v1/nothing"
        lines = [f"Host: {host.format(port=port)}" for host in self.hosts]
        if self.origin is not None:
            host = self.hosts[0].format(port=port) if self.hosts else "localhost"
            lines.append(f"Origin: {self.origin.format(host=host)}")
        if self.authorization is not None:
            if self.authorization.startswith("?"):
                path += self.authorization
            else:
                lines.append(f"Authorization: {self.authorization}")
        if self.upgrade:
            lines += [
                *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]
        return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


@attrs.define
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


def cells() -> Iterator[Cell]:
    for hosts, origin, token, upgrade in product(HOSTS, ORIGINS, TOKENS, (False, True)):
        yield Cell(hosts, origin, token, upgrade)


async def answered(served: Served, request: bytes, source: str) -> Answer:
    """The whole answer, or the head of one that goes on as a WebSocket."""
    received = b""
    with trio.socket.socket() as client:
        await client.bind((source, 0))
        await client.connect((served.host, served.port))
        await client.send(request)
        while b"\r\n\r\n" not in received:
            received += await client.recv(65_536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        while length is not None and len(body) < int(length[1]):
            body += await client.recv(65_536)
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    return Answer(int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, body)


def check(cell: Cell, answer: Answer) -> None:
    if cell.expected == IN:
        assert answer.status == (101 if cell.upgrade else 404), cell
        return
    assert answer.status == cell.expected, cell
    allowed = {*REFUSAL_HEADERS, "www-authenticate"} if answer.status == 401 else REFUSAL_HEADERS
    assert answer.headers.keys() <= allowed, (cell, answer.headers)
    assert answer.headers.get("www-authenticate", "Bearer") == "Bearer"
    problem = json.loads(answer.body)
    assert problem.keys() <= PROBLEM_FIELDS
    assert problem["status"] == answer.status
    if answer.status != 400:
        assert (problem["code"], problem["details"]) == (CODES[answer.status], {})


async def test_every_host_origin_and_token_over_a_real_port() -> None:
    """421, 403, 401 in this order, or in; and who is refused is told that, and the same always."""
    told: dict[int, set[bytes]] = defaultdict(set)
    came_in = failed = 0
    todo = cells()

    async with serve(allowed_hosts=[OWN_NAME], allowed_origins=[FRIEND]) as (_, served):

        async def ask() -> None:
            nonlocal failed, came_in
            for cell in todo:
                failed += cell.expected == 401
                number = failed // FAILURES_AN_ADDRESS
                source = f"127.9.{number // 250}.{number % 250 + 1}"
                with trio.move_on_after(BOUND_S) as bound:
                    answer = await answered(served, cell.request(served.port), source)
                assert not bound.cancelled_caught, cell
                check(cell, answer)
                if cell.expected == IN:
                    came_in += 1
                else:
                    told[answer.status].add(answer.body)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(ask)

    right = [list(column.values()).count(True) for column in (HOSTS, ORIGINS, TOKENS)]
    assert came_in == 2 * prod(right)
    assert {status: len(told[status]) for status in CODES} == dict.fromkeys(CODES, 1)
    assert told.keys() == {400, *CODES}
    words = b" ".join(body for bodies in told.values() for body in bodies)
    for secret in (TOKEN, OTHER, "ada", "eve", OWN_NAME, "friend", "evil", "pyrepl3/", "/v1/"):
        assert secret.encode() not in words, secret
