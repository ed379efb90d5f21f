"""The application that answers what is no WebSocket: its routes, put together.

Owns the wiring of Litestar and nothing else.
"""

from __future__ import annotations

from typing import cast

import trio
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from pyrepl3 import __version__
from pyrepl3.endpoint.asgi import Application, Message, Receive, Scope, Send
from pyrepl3.errors import PyreplError
from pyrepl3.rest import (
    branch_routes,
    execution_routes,
    failures,
    file_routes,
    history_routes,
    one_shot_routes,
    service_routes,
    session_routes,
    transaction_routes,
)
from pyrepl3.rest.call import Call, Service
from pyrepl3.telemetry.notes import bound
from pyrepl3.telemetry.observing import Observers, RequestAnswered

OPEN_PATHS = service_routes.OPEN_PATHS
DESCRIBED_AT = "/_openapi"
"""Where the framework has its own pages with its own description, which nobody is given."""


def make_application(service: Service) -> Application:
    """An ASGI application, for requests that have been let in."""
    application = cast(Application, litestar_of(service))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(DESCRIBED_AT):
            scope = {**scope, "path": "/nothing"}
        if scope["method"] == "OPTIONS":
            await _tell_methods(application, scope, receive, send)
        elif scope["method"] == "HEAD":  # whoever sends it leaves the body out
            await application({**scope, "method": "GET"}, receive, send)
        else:
            await _observed(application, service.observers, scope, receive, send)

    return answer


async def _observed(
    application: Application, observers: Observers, scope: Scope, receive: Receive, send: Send
) -> None:
    """With what it came to told to whoever watches: a request that its client left has no status
    and is not told."""
    began_at, status = trio.current_time(), 0

    async def relay(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    principal = scope["state"].get("principal")
    name = None if principal is None else principal.name
    with bound(principal=name, peer=scope["client"][0]):
        await application(scope, receive, relay)
    observers.notice(
        RequestAnswered(
            method=scope["method"],
            route=scope.get("path_template", ""),
            status=status,
            duration_s=trio.current_time() - began_at,
            principal=name,
            peer=scope["client"][0],
        )
    )


async def _tell_methods(
    application: Application, scope: Scope, receive: Receive, send: Send
) -> None:
    """What may be done there: what a method is told that is nowhere. The framework by itself names
    the methods of the handler alone that it was given first."""
    is_known = False

    async def relay(message: Message) -> None:
        nonlocal is_known
        if message["type"] == "http.response.start" and message["status"] == 405:
            is_known = True
            headers = [pair for pair in message["headers"] if pair[0] == b"allow"]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not is_known:
            await send(message)

    await application({**scope, "method": "TRACE"}, receive, relay)


def litestar_of(service: Service) -> Litestar:
    """The same, as the framework knows it."""
    versioned = Router(
        "/v1",
        route_handlers=[
            *session_routes.ROUTES,
            *execution_routes.ROUTES,
            *transaction_routes.ROUTES,
            *history_routes.ROUTES,
            *branch_routes.ROUTES,
            *one_shot_routes.ROUTES,
            *file_routes.ROUTES,
        ],
    )
    return Litestar(
        route_handlers=[versioned, *service_routes.ROUTES],
        request_class=Call,
        request_max_body_size=None,  # each route has its own
        state=State({"service": service}),
        exception_handlers={
            PyreplError: failures.refused,
            HTTPException: failures.not_taken,
            Exception: failures.failed,
        },
        openapi_config=OpenAPIConfig(
            title="PyREPL3",
            version=__version__,
            path=DESCRIBED_AT,
            render_plugins=(),
            operation_id_creator=lambda handler, method, path: handler.handler_name,
        ),
        logging_config=None,
        debug=False,
    )
