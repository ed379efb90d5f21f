"""Unit tests: requests for files, cancelled anywhere, leave no descriptor and no half of a file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio

import pyrepl3
from actors import Address, Inbox, open_mailbox
from actors.testing import cancel_at_each_checkpoint
from pyrepl3.endpoint.access import Principal
from pyrepl3.endpoint.asgi import Application
from pyrepl3.hosting.hosting_messages import Find, HostMessage, Opened
from pyrepl3.rest.application import make_application
from pyrepl3.rest.call import Service
from pyrepl3.telemetry.observing import Observers

DATA = os.urandom(700_000)


@asynccontextmanager
async def application(folder: Path) -> AsyncIterator[Application]:
    """Over a host that finds one session, whatever it is called, in that directory."""
    address: Address[HostMessage]
    inbox: Inbox[HostMessage]
    address, inbox = open_mailbox(10)
    opened = Opened(
        session="s",
        template="python",
        journal=cast(Any, None),
        address=cast(Any, None),
        directory=str(folder),
        pid=1,
        warm=True,
        wait_s=0.0,
    )

    async def host() -> None:
        async for message in inbox:
            assert isinstance(message, Find)
            message.reply.answer(opened)

    nobody = cast(Any, None)
    service = Service(pyrepl3.Config(), address, nobody, nobody, nobody, Observers())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host)
        yield make_application(service)
        nursery.cancel_scope.cancel()


async def ask(app: Application, method: str, path: str, *pieces: bytes) -> tuple[int, bytes]:
    """The status and the body."""
    left = list(pieces)
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        data = left.pop(0) if left else b""
        return {"type": "http.request", "body": data, "more_body": bool(left)}

    async def send(message: Any) -> None:
        nonlocal status, body
        await trio.lowlevel.checkpoint()
        status = message.get("status", status)
        body += message.get("body", b"")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("c", 1),
        "server": ("s", 2),
        "state": {"principal": Principal(name="ada")},
        "extensions": {},
    }
    await app(scope, receive, send)
    return status, body


def left_open(folder: Path) -> list[str]:
    """Paths below the directory, and itself, that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if path.startswith(str(folder)):
            found.append(path)
    return found


async def hold(folder: Path, request: Callable[[Application], Awaitable[Any]]) -> list[Any]:
    """What came of each run that was not cancelled."""
    values = []
    async with application(folder) as app:
        async for run in cancel_at_each_checkpoint(lambda: request(app)):
            assert left_open(folder) == [], run
            assert not [name for name in os.listdir(folder) if name.endswith(".part")], run
            if not run.cancelled:
                values.append(run.value)
    return values


async def test_a_download_that_is_cancelled_anywhere_closes_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    values = await hold(tmp_path, lambda app: ask(app, "GET", "/v1/sessions/s/files/file"))

    assert values[-1] == (200, DATA)


async def test_an_upload_that_is_cancelled_anywhere_leaves_the_old_file_or_the_new_one(
    tmp_path: Path,
) -> None:
    seen = set()

    async def put(app: Application) -> tuple[int, bytes]:
        (tmp_path / "file").write_bytes(b"old")
        try:
            path = "/v1/sessions/s/files/file"
            return await ask(app, "PUT", path, DATA[:300_000], DATA[300_000:])
        finally:
            seen.add((tmp_path / "file").read_bytes())

    values = await hold(tmp_path, put)

    assert seen == {b"old", DATA}
    assert values[-1][0] == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/sessions/s/files", 200),
        ("GET", "/v1/sessions/s/files/folder", 200),
        ("HEAD", "/v1/sessions/s/files/folder/file", 200),
        ("GET", "/v1/sessions/s/files/none", 404),
        ("DELETE", "/v1/sessions/s/files/none", 404),
        ("PUT", "/v1/sessions/s/files/folder", 400),
    ],
)
async def test_whatever_else_is_asked_leaves_nothing_open(
    method: str, path: str, status: int, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("x")
    values = await hold(tmp_path, lambda app: ask(app, method, path))

    assert values[-1][0] == status
