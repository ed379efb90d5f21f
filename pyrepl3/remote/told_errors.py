"""Errors that a service tells, as the exceptions that they are. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrepl3.errors import Code, InternalError, PyreplError, ServiceUnreachable

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
