"""The branches and snapshots of a session on a service, as those of a session of one's own.

Owns the requests, and the branches that are to end with the session. Must not know connections.
Each request has a key of its own, so that it is carried out once, however often the connection is
lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import anyio
import attrs

from pyrepl3.errors import ConfigInvalid, PyreplError, SessionLost
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
    start: Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
    """Runs it to its end beside its caller, while there is a connection to be had."""
    close: Callable[[str], None]
    """Has a session closed, by its id, and does not wait for that."""
    prefix: str
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)
    _held: list[RemoteSession] = attrs.field(factory=list, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    async def fork(self, count: int, names: Sequence[str]) -> list[RemoteSession]:
        """Open them, and follow each."""
        if type(count) is not int or count < 1:
            raise ConfigInvalid(
                what=f"a session cannot be forked {count!r} times",
                why="the number of branches is whole, and at least 1",
                how="Give 8, say",
            )
        forking = _Forking({**self._key(), "count": count, "names": list(names)})
        self.start(partial(self._carry_out, forking))
        try:
            await forking.is_done.wait()
        except BaseException:
            forking.is_wanted = False
            for branch in forking.branches or ():  # it was cancelled when they had just come
                self.close(branch.id)
            raise
        return self._taken(forking)

    async def _carry_out(self, forking: _Forking) -> None:
        """Also where its caller does not wait any more: what is opened then is closed."""
        try:
            told = await self.ask("fork", forking.fields)
            opened = told["sessions"]
            followed: list[RemoteSession] = []
            try:
                followed += [await self.follow(each) for each in opened if forking.is_wanted]
            finally:
                if forking.is_wanted and not self._is_closed and len(followed) == len(opened):
                    forking.branches = followed
                    self._held += followed
                else:  # nobody wants them any more, or one cannot be followed
                    for each in opened:
                        self.close(each["session"])
        except PyreplError as error:
            forking.error = error
        finally:
            forking.is_done.set()

    def _taken(self, forking: _Forking) -> list[RemoteSession]:
        if forking.error is not None:
            raise forking.error
        if forking.branches is None:
            raise SessionLost(
                what="the branches are gone",
                why="the session that they were forked from was closed meanwhile",
                how="Fork another session",
            )
        return forking.branches

    async def snapshot(self, name: str) -> SnapshotInfo:
        """Keep the session's state."""
        told = await self.ask("snapshot", {**self._key(), "name": name})
        return snapshot_of(told)

    async def close_all(self) -> None:
        """End those that there are."""
        self._is_closed = True
        while self._held:
            await self._held.pop().close()

    def _key(self) -> Mapping[str, str]:
        return {"key": f"{self.prefix}.b{next(self._numbers)}"}


@attrs.define(eq=False)
class _Forking:
    """A fork under way."""

    fields: Mapping[str, Any]
    is_done: anyio.Event = attrs.field(factory=anyio.Event)
    is_wanted: bool = True
    branches: list[RemoteSession] | None = None
    error: PyreplError | None = None


def snapshot_of(told: Mapping[str, Any]) -> SnapshotInfo:
    """What an answer tells of a snapshot."""
    return SnapshotInfo(**{name: told[name] for name in attrs.fields_dict(SnapshotInfo)})
