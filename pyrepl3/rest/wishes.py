"""What requests over REST may say: attrs classes.

Owns the names, types and bounds, by which bodies are read, and from which the OpenAPI document is
made. Must not know HTTP. As on the WebSocket, fields that are not known are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import attrs
import msgspec
from msgspec import Meta

from pyrepl3.config import Guard, TransactionPolicy
from pyrepl3.wire.client_codec import bad_message
from pyrepl3.wire.client_requests import (
    MOST_BRANCHES,
    HistoryWish,
    LimitsWish,
    Metadata,
    Name,
    OnDisconnect,
    Seconds,
    in_words,
)

DOCS = "/docs has what may be asked"


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
        Guard | None, Meta(description="Whether a crash is told as undone, and not as lost.")
    ] = None
    report_namespace: Annotated[
        bool | None, Meta(description="Whether it tells which names it added, changed and removed.")
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


@attrs.frozen(kw_only=True)
class ForkWish:
    """How many sessions to fork; all or none."""

    count: Annotated[int, Meta(ge=1, le=MOST_BRANCHES)]
    names: Annotated[
        list[Name], Meta(max_length=MOST_BRANCHES, description="Of the first of them.")
    ] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class SnapshotWish:
    """The name under which a session's state is kept."""

    name: Name


WISHES = (
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


def _with_whole_numbers(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _with_whole_numbers(each) for name, each in part.items()}
    if isinstance(part, list):
        return [_with_whole_numbers(each) for each in part]
    return int(part) if isinstance(part, float) and part.is_integer() else part
