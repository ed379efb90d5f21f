"""Routes of the service itself: the pool's figures, the API's description."""

from __future__ import annotations

from typing import Any

import attrs
from litestar import Response, get

from pyrepl3.errors import NotFound
from pyrepl3.rest import bodies
from pyrepl3.rest.call import JSON, Call, answered
from pyrepl3.rest.docs_page import CONTENT_SECURITY_POLICY, render
from pyrepl3.rest.openapi import document, encoded

OPEN_PATHS = frozenset({"/docs", "/openapi.json"})
"""What is no secret: read without a token."""


@get("/v1/pool", tags=["service"])
async def pool_figures(request: Call) -> Response[bodies.Pool]:
    """The pool's figures, for admins."""
    if request.principal.role != "admin":
        raise NotFound(
            what="there is nothing at /v1/pool",
            why="the pool's figures are for principals with the role admin",
            how="Use the token of one",
        )
    pool = request.service.pool_statistics()
    figures = {**attrs.asdict(pool), "hit_rate": pool.hit_rate}
    return answered({**figures, "open_breakers": list(pool.open_breakers)})


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Call) -> Response[Any]:
    """This API, as OpenAPI 3.1."""
    return Response(encoded(request.app, _prefix(request)), media_type=JSON)


@get("/docs", include_in_schema=False)
async def docs(request: Call) -> Response[Any]:
    """This API, for people."""
    page = render(document(request.app, _prefix(request)))
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _prefix(request: Call) -> str:
    return request.service.config.endpoint.path_prefix


ROUTES = [pool_figures, openapi, docs]
