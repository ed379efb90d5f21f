"""What happens in the service, as those hear it who watch it: figures, logs and traces.

Owns the vocabulary of happenings, and who is told. An observer is called where something happens,
at once: it must be quick, and must not wait. Where nobody watches, nothing is made to be told.
Must not know what is made of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import attrs
import trio

from pyrepl3.errors import Code, PyreplError
from pyrepl3.events import Error, Event, HistoryTrimmed, Output, Result, Started, TrimReason

logger = logging.getLogger("pyrepl3.telemetry")

Outcome = Literal["ok", "error", "interrupted", "timeout", "died", "refused"]
"""What came of an execution. ``error``: an exception of the code's own. ``refused``: nothing of it
ran. ``interrupted``: on request, or as nobody waited for it any more."""

_OUTCOMES: dict[str | None, Outcome] = {
    None: "error",
    Code.STDIN_UNAVAILABLE: "error",
    Code.INTERRUPTED: "interrupted",
    Code.EXECUTION_TIMEOUT: "timeout",
    Code.SESSION_LOST: "refused",  # it waited when its session ended
}


def outcome_of(terminal: Result | Error) -> Outcome:
    """What an execution's last event says."""
    return "ok" if isinstance(terminal, Result) else _OUTCOMES.get(terminal.code, "died")


@attrs.define(eq=False, kw_only=True)
class ObservedExecution:
    """One execution, from when it is sent. Times are trio's; None: it has not come to that."""

    session: str
    execution: str
    template: str
    principal: str | None = None
    traceparent: str | None = None
    """The trace (W3C) that the code is told to belong to: its client's, or a span of an observer
    within that."""
    sent_at: float = attrs.field(factory=trio.current_time)
    started_at: float | None = None
    ended_at: float | None = None
    output_bytes: int = 0
    outcome: Outcome | None = None
    is_rolled_back: bool = False
    """Whether what it did is undone."""
    code: str | None = None
    """What ended it, where that was not the code."""
    _notice: Callable[[Happening], None]

    @property
    def queued_s(self) -> float | None:
        """How long it waited until it began to run."""
        return None if self.started_at is None else self.started_at - self.sent_at

    @property
    def run_s(self) -> float | None:
        """How long it ran; None where it did not, or still does."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at

    def see(self, event: Event) -> None:
        """One of its events, in order."""
        if isinstance(event, Output):
            text = event.data
            # Of ASCII the length is known without making the bytes.
            self.output_bytes += (
                len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            )
        elif isinstance(event, Started):
            self.started_at = trio.current_time()
            self._notice(ExecutionStarted(self))
        elif isinstance(event, HistoryTrimmed):
            for each in event.dropped:
                self._notice(
                    HistoryDropped(session=self.session, bytes=each.bytes, reason=each.reason)
                )
        elif isinstance(event, Result | Error):
            self.is_rolled_back = event.state == "rolled_back"
            self._end(outcome_of(event), None if isinstance(event, Result) else event.code)

    def refused(self, error: BaseException) -> None:
        """It was not taken, and nothing of it ran; or whoever sent it was cancelled meanwhile."""
        if isinstance(error, PyreplError):
            self._end("refused", error.code)
        else:
            self.left()

    def left(self, lost: PyreplError | None = None) -> None:
        """There will be no last event: it is called off, or its session was lost."""
        if lost is None:
            self._end("interrupted", Code.INTERRUPTED)
        else:
            self._end("died", lost.code)

    def _end(self, outcome: Outcome, code: str | None) -> None:
        if self.outcome is None:
            self.outcome, self.code = outcome, code
            self.ended_at = trio.current_time()
            self._notice(ExecutionEnded(self))


Return = Literal["rollback", "abandoned", "undo", "redo"]
"""How a session went back to what it was, or forward again, besides by an execution's policy."""


# --- happenings ---------------------------------------------------------------------------------


@attrs.frozen
class ExecutionSent:
    """Code is on its way to its session. An observer may set its ``traceparent``."""

    execution: ObservedExecution


