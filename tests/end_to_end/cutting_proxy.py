"""A proxy between a client and its service that cuts connections, as networks do."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

READ_BYTES = 4096
RESET_NOW = struct.pack("ii", 1, 0)
Cuts = Callable[[bytes], bool]
"""Whether to cut at these bytes."""


def _never(_: bytes) -> bool:
    return False


@attrs.define(eq=False)
class CuttingProxy:
    """Listens on a port of its own."""

    port: int
    target: tuple[str, int]
    cuts: Cuts = _never
    """Of what the service sends."""
    cuts_requests: Cuts = _never
    """Of what the client sends."""
    passes: Callable[[bytes], int] = attrs.field(default=lambda _: 0)
    """How many bytes, of those at which it is cut, still arrive."""
    resets: Callable[[], bool] = attrs.field(default=lambda: False)
    """Whether both sides hear of the cut by a reset, instead of an end that looks orderly."""
    is_down: bool = False
    """Whether it takes nobody in: the service seems to be gone."""
    connections: int = 0
    cut: int = 0
    """How many of them were cut: the others ended by themselves."""
    _scopes: set[trio.CancelScope] = attrs.field(factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def scopes(self) -> list[trio.CancelScope]:
        """Of the connections that there are; cancelling one cuts it, and is counted by no one."""
        return list(self._scopes)

    def cut_all(self) -> None:
        """All connections, now."""
        for scope in self.scopes:
            self.cut_one(scope)

    def cut_one(self, scope: trio.CancelScope) -> None:
        self.cut += 1
        scope.cancel()

    async def serve(self, client: trio.SocketStream) -> None:
        if self.is_down:
            return
        self.connections += 1
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                async with await trio.open_tcp_stream(*self.target) as service:
                    try:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(
                                self._pass_on, client, service, scope, self.cuts_requests
                            )
                            nursery.start_soon(self._pass_on, service, client, scope, self.cuts)
                    finally:
                        if self.resets():
                            for stream in (client, service):
                                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_NOW)
            finally:
                self._scopes.discard(scope)

    async def _pass_on(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        scope: trio.CancelScope,
        cuts: Cuts,
    ) -> None:
        try:
            while data := await source.receive_some(READ_BYTES):
                if cuts(data):
                    await sink.send_all(data[: self.passes(data)])
                    self.cut_one(scope)
                    return
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


@asynccontextmanager
async def cutting_proxy(
    port: int, cuts: Cuts = _never, **options: Any
) -> AsyncIterator[CuttingProxy]:
    """Before the service on that port of this machine."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        own_port = listeners[0].socket.getsockname()[1]
        proxy = CuttingProxy(own_port, ("127.0.0.1", port), cuts, **options)
        await nursery.start(trio.serve_listeners, proxy.serve, listeners)
        yield proxy
        nursery.cancel_scope.cancel()
