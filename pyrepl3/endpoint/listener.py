"""The port: connections come in here, each gets a task, and too many are turned away.

Owns who is accepted, and a descriptor in reserve: where all others are used up, it is given
up for a moment to tell one client so, instead of letting it wait. Must not know HTTP beyond that
one answer.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from pyrepl3.config import EndpointConfig
from pyrepl3.errors import ConfigInvalid

logger = logging.getLogger("pyrepl3.endpoint")

BACKLOG = 1024
PAUSE_S = 0.1
"""Where a connection cannot be accepted at all: before the next attempt."""
TURN_AWAY_S = 1.0
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/problem+json\r\n"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n"
    b"Content-Length: 68\r\n\r\n"
    b'{"title":"Service Unavailable","status":503,"detail":"no room left"}'
)

_USED_UP = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Serve = Callable[[trio.SocketStream], Awaitable[None]]


async def open_port(config: EndpointConfig) -> list[trio.SocketListener]:
    """The sockets of all addresses of the configured host.

    Raises ConfigInvalid where there can be none.
    """
    try:
        return await trio.open_tcp_listeners(config.port, host=config.host, backlog=BACKLOG)
    except OSError as error:
        raise _no_port(config, error) from error


def port_of(listeners: Sequence[trio.SocketListener]) -> int:
    """The one that they listen on."""
    port: int = listeners[0].socket.getsockname()[1]
    return port


@attrs.define(eq=False)
class Listener:
    """All addresses of one host and port."""

    listeners: list[trio.SocketListener]
    max_connections: int
    serve: Serve
    _connections: int = attrs.field(default=0, init=False)
    _accepts: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _reserve: int | None = attrs.field(default=None, init=False)
    """A descriptor; None: given up, and there was none left to have it again."""
    _reserve_lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    """Each address has a task, and they have one reserve."""

    async def run(self) -> None:
        """Accept until stopped, and serve until cancelled. The sockets are whose they were."""
        self._keep_reserve()
        try:
            async with trio.open_nursery() as nursery:
                with self._accepts:
                    async with trio.open_nursery() as accepting:
                        for listener in self.listeners:
                            accepting.start_soon(self._accept, listener, nursery)
                await trio.sleep_forever()
        finally:
            self._give_reserve_up()

    def stop(self) -> None:
        """Accept no more: whoever comes now is refused. The connections that there are go on."""
        self._accepts.cancel()
        for listener in self.listeners:
            listener.socket.close()

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            stream = await self._next(listener)
            if self._connections >= self.max_connections:
                nursery.start_soon(_turn_away, stream)
                continue
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections += 1
            nursery.start_soon(self._serve, stream)

    async def _next(self, listener: trio.SocketListener) -> trio.SocketStream:
        """The next connection for which there is a descriptor; others are turned away."""
        while True:
            try:
                return await listener.accept()
            except OSError as error:
                if error.errno not in _USED_UP:
                    raise
            # It fails so with nobody there, too. By the time that there is, there may be room.
            await trio.lowlevel.wait_readable(listener.socket)
            try:
                return await listener.accept()
            except OSError as error:
                if error.errno not in _USED_UP:
                    raise
                logger.warning("a connection was turned away: %s", error.strerror)
            async with self._reserve_lock:
                await self._use_reserve(listener)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            await self.serve(stream)
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _use_reserve(self, listener: trio.SocketListener) -> None:
        self._give_reserve_up()
        try:
            with trio.move_on_after(PAUSE_S):
                await _turn_away(await listener.accept())
        except OSError:
            await trio.sleep(PAUSE_S)
        finally:
            self._keep_reserve()

    def _keep_reserve(self) -> None:
        try:
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            logger.warning("no descriptor is in reserve: %s", error.strerror)

    def _give_reserve_up(self) -> None:
        reserve, self._reserve = self._reserve, None
        if reserve is not None:
            os.close(reserve)


def _no_port(config: EndpointConfig, error: OSError) -> ConfigInvalid:
    how = "Name another port, or 0 for any that is free"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        how = "Name an address of this machine"
    elif error.errno == errno.EACCES:
        how = "Name a port from 1024 on"
    return ConfigInvalid(
        what=f"the service cannot listen on {config.host}:{config.port}",
        why=error.strerror or str(error),
        how=how,
        details={"field": "EndpointConfig.port", "value": config.port},
    )


async def _turn_away(stream: trio.SocketStream) -> None:
    with trio.move_on_after(TURN_AWAY_S):
        try:
            await stream.send_all(BUSY)
            await stream.send_eof()
            # Until it has read that: closing with bytes unread would take the answer back.
            while await stream.receive_some(4096):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            await trio.aclose_forcefully(stream)
