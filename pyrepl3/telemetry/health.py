"""Whether the service lives, and whether it can serve: what `/healthz` and `/readyz` answer.

Pure: figures in, an answer out. Both routes need no token, so they tell nothing but yes or no;
the reasons are for logs and for an admin. Must not know HTTP beyond a status.
"""

from __future__ import annotations

from collections.abc import Collection

import attrs

from pyrepl3.config import DEFAULT_TEMPLATE, PoolConfig
from pyrepl3.pool.pool_statistics import PoolStatistics

CONTENT_TYPE = "text/plain; charset=utf-8"


@attrs.frozen
class HealthAnswer:
    """A response, whole."""

    status: int
    body: bytes
    content_type: str = CONTENT_TYPE


def liveness() -> HealthAnswer:
    """Of `/healthz`. Whoever can answer lives: a tree that cannot be restarted ends the process."""
    return HealthAnswer(200, b"ok\n")


def readiness(reasons: Collection[str]) -> HealthAnswer:
    """Of `/readyz`, from what `unready_reasons` found."""
    return HealthAnswer(503, b"not ready\n") if reasons else HealthAnswer(200, b"ok\n")


def unready_reasons(
    pool: PoolStatistics,
    config: PoolConfig,
    *,
    templates: Collection[str] = (DEFAULT_TEMPLATE,),
    is_draining: bool = False,
) -> tuple[str, ...]:
    """Why a client that came now would get no session soon; empty: it would get one.

    A pool that is still warming up is ready: who comes only waits for the first start. An idle
    session of whatever template will do, as it gives way where there is no room.
    """
    reasons: list[str] = []
    if is_draining:
        reasons.append("the service is ending")
    if not _can_start(pool, templates):
        reasons.append("sessions fail to start")
    sessions = pool.starting + pool.idle + pool.leased + pool.stopping
    if not pool.idle and sessions >= config.max_sessions:
        reasons.append("every session is in use, and there is no room for more")
    return tuple(reasons)


def _can_start(pool: PoolStatistics, templates: Collection[str]) -> bool:
    """Whether the template that most clients want starts; any, where none is the default."""
    if DEFAULT_TEMPLATE in templates:
        return DEFAULT_TEMPLATE not in pool.open_breakers
    return not set(templates) <= set(pool.open_breakers)
