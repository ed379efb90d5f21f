"""Sessions of a running service at the prompt: `pyrepl3 --connect URL`.

Owns which session is used, and what its user is told of the connection. Must not know the
protocol: the client connects again by itself.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import attrs

from pyrepl3 import __version__
from pyrepl3.cli import descriptors
from pyrepl3.cli.named_sessions import find_named
from pyrepl3.cli.remote_arguments import Connect
from pyrepl3.cli.signals import AnySession
from pyrepl3.cli.texts import (
    CONNECTED_AGAIN,
    CONNECTION_LOST,
    GOES_ON,
    IS_CLOSED,
    NO_CONNECTION,
    REMOTE_BANNER,
)
from pyrepl3.remote.addresses import find_address
from pyrepl3.remote.client import Client
from pyrepl3.remote.session import RemoteSession


@attrs.define(eq=False)
class RemotePlace:
    """One service."""

    command: Connect
    is_remote: bool = attrs.field(default=True, init=False)
    is_in_transaction: bool = attrs.field(default=False, init=False)
    _client: Client | None = attrs.field(default=None, init=False)
    _is_connected: bool = attrs.field(default=False, init=False)
    _is_told: bool = attrs.field(default=False, init=False)
    """Whether its user hears of the connection: not of the first, nor of the end."""
    _refresh: Callable[[], bool] = attrs.field(default=lambda: False, init=False)

    @property
    def goes_on(self) -> bool:
        """Whether its session does, when the prompt is left."""
        return self.command.session_named is not None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Connect, and connect again for as long as the prompt is there."""
        self._client = Client(
            self.command.url,
            token_file=self.command.token_file,
            reconnect_timeout_s=math.inf,
            on_connection=self._changed,
        )
        async with self._client:
            self._is_told = True
            try:
                yield
            finally:
                self._is_told = False

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[RemoteSession]:
        """The one that was named, opened where there is none; without a name a new one, which is
        closed afterwards."""
        assert self._client is not None
        name = self.command.session_named
        if name is None:
            opened = self._client.session()
        elif (found := await self._find(name)) is not None:
            opened = self._client.attach(found)
        else:
            opened = self._client.open(name=name)
        async with opened as session:
            yield session

    async def _find(self, name: str) -> str | None:
        """Of those that are open."""
        assert self._client is not None
        found = find_named(await self._client.list_sessions(), name)
        if found is None or found["standing"] != "open":
            self.is_in_transaction = False
            return None
        self.is_in_transaction = bool(found["in_transaction"])
        return str(found["session"])

    def banner(self, session: AnySession, pictures: str) -> str:
        """Which session, and what becomes of it."""
        return REMOTE_BANNER.format(
            version=__version__,
            session=self.command.session_named or session.id,
            url=find_address(self.command.url),
            pid=session.pid,
            future=IS_CLOSED if self.command.session_named is None else GOES_ON,
            pictures=pictures,
        )

    def note(self) -> str:
        """That there is no connection, where there is none."""
        return "" if self._is_connected else NO_CONNECTION

    def watch(self, refresh: Callable[[], bool]) -> None:
        """Of the prompt that says so."""
        self._refresh = refresh

    def is_connected(self) -> bool:
        """Whether a request would be heard now."""
        return self._is_connected

    def _changed(self, is_connected: bool) -> None:
        self._is_connected = is_connected
        if self._is_told and not self._refresh():
            descriptors.say(CONNECTED_AGAIN if is_connected else CONNECTION_LOST)
