"""What connections ask of hosted sessions and their host, and what they are answered.

Owns the vocabulary between `endpoint/` and `hosting/`. Must not hold behaviour. Whoever takes a
message with a reply in it answers or closes that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from actors import Address, Reply
from pyrepl3.client.editing import Completeness, Completion, Inspection
from pyrepl3.client.history import History
from pyrepl3.client.session import Branch
from pyrepl3.events import DroppedEntry, InterruptOutcome
from pyrepl3.journal.journal import Journal
from pyrepl3.messages import RetraceKind, TransactionKind
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo
from pyrepl3.wire import client_requests as wire

Standing = Literal["open", "closed", "died", "expired"]
"""What has become of a session. All but the first are for good; its journal is kept for a while."""


@attrs.frozen(kw_only=True)
class SessionInfo:
    """A session, as lists show it."""

    session: str
    name: str | None
    template: str
    standing: Standing
    opened_at: float
    """Seconds since 1970, by the service's clock; the next one too."""
    last_used_at: float
    running: str | None
    """The execution that runs."""
    queued: int
    attached: int
    """Connections that its events go to."""
    in_transaction: bool
    """Whether a transaction is open, as far as the session's process has told."""
    history_count: int
    """How many executions can be undone at most; 0: no history is kept."""
    oldest_seq: int
    last_seq: int
    metadata: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Opened:
    """A session that was opened, or found."""

    session: str
    template: str
    journal: Journal
    address: Address[HostedMessage]
    directory: str
    """The one that it was started in, absolute."""
    pid: int
    """Its process, for people and logs."""
    warm: bool
    wait_s: float


@attrs.frozen(kw_only=True)
class Accepted:
    """An execution is taken, now or by an earlier request with the same id.

    ``position``: how many are before it, 0 for one that runs. ``since``: the event before its
    first one.
    """

    execution: str
    position: int
    again: bool
    since: int


ExecutionState = Literal["queued", "running", "ended"]


@attrs.frozen(kw_only=True)
class ExecutionInfo:
    """How one execution stands.

    ``since``: the event before its first one. ``last_seq``: its terminal event, once it has ended.
    """

    execution: str
    state: ExecutionState
    since: int
    last_seq: int | None


# --- to a hosted session ------------------------------------------------------------------------


@attrs.frozen
class Submit:
    """Run code, once for each id. Raises IdConflict, QueueFull, CodeTooLarge, SessionLost …, and
    ExecutionNotFound where its ``again_since`` says that it may have run and been forgotten."""

    request: wire.Execute
    reply: Reply[Accepted]


@attrs.frozen
class Respond:
    """The line for one input request; with ``again`` the same line is taken once more.

    Raises AlreadyAnswered, ExecutionNotFound.
    """

    input: str
    data: str | None
    reply: Reply[None]
    again: bool = False


@attrs.frozen
class InterruptHosted:
    """Raises ExecutionNotFound, SessionLost."""

    execution: str | None
    grace_s: float | None
    reply: Reply[tuple[str | None, InterruptOutcome]]


@attrs.frozen
class Transact:
    """Begin a transaction, commit it or roll it back, once for each ``key``: who sends it again
    is answered with what it came to.

    Raises TransactionActive, NoTransaction, SnapshotUnavailable, SessionLost, IdConflict, and
    NoTransaction where its ``again_since`` says that it may have been heard and been forgotten.
    """

    kind: TransactionKind
    key: str | None
    reply: Reply[None]
    again_since: int | None = None
    of: str | None = None
    """The key of the beginning of the one that is to end; None: whichever is open."""


@attrs.frozen
class Retrace:
    """Undo or redo, once for each ``key``, as of `Transact`; answered with the execution that is
    the first to be undone, or is there again. ``to``: all is undone that came after that one.

    Raises ExecutionNotFound, also where it may have been heard and been forgotten,
    TransactionActive, SessionLost, IdConflict.
    """

    kind: RetraceKind
    to: str | None
    key: str | None
    reply: Reply[str]
    again_since: int | None = None


