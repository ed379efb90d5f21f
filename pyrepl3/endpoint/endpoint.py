"""The endpoint's actor: every connection's first request is judged, and sent where it belongs.

Owns the listener and the order of checks: access first, before anything else of a request is
looked at. Must not know what is said on a WebSocket.
"""

from __future__ import annotations

import logging
import math

import attrs
import trio
from trio_websocket import WebSocketRequest

from actors import Address, open_body_nursery
from pyrepl3.config import Config
from pyrepl3.endpoint.access import AccessRules, Head, Principal, admit
from pyrepl3.endpoint.client_connection import GOING_AWAY, ClientConnection
from pyrepl3.endpoint.failures import FailureLimits
from pyrepl3.endpoint.http_connection import (
    BadHead,
    ClientLeft,
    Headers,
    HttpConnection,
    RequestHead,
)
from pyrepl3.endpoint.listener import BACKLOG, Listener
from pyrepl3.endpoint.web_socket import Closed, receive_upgrade
from pyrepl3.errors import (
    NotFound,
    PyreplError,
    RateLimited,
    Unauthorized,
    UnsupportedVersion,
)
from pyrepl3.hosting.hosting_messages import HostMessage
from pyrepl3.wire.client_codec import Format

WEBSOCKET_PATH = "/v1/ws"
HANDSHAKE_S = 10.0

logger = logging.getLogger("pyrepl3.endpoint")


@attrs.define(eq=False)
class Endpoint:
    """One port, for all clients. Started, it tells the port that it listens on."""

    config: Config
    rules: AccessRules
    host: Address[HostMessage]
    _failures: FailureLimits = attrs.field(factory=FailureLimits, init=False)

    async def run(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises OSError where the port cannot be had."""
        endpoint = self.config.endpoint
        listeners = await trio.open_tcp_listeners(
            endpoint.port, host=endpoint.host, backlog=BACKLOG
        )
        listener = Listener(listeners, endpoint.max_connections, self._serve)
        task_status.started(listener.port)
        await listener.run()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection, to its end."""
        try:
            connection = HttpConnection(stream, self.config.endpoint)
            head = await connection.next_head()
            if head is None:
                return
            try:
                principal = self._admit(head, _peer(stream))
                if head.path != WEBSOCKET_PATH or not head.wants_websocket:
                    raise _not_found(head)
                format = _format(head)
            except PyreplError as error:
                await connection.respond_error(error, headers=_headers(error))
                return
            await self._converse(connection, principal, format, offered=_offered(head))
        except (BadHead, ClientLeft):
            return

    def _admit(self, head: RequestHead, peer: str) -> Principal:
        """Raises MisdirectedHost, ForbiddenOrigin, Unauthorized, RateLimited."""
        now = trio.current_time()
        wait_s = self._failures.wait_s(peer, now=now)
        try:
            return admit(
                Head(
                    host=head.headers.get("host"),
                    origin=head.headers.get("origin"),
                    authorization=head.headers.get("authorization"),
                ),
                self.rules,
            )
        except Unauthorized:
            if wait_s > 0:
                raise _too_many_failures(wait_s) from None
            self._failures.failed(peer, now=now)
            raise

    async def _converse(
        self, connection: HttpConnection, principal: Principal, format: Format, *, offered: bool
    ) -> None:
        try:
            # The task that reads the socket is needed to the end, for the closing handshake.
            async with open_body_nursery() as nursery:
                with trio.fail_after(HANDSHAKE_S):
                    request: WebSocketRequest = await receive_upgrade(
                        nursery, connection.replayed(), connection.stream
                    )
                    socket = await request.accept(subprotocol=format.value if offered else None)
                client = ClientConnection(socket, format, principal, self.host, self.config)
                has_ended = False
                try:
                    await client.run()
                    has_ended = True
                finally:
                    if not has_ended:
                        with trio.CancelScope(shield=True):
                            await client.close(GOING_AWAY, "SHUTTING_DOWN")  # noqa: ASYNC102
        except* (Closed, trio.TooSlowError):
            logger.debug("a client left during its handshake")


def _peer(stream: trio.SocketStream) -> str:
    try:
        address = stream.socket.getpeername()
    except OSError:
        return "gone"
    return str(address[0])


def _subprotocols(head: RequestHead) -> list[str]:
    named = head.headers.get("sec-websocket-protocol", "")
    return [name.strip() for name in named.split(",") if name.strip()]


def _offered(head: RequestHead) -> bool:
    return bool(_subprotocols(head))


def _format(head: RequestHead) -> Format:
    """The first that a client offers and we know; JSON where it offers none.

    Raises UnsupportedVersion.
    """
    offered = _subprotocols(head)
    for name in offered:
        if name in list(Format):
            return Format(name)
    if not offered:
        return Format.JSON
    known = [each.value for each in Format]
    raise UnsupportedVersion(
        what="none of the subprotocols that were offered is spoken here",
        why=f"this service speaks {' and '.join(known)}",
        how="Offer one of these in Sec-WebSocket-Protocol",
        details={"supported": known},
    )


def _not_found(head: RequestHead) -> PyreplError:
    return NotFound(
        what=f"there is nothing at {head.path[:200]}",
        why=f"the WebSocket is at {WEBSOCKET_PATH}",
        how="Ask for that, with 'Upgrade: websocket'",
    )


def _too_many_failures(wait_s: float) -> PyreplError:
    return RateLimited(
        what="this address has failed to come in too often",
        why="each attempt had no token, or a wrong one",
        how=f"Wait {math.ceil(wait_s)} s, and use the right token",
        details={"retry_after_s": math.ceil(wait_s)},
    )


def _headers(error: PyreplError) -> Headers:
    if isinstance(error, Unauthorized):
        return [("WWW-Authenticate", "Bearer")]
    if isinstance(error, RateLimited):
        return [("Retry-After", str(error.details["retry_after_s"]))]
    return []
