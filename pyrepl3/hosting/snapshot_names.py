"""The names of hosted snapshots: each principal has its own, which no other sees.

Pure. A service's program sees all of them, with their principals' names before them.
"""

from __future__ import annotations

import attrs

from pyrepl3.snapshots.snapshot_messages import SnapshotInfo

_BETWEEN = "/"


def _owner(principal: str) -> str:
    """Before the first `/` of a name there is no other one, whatever a principal is called."""
    return principal.replace("%", "%25").replace(_BETWEEN, "%2F") + _BETWEEN


def stored(principal: str, name: str) -> str:
    """As the supervisor keeps it."""
    return _owner(principal) + name


def is_of(principal: str, info: SnapshotInfo) -> bool:
    """Whether that principal has kept it."""
    return info.name.startswith(_owner(principal))


def shown(principal: str, info: SnapshotInfo) -> SnapshotInfo:
    """As its principal knows it."""
    return attrs.evolve(info, name=info.name.removeprefix(_owner(principal)))
