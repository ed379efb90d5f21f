"""The application that answers what is no WebSocket: its routes, put together.

Owns the wiring of Litestar and nothing else.
"""

from __future__ import annotations

from typing import cast

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from pyrepl3 import __version__
from pyrepl3.endpoint.asgi import Application
from pyrepl3.errors import PyreplError
from pyrepl3.rest import (
    execution_routes,
    failures,
    file_routes,
    one_shot_routes,
    service_routes,
    session_routes,
)
from pyrepl3.rest.call import Call, Service

OPEN_PATHS = service_routes.OPEN_PATHS


def make_application(service: Service) -> Application:
    """An ASGI application, for requests that have been let in."""
    return cast(Application, litestar_of(service))


def litestar_of(service: Service) -> Litestar:
    """The same, as the framework knows it."""
    versioned = Router(
        "/v1",
        route_handlers=[
            *session_routes.ROUTES,
            *execution_routes.ROUTES,
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
            path="/_openapi",
            render_plugins=(),
            operation_id_creator=lambda handler, method, path: handler.handler_name,
        ),
        logging_config=None,
        debug=False,
    )
