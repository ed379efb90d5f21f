"""Transactions of a session on a service, as those of a session of one's own.

Owns what is left behind: nothing, however a block ends. Must not know connections. Each request has
a key of its own, so that it is carried out once, however often the connection is lost.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Literal

import anyio
import attrs

from pyrepl3.errors import NoTransaction, PyreplError, QueueFull

TransactionKind = Literal["begin", "commit", "rollback"]

ROLLBACK_S = 10.0
"""For a transaction that is left by an error or a cancellation: what runs in it is waited for."""


@attrs.define(eq=False)
class RemoteTransactions:
    """Those of one session. ``ask`` waits for the answer to a request, and ``post`` has it heard
    some time; ``is_reachable``: whether an answer may come soon."""

    ask: Callable[[TransactionKind, Mapping[str, str]], Awaitable[None]]
    post: Callable[[TransactionKind, Mapping[str, str]], None]
    is_reachable: Callable[[], bool]
    prefix: str
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _owed: set[str] = attrs.field(factory=set, init=False)
    """The keys of those to be rolled back before anything else is asked."""

    async def begin(self) -> str:
        """The key of what is open then. When cancelled, none is left open."""
        await self.settle()
        asked = self._request()
        try:
            await self.ask("begin", asked)
        except PyreplError:
            raise
        except BaseException:
            await self.leave(asked["key"])  # noqa: ASYNC102  # shielded and bounded inside
            raise
        return asked["key"]

    async def end(self, kind: TransactionKind, of: str | None = None) -> None:
        """Commit it, or roll it back: the one that was begun under that key, or any."""
        await self.settle()
        await self.ask(kind, self._request(of))

    async def settle(self) -> None:
        """To be called before anything is asked: roll back what was left when there was no room in
        the queue for that. Raises QueueFull where there is none yet."""
        while self._owed:
            key = next(iter(self._owed))
            with suppress(NoTransaction):
                await self.ask("rollback", self._request(key))
            self._owed.discard(key)

    @asynccontextmanager
    async def block(self) -> AsyncGenerator[None]:
        """One for the length of a block."""
        key = await self.begin()
        try:
            yield
            await self.end("commit", key)
        except BaseException:
            # Where it is committed already, nothing is rolled back by that.
            await self.leave(key)  # noqa: ASYNC102  # shielded and bounded inside
            raise

    async def leave(self, of: str) -> None:
        """Roll that one back, if it is still there, for who has nobody to tell: on the next
        connection, if there is none now. Not to be cancelled: bounded."""
        if not self.is_reachable():
            self.post("rollback", self._request(of))
            return
        with anyio.move_on_after(ROLLBACK_S, shield=True):
            try:
                await self.ask("rollback", self._request(of))
            except QueueFull:
                self._owed.add(of)
            except PyreplError:
                return  # it was refused, or is undone already, by a crash; or nobody can say

    def _request(self, of: str | None = None) -> dict[str, str]:
        """What is sent of one, with a key of its own."""
        asked = {"key": f"{self.prefix}.t{next(self._numbers)}"}
        return asked if of is None else {**asked, "of": of}
