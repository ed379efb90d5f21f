"""End-to-end tests: how many connections one principal may have, and one peer's strangers."""

from __future__ import annotations

import json

import trio
import trio.testing

from pyrepl3.serving import Served

from .websocket_driver import OTHER, TOKEN, connect, serve


def request(served: Served, token: str) -> bytes:
    head = f"GET /v1/sessions HTTP/1.1\r\nHost: {served.host}\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}\r\n".encode()


async def answered(stream: trio.SocketStream, served: Served, token: str) -> tuple[int, bytes]:
    await stream.send_all(request(served, token))
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await stream.receive_some()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head + body


async def test_a_principal_that_has_its_share_of_connections_is_told_when_to_come_again() -> None:
    async with serve(max_connections_per_principal=2) as (_, served), connect(served):
        first = await trio.open_tcp_stream(served.host, served.port)
        second = await trio.open_tcp_stream(served.host, served.port)
        async with first, second:
            assert (await answered(first, served, TOKEN))[0] == 200
            status, answer = await answered(second, served, TOKEN)

            assert status == 429
            assert b"Retry-After: 1\r\n" in answer
            assert json.loads(answer[answer.index(b"{") :])["details"]["limit"] == 2
            third = await trio.open_tcp_stream(served.host, served.port)
            async with third:
                assert (await answered(third, served, OTHER))[0] == 200, "another's are its own"

            await first.aclose()
            with trio.fail_after(10):
                while True:
                    again = await trio.open_tcp_stream(served.host, served.port)
                    async with again:
                        if (await answered(again, served, TOKEN))[0] == 200:
                            break


async def test_idle_sockets_of_strangers_cost_each_other_their_places_and_nobody_else() -> None:
    async with serve(max_strangers_per_peer=3) as (_, served), connect(served):
        known = await trio.open_tcp_stream(served.host, served.port)
        async with known:
            assert (await answered(known, served, TOKEN))[0] == 200
            strangers = []
            for _ in range(4):
                strangers.append(await trio.open_tcp_stream(served.host, served.port))
                await trio.testing.wait_all_tasks_blocked(0.05)

            with trio.fail_after(10):
                assert await strangers[0].receive_some() == b"", "the oldest is closed"
            assert (await answered(known, served, TOKEN))[0] == 200
            for stranger in strangers[1:]:
                assert (await answered(stranger, served, TOKEN))[0] == 200
            for stranger in strangers:
                await stranger.aclose()
