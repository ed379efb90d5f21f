"""A client's bytes on the wire, for tests in which no library may stand between."""

from __future__ import annotations

import struct

import trio

from pyrepl3.serving import Served

from .websocket_driver import TOKEN


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    first = (0x80 if last else 0) | opcode
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 2**16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


def upgrade(
    served: Served,
    *,
    token: str | None = TOKEN,
    host: str | None = None,
    origin: str | None = None,
    protocol: str | None = None,
    path: str = "/v1/ws",
) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host or f'{served.host}:{served.port}'}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if origin is not None:
        lines.append(f"Origin: {origin}")
    if protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return "\r\n".join([*lines, "", ""]).encode()


async def answer(served: Served, request: bytes) -> bytes:
    """All that comes until the other side has closed."""
    received = b""
    with trio.fail_after(10):
        async with await trio.open_tcp_stream(served.host, served.port) as stream:
            await stream.send_all(request)
            async for data in stream:
                received += data
    return received