@attrs.frozen
class ExecutionStarted:
    """It begins to run."""

    execution: ObservedExecution


@attrs.frozen
class ExecutionEnded:
    """It has its one outcome."""

    execution: ObservedExecution


@attrs.frozen(kw_only=True)
class SessionAcquired:
    """The pool gave a session to somebody."""

    template: str
    warm: bool
    wait_s: float


@attrs.frozen(kw_only=True)
class AcquisitionFailed:
    """The pool gave none. ``code``: why."""

    template: str
    code: str
    wait_s: float


@attrs.frozen(kw_only=True)
class SessionOpened:
    """A client has a session that outlives its connection."""

    session: str
    template: str
    principal: str
    pid: int


@attrs.frozen(kw_only=True)
class SessionEnded:
    """That session is no more. ``cause``: why its process ended, where it did by itself."""

    session: str
    principal: str
    standing: str
    cause: str = ""


@attrs.frozen(kw_only=True)
class SessionReturned:
    """A session was rolled back on request, or what ran in it undone or redone."""

    session: str
    by: Return
    principal: str | None = None


@attrs.frozen(kw_only=True)
class HistoryDropped:
    """An execution cannot be undone any more, for one of its history's bounds."""

    session: str
    bytes: int
    reason: TrimReason


@attrs.frozen(kw_only=True)
class ConnectionOpened:
    """A client was let in, on a WebSocket."""

    principal: str
    peer: str | None


@attrs.frozen(kw_only=True)
class ConnectionEnded:
    """It has gone, or was sent away. ``reason``: as the closing frame has it, where we closed."""

    principal: str
    peer: str | None
    reason: str | None
    duration_s: float


@attrs.frozen(kw_only=True)
class AdmissionRefused:
    """Somebody was not let in, or asked for what there is not."""

    code: str
    peer: str | None


@attrs.frozen(kw_only=True)
class RequestRefused:
    """A request of somebody who was let in was not taken. ``request``: its id, if it had one."""

    code: str
    principal: str
    request: str | int | None = None
    session: str | None = None


@attrs.frozen(kw_only=True)
class RequestAnswered:
    """A request over HTTP has its response. ``route``: its pattern, never the path itself."""

    method: str
    route: str
    status: int
    duration_s: float
    principal: str | None = None
    peer: str | None = None


Happening = (
    ExecutionSent
    | ExecutionStarted
    | ExecutionEnded
    | SessionAcquired
    | AcquisitionFailed
    | SessionOpened
    | SessionEnded
    | SessionReturned
    | HistoryDropped
    | ConnectionOpened
    | ConnectionEnded
    | AdmissionRefused
    | RequestRefused
    | RequestAnswered
)


class Observer(Protocol):
    """Whoever wants to know."""

    def notice(self, happening: Happening) -> None:
        """Take note, without waiting."""


@attrs.define(eq=False)
class Observers:
    """Those of one supervisor; at first there are none."""

    _all: tuple[Observer, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._all)

    @contextmanager
    def joined_by(self, observer: Observer) -> Iterator[None]:
        """It is told what happens during the block."""
        self._all = (*self._all, observer)
        try:
            yield
        finally:
            self._all = tuple(each for each in self._all if each is not observer)

    def notice(self, happening: Happening) -> None:
        """Tell them all. One that fails is complained of, and fails nothing else."""
        for observer in self._all:
            try:
                observer.notice(happening)
            except Exception:
                logger.exception("an observer failed at %s", type(happening).__name__)

    def execution(
        self,
        *,
        session: str,
        execution: str,
        template: str,
        principal: str | None = None,
        traceparent: str | None = None,
    ) -> ObservedExecution | None:
        """Watch one that is about to be sent; None where nobody wants to know."""
        if not self._all:
            return None
        observed = ObservedExecution(
            session=session,
            execution=execution,
            template=template,
            principal=principal,
            traceparent=traceparent,
            notice=self.notice,
        )
        self.notice(ExecutionSent(observed))
        return observed
