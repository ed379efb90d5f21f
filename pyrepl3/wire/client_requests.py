"""What a client may ask over the WebSocket, as attrs classes, and the check that a map is one.

Owns the names, types and defaults of every request (protocol.md 2). Must not know bytes, nor what
comes of a request. Fields that are not known are ignored, so that a newer client can speak to an
older service; a type that is not known is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import attrs
import msgspec

from pyrepl3.config import HISTORY_BYTES, HISTORY_EXECUTIONS, Guard, TransactionPolicy
from pyrepl3.errors import UnknownType
from pyrepl3.wire.client_codec import bad_message

NAME_CHARACTERS = 128
"""Of an id or a name that a client chooses: room for any uuid or hash, and no more to remember."""
METADATA_ENTRIES = 64
MOST_BRANCHES = 1000
"""Of one request; the pool has a bound of its own."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS, pattern=r"\A[!-~]+\Z")]
"""Printable ASCII without spaces: it stands in logs, headers and paths as it is."""
RequestId = Name | Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Seconds = Annotated[float, msgspec.Meta(ge=0.001)]
"""As everywhere in the configuration."""
Count = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Seq = Annotated[int, msgspec.Meta(ge=0)]
OnDisconnect = Literal["continue", "interrupt"]
Metadata = Annotated[dict[str, Any], msgspec.Meta(max_length=METADATA_ENTRIES)]


@attrs.frozen(kw_only=True)
class LimitsWish:
    """Limits of one session, each within its template's; what is left out is the template's."""

    memory_bytes: Annotated[int, msgspec.Meta(ge=32 * 2**20)] | None = None
    execution_timeout_s: Seconds | None = None
    output_bytes: Count | None = None
    open_files: Annotated[int, msgspec.Meta(ge=16)] | None = None
    queued_executions: Count | None = None
    code_bytes: Annotated[int, msgspec.Meta(ge=1, le=8 * 2**20)] | None = None
    copied_bytes: Count | None = None


@attrs.frozen(kw_only=True)
class HistoryWish:
    """How much of a session's history is kept: ``count`` executions can be undone, in so many
    ``bytes`` of memory; 0: none."""

    count: Annotated[int, msgspec.Meta(ge=0, le=HISTORY_EXECUTIONS)]
    bytes: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] | None = None

    @property
    def most_bytes(self) -> int:
        """Where it does not say, as much as everywhere."""
        return HISTORY_BYTES if self.bytes is None else self.bytes


@attrs.frozen(kw_only=True)
class Request:
    """Every request has an id, which its answer names as ``reply_to``."""

    id: RequestId


@attrs.frozen(kw_only=True)
class Hello(Request):
    """The versions that a client speaks, the ones it likes best first."""

    versions: list[int]


@attrs.frozen(kw_only=True)
class OpenSession(Request):
    """A new session for this client's principal; its events come to this connection.

    ``name``: how people call it. ``idle_timeout_s``: it is closed when so long nothing ran and
    nobody was attached; None for the service's. ``on_disconnect``: what happens to its executions
    when the last connection that is attached to it ends. ``transaction_policy``, ``guard``,
    ``allow_copy`` and ``report_namespace`` are its executions', where they name none; None: its
    template's. ``history``: None: none is kept. ``from_snapshot``: one that was kept before, in
    place of the template.
    """

    template: Name = "python"
    from_snapshot: Name | None = None
    language: Name = "python"
    name: Name | None = None
    cwd: str | None = None
    env: dict[str, str] = attrs.field(factory=dict)
    limits: LimitsWish = attrs.field(factory=LimitsWish)
    idle_timeout_s: Seconds | None = None
    acquire_timeout_s: Seconds | None = None
    on_disconnect: OnDisconnect = "continue"
    transaction_policy: TransactionPolicy | None = None
    guard: Guard | None = None
    allow_copy: bool | None = None
    history: HistoryWish | None = None
    report_namespace: bool | None = None
    traceparent: str | None = None
    metadata: Metadata = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class OfSession(Request):
    """A request about one session."""

    session: Name


