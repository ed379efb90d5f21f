"""Where the sessions of a prompt come from: what it needs to know, and the embedded supervisor.

Owns what differs from place to place. Must not know what is done at the prompt.
"""

from __future__ import annotations

import platform
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import attrs

from pyrepl3 import __version__
from pyrepl3.cli.service import open_service
from pyrepl3.cli.signals import AnySession
from pyrepl3.cli.surroundings import prepare_prompt
from pyrepl3.cli.texts import BANNER
from pyrepl3.client.session import Session
from pyrepl3.events import Event
from pyrepl3.supervisor import Supervisor

BRANCHES = 15
"""Of a prompt's session: one in the other, so far."""


class Followed(Protocol):
    """The events of one execution, of whatever session."""

    execution: str
    """Its id."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __anext__(self) -> Event: ...


class Place(Protocol):
    """Where the sessions of a prompt come from."""

    @property
    def is_remote(self) -> bool:
        """Whether its sessions are a service's, and left as they are."""

    @property
    def goes_on(self) -> bool:
        """Whether its session does, when the prompt is left."""

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction was open in its session, when that was found."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """For the length of the prompt."""

    def session(self) -> AbstractAsyncContextManager[AnySession]:
        """The next one to use, ready for a prompt."""

    def banner(self, session: AnySession, pictures: str) -> str:
        """What its user is greeted with."""

    def note(self) -> str:
        """What stands before the prompt."""

    def watch(self, refresh: Callable[[], bool]) -> None:
        """``refresh`` is called where that is another one by now. It says whether it is seen."""

    def is_connected(self) -> bool:
        """Whether a request would be heard now."""


@attrs.define(eq=False)
class OwnPlace:
    """A supervisor of the command's own."""

    record_trace: str | None
    is_remote: bool = attrs.field(default=False, init=False)
    goes_on: bool = attrs.field(default=False, init=False)
    is_in_transaction: bool = attrs.field(default=False, init=False)
    _service: Supervisor | None = attrs.field(default=None, init=False)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Run the supervisor."""
        async with open_service(self.record_trace, branches=BRANCHES) as self._service:
            yield

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        """A new one."""
        assert self._service is not None
        async with self._service.session() as session:
            await prepare_prompt(session)
            yield session

    def banner(self, session: AnySession, pictures: str) -> str:
        """Versions, and what the keys do."""
        return BANNER.format(
            version=__version__,
            python=platform.python_version(),
            pid=session.pid,
            pictures=pictures,
        )

    def note(self) -> str:
        """Nothing."""
        return ""

    def watch(self, refresh: Callable[[], bool]) -> None:
        """It never changes."""

    def is_connected(self) -> bool:
        """There is nothing between."""
        return True
