"""End-to-end tests: REST over TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio
import trustme

from .rest_driver import LIMIT_S, TOKEN, client, serve


@pytest.fixture(scope="module")
def trusting() -> tuple[trustme.CA, ssl.SSLContext]:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return authority, context


def settings(authority: trustme.CA, folder: Path) -> dict[str, str]:
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(folder / "cert.pem", append=True)
    return {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}


async def test_a_client_that_knows_the_authority_is_served_and_can_leave(
    trusting: tuple[trustme.CA, ssl.SSLContext], tmp_path: Path
) -> None:
    """A file of a megabyte goes both ways, and who leaves while code runs is noticed."""
    authority, context = trusting
    data = bytes(range(256)) * 4096
    async with (
        serve(**settings(authority, tmp_path)) as served,
        client(served, verify=context) as rest,
    ):
        session = await rest.open(tmp_path, on_disconnect="interrupt")
        at = f"/v1/sessions/{session}/files/data"
        own = {"Origin": served.url}
        assert (await rest.http.put(at, content=data, headers=own)).status_code == 201
        assert (await rest.http.get(at)).content == data
        async with client(served, verify=context) as leaver, trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: leaver.http.post(
                    f"/v1/sessions/{session}/executions",
                    json={"code": "while True: pass"},
                    headers={"Idempotency-Key": "e"},
                )
            )
            await rest.until(f"/v1/sessions/{session}", lambda told: told["attached"] == 1)
            nursery.cancel_scope.cancel()
        at = f"/v1/sessions/{session}/executions/e"
        ended = await rest.until(at, lambda told: told["state"] == "ended")
        assert ended["outcome"]["code"] == "INTERRUPTED"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_the_end_of_a_connection_is_told_at_once(
    trusting: tuple[trustme.CA, ssl.SSLContext], tmp_path: Path, version: str
) -> None:
    """By TLS's own goodbye, so that a client which reads to the end knows that it has all."""
    authority, context = trusting
    async with serve(**settings(authority, tmp_path)) as served:
        request = (
            f"GET /v1/sessions HTTP/{version}\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n"
        )
        with trio.fail_after(LIMIT_S):
            stream = await trio.open_ssl_over_tcp_stream(
                served.host, served.port, ssl_context=context, https_compatible=False
            )
            async with stream:
                await stream.send_all(request.encode())
                began = trio.current_time()
                answer = b""
                while more := await stream.receive_some(65_536):
                    answer += more
                assert trio.current_time() - began < 1.0

    assert answer.endswith(b'{"sessions":[]}')