@attrs.frozen(kw_only=True)
class Attach(OfSession):
    """Its events from behind ``since`` on come to this connection; None: those to come."""

    since: Seq | None = None


@attrs.frozen(kw_only=True)
class Detach(OfSession):
    """Its events do not come to this connection any more."""


@attrs.frozen(kw_only=True)
class ListSessions(Request):
    """This principal's sessions."""


@attrs.frozen(kw_only=True)
class CloseSession(OfSession):
    """End it, and what runs in it."""


@attrs.frozen(kw_only=True)
class Execute(OfSession):
    """Run code. Sent again under the same ``execution``, it is the same one: it runs once.

    ``timeout_s``: its deadline from when it starts, None for the session's; ``transaction_policy``:
    what becomes of the variables; ``guard``: a crash is undone; ``allow_copy``: where its process
    cannot be copied, its variables are; ``report_namespace``: its end tells what it did to the
    session's names. ``traceparent``: the trace that it belongs to (W3C); what is none is ignored.
    ``again_since``: it may have been sent before, when that was the last event that its sender had;
    where it may have run since, and was forgotten, it does not run now.
    """

    execution: Name
    code: str
    timeout_s: Seconds | None = None
    transaction_policy: TransactionPolicy | None = None
    guard: Guard | None = None
    allow_copy: bool | None = None
    report_namespace: bool | None = None
    allow_input: bool = True
    filename: str | None = None
    silent: bool = False
    traceparent: str | None = None
    again_since: Seq | None = None


@attrs.frozen(kw_only=True)
class InputResponse(OfSession):
    """The line for one ``input`` event; None is the end of the input.

    ``again``: it may have been sent before; it is taken if it was, or is the first.
    """

    input: Name
    data: str | None
    again: bool = False


@attrs.frozen(kw_only=True)
class Interrupt(OfSession):
    """End what runs, or the execution that is named, by the ladder."""

    execution: Name | None = None
    grace_s: Seconds | None = None


@attrs.frozen(kw_only=True)
class Transact(OfSession):
    """About the session's transaction. Sent again under the same ``key`` it is the same request: it
    is carried out once, and answered as it was.

    ``again_since``: as of an execution; where it may have been heard since, and was forgotten, it
    is refused.
    """

    kind: ClassVar[Literal["begin", "commit", "rollback"]]
    key: Name | None = None
    again_since: Seq | None = None


@attrs.frozen(kw_only=True)
class Begin(Transact):
    """From here on all that runs is one transaction."""

    kind = "begin"


@attrs.frozen(kw_only=True)
class EndTransaction(Transact):
    """``of``: the key of its `Begin`, so that no other one is ended; None: whichever is open."""

    kind: ClassVar[Literal["commit", "rollback"]]
    of: Name | None = None


@attrs.frozen(kw_only=True)
class Commit(EndTransaction):
    """What ran since its beginning stays."""

    kind = "commit"


@attrs.frozen(kw_only=True)
class Rollback(EndTransaction):
    """What ran since its beginning is undone."""

    kind = "rollback"


@attrs.frozen(kw_only=True)
class Retrace(OfSession):
    """Along the session's history. As of a transaction, once for each ``key``."""

    kind: ClassVar[Literal["undo", "redo"]]
    key: Name | None = None
    again_since: Seq | None = None


@attrs.frozen(kw_only=True)
class Undo(Retrace):
    """Undo the last execution, or all that came after the execution ``to``."""

    kind = "undo"
    to: Name | None = None


@attrs.frozen(kw_only=True)
class Redo(Retrace):
    """Have the execution back that was undone last."""

    kind = "redo"


@attrs.frozen(kw_only=True)
class KeepHistory(OfSession):
    """From here on so much can be undone; what is more gives way."""

    count: Annotated[int, msgspec.Meta(ge=0, le=HISTORY_EXECUTIONS)]
    bytes: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] | None = None


@attrs.frozen(kw_only=True)
class GetHistory(OfSession):
    """What can be undone and redone."""


