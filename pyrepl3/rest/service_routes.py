"""Routes of the service itself: its health, its figures, the API's description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from litestar import Response, get

from pyrepl3.errors import NotFound
from pyrepl3.rest import answers
from pyrepl3.rest.call import JSON, Call, answered
from pyrepl3.rest.docs_page import CONTENT_SECURITY_POLICY, render
from pyrepl3.rest.openapi import document, encoded
from pyrepl3.telemetry.health import HealthAnswer, liveness, readiness

OPEN_PATHS = frozenset({"/docs", "/openapi.json", "/healthz", "/readyz"})
"""What is no secret: read without a token."""


@get("/v1/pool", tags=["service"])
async def pool_figures(request: Call) -> Response[answers.Pool]:
    """The pool's figures, for admins."""
    _for_admins(request)
    pool = request.service.pool_statistics()
    figures = {**attrs.asdict(pool), "hit_rate": pool.hit_rate}
    return answered({**figures, "open_breakers": list(pool.open_breakers)})


@get("/healthz", include_in_schema=False)
async def healthz(request: Call) -> Response[Any]:
    """Whether the service lives."""
    return _told(liveness())


@get("/readyz", include_in_schema=False)
async def readyz(request: Call) -> Response[Any]:
    """Whether a client that came now would get a session soon."""
    return _told(readiness(request.service.unready_reasons()))


@get("/metrics", include_in_schema=False)
async def metrics(request: Call) -> Response[Any]:
    """All figures, for Prometheus; for admins, as they show what all others do."""
    _for_admins(request)
    page = request.service.metrics.render(request.headers.get("accept"))
    return _typed(page.body, page.content_type)


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Call) -> Response[Any]:
    """This API, as OpenAPI 3.1."""
    return Response(encoded(request.app, _prefix(request)), media_type=JSON)


@get("/docs", include_in_schema=False)
async def docs(request: Call) -> Response[Any]:
    """This API, for people."""
    page = render(document(request.app, _prefix(request)))
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(page, media_type="text/html", headers=headers)


def _for_admins(request: Call) -> None:
    if request.principal.role != "admin":
        raise NotFound(
            what=f"there is nothing at {request.scope['path']}",
            why="the service's figures are for principals with the role admin",
            how="Use the token of one",
        )


def _told(answer: HealthAnswer) -> Response[Any]:
    headers = {"Retry-After": "1"} if answer.status == 503 else {}
    return _typed(answer.body, answer.content_type, status=answer.status, headers=headers)


def _typed(
    body: bytes, content_type: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """With exactly that type: the framework would put a charset behind any text."""
    told = {"content-type": content_type, **(headers or {})}
    return Response(body, status_code=status, headers=told)


def _prefix(request: Call) -> str:
    return request.service.config.endpoint.path_prefix


ROUTES = [pool_figures, healthz, readyz, metrics, openapi, docs]
