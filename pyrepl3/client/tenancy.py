"""Tenancies: a session in a caller's hands, from its lease to its release.

Owns what must be given back, whatever happens in between: the lease, which changes when a process
died unused, and the branches that were forked from the session. Must not know what is run in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import trio

from pyrepl3.client.leasing import Leasing
from pyrepl3.client.session import Session
from pyrepl3.client.settings import SessionSettings
from pyrepl3.client.snapshot_desk import Copying, SnapshotDesk, check_name
from pyrepl3.errors import ConfigInvalid, PyreplError, WorkerSpawnFailed
from pyrepl3.messages import Lease
from pyrepl3.pool import refusals
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo
from pyrepl3.telemetry.observing import AcquisitionFailed, Observers, SessionAcquired

BRANCH_S = 10.0
"""Longer than an acquisition: all of them have to be started, where the machine is busy."""


@attrs.define(eq=False)
class Tenancies:
    """What one service hands out, and takes back."""

    leasing: Leasing
    desk: SnapshotDesk
    observers: Observers
    most_sessions: Callable[[], int]

    async def open(
        self, template: str, settings: SessionSettings, timeout_s: float, *, origin: str
    ) -> Tenancy:
        """A session of what the pool calls ``template``, with its settings applied.

        ``origin``: the template of the configuration that it goes back to. Raises what an
        acquisition raises, and what `Session.open` does; when cancelled, nothing is held.
        """

        async def acquire() -> Lease:
            try:
                return await self._acquire(template, timeout_s, origin)
            except WorkerSpawnFailed as error:
                failure = error
            if template != origin and not await self.desk.keeps(template):
                raise refusals.snapshot_gone() from failure
            raise failure

        tenancy = Tenancy(self, settings, acquire, origin, await acquire())
        try:
            await tenancy.session.open()
        except BaseException:
            await tenancy.close()  # noqa: ASYNC102  # shielded and bounded inside
            raise
        return tenancy

    async def branch(self, parent: Tenancy, copying: Copying, count: int) -> list[Tenancy]:
        """So many sessions with the state of that one, or none."""
        settings = parent.settings.of_branch()
        kept = await self.desk.keep(
            copying, name=None, origin=parent.origin, limits=settings.limits
        )
        try:
            leases = await self.leasing.acquire_all(kept.template, count, BRANCH_S)
        finally:
            # From now on nobody asks for it; it ends with the last of them.
            await self.desk.drop(kept.template)  # noqa: ASYNC102  # shielded and bounded inside
        return [Tenancy(self, settings, _cannot_renew, parent.origin, each) for each in leases]

    async def _acquire(self, template: str, timeout_s: float, origin: str) -> Lease:
        asked_at = trio.current_time()
        try:
            lease = await self.leasing.acquire(template, timeout_s)
        except PyreplError as error:
            wait_s = trio.current_time() - asked_at
            self.observers.notice(
                AcquisitionFailed(template=origin, code=error.code, wait_s=wait_s)
            )
            raise
        wait_s = trio.current_time() - asked_at
        self.observers.notice(SessionAcquired(template=origin, warm=lease.warm, wait_s=wait_s))
        return lease


class Tenancy:
    """One session, its lease, and the branches of it that were not given back yet."""

    def __init__(
        self,
        tenancies: Tenancies,
        settings: SessionSettings,
        acquire: Callable[[], Awaitable[Lease]],
        origin: str,
        lease: Lease,
    ) -> None:
        self.settings = settings
        self.origin = origin
        self._tenancies = tenancies
        self._acquire = acquire
        # None while there is none to give back: a lease is given back once, also where the next
        # acquisition fails or is cancelled.
        self._held: Lease | None = lease
        self._is_closed = False
        self._branches: list[Tenancy] = []
        self._parent: Tenancy | None = None
        """Whose branches it is one of, to be given back with."""
        self.session = Session(
            lease, settings, self._renew, tenancies.observers, template=origin, branching=self
        )

    async def _renew(self) -> Lease:
        leasing = self._tenancies.leasing
        if self._held is not None:
            lost, self._held = self._held, None
            await leasing.release(lost, used=True)
        self._held = await self._acquire()
        return self._held

    async def snapshot(self, name: str) -> SnapshotInfo:
        """Keep the session's state under that name."""
        finish = await self.begin_snapshot(name)
        return await finish()

    async def fork(self, count: int) -> list[Session]:
        """So many sessions with the state of this one; given back with it, or before."""
        finish = await self.begin_fork(count)
        branches = await finish()
        for branch in branches:
            branch._parent = self
        self._branches += branches
        if self._is_closed:
            # Meanwhile, so these have to go as well.
            await self.close()
            raise self.session.requests.lost()
        return [branch.session for branch in branches]

    async def begin_snapshot(self, name: str) -> Callable[[], Awaitable[SnapshotInfo]]:
        """Ask for it, in order with executions. What is returned waits for it, and is to be called
        in any case."""
        check_name(name)
        desk = self._tenancies.desk
        copying = await desk.ask_to_copy(self.session.requests)

        async def finish() -> SnapshotInfo:
            kept = await desk.keep(
                copying, name=name, origin=self.origin, limits=self.settings.limits
            )
            return kept.info

        return finish

    async def begin_fork(self, count: int) -> Callable[[], Awaitable[list[Tenancy]]]:
        """As `begin_snapshot`. The branches are the caller's, to be closed."""
        if type(count) is not int or count < 1:
            raise ConfigInvalid(
                what=f"a session cannot be forked {count!r} times",
                why="the number of branches is whole, and at least 1",
                how="Give 8, say",
            )
        most = self._tenancies.most_sessions() - 1
        if count > most:
            raise refusals.too_many_at_once(count, most)
        copying = await self._tenancies.desk.ask_to_copy(self.session.requests)
        return partial(self._tenancies.branch, self, copying, count)

    async def close(self) -> None:
        """Give all of it back: used, they are discarded. Twice is once. Bounded."""
        self._is_closed = True
        if self._parent is not None and self in self._parent._branches:
            self._parent._branches.remove(self)
        while self._branches:
            await self._branches.pop().close()
        used = self.session.touched
        self.session.end()
        held, self._held = self._held, None
        if held is not None:
            await self._tenancies.leasing.release(held, used=used)


async def _cannot_renew() -> Lease:
    raise refusals.snapshot_gone()