@attrs.frozen(kw_only=True)
class Fork(OfSession):
    """New sessions with this one's state, all or none; ``names``: of the first ones. As of a
    transaction, once for each ``key``."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_BRANCHES)]
    names: Annotated[list[Name], msgspec.Meta(max_length=MOST_BRANCHES)] = attrs.field(factory=list)
    key: Name | None = None
    again_since: Seq | None = None


@attrs.frozen(kw_only=True)
class Snapshot(OfSession):
    """Keep this session's state: `open_session` opens others with it. Once for each ``key``."""

    name: Name
    key: Name | None = None
    again_since: Seq | None = None


@attrs.frozen(kw_only=True)
class ListSnapshots(Request):
    """Those that this principal has kept."""


@attrs.frozen(kw_only=True)
class DropSnapshot(Request):
    """No session is opened from it any more."""

    name: Name


@attrs.frozen(kw_only=True)
class GetExecution(OfSession):
    """How an execution stands: for who may have missed its end."""

    execution: Name


@attrs.frozen(kw_only=True)
class Complete(OfSession):
    """What could stand at the cursor."""

    code: str
    cursor_pos: Seq | None = None


@attrs.frozen(kw_only=True)
class Inspect(OfSession):
    """What is known of the name at the cursor."""

    code: str
    cursor_pos: Seq | None = None


@attrs.frozen(kw_only=True)
class IsComplete(OfSession):
    """Whether the code can run as it is, or wants more lines."""

    code: str


@attrs.frozen(kw_only=True)
class Ping(Request):
    """Answered with a pong, after all that was asked before it."""


REQUESTS: Mapping[str, type[Request]] = {
    "hello": Hello,
    "open_session": OpenSession,
    "attach": Attach,
    "detach": Detach,
    "list_sessions": ListSessions,
    "close_session": CloseSession,
    "execute": Execute,
    "input_response": InputResponse,
    "interrupt": Interrupt,
    "begin": Begin,
    "commit": Commit,
    "rollback": Rollback,
    "keep_history": KeepHistory,
    "history": GetHistory,
    "undo": Undo,
    "redo": Redo,
    "fork": Fork,
    "snapshot": Snapshot,
    "list_snapshots": ListSnapshots,
    "drop_snapshot": DropSnapshot,
    "get_execution": GetExecution,
    "complete": Complete,
    "inspect": Inspect,
    "is_complete": IsComplete,
    "ping": Ping,
}
"""By the ``type`` that a message has."""


def read_request(message: Mapping[str, Any]) -> Request:
    """The request that a message is. Raises BadMessage, UnknownType."""
    kind = message.get("type")
    if not isinstance(kind, str):
        raise bad_message("it has no 'type', which is a string")
    known = REQUESTS.get(kind)
    if known is None:
        raise UnknownType(
            what=f"there is no request of the type {kind[:NAME_CHARACTERS]!r}",
            why="this version of the protocol does not have it",
            how=f"Send one of {', '.join(REQUESTS)}",
            details={"type": kind[:NAME_CHARACTERS]},
        )
    try:
        return msgspec.convert(message, known)
    except msgspec.ValidationError as error:
        why = f"this {kind} is not as it has to be: {in_words(str(error))}"
        raise bad_message(why, type=kind) from None


def in_words(refusal: str) -> str:
    """What msgspec says of a name or an id that is none, as people say it; the rest as it is.

    No other string has a pattern or a length.
    """
    expected, _, place = refusal.partition(" - at `$.")
    if not expected.startswith(_NO_NAME):
        return refusal
    return f"{place.removesuffix('`')}: {NAME_IN_WORDS}" if place else NAME_IN_WORDS


NAME_IN_WORDS = f"printable ASCII characters without spaces, 1 to {NAME_CHARACTERS} of them"
_NO_NAME = ("Expected `str` matching regex ", "Expected `str` of length ")


def id_of(message: Mapping[str, Any]) -> str | int | None:
    """The id of a message that is no request, where it has one that can be named."""
    try:
        found: str | int = msgspec.convert(message.get("id"), RequestId)
    except msgspec.ValidationError:
        return None
    return found