@attrs.frozen
class KeepHistory:
    """New bounds of its history; answered with what gives way to them. Raises SessionLost."""

    count: int
    bytes: int | None
    """None: as much as is kept where nobody says it."""
    reply: Reply[Sequence[DroppedEntry]]


@attrs.frozen
class TellHistory:
    """What can be undone and redone. Raises SessionLost."""

    reply: Reply[History]


@attrs.frozen
class Fork:
    """New sessions with this one's state, all or none, once for each ``key``; each is hosted as
    this one is, and answered as one that was opened. ``names``: of the first ones.

    Raises as `Session.fork`, RateLimited over ``at_most`` open ones, IdConflict.
    """

    count: int
    names: Sequence[str]
    key: str | None
    reply: Reply[Sequence[Opened]]
    at_most: int | None = None
    again_since: int | None = None


@attrs.frozen
class KeepSnapshot:
    """Keep this session's state under that name, once for each ``key``. Raises as
    `Session.snapshot`, and RateLimited where its principal keeps ``at_most`` already."""

    name: str
    key: str | None
    reply: Reply[SnapshotInfo]
    at_most: int | None = None
    again_since: int | None = None


@attrs.frozen
class Edit:
    """A question of an editor."""

    request: wire.Complete | wire.Inspect | wire.IsComplete
    reply: Reply[Completion | Inspection | Completeness]


@attrs.frozen
class Attached:
    """One more connection follows its events."""


@attrs.frozen
class Detached:
    """One connection less; ``has_left``: its client may have gone, and not only have all that it
    asked for."""

    has_left: bool = True


@attrs.frozen
class Describe:
    """How it stands."""

    reply: Reply[SessionInfo]


@attrs.frozen
class Amend:
    """New metadata, or another time that it may be idle; None: as it is. Raises SessionLost."""

    metadata: Mapping[str, Any] | None
    idle_timeout_s: float | None
    reply: Reply[SessionInfo]


@attrs.frozen
class FindExecution:
    """How that execution stands, also in a session that has ended. Raises ExecutionNotFound."""

    execution: str
    reply: Reply[ExecutionInfo]


@attrs.frozen
class CloseHosted:
    """End it. Answered when it has ended, as it was closed or before."""

    reply: Reply[None]


HostedMessage = (
    Submit
    | Respond
    | InterruptHosted
    | Transact
    | Retrace
    | KeepHistory
    | TellHistory
    | Fork
    | KeepSnapshot
    | Edit
    | Attached
    | Detached
    | Describe
    | Amend
    | FindExecution
    | CloseHosted
)


# --- to the host --------------------------------------------------------------------------------


@attrs.frozen
class OpenHosted:
    """A new session of this principal. Raises what an acquisition raises, ConfigInvalid, IdConflict
    and RateLimited."""

    principal: str
    request: wire.OpenSession
    reply: Reply[Opened]
    at_most: int | None = None
    """How many open sessions this principal may have; None: as many as the pool has."""


@attrs.frozen
class Find:
    """The session of that id or name, if it is this principal's. Raises SessionNotFound."""

    principal: str
    session: str
    reply: Reply[Opened]


@attrs.frozen
class ListHosted:
    """All sessions of this principal that can still be read."""

    principal: str
    reply: Reply[list[SessionInfo]]


@attrs.frozen
class DrainHost:
    """Take nothing new, and close each session when what it was sent has ended; answered then."""

    reply: Reply[None]


@attrs.frozen
class ListSnapshots:
    """Those that this principal has kept, the oldest first. Raises ShuttingDown."""

    principal: str
    reply: Reply[Sequence[SnapshotInfo]]


@attrs.frozen
class DropSnapshot:
    """Nobody opens sessions from it any more. Raises SnapshotNotFound, ShuttingDown."""

    principal: str
    name: str
    reply: Reply[None]


@attrs.frozen
class HostBranches:
    """These were forked from a hosted session, and are hosted from now on as that one is. They are
    the receiver's, and closed where nobody hears of them."""

    parent: str
    branches: Sequence[Branch]
    names: Sequence[str]
    reply: Reply[Sequence[Opened]]


HostMessage = (
    OpenHosted | Find | ListHosted | DrainHost | ListSnapshots | DropSnapshot | HostBranches
)
