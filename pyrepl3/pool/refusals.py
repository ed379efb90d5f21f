"""The pool's errors, in words: what went wrong, why, and how to mend it."""

from __future__ import annotations

from pyrepl3.config import PoolConfig
from pyrepl3.errors import (
    PoolDegraded,
    PoolExhausted,
    PyreplError,
    ShuttingDown,
    SnapshotNotFound,
    WorkerSpawnFailed,
)
from pyrepl3.pool.breaker import Breaker
from pyrepl3.pool.pool_records import TemplateRecord, Waiter


def exhausted(
    waiter: Waiter, record: TemplateRecord, config: PoolConfig, *, sessions: int
) -> PyreplError:
    """No session by the deadline: because all are taken, none was ready so soon, or starts fail.

    ``sessions`` is how many there are, in whichever phase.
    """
    if record.breaker.last_error is not None:
        return spawn_failed(record.name, record.breaker.last_error)
    waited_s = max(0.0, round(waiter.deadline - waiter.since, 3))
    what = f"no session of template {record.name!r} came free in {waited_s} s"
    details = {"template": record.name, "max_sessions": config.max_sessions}
    if sessions < config.max_sessions:
        return PoolExhausted(
            what=what,
            why="none was idle, and to start one takes longer",
            how="Wait longer for one, or raise PoolConfig.min_idle",
            details=details,
        )
    return PoolExhausted(
        what=what,
        why=f"all {config.max_sessions} sessions are in use, starting or stopping",
        how="Try again later, release sessions sooner, or raise PoolConfig.max_sessions",
        details=details,
    )


def spawn_failed(template: str, error: PyreplError) -> PyreplError:
    """The last failure of a start, told to a caller who waited for it."""
    return WorkerSpawnFailed(
        what=f"no session of template {template!r} could be started",
        why=f"{error.what}: {error.why}",
        how=error.how,
        details={"template": template, **error.details},
    )


def degraded(template: str, breaker: Breaker, *, now: float) -> PyreplError:
    """The breaker is open: nothing is tried until it half-opens."""
    retry_after_s = max(0.0, round(breaker.retry_at - now, 3))
    last = breaker.last_error
    why = f"{breaker.failures} starts in a row failed"
    if last is not None:
        why += f", the last one so: {last.what}: {last.why}"
    return PoolDegraded(
        what=f"sessions of template {template!r} fail to start",
        why=why,
        how=f"Mend the template; the next try is in {retry_after_s} s",
        details={"template": template, "retry_after_s": retry_after_s},
    )


def snapshot_gone() -> PyreplError:
    """It was dropped, or its process has died, while it was asked for."""
    return SnapshotNotFound(
        what="there is no such snapshot any more",
        why="it was dropped, or its process has ended",
        how="Take it again, or open a session of a template",
    )


def too_many_at_once(count: int, most: int) -> PyreplError:
    """More branches than there can ever be."""
    return PoolExhausted(
        what=f"{count} branches at once cannot be had",
        why=f"the pool has room for {most} sessions besides the one that is forked",
        how="Ask for fewer, or raise PoolConfig.max_sessions",
        details={"count": count, "most": most},
    )


def shutting_down() -> PyreplError:
    """The supervisor ends."""
    return ShuttingDown(
        what="no session is handed out any more",
        why="the supervisor is shutting down",
        how="Open a new supervisor",
    )
