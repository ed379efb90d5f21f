"""The branches and snapshots of a session on a service, as those of a session of one's own.

Owns the requests, and the branches that are to end with the session. Must not know connections.
Each request has a key of its own, so that it is carried out once, however often the connection is
lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs

from pyrepl3.errors import ConfigInvalid
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo

if TYPE_CHECKING:
    from pyrepl3.remote.session import RemoteSession

BranchKind = Literal["fork", "snapshot"]
Follow = Callable[[Mapping[str, Any]], Awaitable["RemoteSession"]]
"""A session that was opened by another's fork, as its answer tells of it, to be used from here."""


@attrs.define(eq=False)
class RemoteBranches:
    """Those of one session. ``ask`` waits for the answer to a request."""

    ask: Callable[[BranchKind, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
    follow: Follow
    prefix: str
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _held: list[RemoteSession] = attrs.field(factory=list, init=False)

    async def fork(self, count: int, names: Sequence[str]) -> list[RemoteSession]:
        """Open them, and follow each."""
        if type(count) is not int or count < 1:
            raise ConfigInvalid(
                what=f"a session cannot be forked {count!r} times",
                why="the number of branches is whole, and at least 1",
                how="Give 8, say",
            )
        told = await self.ask("fork", {**self._key(), "count": count, "names": list(names)})
        branches = []
        for fields in told["sessions"]:
            branches.append(await self.follow(fields))
            self._held.append(branches[-1])
        return branches

    async def snapshot(self, name: str) -> SnapshotInfo:
        """Keep the session's state."""
        told = await self.ask("snapshot", {**self._key(), "name": name})
        return snapshot_of(told)

    async def close_all(self) -> None:
        """End those that there are."""
        while self._held:
            await self._held.pop().close()

    def _key(self) -> Mapping[str, str]:
        return {"key": f"{self.prefix}.b{next(self._numbers)}"}


def snapshot_of(told: Mapping[str, Any]) -> SnapshotInfo:
    """What an answer tells of a snapshot."""
    return SnapshotInfo(**{name: told[name] for name in attrs.fields_dict(SnapshotInfo)})
