"""TLS for the port: the context from the operator's files, and a client's handshake.

Owns what may go wrong with either. Must not know what is said over it.
"""

from __future__ import annotations

import ssl

import trio

from pyrepl3.config import EndpointConfig
from pyrepl3.errors import ConfigInvalid


class NoHandshake(Exception):
    """Raised where a client speaks no TLS, none that is spoken here, or not in time."""


def make_context(config: EndpointConfig) -> ssl.SSLContext | None:
    """What the handshakes need; None where the service has no TLS.

    Raises ConfigInvalid for files that cannot be read, or do not belong together.
    """
    if config.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            what=f"there can be no TLS with {config.tls_cert} and {config.tls_key}",
            why=_reason(error),
            how="Name a certificate chain and its private key, both PEM, the key without password",
            details={"field": "EndpointConfig.tls_cert", "value": config.tls_cert},
        ) from error
    return context


async def shake_hands(
    stream: trio.SocketStream, context: ssl.SSLContext, *, within_s: float
) -> trio.SSLStream[trio.SocketStream]:
    """The same connection, over TLS. Raises NoHandshake."""
    secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    try:
        with trio.fail_after(within_s):
            await secure.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
        raise NoHandshake from error
    return secure


def _no_password() -> str:
    # Without this, OpenSSL would ask on the terminal for the password of a key that has one.
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
