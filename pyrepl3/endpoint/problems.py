"""Errors as HTTP tells them: problem+json (RFC 9457), with this project's own fields.

Pure. Owns the form and the headers that belong to it. Must not know requests.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pyrepl3.errors import CODES, PyreplError, Unauthorized

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 1
"""Where nothing better is known: soon, but not at once."""

Headers = Sequence[tuple[str, str]]


def problem(error: PyreplError, status: int | None = None) -> dict[str, Any]:
    """An error as a problem; ``status`` where HTTP has a more telling one than its code has."""
    info = CODES[error.code]
    return {
        "type": f"urn:pyrepl3:error:{error.code}",
        "title": info.meaning,
        "status": status or info.http_status,
        "detail": f"{error.what}: {error.why}",
        **error_fields(error),
    }


def error_fields(error: PyreplError) -> dict[str, Any]:
    """An error as every surface tells it: protocol.md 4."""
    return {
        "code": error.code.value,
        "what": error.what,
        "why": error.why,
        "how": error.how,
        "retryable": error.retryable,
        "details": dict(error.details),
    }


def problem_headers(error: PyreplError) -> Headers:
    """How to come in, or when to come again."""
    if isinstance(error, Unauthorized):
        return [("WWW-Authenticate", "Bearer")]
    if CODES[error.code].http_status in (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ):
        wait_s = error.details.get("retry_after_s", RETRY_AFTER_S)
        return [("Retry-After", str(max(RETRY_AFTER_S, math.ceil(wait_s))))]
    return []


def problem_body(error: PyreplError) -> bytes:
    """Its bytes."""
    return json.dumps(problem(error)).encode()


def bare_problem(status: HTTPStatus, why: str) -> bytes:
    """Of what is no request at all, so that no code says it better than HTTP does."""
    return json.dumps({"title": status.phrase, "status": status.value, "detail": why}).encode()
