"""A session's errors, in words: what went wrong, why, and how to mend it."""

from __future__ import annotations

from pyrepl3.errors import (
    Code,
    CodeTooLarge,
    ExecutionNotFound,
    PyreplError,
    QueueFull,
    SessionLost,
)
from pyrepl3.events import Error
from pyrepl3.session.session_records import Job


def session_closed(cause: str = "it was closed") -> PyreplError:
    """A request to a session that has ended."""
    return SessionLost(
        what="the session is gone",
        why=cause,
        how="Open a new session; its variables start empty",
        details={"cause": cause},
    )


def queue_full(limit: int) -> PyreplError:
    """Too many wait already."""
    return QueueFull(
        what="the execution was not queued",
        why=f"{limit} already wait in this session",
        how="Wait for one of them, or raise Limits.queued_executions",
        details={"limit": limit},
    )


def code_too_large(size_bytes: int, limit: int) -> PyreplError:
    """The code is over the limit."""
    return CodeTooLarge(
        what=f"the code has {size_bytes} bytes",
        why=f"the limit is {limit}",
        how="Put the data into a file, or raise Limits.code_bytes",
        details={"size_bytes": size_bytes, "limit": limit},
    )


def not_found(execution: str) -> PyreplError:
    """An interrupt of what is not under way."""
    return ExecutionNotFound(
        what=f"there is no execution {execution!r} to interrupt",
        why="it has ended, or never was in this session",
        how="Interrupt what runs by naming no execution",
        details={"execution": execution},
    )


def never_ran(job: Job) -> Error | PyreplError:
    """The end of a job that was called off while it waited."""
    if job.execution is None:
        return session_closed("it was called off while it waited")
    return Error(
        execution=job.execution,
        name="KeyboardInterrupt",
        value="interrupted while it waited: nothing of it ran",
        traceback=[],
        code=str(Code.INTERRUPTED),
        state="kept",
    )


def lost_waiting(job: Job) -> Error | PyreplError:
    """The end of a job that waited when its session ended."""
    if job.execution is None:
        return session_closed("it ended while the question waited")
    return Error(
        execution=job.execution,
        name="SessionLost",
        value="the session ended while this waited: nothing of it ran",
        traceback=[],
        code=str(Code.SESSION_LOST),
        state="lost",
    )
