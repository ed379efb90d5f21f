"""Acquiring a session from the pool and giving it back, whatever happens in between.

Owns the promise that a caller who was cancelled, at any moment, holds nothing. Must not know what
a session is used for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import attrs
import trio

from actors import Address, Gone, ask
from pyrepl3.errors import PyreplError
from pyrepl3.messages import Acquire, CancelAcquire, Lease, PoolMessage, Release
from pyrepl3.pool import refusals

GIVE_BACK_S = 5.0
"""For a notice to a pool that waits for nothing but its mailbox: far more than it takes."""


@attrs.define(eq=False)
class Leasing:
    """One pool's only front desk: it numbers those who ask."""

    pool: Callable[[], Address[PoolMessage]]
    """The pool's present address; it changes when the pool is restarted."""
    _waiters: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    async def acquire(self, template: str, timeout_s: float) -> Lease:
        """A session of that template, the callers before us first.

        Raises PoolExhausted, PoolDegraded, WorkerSpawnFailed or ShuttingDown. When cancelled,
        nothing is held: also when the session was handed over in that very moment.
        """
        waiter = next(self._waiters)
        deadline = trio.current_time() + timeout_s
        unwanted: list[Lease] = []
        try:
            return await ask(
                self.pool(),
                lambda reply: Acquire(waiter, template, deadline, reply),
                on_abandoned=unwanted.append,
            )
        except Gone as error:
            raise refusals.shutting_down() from error
        except PyreplError:
            raise
        except BaseException:
            for lease in unwanted:
                await self.release(lease, used=False)  # noqa: ASYNC102  # shielded and bounded inside
            if not unwanted:
                await self._notify(CancelAcquire(waiter))  # noqa: ASYNC102  # shielded and bounded inside
            raise

    async def release(self, lease: Lease, *, used: bool) -> None:
        """Give a session back; it is discarded if it was used. Not to be cancelled: bounded.

        When this returns the pool has taken it, so its statistics no longer count it as leased.
        """
        with trio.CancelScope(deadline=trio.current_time() + GIVE_BACK_S, shield=True):
            try:
                await ask(
                    lease.pool,
                    lambda taken: Release(lease.waiter, lease.session, used, taken),
                )
            except Gone:
                return  # the pool has ended, and its sessions with it

    async def _notify(self, notice: PoolMessage) -> None:
        with trio.CancelScope(deadline=trio.current_time() + GIVE_BACK_S, shield=True):
            try:
                await self.pool().send(notice)
            except (trio.BrokenResourceError, trio.ClosedResourceError, Gone):
                return  # the pool has ended, and its sessions with it
