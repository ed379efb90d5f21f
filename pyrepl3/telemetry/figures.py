"""What the service is doing at one moment, as frozen objects that are read when figures are wanted.

Owns their shape. Must not know who collects them, nor what they are for.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from pyrepl3.pool.pool_statistics import PoolStatistics


@attrs.frozen(kw_only=True)
class HostStatistics:
    """Sessions of clients on the network."""

    sessions_open: int
    sessions_ended: int
    """That have ended, and can still be read."""
    executions_running: int
    executions_queued: int
    history_bytes: int
    """What the sessions' histories hold, about."""
    attachments: int
    """Places of connections in the journals of sessions."""
    journal_memory_bytes: int
    journal_disk_bytes: int
    is_draining: bool


@attrs.frozen(kw_only=True)
class Figures:
    """All of one service. ``restarts``: by actor; ``host``: None while there is none."""

    pool: PoolStatistics
    restarts: Mapping[str, int]
    host: HostStatistics | None = None
    snapshots: int = 0
    """Kept ones that sessions can be opened from by their names."""
