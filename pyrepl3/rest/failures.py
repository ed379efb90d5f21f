"""What a request over REST is told where it fails: a problem, whatever was raised.

Owns the translation of the framework's refusals into this project's words.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from pyrepl3.endpoint.problems import PROBLEM_JSON, problem, problem_headers
from pyrepl3.errors import BadMessage, InternalError, NotFound, PyreplError
from pyrepl3.rest.wishes import DOCS
from pyrepl3.wire.client_requests import in_words

logger = logging.getLogger("pyrepl3.rest")


def refused(request: Request[Any, Any, Any], error: PyreplError) -> Response[Any]:
    """One of this project's own."""
    return _response(error, None, dict(problem_headers(error)))


def not_taken(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What the framework does not let through: no such route, method or parameter."""
    status = error.status_code
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    if status == HTTPStatus.NOT_FOUND:
        path = request.scope["path"][:200]
        return _response(
            NotFound(
                what=f"there is nothing at {path}",
                why="this version of the API has no such route",
                how="/docs has those that there are; the WebSocket is at /v1/ws, with an upgrade",
            ),
            None,
            headers,
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return failed(request, error)
    if "Allow" in headers:
        headers["Allow"] = _allowed(headers["Allow"])
    return _response(
        BadMessage(
            what="the request was not taken",
            why=_reason(error),
            how=DOCS,
        ),
        status,
        headers,
    )


def failed(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A bug of ours."""
    logger.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    return _response(
        InternalError(
            what="the request failed",
            why="there is a bug in PyREPL3; the service's log has it",
            how="Report it, with that part of the log",
        ),
        None,
        {},
    )


def _response(error: PyreplError, status: int | None, headers: dict[str, str]) -> Response[Any]:
    content = problem(error, status)
    return Response(
        json.dumps(content).encode(),
        status_code=content["status"],
        media_type=PROBLEM_JSON,
        headers=headers,
    )


def _allowed(methods: str) -> str:
    """As the framework names them, and HEAD, which is answered wherever GET is."""
    names = {name.strip() for name in methods.split(",")}
    return ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set())))


def _reason(error: HTTPException) -> str:
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict):
        first = extra[0]
        return f"{first.get('key')}: {in_words(str(first.get('message')))}"
    return error.detail or HTTPStatus(error.status_code).phrase
