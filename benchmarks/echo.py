"""The client of echo_server.py: what a WebSocket on this machine costs by itself.

Owns that server's process, and the connections to it. Must not know what is compared with it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio
from trio_websocket import WebSocketConnection, open_websocket

from benchmarks.bench import MILLISECONDS, expect
from benchmarks.echo_server import PIECE

SERVER = Path(__file__).with_name("echo_server.py")
MESSAGE = b"x" * 100
"""About what an execute of ``1+1`` has."""
ROOT = SERVER.parent.parent


@contextmanager
def echo_server() -> Iterator[int]:
    """Its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.echo_server"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@asynccontextmanager
async def echo_connection() -> AsyncIterator[WebSocketConnection]:
    """A connection to a server of its own."""
    with echo_server() as port:
        async with connected(port) as socket:
            yield socket


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[WebSocketConnection]:
    """One connection."""
    async with open_websocket("127.0.0.1", port, "/", use_ssl=False) as socket:
        yield socket


async def timed_echo(socket: WebSocketConnection) -> float:
    """Milliseconds of 100 B there and back."""
    started = time.perf_counter()
    await socket.send_message(MESSAGE)
    answer = await socket.get_message()
    elapsed = time.perf_counter() - started
    expect(answer == MESSAGE, "the echo gave another message")
    return elapsed * MILLISECONDS


async def echo_rate(socket: WebSocketConnection, count: int) -> float:
    """Messages a second, ``count`` of them in flight."""
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            for _ in range(count):
                await socket.send_message(MESSAGE)

        nursery.start_soon(send)
        for _ in range(count):
            await socket.get_message()
    return count / (time.perf_counter() - started)


async def stream_rate(socket: WebSocketConnection, characters: int) -> float:
    """MB/s of text in messages of 16 KiB, all that makes up ``characters``."""
    pieces = characters // len(PIECE)
    started = time.perf_counter()
    await socket.send_message(str(pieces))
    for _ in range(pieces):
        await socket.get_message()
    return pieces * len(PIECE) / 1e6 / (time.perf_counter() - started)


async def echo_side_by_side(
    sockets: Sequence[WebSocketConnection], each: int, latencies: list[float]
) -> float:
    """Messages a second of all, each with one in flight; adds the milliseconds of every one."""

    async def client(socket: WebSocketConnection) -> None:
        latencies.extend([await timed_echo(socket) for _ in range(each)])

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for socket in sockets:
            nursery.start_soon(client, socket)
    return len(sockets) * each / (time.perf_counter() - started)
