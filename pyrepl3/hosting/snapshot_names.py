"""The names of hosted snapshots: each principal has its own, which no other sees.

Pure. A service's program sees all of them, with their principals' names before them.
"""

from __future__ import annotations

import attrs

from pyrepl3.snapshots.snapshot_messages import SnapshotInfo

_BETWEEN = "/"


def stored(principal: str, name: str) -> str:
    """As the supervisor keeps it."""
    return f"{principal}{_BETWEEN}{name}"


def is_of(principal: str, info: SnapshotInfo) -> bool:
    """Whether that principal has kept it."""
    return info.name.startswith(principal + _BETWEEN)


def shown(principal: str, info: SnapshotInfo) -> SnapshotInfo:
    """As its principal knows it."""
    return attrs.evolve(info, name=info.name.removeprefix(principal + _BETWEEN))
