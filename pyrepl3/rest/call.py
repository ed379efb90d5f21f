"""One request, as the routes see it: whose it is, what it says, and the service it is for.

Owns how a body is read and how an answer is written, so that both follow the rules of protocol.md
on JSON. Must not know any route.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from typing import Any, TypeVar, cast
from urllib.parse import quote

import attrs
from litestar import Request, Response
from litestar.datastructures import State

from actors import Address
from pyrepl3.config import Config
from pyrepl3.endpoint.access import Principal
from pyrepl3.endpoint.asgi import Application
from pyrepl3.errors import BadMessage, MessageTooLarge
from pyrepl3.hosting.asking import find as find_session
from pyrepl3.hosting.hosting_messages import HostMessage, Opened
from pyrepl3.pool.pool_statistics import PoolStatistics
from pyrepl3.rest import wishes
from pyrepl3.telemetry.metrics import Metrics
from pyrepl3.telemetry.observing import Observers
from pyrepl3.wire.client_codec import bad_message, decode_json, encode_json

T = TypeVar("T")

BODY_BYTES = 8 * 2**20
"""As large as a message on the WebSocket; files have a bound of their own."""
JSON = "application/json"


@attrs.frozen
class Service:
    """What requests are for."""

    config: Config
    host: Address[HostMessage]
    pool_statistics: Callable[[], PoolStatistics]
    metrics: Metrics
    unready_reasons: Callable[[], Collection[str]]
    """Why a client that came now would get no session soon."""
    observers: Observers


class Call(Request[Principal, None, State]):
    """A request, with what the endpoint found out about it."""

    @property
    def service(self) -> Service:
        """What it is for."""
        return cast(Service, self.app.state.service)

    @property
    def principal(self) -> Principal:
        """Whose it is; the endpoint has seen to that."""
        return cast(Principal, self.scope["state"]["principal"])

    @property
    def traceparent(self) -> str | None:
        """The trace that it belongs to, if its client says that."""
        return self.headers.get("traceparent")

    async def read(self, kind: type[T], *, may_be_empty: bool = False) -> T:
        """Its body. Raises BadMessage, MessageTooLarge."""
        self.check_length(BODY_BYTES)
        data = bytearray()
        async with aclosing(self.stream()) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > BODY_BYTES:
                    raise too_large(BODY_BYTES)
        if not data and not may_be_empty:
            raise bad_message("it has no body, and needs one, as JSON", how=wishes.DOCS)
        try:
            message = decode_json(bytes(data)) if data else {}
        except BadMessage as error:
            raise bad_message(error.why, how=wishes.DOCS) from error
        return cast(T, wishes.read(message, kind))

    def check_length(self, most: int) -> None:
        """Before any of its body is read. Raises MessageTooLarge."""
        length = self.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > most:
            raise too_large(most)

    def place(self, *parts: str) -> str:
        """Where a client finds something that it made: under the prefix that a proxy has it at."""
        prefix = self.service.config.endpoint.path_prefix
        return "/".join((f"{prefix}/v1", *(quote(part, safe="") for part in parts)))

    async def find(self, name: str) -> Opened:
        """One of its principal's sessions. Raises SessionNotFound, ShuttingDown."""
        return await find_session(self.service.host, self.principal.name, name)


def answered(
    content: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """One JSON document."""
    return Response(
        encode_json(content).encode(), status_code=status, media_type=JSON, headers=headers
    )


class Streamed(Response[Any]):
    """A response that is an ASGI application of its own: it sends itself, as it comes."""

    def __init__(self, application: Application) -> None:
        super().__init__(content=None)
        self.application = application

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Asked by the framework, which has nothing to add."""
        return self.application


def too_large(limit: int) -> MessageTooLarge:
    """A body over its bound."""
    return MessageTooLarge(
        what="the body is too large",
        why=f"it may have {limit:,} bytes",
        how="Send less; files go to /v1/sessions/SESSION/files/PATH",
        details={"limit": limit},
    )
