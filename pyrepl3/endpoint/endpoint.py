"""The endpoint's actor: every request is judged, and sent where it belongs.

Owns the connections and the order of checks: access first, before anything else of a request is
looked at. Must not know what is said on a WebSocket, nor what routes there are.
"""

from __future__ import annotations

import logging
import math
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import attrs
import trio
from trio_websocket import WebSocketRequest

from actors import Address, ask, open_body_nursery
from pyrepl3.config import Config
from pyrepl3.endpoint import browser_exchange, browser_requests
from pyrepl3.endpoint.access import AccessRules, Head, Principal, admit, check_site, doubled
from pyrepl3.endpoint.asgi import Application, Exchange, RequestContext
from pyrepl3.endpoint.browser_access import BrowserAccess
from pyrepl3.endpoint.client_connection import GOING_AWAY, ClientConnection
from pyrepl3.endpoint.connection_limits import ConnectionLimits, Place, peer_of
from pyrepl3.endpoint.failures import FailureLimits
from pyrepl3.endpoint.http_connection import BadHead, ClientLeft, HttpConnection, RequestHead
from pyrepl3.endpoint.listener import Listener
from pyrepl3.endpoint.tls import NoHandshake, shake_hands
from pyrepl3.endpoint.web_socket import Closed, receive_upgrade
from pyrepl3.errors import PyreplError, RateLimited, Unauthorized, UnsupportedVersion
from pyrepl3.hosting.hosting_messages import DrainHost, HostMessage
from pyrepl3.telemetry.observing import AdmissionRefused, Observers
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
    application: Application
    """Answers what is no WebSocket."""
    open_paths: frozenset[str]
    """Of the application: what it has there is for everybody who may know that there is one."""
    browsers: BrowserAccess
    """Outlives the endpoint's restarts, so that browsers stay signed in."""
    listeners: list[trio.SocketListener]
    tls: ssl.SSLContext | None = None
    observers: Observers = attrs.field(factory=Observers)
    _failures: FailureLimits = attrs.field(init=False)
    _limits: ConnectionLimits = attrs.field(init=False)
    _listener: Listener = attrs.field(init=False)
    _clients: set[ClientConnection] = attrs.field(factory=set, init=False)
    _connections: set[HttpConnection] = attrs.field(factory=set, init=False)
    """Those that are no WebSocket, at least not yet."""
    _is_draining: bool = attrs.field(default=False, init=False)
    _none_is_left: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when the last of those ends; made anew for whoever waits then."""

    def __attrs_post_init__(self) -> None:
        config = self.config.endpoint
        self._failures = FailureLimits(config.failures_per_peer)
        self._limits = ConnectionLimits(
            config.max_connections_per_principal, config.max_strangers_per_peer
        )
        self._listener = Listener(self.listeners, config.max_connections, self._serve)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        task_status.started()
        await self._listener.run()

    async def drain(self) -> None:
        """Accept nobody more, let what was accepted end, and have its clients told of that.

        Whoever calls it says for how long. Raises Gone.
        """
        self._is_draining = True
        self._listener.stop()
        for connection in self._connections:
            connection.end_if_idle()
        await ask(self.host, DrainHost)
        for client in list(self._clients):
            await client.wait_sent()
        while self._connections:
            self._none_is_left = trio.Event()
            await self._none_is_left.wait()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection, to its end."""
        peer = _peer(stream)
        with (
            trio.CancelScope() as scope,
            self._limits.connected(peer_of(peer[0]), scope.cancel) as place,
        ):
            try:
                secure = await self._secured(stream)
                await self._serve_http(secure, peer, place)
            except NoHandshake:
                logger.debug("a client came without TLS, or left during its handshake")
            except Exception:  # a border: a bug that one finds is not to cost the others theirs
                logger.exception("a connection failed")

    async def _secured(self, stream: trio.SocketStream) -> trio.abc.Stream:
        """Raises NoHandshake."""
        if self.tls is None:
            return stream
        within_s = self.config.endpoint.head_timeout_s
        return await shake_hands(stream, self.tls, within_s=within_s)

    async def _serve_http(
        self, stream: trio.abc.Stream, peer: tuple[str, int], place: Place
    ) -> None:
        """One request after the other, until one makes a WebSocket of the connection."""
        # While draining: it was accepted before, and its handshake took until now.
        connection = HttpConnection(stream, self.config.endpoint, closes=self._is_draining)
        self._connections.add(connection)
        try:
            while (head := await connection.next_head()) is not None:
                upgrade = await self._serve_request(connection, head, peer, place)
                if upgrade is not None:
                    self._forget(connection)
                    await self._converse(connection, *upgrade, peer[0], offered=_offered(head))
                    return
                if connection.closes:
                    await connection.linger()
                    return
        except (BadHead, ClientLeft):
            return
        finally:
            self._forget(connection)

    def _forget(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._none_is_left.set()

    async def _serve_request(
        self,
        connection: HttpConnection,
        head: RequestHead,
        peer: tuple[str, int],
        place: Place,
    ) -> tuple[Principal, Format] | None:
        """Answer it; or what the WebSocket needs that it asks for, and may have."""
        path = self._path(head)
        try:
            if browser_requests.is_for_browsers(path):
                await self._serve_browser(connection, head, path, peer_of(peer[0]))
                return None
            principal = self._admit(head, path, peer_of(peer[0]))
            if principal is not None:
                place.admit(principal)
            if path == WEBSOCKET_PATH and head.wants_websocket:
                assert principal is not None
                return principal, _format(head)
        except PyreplError as error:
            self.observers.notice(AdmissionRefused(code=error.code, peer=peer[0]))
            connection.closes = True
            await connection.respond_error(error)
            return None
        # Behind an upgrade that it does not get, a client may go on in another protocol.
        connection.closes |= head.wants_websocket
        context = RequestContext(
            scheme=self._scheme,
            client=peer,
            server=(self.config.endpoint.host, self.config.endpoint.port),
            path=path,
            state={"principal": principal},
        )
        await Exchange(connection, head, context).run(self.application)
        return None

    def _path(self, head: RequestHead) -> str:
        """As it is without what a proxy may have left in front of it."""
        prefix = self.config.endpoint.path_prefix
        if prefix and (head.path == prefix or head.path.startswith(prefix + "/")):
            return head.path[len(prefix) :] or "/"
        return head.path

    @property
    def _scheme(self) -> Literal["http", "https"]:
        return "http" if self.tls is None else "https"

    def _admit(self, head: RequestHead, path: str, peer: str) -> Principal | None:
        """Whose request it is; None where that is not asked.

        Raises MisdirectedHost, BadMessage, ForbiddenOrigin, Unauthorized, RateLimited.
        """
        asked = self._asked(head)
        if path in self.open_paths:
            check_site(asked, self.rules)
            return None
        cookie = head.headers.get("cookie")
        signed_in = self.browsers.signed_in(cookie, now=trio.current_time())
        with self._failures_counted(peer):
            return admit(asked, self.rules, signed_in)

    def _asked(self, head: RequestHead) -> Head:
        return Head(
            host=head.headers.get("host"),
            origin=head.headers.get("origin"),
            authorization=head.headers.get("authorization"),
            scheme=self._scheme,
            method=head.method,
            wants_websocket=head.wants_websocket,
            fetch_site=head.headers.get("sec-fetch-site"),
            doubled=doubled(name.decode("ascii") for name, _ in head.raw_headers),
        )

    @contextmanager
    def _failures_counted(self, peer: str) -> Iterator[None]:
        """Whoever fails to come in is remembered, and told to wait if that happens often.

        Raises RateLimited instead of Unauthorized then.
        """
        now = trio.current_time()
        wait_s = self._failures.wait_s(peer, now=now)
        try:
            yield
        except Unauthorized:
            if wait_s > 0:
                raise _too_many_failures(wait_s) from None
            self._failures.failed(peer, now=now)
            raise

    async def _serve_browser(
        self, connection: HttpConnection, head: RequestHead, path: str, peer: str
    ) -> None:
        """The console's files, and how a browser comes in. Raises PyreplError, ClientLeft."""
        asked = self._asked(head)
        check_site(asked, self.rules)
        request = await browser_exchange.receive(
            connection, head, asked, path, within_s=self.config.endpoint.head_timeout_s
        )
        prefix = self.config.endpoint.path_prefix
        if head.path == prefix:
            answer = browser_requests.moved(f"{prefix}/")
        else:
            with self._failures_counted(peer):
                answer = browser_requests.answer(
                    request, self.browsers, self.rules, now=trio.current_time(), prefix=prefix
                )
        await browser_exchange.send(connection, head, answer)

    async def _converse(
        self,
        connection: HttpConnection,
        principal: Principal,
        format: Format,
        peer: str,
        *,
        offered: bool,
    ) -> None:
        try:
            # The task that reads the socket is needed to the end, for the closing handshake.
            async with open_body_nursery() as nursery:
                with trio.fail_after(HANDSHAKE_S):
                    request: WebSocketRequest = await receive_upgrade(
                        nursery, connection.replayed(), connection.stream
                    )
                    socket = await request.accept(subprotocol=format.value if offered else None)
                client = ClientConnection(
                    socket,
                    format,
                    principal,
                    self.host,
                    self.config,
                    observers=self.observers,
                    peer=peer,
                )
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


def _peer(stream: trio.SocketStream) -> tuple[str, int]:
    try:
        address = stream.socket.getpeername()
    except OSError:
        return "gone", 0
    return str(address[0]), int(address[1])


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


def _too_many_failures(wait_s: float) -> PyreplError:
    return RateLimited(
        what="this address has failed to come in too often",
        why="each attempt had no token, or a wrong one",
        how=f"Wait {math.ceil(wait_s)} s, and use the right token",
        details={"retry_after_s": math.ceil(wait_s)},
    )
