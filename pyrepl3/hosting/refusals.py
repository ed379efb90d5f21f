"""The errors of hosted sessions, in words: what went wrong, why, and how to mend it."""

from __future__ import annotations

from pyrepl3.errors import (
    AlreadyAnswered,
    BadMessage,
    Code,
    ExecutionNotFound,
    IdConflict,
    InternalError,
    PyreplError,
    QueueFull,
    RateLimited,
    SessionLost,
    SessionNotFound,
    ShuttingDown,
    SnapshotNotFound,
)
from pyrepl3.events import Error

_ENDS = {
    "closed": "it was closed",
    "died": "its process has ended",
    "expired": "nothing ran in it, and nobody was attached to it, for its idle_timeout_s",
}


LIST = "(`pyrepl3 session ls`, list_sessions, GET /v1/sessions)"
"""For whoever asks: a person, a program, or a client of any language."""


def session_over(standing: str) -> PyreplError:
    """A request to a session that has ended."""
    return SessionLost(
        what="the session is gone",
        why=_ENDS.get(standing, "the service ends it"),
        how="Open a new session; its variables start empty",
        details={"standing": standing},
    )


def not_opened() -> PyreplError:
    """It failed, and nobody knows why but the log."""
    return InternalError(
        what="the session was not opened",
        why="PyREPL3 itself failed: its log has more",
        how="Try it again; report it, with the service's log",
    )


def service_ending() -> PyreplError:
    """There is no host any more."""
    return ShuttingDown(
        what="the request was not taken",
        why="the service is ending",
        how="Connect again later",
    )


def session_not_found(session: str) -> PyreplError:
    """There is none; or it is another's, which nobody is told."""
    return SessionNotFound(
        what=f"there is no session {session}",
        why="none was opened under that id since the service was started, or it ended too long ago",
        how=f"List the sessions that there are {LIST}",
        details={"session": session},
    )


def key_taken(key: str) -> PyreplError:
    """A one-shot's key that came before, with a request that was not the same."""
    return IdConflict(
        what=f"the key {key} is that of another request",
        why="it was sent before, with another body",
        how="Give each request a key of its own; the same one only to send the same again",
        details={"execution": key},
    )


def name_taken(name: str) -> PyreplError:
    """Names are one a session."""
    return IdConflict(
        what=f"there is a session {name!r} already",
        why="each of a principal's sessions has a name of its own",
        how="Attach to that one, close it, or choose another name",
        details={"name": name},
    )


def too_many_sessions(at_most: int) -> PyreplError:
    """Its principal has as many as it may have."""
    return RateLimited(
        what="no session was opened",
        why=f"you may have {at_most} open at a time, and you have",
        how=f"Close one of those that there are {LIST}",
        details={"limit": at_most},
    )


def more_names_than_branches(names: int, count: int) -> PyreplError:
    """Of one fork."""
    return BadMessage(
        what=f"there are {names} names for {count} branches",
        why="each name is that of one branch",
        how="Name as many as there are, or fewer: the others have none",
    )


def snapshot_name_taken(name: str) -> PyreplError:
    """By another one of the same principal."""
    return IdConflict(
        what=f"there is a snapshot {name!r} already",
        why="a name is that of one snapshot",
        how="Drop that one, or choose another name",
        details={"name": name},
    )


def snapshot_not_found(name: str) -> PyreplError:
    """Or it is another principal's, which looks the same."""
    return SnapshotNotFound(
        what=f"there is no snapshot {name!r}",
        why="none of that name was kept, or it was dropped, or its process has ended",
        how="Keep one with `snapshot`; `list_snapshots` tells those that there are",
        details={"name": name},
    )


def too_many_snapshots(at_most: int) -> PyreplError:
    """Its principal keeps as many as it may have sessions."""
    return RateLimited(
        what="no snapshot was kept",
        why=f"you may keep {at_most} at a time, as many as you may have sessions, and you do",
        how="Drop one of those that there are (`pyrepl3 session snapshots`, list_snapshots)",
        details={"limit": at_most},
    )


def queue_full(limit: int) -> PyreplError:
    """Too many wait already."""
    return QueueFull(
        what="the execution was not queued",
        why=f"{limit} already wait in this session",
        how="Wait for one of them, or raise Limits.queued_executions",
        details={"limit": limit},
    )


def no_execution(execution: str) -> PyreplError:
    """There was none of that id, or it was forgotten with its events."""
    return ExecutionNotFound(
        what=f"there is no execution {execution} in this session",
        why="none was sent under that id, or it ended so long ago that its events are gone",
        how="An execution is remembered for as long as the journal holds its last event",
        details={"execution": execution},
    )


def no_input(number: str, *, answered: bool) -> PyreplError:
    """Nobody waits for that line."""
    if answered:
        return AlreadyAnswered(
            what=f"input {number} has its answer already",
            why="each request takes one answer, and the first one counts",
            how="Answer the next input",
            details={"input": number},
        )
    return ExecutionNotFound(
        what=f"nothing waits for input {number}",
        why="no execution of this session asked for it",
        how="Send the 'input' that came with the event",
        details={"input": number},
    )


def as_outcome(execution: str, error: PyreplError) -> Error:
    """An execution that was accepted here, and then refused by the session: nothing of it ran."""
    return Error(
        execution=execution,
        name="Refused",
        value=f"{error.what}: {error.why}",
        traceback=[],
        code=error.code,
        state="lost" if isinstance(error, SessionLost) else "kept",
        details=dict(error.details),
    )


def outcome_unknown(execution: str) -> Error:
    """The session's actors ended without a word: a restart of the service's tree, say."""
    return Error(
        execution=execution,
        name="SessionLost",
        value="the service lost the session while this ran",
        traceback=[],
        code=Code.INTERNAL_ERROR,
        state="unknown",
    )
