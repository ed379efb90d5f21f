"""Errors that a service tells, as the exceptions that they are. Pure."""

from __future__ import annotations

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


def unreachable(where: str, why: str) -> ServiceUnreachable:
    """There is no connection, and none could be made."""
    return ServiceUnreachable(
        what=f"the service at {where} cannot be reached",
        why=why,
        how="Start it with `pyrepl3 serve`, or name another one by url or PYREPL3_URL",
        details={"url": where},
    )


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
