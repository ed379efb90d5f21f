"""The endpoint's actor: every connection's first request is judged, and sent where it belongs.

Owns the connections and the order of checks: access first, before anything else of a request is
looked at. Must not know what is said on a WebSocket.
"""

from __future__ import annotations

import logging
import math
import ssl

import attrs
import trio
from trio_websocket import WebSocketRequest

from actors import Address, ask, open_body_nursery
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
from pyrepl3.endpoint.listener import Listener
from pyrepl3.endpoint.tls import NoHandshake, shake_hands
from pyrepl3.endpoint.web_socket import Closed, receive_upgrade
from pyrepl3.errors import (
    NotFound,
    PyreplError,
    RateLimited,
    Unauthorized,
    UnsupportedVersion,
)
from pyrepl3.hosting.hosting_messages import DrainHost, HostMessage
from pyrepl3.wire.client_codec import Format

WEBSOCKET_PATH = "/v1/ws"
HANDSHAKE_S = 10.0

logger = logging.getLogger("pyrepl3.endpoint")


@attrs.define(eq=False)
class Endpoint:
    """One port, for all clients."""

    config: Config
    rules: AccessRules
    host: Address[HostMessage]
    listeners: list[trio.SocketListener]
    tls: ssl.SSLContext | None = None
    _failures: FailureLimits = attrs.field(factory=FailureLimits, init=False)
    _listener: Listener = attrs.field(init=False)
    _clients: set[ClientConnection] = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        most = self.config.endpoint.max_connections
        self._listener = Listener(self.listeners, most, self._serve)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        task_status.started()
        await self._listener.run()

    async def drain(self) -> None:
        """Accept nobody more, let what was accepted end, and have its clients told of that.

        Whoever calls it says for how long. Raises Gone.
        """
        self._listener.stop()
        await ask(self.host, DrainHost)
        for client in list(self._clients):
            await client.wait_sent()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection, to its end."""
        try:
            if self.tls is None:
                await self._serve_http(stream, _peer(stream))
                return
            within_s = self.config.endpoint.head_timeout_s
            secure = await shake_hands(stream, self.tls, within_s=within_s)
            await self._serve_http(secure, _peer(stream))
        except NoHandshake:
            logger.debug("a client came without TLS, or left during its handshake")

    async def _serve_http(self, stream: trio.abc.Stream, peer: str) -> None:
        try:
            connection = HttpConnection(stream, self.config.endpoint)
            head = await connection.next_head()
            if head is None:
                return
            try:
                principal = self._admit(head, peer)
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
                    scheme="http" if self.tls is None else "https",
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
                self._clients.add(client)
                try:
                    await client.run()
                    has_ended = True
                finally:
                    self._clients.remove(client)
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
