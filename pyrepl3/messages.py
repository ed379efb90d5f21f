"""What the actors of the service say to each other.

Owns the commands that go down the tree (imperative names) and the notices that come up
(participles). Must not hold behaviour. Whoever takes a message with a channel in it answers or
closes that channel, on failure too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol

import attrs
import trio

from actors import Address, Answer, Reply
from pyrepl3.config import Guard, Limits, TransactionPolicy
from pyrepl3.errors import Code, PyreplError
from pyrepl3.events import Event, InterruptOutcome

TransactionKind = Literal["begin", "commit", "rollback"]
ROLLED_BACK_SINGLY = ("rollback_on_failure", "rollback_always")
"""Policies under which each execution has a snapshot of its own."""
RetraceKind = Literal["undo", "redo"]
HistoryKind = Literal["keep_history", "history", "undo", "redo"]
QueryKind = Literal[
    "complete",
    "inspect",
    "is_complete",
    "configure",
    "begin",
    "commit",
    "rollback",
    "keep_history",
    "history",
    "undo",
    "branch",
    "redo",
]

EVENT_CAPACITY = 8
"""Events that may wait for a client: a few, so that a slow client slows its producer soon, and
more than one, so that a quick one need not wake for each. At 64 KiB an output event it bounds
what a client can make the service hold."""


@attrs.frozen
class Refused:
    """The request was not taken; nothing of it ran. Comes alone, instead of any event."""

    error: PyreplError


class EventChannel(Protocol):
    """Where one execution tells its events: a memory channel, or what ends elsewhere like one.

    An empty one takes an event at once. Whoever has one closes it.
    """

    def send_nowait(self, event: Event | Refused, /) -> None:
        """Raises trio.WouldBlock, and trio.BrokenResourceError where nobody takes events."""

    async def send(self, event: Event | Refused, /) -> None:
        """As soon as there is room. Raises trio.BrokenResourceError."""

    def close(self) -> None:
        """Nothing more comes."""

    def __enter__(self) -> EventChannel: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


EventReceiver = trio.MemoryReceiveChannel[Event | Refused]


def open_events() -> tuple[trio.MemorySendChannel[Event | Refused], EventReceiver]:
    """The channel of one execution's events, to a task that takes them."""
    # Not subscripted, as that would build its type at each call, on the hot path.
    send: trio.MemorySendChannel[Event | Refused]
    receive: EventReceiver
    send, receive = trio.open_memory_channel(EVENT_CAPACITY)
    return send, receive


# --- down: client -> session ---------------------------------------------------------------


@attrs.define(eq=False)
class Execute:
    """Run code; its events come back on ``events``, which ends after the terminal one."""

    execution: str
    code: str
    events: EventChannel
    filename: str | None = None
    silent: bool = False
    allow_input: bool = False
    wants_started: bool = True
    timeout_s: float | None = None
    transaction_policy: TransactionPolicy = "commit_always"
    guard: Guard = False
    """Whether its session outlives it in any case: a crash is rolled back."""
    report_namespace: bool = False
    """Whether its end tells what it did to the session's names."""
    copy_bytes: int = 0
    """How much of its variables may be copied for its policy, where its process cannot be; 0: it
    is refused then."""
    traceparent: str | None = None
    """The trace that it belongs to, as W3C Trace Context has it."""

    @property
    def is_protected(self) -> bool:
        """Whether a snapshot is taken before it."""
        return bool(self.guard) or self.transaction_policy in ROLLED_BACK_SINGLY

    @property
    def may_be_copied(self) -> bool:
        """Whether it may be undone within its process."""
        return self.copy_bytes > 0 and self.transaction_policy in ROLLED_BACK_SINGLY


@attrs.define(eq=False)
class Query:
    """A question that the worker answers between executions, or what it is to do there."""

    kind: QueryKind
    fields: Mapping[str, Any]
    reply: Reply[Mapping[str, Any]]
    passed: Sequence[int] = ()
    """Descriptors that go with it, open until the reply is answered, failed or closed."""


@attrs.frozen
class AnswerInput:
    """The line for one `input()`; None ends the input."""

    execution: str
    input: str
    data: str | None


@attrs.define(eq=False)
class Interrupt:
    """End what runs (or the execution named), by the ladder."""

    execution: str | None
    grace_s: float | None
    reply: Reply[InterruptOutcome]


@attrs.frozen
class Abandon:
    """The client has gone: nobody waits for this execution any more."""

    execution: str


@attrs.frozen
class Narrow:
    """New limits for this session, within its template's."""

    limits: Limits


@attrs.frozen
class Close:
    """No more requests: end the worker, with its exit handlers if ``graceful``."""

    graceful: bool = True


# --- down: session -> transport --------------------------------------------------------------


@attrs.define(eq=False)
class Run:
    """Send one execution to the worker; its events go straight to ``request.events``."""

    number: int
    request: Execute
    output_bytes: int | None
    transaction: int = 0
    """The one that it was sent in: where that was rolled back meanwhile, it does not run."""


