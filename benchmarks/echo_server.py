"""The floor of the network: a bare trio-websocket that gives back what it gets.

Run as a program of its own; prints its port. A number asks for so many messages of 16 KiB instead.
It isolates nothing and runs nothing. Must not know what is measured with it.
"""

from __future__ import annotations

from functools import partial

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

PIECE = "x" * 2**14


async def converse(request: WebSocketRequest) -> None:
    """One client, to its end."""
    socket = await request.accept()
    try:
        while True:
            message = await socket.get_message()
            if isinstance(message, str):
                for _ in range(int(message)):
                    await socket.send_message(PIECE)
            else:
                await socket.send_message(message)
    except ConnectionClosed:
        return


async def main() -> None:
    """Serve until killed."""
    async with trio.open_nursery() as nursery:
        serve = partial(serve_websocket, converse, "127.0.0.1", 0, ssl_context=None)
        server = await nursery.start(serve)
        print(server.port, flush=True)


if __name__ == "__main__":
    trio.run(main)
