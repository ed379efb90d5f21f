"""The requests of one caller to one session actor, and what a vanished one looks like.

Owns the way from a lease to its actor. Must not know what a user makes of the answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

from actors import ActorGone, NoReply, Reply, ask
from pyrepl3.errors import SessionLost
from pyrepl3.messages import Abandon, Execute, Lease, SessionMessage

T = TypeVar("T")

ABANDON_S = 5.0
"""For a notice to a session that waits for nothing but its mailbox: far more than it takes."""


@attrs.define(eq=False)
class SessionRequests:
    """The client's end of one lease."""

    lease: Lease
    _cause: str | None = attrs.field(default=None, init=False)
    _over: bool = attrs.field(default=False, init=False)

    def end(self) -> None:
        """The lease is over: whoever still holds it reaches nobody, and not the next caller."""
        self._cause = "it was given back"
        self._over = True

    async def execute(self, request: Execute) -> None:
        """Send it; its events come on its own channel. Raises SessionLost."""
        await self._send(request)

    async def ask(self, make_message: Callable[[Reply[T]], SessionMessage]) -> T:
        """Send a question and wait for its answer. Raises SessionLost, or what it failed with."""
        self._check()
        try:
            return await ask(self.lease.address, make_message)
        except (ActorGone, NoReply) as error:
            raise self.lost() from error

    async def tell(self, message: SessionMessage) -> None:
        """Send what has no answer. Raises SessionLost."""
        await self._send(message)

    async def abandon(self, execution: str) -> None:
        """Nobody waits for this execution any more. Not to be cancelled: bounded."""
        with trio.CancelScope(deadline=trio.current_time() + ABANDON_S, shield=True):
            try:
                await self.lease.address.send(Abandon(execution))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the session has ended, and the execution with it

    async def wait_ended(self) -> str:
        """Wait for the end of the session, and give its cause."""
        try:
            cause = await self.lease.fate.wait()
        except NoReply:
            cause = "its process has ended"
        if self._cause is None:
            self._cause = cause
        return cause

    @property
    def has_ended(self) -> bool:
        """Whether nobody takes its requests any more."""
        return self._over or not self.lease.address.statistics().open_receive_channels

    def lost(self) -> SessionLost:
        """The error of a session that has ended, with the cause of its end where it is known."""
        if self._cause is None:
            try:
                self._cause = self.lease.fate.take_nowait()
            except (trio.WouldBlock, NoReply):
                return _session_lost("its process has ended")
        return _session_lost(self._cause)

    def _check(self) -> None:
        if self._over:
            raise self.lost()

    async def _send(self, message: SessionMessage) -> None:
        self._check()
        try:
            try:
                self.lease.address.send_nowait(message)
            except trio.WouldBlock:
                await self.lease.address.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self.lost() from error


def _session_lost(cause: str) -> SessionLost:
    return SessionLost(
        what="the session is gone",
        why=cause,
        how="Open a new session; its variables start empty",
        details={"cause": cause},
    )