@attrs.define(eq=False)
class Ask:
    """Send one question to the worker; its answer goes straight to ``query.reply``."""

    number: int
    query: Query


@attrs.frozen
class Signal:
    """Interrupt the execution of this number, for the reason that ``code`` names."""

    number: int
    code: Code
    limit_s: float | None = None


@attrs.frozen
class DumpStack:
    """Have the interpreter write its stack, for the report."""


@attrs.frozen
class Kill:
    """SIGKILL, now: for the session's good, or (``number``) for a job that is to be undone, whose
    snapshot goes on. A job that has ended is not killed: the kill would strike the next one."""

    number: int | None = None


@attrs.frozen
class Shutdown:
    """Have the worker run its exit handlers and end."""

    grace_s: float


# --- up: transport -> session ----------------------------------------------------------------


@attrs.frozen
class Ended:
    """The worker has answered the execution or the question of this number; or it has died, and
    a snapshot has taken over from it (``rolled_back``).

    ``lost``: it has said that it cannot go on.
    """

    number: int
    state: Literal["kept", "rolled_back", "lost"] = "kept"
    is_protected: bool = False
    """Whether a snapshot is or will be open, so that what comes next does not lose the session."""
    transaction: int = 0
    """The number of the request that began the one that is open; 0: none is."""


@attrs.frozen
class Survived:
    """The process has died while it had nothing to do, and a snapshot has taken over from it."""

    cause: str


@attrs.frozen
class Died:
    """The process has ended. Whoever waited for it has been told."""

    cause: str


@attrs.frozen
class Rang:
    """The session's alarm: a deadline may have passed."""


SessionRequest = Execute | Query | AnswerInput | Interrupt | Abandon | Narrow | Close
SessionNotice = Ended | Survived | Died | Rang
SessionMessage = SessionRequest | SessionNotice
TransportMessage = Run | Ask | AnswerInput | Signal | DumpStack | Kill | Shutdown


# --- client <-> pool <-> sessions -------------------------------------------------------------


@attrs.frozen
class Lease:
    """A session in one caller's hands, from hand-over to release."""

    waiter: int
    session: str
    template: str
    pid: int
    address: Address[SessionMessage]
    fate: Answer[str]
    warm: bool
    wait_s: float
    pool: Address[PoolMessage]
    """Who gave it, and takes it back: after a restart another pool has the same names."""


@attrs.define(eq=False)
class Acquire:
    """Lease a session of this template, or refuse by ``deadline`` (a trio time)."""

    waiter: int
    template: str
    deadline: float
    reply: Reply[Lease]


@attrs.define(eq=False)
class AcquireAll:
    """Several at once, in one turn of the pool: nobody comes in between.

    So of two callers who each want several the first gets all of its own before the second gets
    one more, and neither waits with some in its hands for what the other has.
    """

    acquisitions: tuple[Acquire, ...]


@attrs.define(eq=False)
class AddTemplate:
    """There is a snapshot now, of which sessions may be asked for under this name."""

    template: str
    reply: Reply[None]


@attrs.define(eq=False)
class RetireTemplate:
    """No session of that snapshot is asked for any more. Answered when the last has ended."""

    template: str
    reply: Reply[None]


@attrs.frozen
class CancelAcquire:
    """The caller has gone; whatever it was given by now comes as a Release."""

    waiter: int


@attrs.frozen
class Release:
    """The caller is done with its session, which is discarded if it was ``used``.

    ``waiter`` is who acquired it: a lease that is over gives nothing back.
    """

    waiter: int
    session: str
    used: bool
    taken: Reply[None] | None = None
    """Answered when the pool counts it as leased no more."""


@attrs.frozen
class SessionStarted:
    """A session is ready for its caller. ``fate`` will say why it ended, once it has."""

    session: str
    pid: int
    address: Address[SessionMessage]
    fate: Answer[str]


@attrs.frozen
class SessionStartFailed:
    """No session came of it; everything it had begun with is given back."""

    session: str
    error: PyreplError


@attrs.frozen
class SessionDied:
    """A session can no longer be used; SessionEnded follows when nothing of it is left."""

    session: str


@attrs.frozen
class SessionEnded:
    """A session's process is reaped and its descriptors are closed."""

    session: str
    cause: str


@attrs.frozen
class StopPool:
    """Refuse who waits, stop every session, then end."""


@attrs.frozen
class PoolRang:
    """The pool's alarm: something may be due."""


PoolMessage = (
    Acquire
    | AcquireAll
    | AddTemplate
    | RetireTemplate
    | CancelAcquire
    | Release
    | SessionStarted
    | SessionStartFailed
    | SessionDied
    | SessionEnded
    | StopPool
    | PoolRang
)


@attrs.frozen
class StartSession:
    """Start a session under this id; what becomes of it is told on ``notices``."""

    session: str
    template: str
    notices: Address[PoolMessage]


@attrs.frozen
class StopSession:
    """End a session, with its exit handlers if ``graceful``; SessionEnded follows."""

    session: str
    graceful: bool


SessionsMessage = StartSession | StopSession
