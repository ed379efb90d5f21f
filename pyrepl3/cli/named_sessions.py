"""Which session of a service's list is meant by an id or a name, and how one ended, in words.

Pure. Must not know how the list was got.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyrepl3.snapshots.snapshot_messages import SnapshotInfo

Info = Mapping[str, Any]
"""A session of `list_sessions`, as docs/protocol.md has it."""

_ENDS = {
    "closed": "it was closed",
    "died": "its process has ended",
    "expired": "nothing ran in it, and nobody was attached to it, for its idle_timeout_s",
}


def find_named(sessions: Sequence[Info], name: str) -> Info | None:
    """The one of that id; or of those that have or had that name the open one, else the latest.

    ``sessions``: in the order in which they were opened. Names are used again: of those that are
    open each is one session's, and ended ones are remembered for a while.
    """
    for session in sessions:
        if session["session"] == name:
            return session
    so_named = [session for session in sessions if session["name"] == name]
    are_open = [session for session in so_named if session["standing"] == "open"]
    meant = are_open or so_named
    return meant[-1] if meant else None


def describe_end(standing: str) -> str:
    """Of a session that is not open any more: why."""
    return _ENDS.get(standing, "the service ended it")


def describe_snapshot(snapshot: SnapshotInfo) -> str:
    """One line of a list."""
    held = snapshot.private_bytes / 2**20
    return f"{snapshot.name}  {snapshot.template}  {held:.1f} MiB\n"
