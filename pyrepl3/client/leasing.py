"""Acquiring a session from the pool and giving it back, whatever happens in between.

Owns the promise that a caller who was cancelled, at any moment, holds nothing. Must not know what
a session is used for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import attrs
import trio

from actors import Address, Answer, Gone, Reply, ask, open_reply
from pyrepl3.errors import PyreplError
from pyrepl3.messages import (
    Acquire,
    AcquireAll,
    CancelAcquire,
    Lease,
    PoolMessage,
    Release,
)
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

    async def acquire_all(self, template: str, count: int, timeout_s: float) -> list[Lease]:
        """So many sessions of that template, or none.

        Raises as `acquire`; when cancelled, or where one cannot be had, nothing is held.
        """
        waiters = [next(self._waiters) for _ in range(count)]
        deadline = trio.current_time() + timeout_s
        answers: list[Answer[Lease]] = []
        acquisitions: list[Acquire] = []
        for waiter in waiters:
            reply: Reply[Lease]
            answer: Answer[Lease]
            reply, answer = open_reply()
            answers.append(answer)
            acquisitions.append(Acquire(waiter, template, deadline, reply))
        leases: list[Lease] = []
        try:
            try:
                await self.pool().send(AcquireAll(tuple(acquisitions)))
                del acquisitions
                for answer in answers:
                    leases += [await answer.wait()]
            except BaseException:
                for answer in answers:
                    answer.abandon(leases.append)
                await self._give_up(waiters, leases)  # noqa: ASYNC102  # shielded, and bounded
                raise
        except (trio.BrokenResourceError, trio.ClosedResourceError, Gone) as error:
            raise refusals.shutting_down() from error
        return leases

    async def _give_up(self, waiters: Sequence[int], leases: Sequence[Lease]) -> None:
        """Hold none of them, whatever became of each."""
        given = {lease.waiter for lease in leases}
        for lease in leases:
            await self.release(lease, used=False)
        for waiter in waiters:
            if waiter not in given:
                await self._notify(CancelAcquire(waiter))

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
