"""What requests over REST are answered: attrs classes.

Owns the names and types, from which the OpenAPI document is made. Must not know HTTP.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta

from pyrepl3.effects import NamespaceReport, Uncovered

State = Literal["kept", "rolled_back", "lost", "unknown"]
Standing = Literal["open", "closed", "died", "expired"]


@attrs.frozen(kw_only=True)
class SessionOpened:
    """A session that was opened."""

    session: str
    name: str | None
    template: str
    isolation: str
    pid: int
    warm: bool
    wait_s: float


@attrs.frozen(kw_only=True)
class Session:
    """How a session stands."""

    session: str
    name: str | None
    template: str
    standing: Standing
    opened_at: Annotated[float, Meta(description="Seconds since 1970.")]
    last_used_at: float
    running: Annotated[str | None, Meta(description="The execution that runs.")]
    queued: int
    attached: int
    in_transaction: bool
    history_count: Annotated[int, Meta(description="How many executions can be undone at most.")]
    oldest_seq: int
    last_seq: int
    metadata: dict[str, Any]


@attrs.frozen(kw_only=True)
class Sessions:
    """All of yours that can still be read."""

    sessions: list[Session]


@attrs.frozen(kw_only=True)
class Logs:
    """What it printed. ``truncated``: there was more; its events have all that is kept."""

    stdout: str
    stderr: str
    truncated: bool


@attrs.frozen(kw_only=True)
class Outcome:
    """How an execution ended.

    Of type `result`: `value` (where JSON has it), `repr`, `data` (a MIME bundle) … Of type `error`:
    `name`, `value`, `traceback`, `code` (null for an exception of the code's own) and `state`;
    `exit_status` is that of `sys.exit`, and `details.exit_status` that of a process that ended.
    """

    type: Literal["result", "error"]
    session: str
    execution: str
    seq: Annotated[int, Meta(description="The number of its last event.")]
    logs: Logs
    displays: Annotated[list[dict[str, Any]], Meta(description="What it displayed: MIME bundles.")]
    value: Any = None
    repr: str | None = None
    has_value: bool | None = None
    data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    execution_count: int | None = None
    duration_s: float | None = None
    usage: dict[str, Any] | None = None
    name: str | None = None
    traceback: list[str] | None = None
    code: str | None = None
    state: State | None = None
    exit_status: int | None = None
    details: dict[str, Any] | None = None
    lost_since: Annotated[
        list[str] | None,
        Meta(description="Executions before it that were told as kept, and that a crash undid."),
    ] = None
    by_reference: Annotated[
        list[str] | None,
        Meta(
            description="Where variables were copied (`allow_copy`): those that could not be, and "
            "that nothing undoes."
        ),
    ] = None
    namespace: Annotated[
        NamespaceReport | None, Meta(description="Left out where it was not asked for.")
    ] = None
    uncovered: Annotated[
        list[Uncovered] | None,
        Meta(
            description="What it did that no roll back undoes, as far as it was seen. "
            "Left out where no snapshot was open."
        ),
    ] = None


@attrs.frozen(kw_only=True)
class Execution:
    """How an execution stands; with its outcome, once it has one that can still be read."""

    session: str
    execution: str
    state: Literal["queued", "running", "ended"]
    since: Annotated[int, Meta(description="Its events come behind that number.")]
    outcome: Outcome | None = None


@attrs.frozen(kw_only=True)
class Interrupted:
    """What an interrupt came to; by `nothing` where nothing ran."""

    session: str
    execution: str | None
    by: Literal["signal", "kill", "nothing"]
    state: State


@attrs.frozen(kw_only=True)
class Transacted:
    """Whether a transaction is open now."""

    session: str
    in_transaction: bool


@attrs.frozen(kw_only=True)
class Forked:
    """The new sessions."""

    session: str
    sessions: list[SessionOpened]


@attrs.frozen(kw_only=True)
class Snapshot:
    """A kept snapshot."""

    name: str
    template: str
    session: Annotated[str, Meta(description="The pool's id of the session that it is of.")]
    pid: int
    taken_at: Annotated[float, Meta(description="Seconds since 1970.")]
    private_bytes: Annotated[int, Meta(description="The memory that is kept for it alone.")]


@attrs.frozen(kw_only=True)
class Snapshots:
    """The oldest first."""

    snapshots: list[Snapshot]


@attrs.frozen(kw_only=True)
class Retraced:
    """The first execution that was undone, or the one that is there again."""

    session: str
    execution: str


@attrs.frozen(kw_only=True)
class HistoryEntry:
    """An execution that can be undone, or redone."""

    execution: str
    private_bytes: Annotated[int, Meta(description="The memory that is kept for that alone.")]
    taken_at: Annotated[float, Meta(description="When it began, in seconds since 1970.")]


@attrs.frozen(kw_only=True)
class SessionHistory:
    """What can be undone (`entries`) and redone (`undone`), the oldest first."""

    session: str
    entries: list[HistoryEntry]
    undone: list[HistoryEntry]
    dropped: Annotated[int, Meta(description="How many gave way to newer ones so far.")]
    count: Annotated[int, Meta(description="How many there may be; 0: none is kept.")]
    bytes: Annotated[int, Meta(description="How much memory they may hold.")]
    private_bytes: Annotated[int, Meta(description="How much they hold.")]


@attrs.frozen(kw_only=True)
class InputTaken:
    """The line was taken."""

    session: str
    input: str


@attrs.frozen(kw_only=True)
class StoredFile:
    """A file that was written."""

    path: str
    bytes: int
    sha256: str


@attrs.frozen(kw_only=True)
class DirectoryEntry:
    """What is in a directory. ``bytes``: of a file."""

    name: str
    kind: Literal["file", "directory", "other"]
    bytes: int | None
    modified_at: float


@attrs.frozen(kw_only=True)
class Directory:
    """A directory, its entries by name."""

    path: str
    entries: list[DirectoryEntry]


@attrs.frozen(kw_only=True)
class Pool:
    """The pool's figures, for admins: sessions now, and what was seen since it was opened."""

    starting: int
    idle: int
    leased: int
    stopping: int
    waiting: int
    hits: int
    misses: int
    hit_rate: float
    timeouts: int
    started: int
    start_failures: int
    deaths: int
    breaker_openings: int
    open_breakers: list[str]


@attrs.frozen(kw_only=True)
class Problem:
    """What went wrong (RFC 9457): `what`, `why`, and `how` to mend it."""

    title: str
    status: int
    detail: str
    type: str | None = None
    code: str | None = None
    what: str | None = None
    why: str | None = None
    how: str | None = None
    retryable: bool | None = None
    details: dict[str, Any] | None = None


ANSWERS = (
    SessionOpened,
    Session,
    Sessions,
    Outcome,
    Execution,
    Interrupted,
    Transacted,
    Forked,
    Snapshot,
    Snapshots,
    Retraced,
    SessionHistory,
    InputTaken,
    StoredFile,
    Directory,
    Pool,
    Problem,
)
