"""Transactions of a session on a service, as those of a session of one's own.

Owns what is left behind: nothing, however a block ends. Must not know connections. Each request has
a key of its own, so that it is carried out once, however often the connection is lost.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

import anyio
import attrs

from pyrepl3.errors import PyreplError

TransactionKind = Literal["begin", "commit", "rollback"]

ROLLBACK_S = 10.0
"""For a transaction that is left by an error or a cancellation: what runs in it is waited for."""


@attrs.define(eq=False)
class RemoteTransactions:
    """Those of one session. ``ask`` waits for the answer to a request under a key, and ``post``
    has it heard some time; ``is_reachable``: whether an answer may come soon."""

    ask: Callable[[TransactionKind, str], Awaitable[None]]
    post: Callable[[TransactionKind, str], None]
    is_reachable: Callable[[], bool]
    prefix: str
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    async def begin(self) -> None:
        """When cancelled, none is left open."""
        key = self._key()
        try:
            await self.ask("begin", key)
        except PyreplError:
            raise
        except BaseException:
            if self.is_reachable():
                with anyio.move_on_after(ROLLBACK_S, shield=True), suppress(PyreplError):
                    # The same request again: what came of it.
                    await self.ask("begin", key)
                    await self.ask("rollback", self._key())
            raise

    async def end(self, kind: TransactionKind) -> None:
        """Commit it, or roll it back."""
        await self.ask(kind, self._key())

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """One for the length of a block."""
        await self.begin()
        try:
            yield
        except BaseException:
            await self.leave()  # noqa: ASYNC102  # shielded and bounded inside
            raise
        await self.end("commit")

    async def leave(self) -> None:
        """Roll it back: on the next connection, if there is none now. Not to be cancelled."""
        if not self.is_reachable():
            self.post("rollback", self._key())
            return
        with anyio.move_on_after(ROLLBACK_S, shield=True), suppress(PyreplError):
            # It may be undone already, by a crash; or nobody can say.
            await self.ask("rollback", self._key())

    def _key(self) -> str:
        return f"{self.prefix}.t{next(self._numbers)}"
