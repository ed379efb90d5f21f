"""What requests over REST may say, and what they are answered: attrs classes.

Owns the names, types and bounds, from which the OpenAPI document is made. Must not know
HTTP. As on the WebSocket, fields that are not known are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import attrs
import msgspec
from msgspec import Meta

from pyrepl3.config import Guard, TransactionPolicy
from pyrepl3.effects import NamespaceReport, Uncovered
from pyrepl3.wire.client_codec import bad_message
from pyrepl3.wire.client_requests import (
    MOST_BRANCHES,
    HistoryWish,
    LimitsWish,
    Metadata,
    Name,
    OnDisconnect,
    Seconds,
    Seq,
    in_words,
)

DOCS = "/docs has what may be asked"
State = Literal["kept", "rolled_back", "lost", "unknown"]
Standing = Literal["open", "closed", "died", "expired"]


# --- requests -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SessionWish:
    """A new session. All may be left out."""

    template: Name = "python"
    from_snapshot: Annotated[
        Name | None, Meta(description="A kept snapshot, in place of the template.")
    ] = None
    language: Name = "python"
    name: Annotated[Name | None, Meta(description="How people call it.")] = None
    cwd: Annotated[str | None, Meta(description="The directory that it starts in.")] = None
    env: dict[str, str] = attrs.field(factory=dict)
    limits: LimitsWish = attrs.field(factory=LimitsWish)
    idle_timeout_s: Annotated[
        Seconds | None,
        Meta(description="It is closed when so long nothing ran and nobody was attached."),
    ] = None
    acquire_timeout_s: Annotated[
        Seconds | None, Meta(description="How long to wait for it while none is free.")
    ] = None
    on_disconnect: Annotated[
        OnDisconnect,
        Meta(description="What happens to its executions when its last client leaves."),
    ] = "continue"
    transaction_policy: Annotated[
        TransactionPolicy | None, Meta(description="Of executions that name none.")
    ] = None
    guard: Annotated[Guard | None, Meta(description="Of executions that do not say.")] = None
    allow_copy: Annotated[
        bool | None,
        Meta(description="Of executions that do not say, and of transactions that are begun."),
    ] = None
    history: Annotated[
        HistoryWish | None, Meta(description="How many executions can be undone. Left out: none.")
    ] = None
    report_namespace: Annotated[bool | None, Meta(description="Of executions that do not say.")] = (
        None
    )
    metadata: Metadata = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class SessionChange:
    """What of a session is to be otherwise; the rest stays."""

    metadata: Metadata | None = None
    idle_timeout_s: Seconds | None = None
    history: Annotated[
        HistoryWish | None, Meta(description="What is more than that gives way at once.")
    ] = None


@attrs.frozen(kw_only=True)
class ExecutionWish:
    """Code to run. Its id is the header `Idempotency-Key`."""

    code: str
    timeout_s: Annotated[Seconds | None, Meta(description="Its deadline, from when it starts.")] = (
        None
    )
    transaction_policy: Annotated[
        TransactionPolicy | None,
        Meta(description="What becomes of the variables. Left out: as the session has it."),
    ] = None
    guard: Annotated[
        Guard | None,
        Meta(
            description="Whether a crash is undone, and the session goes on; `auto`: from the last "
            "snapshot that was cheap, and `lost_since` names what came since."
        ),
    ] = None
    allow_copy: Annotated[
        bool | None,
        Meta(
            description="Whether its variables are copied, for its policy, where its process "
            "cannot be."
        ),
    ] = None
    report_namespace: Annotated[
        bool | None, Meta(description="Whether it tells which names it added, changed and removed.")
    ] = None
    allow_input: Annotated[
        bool, Meta(description="Whether `input()` waits for an answer, or fails at once.")
    ] = True
    filename: str | None = None
    silent: Annotated[bool, Meta(description="Whether it leaves `_` and its count alone.")] = False


@attrs.frozen(kw_only=True)
class OneShot:
    """Code to run in a session of its own, which ends with it."""

    code: str
    timeout_s: Seconds | None = None
    template: Name = "python"
    env: dict[str, str] = attrs.field(factory=dict)
    limits: LimitsWish = attrs.field(factory=LimitsWish)
    acquire_timeout_s: Seconds | None = None
    transaction_policy: Annotated[
        TransactionPolicy | None, Meta(description="What its outcome tells of its variables.")
    ] = None
    guard: Annotated[
        bool | None, Meta(description="Whether a crash is told as undone, and not as lost.")
    ] = None


@attrs.frozen(kw_only=True)
class InterruptWish:
    """What to end; all may be left out."""

    execution: Annotated[Name | None, Meta(description="None: whatever runs.")] = None
    grace_s: Annotated[
        Seconds | None, Meta(description="How long it may take before its process is ended.")
    ] = None


@attrs.frozen(kw_only=True)
class InputLine:
    """The line for one `input` event, without its newline; null is the end of the input."""

    input: Name
    data: str | None


@attrs.frozen(kw_only=True)
class UndoWish:
    """How far to go back; may be left out: before the last execution."""

    to: Annotated[
        Name | None, Meta(description="All is undone that came after that execution.")
    ] = None


# --- answers ------------------------------------------------------------------------------------


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
class ForkWish:
    """How many sessions to fork; all or none."""

    count: Annotated[int, Meta(ge=1, le=MOST_BRANCHES)]
    names: Annotated[
        list[Name], Meta(max_length=MOST_BRANCHES, description="Of the first of them.")
    ] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Forked:
    """The new sessions."""

    session: str
    sessions: list[SessionOpened]


@attrs.frozen(kw_only=True)
class SnapshotWish:
    """The name under which a session's state is kept."""

    name: Name


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


REQUESTS = (
    SessionWish,
    SessionChange,
    ExecutionWish,
    OneShot,
    InterruptWish,
    InputLine,
    UndoWish,
    ForkWish,
    SnapshotWish,
)
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


def read(message: Mapping[str, Any], kind: type[Any]) -> Any:
    """The body that a map is. Raises BadMessage."""
    try:
        try:
            return msgspec.convert(message, kind)
        except msgspec.ValidationError:
            # To JSON 2.0 is the whole number that 2 is; Python's decoder tells them apart.
            return msgspec.convert(_with_whole_numbers(message), kind)
    except msgspec.ValidationError as error:
        why = f"the body is not as it has to be: {in_words(str(error))}"
        raise bad_message(why, how=DOCS) from None


__all__ = ["ANSWERS", "REQUESTS", "Seq", "read"]


def _with_whole_numbers(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _with_whole_numbers(each) for name, each in part.items()}
    if isinstance(part, list):
        return [_with_whole_numbers(each) for each in part]
    return int(part) if isinstance(part, float) and part.is_integer() else part
