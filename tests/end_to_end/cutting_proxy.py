"""A proxy between a client and its service that cuts connections, as networks do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import trio

READ_BYTES = 4096
Cuts = Callable[[bytes], bool]
"""Whether to cut before these bytes, which the service sent, are passed on."""


@attrs.define(eq=False)
class CuttingProxy:
    """Listens on a port of its own."""

    port: int
    target: tuple[str, int]
    cuts: Cuts
    is_down: bool = False
    """Whether it takes nobody in: the service seems to be gone."""
    connections: int = 0
    _scopes: set[trio.CancelScope] = attrs.field(factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut_all(self) -> None:
        """All connections, now."""
        for scope in list(self._scopes):
            scope.cancel()

    async def serve(self, client: trio.SocketStream) -> None:
        if self.is_down:
            return
        self.connections += 1
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                async with (
                    await trio.open_tcp_stream(*self.target) as service,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(self._pass_on, client, service, scope, lambda _: False)
                    nursery.start_soon(self._pass_on, service, client, scope, self.cuts)
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
                    break
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


@asynccontextmanager
async def cutting_proxy(port: int, cuts: Cuts = lambda _: False) -> AsyncIterator[CuttingProxy]:
    """Before the service on that port of this machine."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy = CuttingProxy(listeners[0].socket.getsockname()[1], ("127.0.0.1", port), cuts)
        await nursery.start(trio.serve_listeners, proxy.serve, listeners)
        yield proxy
        nursery.cancel_scope.cancel()
