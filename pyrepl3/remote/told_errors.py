"""Errors that a service tells, as the exceptions that they are. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from pyrepl3.errors import (
    BadMessage,
    Code,
    CodeTooLarge,
    InternalError,
    PyreplError,
    ServiceUnreachable,
    UnsupportedVersion,
)

_CLASSES = {kind.code: kind for kind in PyreplError.__subclasses__()}

NOT_KNOWN_ANY_MORE = (
    "it ended meanwhile, or the service was started anew, which knows nothing of it"
)
"""Why a session that there was before is not found."""


def as_error(fields: Mapping[str, Any]) -> PyreplError:
    """The error of a `refused`, or of a problem. Of a code that is not known, an InternalError."""
    told = {name: str(fields.get(name) or "") for name in ("what", "why", "how")}
    if not told["what"]:
        told["what"] = str(fields.get("title") or "the service refused")
        told["why"] = str(fields.get("detail") or f"status {fields.get('status', 'unknown')}")
    details = fields.get("details")
    kind: type[PyreplError] = InternalError
    try:
        kind = _CLASSES.get(Code(fields.get("code", "")), InternalError)
    except ValueError:
        told["why"] += f" (code {fields.get('code')})"
    return kind(**told, details=details if isinstance(details, Mapping) else None)


START = "Start it with `pyrepl3 serve`, or name another one by url or PYREPL3_URL"
TRUST = (
    "Trust it: SSL_CERT_FILE=FILE names the PEM file of its certificate, or of the authority that "
    "issued it; in Python, Client(ssl_context=ssl.create_default_context(cafile=FILE))"
)


def unreachable(where: str, why: str, how: str = START) -> ServiceUnreachable:
    """There is no connection, and none could be made."""
    return ServiceUnreachable(
        what=f"the service at {where} cannot be reached",
        why=why,
        how=how,
        details={"url": where},
    )


def not_connected(where: str, error: Exception) -> ServiceUnreachable:
    """As `unreachable`, for what the standard library's HTTP raised."""
    if isinstance(error, ssl.SSLError):
        return unreachable(where, *no_tls(error))
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return unreachable(where, why)


def no_tls(error: ssl.SSLError) -> tuple[str, str]:
    """Why there is no TLS with the service, and how to have it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        how = _CERTIFICATE_REMEDIES.get(error.verify_code, TRUST)
        return f"TLS failed: its certificate is refused: {error.verify_message}", how
    if error.reason in _NOT_TLS:
        return "what answers there speaks http, not TLS", "Give its url with http://"
    return f"TLS failed: {error.reason or error}", START


_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
"""OpenSSL's words for an answer that is none of TLS."""
_OTHER_NAME = "Name the service in the url as its certificate does"
_OTHER_TIME = "Give the service a certificate that is valid now, or set this machine's clock right"
_CERTIFICATE_REMEDIES = {9: _OTHER_TIME, 10: _OTHER_TIME, 62: _OTHER_NAME, 64: _OTHER_NAME}
"""By X509_V_ERR_*: not yet valid, expired, another host's name, another address."""


def not_heard(where: str) -> ServiceUnreachable:
    """The connection was lost with a request that cannot be sent again."""
    return ServiceUnreachable(
        what="it is not known whether anything was interrupted",
        why=f"the connection to {where} was lost before the answer came, and by now something "
        "else may run",
        how="Ask again, and name the execution",
        details={"url": where},
    )


def too_large(kind: str, size_bytes: int, limit_bytes: int) -> PyreplError:
    """A request that the service would close the connection for."""
    error = CodeTooLarge if kind in _WITH_CODE else BadMessage
    return error(
        what=f"the request has {size_bytes} bytes",
        why=f"the service takes {limit_bytes} in a message",
        how="Send less at once: put data into a file, and name that",
        details={"bytes": size_bytes, "limit": limit_bytes},
    )


def not_understood(what: str, kind: object) -> InternalError:
    """The service sent what is not as docs/protocol.md has it."""
    return InternalError(
        what=f"{what} could not be understood",
        why=f"the service sent one of the type {kind!r} that is not as it has to be",
        how="Use a client and a service of the same version",
    )


def unspoken(version: object, spoken: int) -> UnsupportedVersion:
    """The service speaks another version of the protocol."""
    return UnsupportedVersion(
        what=f"the service speaks version {version} of the protocol",
        why=f"this client speaks {spoken}",
        how="Use a client and a service of the same version",
        details={"supported": [spoken]},
    )


_WITH_CODE = ("execute", "complete", "inspect", "is_complete")
