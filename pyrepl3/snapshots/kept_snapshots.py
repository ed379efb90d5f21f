"""The keeper of snapshots: one spawner for each, around a copy of a session.

Owns the copies, from when they are handed over until the last session that was forked from them
has ended. Must not decide who gets a session, nor know how a copy is made.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import attrs
import trio

from actors import Address, Inbox, NoReply, close_mailbox, open_mailbox
from pyrepl3.config import Limits
from pyrepl3.errors import IdConflict, ShuttingDown, SnapshotUnavailable
from pyrepl3.snapshots.snapshot_messages import (
    DropSnapshot,
    KeepSnapshot,
    ListSnapshots,
    SnapshotInfo,
    SnapshotsMessage,
)
from pyrepl3.transport.spawner import ZYGOTE_STOP_S, Spawner
from pyrepl3.transport.spawning import SpawnerMessage

SNAPSHOTS_MAILBOX = 0
"""Handed over directly: the task that takes them waits for nothing else."""


@attrs.define(eq=False)
class KeptSnapshot:
    """One copy, and the spawner around it."""

    request: KeepSnapshot
    taken_at: float = attrs.field(factory=time.time)
    address: Address[SpawnerMessage] | None = None
    """None until its spawner runs."""
    is_dropped: bool = False
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    @property
    def limits(self) -> Limits:
        """Of the sessions that are opened from it."""
        return self.request.limits

    @property
    def lineage(self) -> Sequence[str]:
        """What it came from, the latest first."""
        return self.request.lineage

    @property
    def is_listed(self) -> bool:
        """Whether it can be found by its name."""
        return self.request.name is not None and not self.is_dropped

    def info(self) -> SnapshotInfo:
        """As it is now."""
        request = self.request
        return SnapshotInfo(
            name=request.name or "",
            template=request.lineage[-1],
            session=request.session,
            pid=request.zygote.pid,
            taken_at=self.taken_at,
            private_bytes=request.zygote.private_bytes(),
        )


@attrs.define(eq=False)
class KeptSnapshots:
    """The actor; a task for each snapshot."""

    most: int
    """Snapshots with a name."""
    start_timeout_s: float
    retire: Callable[[str], Awaitable[None]]
    """Has the pool forget one whose process has ended by itself. Not to be cancelled: bounded."""
    _kept: dict[str, KeptSnapshot] = attrs.field(factory=dict, init=False)
    """By what the pool calls them, the oldest first."""

    async def run(
        self, *, task_status: trio.TaskStatus[Address[SnapshotsMessage]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled: then all copies, and all that was forked from them, have ended."""
        address: Address[SnapshotsMessage]
        inbox: Inbox[SnapshotsMessage]
        address, inbox = open_mailbox(SNAPSHOTS_MAILBOX)
        try:
            async with trio.open_nursery() as nursery:
                task_status.started(address)
                async for message in inbox:
                    match message:
                        case KeepSnapshot():
                            self._take(message, nursery)
                        case DropSnapshot():
                            self._drop(message, nursery)
                        case ListSnapshots():
                            self._list(message)
        finally:
            close_mailbox(inbox, _refuse)

    def __len__(self) -> int:
        """How many can be found by their names."""
        return sum(kept.is_listed for kept in self._kept.values())

    def get(self, template: str) -> KeptSnapshot | None:
        """What sessions of this one are forked from, while it lives."""
        return self._kept.get(template)

    def _take(self, message: KeepSnapshot, nursery: trio.Nursery) -> None:
        listed = [each for each in self._kept.values() if each.is_listed]
        if message.name is not None:
            if any(each.request.name == message.name for each in listed):
                _turn_away(message, _name_taken(message.name))
                return
            if len(listed) >= self.most:
                _turn_away(message, _too_many(self.most))
                return
        kept = self._kept[message.template] = KeptSnapshot(message)
        nursery.start_soon(self._keep, kept)

    async def _keep(self, kept: KeptSnapshot) -> None:
        """One snapshot's whole life."""
        request = kept.request
        zygote = request.zygote
        try:
            with kept.scope:
                spawner = Spawner(
                    request.template, lambda: zygote.open(self.start_timeout_s, ZYGOTE_STOP_S)
                )
                async with trio.open_nursery() as nursery:
                    kept.address = await nursery.start(spawner.run)
                    if request.reply.answer(kept.info()):
                        await zygote.ended.wait()
                        kept.is_dropped = True
                        await self.retire(request.template)
                    # Else nobody has heard of it, and nobody will.
                    nursery.cancel_scope.cancel()
        finally:
            del self._kept[request.template]
            request.reply.close()
            zygote.discard()
            if kept.address is not None:
                kept.address.close()

    def _drop(self, message: DropSnapshot, nursery: trio.Nursery) -> None:
        kept = self._kept.get(message.template)
        if kept is not None:
            kept.is_dropped = True
            nursery.start_soon(self._end_when_empty, kept, message)
        else:
            message.emptied.close()
        message.reply.answer(None)

    async def _end_when_empty(self, kept: KeptSnapshot, message: DropSnapshot) -> None:
        with suppress(NoReply):  # the pool has ended, and its sessions with it
            await message.emptied.wait()
        kept.scope.cancel()

    def _list(self, message: ListSnapshots) -> None:
        listed = {
            name: (each.info(), each.limits) for name, each in self._kept.items() if each.is_listed
        }
        message.reply.answer(listed)


def _refuse(message: SnapshotsMessage) -> None:
    if isinstance(message, KeepSnapshot):
        _turn_away(
            message,
            ShuttingDown(
                what="no snapshot is kept any more",
                why="the supervisor is shutting down",
                how="Open a new supervisor",
            ),
        )
    else:
        message.reply.close()


def _turn_away(message: KeepSnapshot, error: Exception) -> None:
    message.zygote.discard()
    message.reply.fail(error)


def _name_taken(name: str) -> IdConflict:
    return IdConflict(
        what=f"there is a snapshot {name!r} already",
        why="a name is that of one snapshot",
        how="Drop that one, or choose another name",
        details={"name": name},
    )


def _too_many(most: int) -> SnapshotUnavailable:
    return SnapshotUnavailable(
        what="no snapshot was kept",
        why=f"there are {most} already, which is the most",
        how="Drop one, or raise PoolConfig.max_snapshots",
        details={"max_snapshots": most},
    )
