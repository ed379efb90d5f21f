"""What a client's link needs of a connection: `web_socket.py` has one. No behaviour."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class Connection(Protocol):
    """What a link needs of a connection: `WebSocket` is one."""

    async def send(self, data: bytes) -> None:
        """One message. Raises Disconnected."""

    def send_nowait(self, data: bytes) -> bool:
        """One message, without waiting; False where that cannot be."""

    @property
    def has_rest(self) -> bool:
        """Whether a part of that is still to be sent, by `flush`."""

    async def flush(self) -> None:
        """Raises Disconnected."""

    async def receive(self) -> list[dict[str, Any]]:
        """The messages that come next, one at least. Raises Disconnected."""

    async def close(self) -> None:
        """Say goodbye, bounded."""


Connect = Callable[..., AbstractAsyncContextManager[Connection]]
"""`open_web_socket`."""
