"""End-to-end tests: the endpoint over TLS, and who is turned away before anything is said."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio
import trustme
from cryptography.hazmat.primitives import serialization
from trio_websocket import open_websocket_url

import pyrepl3
from pyrepl3.errors import ConfigInvalid
from pyrepl3.serving import open_endpoint

from .websocket_driver import TOKEN, TOKENS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def files(authority: trustme.CA, folder: Path) -> dict[str, str]:
    """The settings of an endpoint with a certificate for 127.0.0.1."""
    certificate = authority.issue_cert("127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    certificate.private_key_pem.write_to_path(key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(cert, append=True)
    return {"tls_cert": str(cert), "tls_key": str(key)}


def config(**settings: object) -> pyrepl3.Config:
    return pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=1),
        endpoint=pyrepl3.EndpointConfig(port=0, head_timeout_s=0.5, **settings),  # type: ignore[arg-type]
    )


async def test_a_client_that_knows_the_authority_is_served(
    authority: trustme.CA, tmp_path: Path
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    headers = [(b"Authorization", f"Bearer {TOKEN}".encode())]
    async with (
        pyrepl3.open_supervisor(config(**files(authority, tmp_path))) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
    ):
        url = served.url.replace("https", "wss")
        own = (b"Origin", served.url.encode())
        async with open_websocket_url(
            f"{url}/v1/ws", trusting, extra_headers=[*headers, own]
        ) as socket:
            welcome = await socket.get_message()

    assert served.url.startswith("https://127.0.0.1:")
    assert '"type":"welcome"' in welcome


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"", b"\x16\x03\x01\x02"]
)
async def test_who_speaks_no_tls_is_left_soon_and_nobody_else(
    authority: trustme.CA, said: bytes, tmp_path: Path
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with (
        pyrepl3.open_supervisor(config(**files(authority, tmp_path))) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
    ):
        with trio.fail_after(10):
            stream = await trio.open_tcp_stream(served.host, served.port)
            async with stream:
                await stream.send_all(said)
                answer = b""
                while True:
                    try:
                        data = await stream.receive_some(4096)
                    except trio.BrokenResourceError:
                        break
                    if not data:
                        break
                    answer += data
            secure = await trio.open_ssl_over_tcp_stream(
                served.host, served.port, https_compatible=True, ssl_context=trusting
            )
            await secure.send_all(b"GET /v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await secure.receive_some()).startswith(b"HTTP/1.1 401 ")
            await trio.aclose_forcefully(secure)

    assert b"HTTP" not in answer


async def test_a_key_of_another_certificate_is_refused(
    authority: trustme.CA, tmp_path: Path
) -> None:
    mine = files(authority, tmp_path)
    (tmp_path / "other").mkdir()
    others = files(authority, tmp_path / "other")
    async with pyrepl3.open_supervisor(
        config(tls_cert=mine["tls_cert"], tls_key=others["tls_key"])
    ) as supervisor:
        with pytest.raises(ConfigInvalid, match="KEY_VALUES_MISMATCH"):
            async with open_endpoint(supervisor, TOKENS):
                pytest.fail("it is served")


def locked(key: Path) -> None:
    """Give the key a password."""
    content = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        content.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


async def test_a_key_with_a_password_is_refused_and_asks_nobody(
    authority: trustme.CA, tmp_path: Path
) -> None:
    mine = files(authority, tmp_path)
    locked(tmp_path / "key.pem")
    async with pyrepl3.open_supervisor(config(**mine)) as supervisor:
        with pytest.raises(ConfigInvalid, match="the key has a password"):
            async with open_endpoint(supervisor, TOKENS):
                pytest.fail("it is served")
