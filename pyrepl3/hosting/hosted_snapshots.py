"""Kept snapshots as principals see them: each has its own, under names of its own.

Owns whose a snapshot is, and how many one may keep. Must not know how one is taken or kept.
"""

from __future__ import annotations

import attrs

from pyrepl3.client.snapshot_desk import Kept, SnapshotDesk
from pyrepl3.errors import PyreplError
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosting_messages import DropSnapshot, ListSnapshots
from pyrepl3.hosting.snapshot_names import is_of, shown, stored


@attrs.frozen
class HostedSnapshots:
    """Those of all principals."""

    desk: SnapshotDesk
    """The supervisor's."""

    async def list(self, message: ListSnapshots) -> None:
        with message.reply as reply:
            try:
                found = [kept.info for kept in await self.desk.list()]
            except PyreplError as error:
                reply.fail(error)
                return
            principal = message.principal
            reply.answer([shown(principal, info) for info in found if is_of(principal, info)])

    async def drop(self, message: DropSnapshot) -> None:
        with message.reply as reply:
            try:
                kept = await self.find(message.principal, message.name)
            except PyreplError as error:
                reply.fail(error)
                return
            await self.desk.drop(kept.template)
            reply.answer(None)

    async def check_room(self, principal: str, at_most: int | None) -> None:
        """Raises RateLimited where it keeps as many as it may have sessions."""
        mine = [kept for kept in await self.desk.list() if is_of(principal, kept.info)]
        if at_most is not None and len(mine) >= at_most:
            raise refusals.too_many_snapshots(at_most)

    async def find(self, principal: str, name: str) -> Kept:
        """Raises SnapshotNotFound, which tells of no other principal's."""
        for kept in await self.desk.list():
            if kept.info.name == stored(principal, name):
                return kept
        raise refusals.snapshot_not_found(name)
