"""End-to-end tests: the Python client and what may stand where its service should: proxies, TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

import pyrepl3

from .command_driver import COMMAND, run
from .test_remote_client import BOUND_S, both_loops
from .websocket_driver import TOKEN, serve

RunIn = Callable[..., Awaitable[None]]
HEAD_BYTES = 64 * 2**10
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n"


@asynccontextmanager
async def answering(*answers: bytes | None) -> AsyncIterator[int]:
    """The port of a server that gives these answers, the last one for ever, and hangs up; None: it
    hangs up at once."""
    left = list(answers)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            data = left.pop(0) if len(left) > 1 else left[0]
            if data is not None:
                await stream.receive_some(HEAD_BYTES)
                await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, answer, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def refused(
    run_in: RunIn, url: str, context: ssl.SSLContext | None = None
) -> pyrepl3.PyreplError:
    """What a client is told that does not get in there."""
    told: list[pyrepl3.PyreplError] = []

    async def main() -> None:
        with pytest.raises(pyrepl3.ServiceUnreachable) as caught:
            async with pyrepl3.Client(url, TOKEN, ssl_context=context):
                pytest.fail("that is no service")
        told.append(caught.value)

    with trio.fail_after(BOUND_S):
        await run_in(main)
    return told[0]


async def why_not(run_in: RunIn, url: str) -> str:
    """Why no client gets in there."""
    return (await refused(run_in, url)).why


@both_loops
async def test_a_server_that_hangs_up_in_the_tls_handshake_is_told_as_unreachable(
    run_in: RunIn,
) -> None:
    async with answering(None) as port:
        why = await why_not(run_in, f"https://127.0.0.1:{port}")

    assert why == "the connection was lost in the TLS handshake"


@both_loops
@pytest.mark.parametrize(
    "answer",
    [
        BAD_GATEWAY + b"Content-Length: 3\r\n\r\nbad",
        BAD_GATEWAY + b"\r\nup to the end of the connection",
        BAD_GATEWAY + b"Content-Length: 1000\r\n\r\ncut",
        BAD_GATEWAY + b'Content-Length: 17\r\n\r\n{"message": "no"}',
        BAD_GATEWAY + b'Content-Length: 12\r\n\r\n{"code": []}',
    ],
    ids=["whole", "unbounded", "cut", "json", "code"],
)
async def test_what_a_proxy_answers_for_a_service_that_is_away_is_told_by_its_status(
    run_in: RunIn, answer: bytes
) -> None:
    async with answering(answer) as port:
        why = await why_not(run_in, f"http://127.0.0.1:{port}")

    assert why == "this is no PyREPL3 service: status 502"


async def test_a_proxy_whose_service_is_away_for_a_while_is_asked_again() -> None:
    """As it is while a service starts again behind one."""
    async with serve() as (_, served):
        is_away = False
        refused = trio.Event()
        connections: list[trio.CancelScope] = []

        async def pass_on(stream: trio.SocketStream) -> None:
            if is_away:
                await stream.receive_some(HEAD_BYTES)
                await stream.send_all(BAD_GATEWAY + b"Content-Length: 3\r\n\r\nbad")
                await stream.aclose()
                refused.set()
                return
            service = await trio.open_tcp_stream("127.0.0.1", served.port)
            with trio.CancelScope() as scope:
                connections.append(scope)
                async with stream, service, trio.open_nursery() as nursery:
                    nursery.start_soon(copy, stream, service)
                    nursery.start_soon(copy, service, stream)

        async def copy(source: trio.SocketStream, target: trio.SocketStream) -> None:
            async for data in source:
                await target.send_all(data)

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, pass_on, 0)
            port = listeners[0].socket.getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            with trio.fail_after(BOUND_S):
                async with (
                    pyrepl3.Client(url, TOKEN) as client,
                    client.session() as session,
                ):
                    is_away = True
                    connections[0].cancel()
                    await refused.wait()
                    is_away = False
                    assert (await session.run("6 * 7")).value == 42
            nursery.cancel_scope.cancel()


@both_loops
async def test_a_certificate_that_is_not_trusted_is_told_with_how_to_trust_it(
    run_in: RunIn,
) -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("example.org").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def shake(stream: trio.SocketStream) -> None:
        try:
            await trio.SSLStream(stream, server, server_side=True).do_handshake()
        except trio.BrokenResourceError:
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, shake, 0)
        url = f"https://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        stranger = await refused(run_in, url)
        other_name = await refused(run_in, url, trusting)
        nursery.cancel_scope.cancel()

    assert "its certificate is refused: unable to get local issuer" in stranger.why
    assert "SSL_CERT_FILE=FILE" in stranger.how
    assert "Client(ssl_context=" in stranger.how
    assert "its certificate is refused: IP address mismatch" in other_name.why
    assert other_name.how == "Name the service in the url as its certificate does"


@both_loops
async def test_tls_asked_of_a_service_without_it_is_told_as_such(run_in: RunIn) -> None:
    async with serve() as (_, served):
        error = await refused(run_in, f"https://127.0.0.1:{served.port}")

    assert error.why == "what answers there speaks http, not TLS"
    assert error.how == "Give its url with http://"


async def test_the_command_trusts_what_ssl_cert_file_names_and_says_so_without_it(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    trusted, token = tmp_path / "ca.pem", tmp_path / "token"
    authority.cert_pem.write_to_path(trusted)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    token.touch(0o600)
    token.write_text(TOKEN)
    settings = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    async with serve(**settings) as (_, served):
        where = ("--connect", served.url, "--token-file", str(token))

        async def say(*words: str, **variables: str) -> tuple[int, str]:
            done = await trio.to_thread.run_sync(
                lambda: run(COMMAND, *words, *where, variables=variables)
            )
            return done.returncode, done.stderr.decode()

        for words in (("session", "ls"), ("console",), ("cp", str(trusted), "none:file")):
            status, told = await say(*words)
            assert status == 1
            assert "its certificate is refused" in told
            assert "how: Trust it: SSL_CERT_FILE=FILE" in told
        for words in (("session", "ls"), ("console",)):
            assert await say(*words, SSL_CERT_FILE=str(trusted)) == (0, "")
        status, told = await say("cp", str(trusted), "none:file", SSL_CERT_FILE=str(trusted))
        assert (status, "code: SESSION_NOT_FOUND" in told) == (1, True)
