"""What the keeper of snapshots is asked for, and what a snapshot looks like from outside.

Owns the vocabulary between it and who takes, lists and drops snapshots. Must not hold behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from actors import Answer, Reply
from pyrepl3.config import Limits
from pyrepl3.transport.copied_zygote import CopiedZygote


@attrs.frozen
class SnapshotInfo:
    """A kept snapshot: the state of a session at a moment, to open others from."""

    name: str
    template: str
    """That of the session whose state it is."""
    session: str
    """That session's id, which may have ended since."""
    pid: int
    """Of the process that holds it, for people and logs."""
    taken_at: float
    """Seconds since 1970, in UTC."""
    private_bytes: int
    """The memory that would be free without it, when this was told."""


@attrs.define(eq=False)
class KeepSnapshot:
    """Have sessions forked from this copy, which is the receiver's from then on.

    ``template`` is the name by which the pool and the spawners know it, which no other has. One
    without a ``name`` is not listed. Refused with IdConflict, SnapshotUnavailable.
    """

    template: str
    name: str | None
    lineage: Sequence[str]
    """What the session was of: a snapshot, what that one was of, and so on up to a template."""
    session: str
    limits: Limits
    zygote: CopiedZygote
    reply: Reply[SnapshotInfo]


@attrs.define(eq=False)
class DropSnapshot:
    """Its name is free at once; its process ends when the pool has ``emptied`` it."""

    template: str
    emptied: Answer[None]
    reply: Reply[None]


@attrs.define(eq=False)
class ListSnapshots:
    """Those that have a name, by what the pool calls them, the oldest first, with their limits."""

    reply: Reply[dict[str, tuple[SnapshotInfo, Limits]]]


SnapshotsMessage = KeepSnapshot | DropSnapshot | ListSnapshots
