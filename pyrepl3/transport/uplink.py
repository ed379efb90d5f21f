"""What a worker says, on its way up: checked, put in order, and sent to whom it concerns.

Owns the jobs that are at the worker, and the rule that it speaks only of the one that runs. Must
not know sockets, nor processes: bytes come in, and a `ProtocolViolation` goes out where the
worker has said what no worker may.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import trio

from actors import Address
from pyrepl3.errors import SessionLost
from pyrepl3.events import Display, Error, HistoryTrimmed, InputRequested, Result, Stream
from pyrepl3.messages import AnswerInput, Ended, QueryKind, SessionMessage, SessionNotice, Survived
from pyrepl3.transport import verdicts
from pyrepl3.transport.at_risk import AtRisk
from pyrepl3.transport.flight import ExecutionFlight, Flight, QuestionFlight
from pyrepl3.transport.output import Background, Merger, Source
from pyrepl3.wire.frames import FrameDecoder, FrameTooLarge
from pyrepl3.wire.worker_messages import OutputShortcut, ProtocolViolation, decode_message

_ANSWER_TO: Mapping[QueryKind, str] = {
    "configure": "configured",
    "complete": "completed",
    "inspect": "inspected",
    "is_complete": "completeness",
    "begin": "begun",
    "commit": "committed",
    "rollback": "rolled_back",
    "keep_history": "keeping",
    "history": "history",
    "undo": "undone",
    "branch": "branched",
    "redo": "redone",
}
"""What each question is answered with; any of them may be answered with `failed` instead."""
_ANSWERS = frozenset({"failed", *_ANSWER_TO.values()})
REFUSALS = frozenset({"TRANSACTION_ACTIVE", "NO_TRANSACTION", "SNAPSHOT_UNAVAILABLE"})
"""Codes of an execution of which the worker says that nothing ran."""
_GO_ELSEWHERE = frozenset({"rolled_back", "undone", "redone"})
"""Answers behind which a snapshot takes over."""


@attrs.define(eq=False)
class Uplink:
    """One worker's messages, and the flights they belong to: the first is the one that runs."""

    session: Address[SessionMessage]
    on_ready: Callable[[dict[str, Any]], None] | None
    """Called with the `ready`, which must come first; None from then on."""
    linger: Callable[[ExecutionFlight], None]
    """Takes an execution that has ended, whose client has no room for all of its last events: it
    must hold up neither the worker nor the executions behind it."""
    rolling_back: Callable[[], None] = lambda: None
    """Called when the worker has said its last word: a snapshot is to take over."""
    pid: Callable[[], int] = lambda: 0
    """The process that speaks."""
    transaction: int = attrs.field(default=0, init=False)
    """The number of the request that began the one that is open; 0: none is."""
    keeps_history: bool = attrs.field(default=False, init=False)
    """Whether one is taken before each execution."""
    is_deaf: bool = attrs.field(default=False, init=False)
    """Whether what still comes counts for nothing: this process is done with."""
    flights: deque[Flight] = attrs.field(factory=deque, init=False)
    at_risk: AtRisk = attrs.field(factory=AtRisk, init=False)
    background: Background = attrs.field(factory=Background, init=False)
    _decoder: FrameDecoder = attrs.field(factory=FrameDecoder, init=False)
    _merger: Merger = attrs.field(factory=Merger, init=False)
    _shortcut: OutputShortcut = attrs.field(factory=OutputShortcut, init=False)
    _lost: tuple[str, ...] = attrs.field(default=(), init=False)
    """Executions that were told as kept and are undone: for the next end to tell."""

    def launch(self, flight: Flight) -> None:
        """A job was sent to the worker; it begins when those before it have ended."""
        self.flights.append(flight)
        if self.flights[0] is flight:
            self._begin_next()

    def rests(self) -> list[tuple[Stream, str]]:
        """What is left of characters that never came whole."""
        return self._merger.finish()

    async def take_frames(self, data: bytes) -> None:
        """Decode and deliver what the socket gave. Raises ProtocolViolation."""
        if self.is_deaf:
            return
        decoder, merger, shortcut = self._decoder, self._merger, self._shortcut
        decoder.receive(data)
        violation: ProtocolViolation | None = None
        try:
            while bodies := decoder.frames():
                for body in bodies:
                    if self._has_enough():
                        return
                    more = shortcut.data_of(body)
                    if more is not None:
                        merger.add_more(more)
                        continue
                    message = decode_message(body)
                    if message["type"] == "output":
                        source = self._source_of(message)
                        await self.print(message["stream"], source, message["data"])
                        shortcut.learn(body, message["data"])
                    else:
                        await self.flush()
                        await self._handle(message)
        except FrameTooLarge as error:
            violation = ProtocolViolation(str(error))
        except ProtocolViolation as error:
            violation = error
        # What it printed before it broke the rules is told.
        await self.flush()
        if violation is not None:
            raise violation

    def _has_enough(self) -> bool:
        """Whether a message before this one was its last."""
        return self.is_deaf

    def _source_of(self, message: dict[str, Any]) -> Source:
        execution = message["execution"]
        if execution is None:
            return "background"
        self._current_execution(message)
        return "link"

    async def print(self, stream: Stream, source: Source, data: bytes) -> None:
        """Take in output; `flush` delivers it."""
        merger = self._merger
        if not merger.belongs(stream, source):
            await self.flush()
        merger.add(stream, source, data)

    async def flush(self) -> None:
        """Deliver what was merged."""
        self._shortcut.forget()
        merger = self._merger
        if not merger:
            return
        background = merger.source == "background"
        stream, text = merger.take()
        flight = self.flights[0] if self.flights else None
        if isinstance(flight, ExecutionFlight):
            await flight.print(stream, text, background=background)
        else:
            self.background.hold(stream, text)

    async def _handle(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self.on_ready is not None:
            if kind != "ready":
                raise ProtocolViolation(f"a {kind!r} message before its 'ready'")
            self.on_ready(message)
        elif kind == "result":
            flight = self._current_execution(message)
            await self._end(flight, verdicts.result_of(message), message)
        elif kind == "error":
            flight = self._current_execution(message)
            error = verdicts.error_of(message, flight.code, flight.limit_s)
            await self._end(flight, error, message)
        elif kind == "display":
            await self._display(message)
        elif kind == "input":
            await self._input(message)
        elif kind == "trimmed":
            await self._trimmed(message)
        elif kind in _ANSWERS:
            await self._answered(message)
        elif kind != "heartbeat":
            raise ProtocolViolation(f"a {kind!r} message out of turn")

    def _current_execution(self, message: dict[str, Any]) -> ExecutionFlight:
        flight = self.flights[0] if self.flights else None
        if not isinstance(flight, ExecutionFlight) or flight.execution != message["execution"]:
            raise ProtocolViolation(f"a {message['type']!r} of an execution that is not running")
        return flight

    async def _end(
        self, flight: ExecutionFlight, terminal: Result | Error, message: dict[str, Any]
    ) -> None:
        request = flight.run.request
        is_undone, in_place = terminal.state == "rolled_back", message.get("in_place", False)
        if is_undone and not (request.may_be_copied if in_place else request.is_protected):
            raise ProtocolViolation("rolling back what it took no snapshot before")
        if is_undone and not in_place:
            flight.rolled_back = terminal
            self._say_no_more()
            return
        if not is_undone and message.get("code") not in REFUSALS:  # of which nothing ran
            self._note_risk(flight, message.get("at_risk_since", 0))
        await self.end(flight, terminal)

    def _note_risk(self, flight: ExecutionFlight, since: int) -> None:
        try:
            self.at_risk.note(flight.number, flight.execution, since)
        except ValueError as error:
            raise ProtocolViolation(f"telling of {error}") from error

    def _say_no_more(self) -> None:
        self.is_deaf = True
        self.rolling_back()

    async def end(self, flight: ExecutionFlight, terminal: Result | Error) -> None:
        """Deliver the end of the execution that runs, and begin the next."""
        rests = self.rests()
        if self._lost:
            terminal, self._lost = attrs.evolve(terminal, lost_since=self._lost), ()
        self._next(flight)
        # The session first: a client that does not take its result must not look like code
        # that does not end.
        state = terminal.state if terminal.state != "unknown" else "lost"
        try:
            await self.notify(Ended(flight.number, state, self._is_protected, self.transaction))
        finally:
            # Cancelled, too: no other has this flight any more.
            self.finish(flight, rests, terminal)

    def finish(
        self, flight: ExecutionFlight, rests: list[tuple[Stream, str]], terminal: Result | Error
    ) -> None:
        """Deliver an execution's last events, in the background if need be."""
        if not flight.finish(rests, terminal):
            self.linger(flight)

    def _next(self, ended: Flight) -> None:
        assert self.flights[0] is ended
        self.flights.popleft()
        self._begin_next()

    def _begin_next(self) -> None:
        flight = self.flights[0] if self.flights else None
        if isinstance(flight, ExecutionFlight) and flight.sent:
            flight.begin(self.background.take(flight.execution))

    async def _display(self, message: dict[str, Any]) -> None:
        flight = self.flights[0] if self.flights else None
        if message["execution"] is not None:
            flight = self._current_execution(message)
        if isinstance(flight, ExecutionFlight):
            event = Display(
                flight.execution,
                message["data"],
                message["metadata"],
                message["display_id"],
                message["update"],
            )
            await flight.deliver(event)

    async def _trimmed(self, message: dict[str, Any]) -> None:
        flight = self._current_execution(message)
        if not self.keeps_history:
            raise ProtocolViolation("telling of a history that it was not to keep")
        await flight.deliver(HistoryTrimmed.of(flight.execution, message["dropped"]))

    async def _input(self, message: dict[str, Any]) -> None:
        flight = self._current_execution(message)
        if not flight.run.request.allow_input:
            raise ProtocolViolation("a request for input that was not allowed")

        async def send(data: str | None) -> None:
            try:
                await self.session.send(AnswerInput(flight.execution, message["input"], data))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise SessionLost(
                    what="the answer was not taken",
                    why="the session has ended",
                    how="Open a new session",
                ) from error

        await flight.deliver(
            InputRequested(
                flight.execution, message["input"], message["prompt"], message["password"], send
            )
        )

    async def _answered(self, message: dict[str, Any]) -> None:
        flight = self.flights[0] if self.flights else None
        if not isinstance(flight, QuestionFlight) or flight.number != message["id"]:
            raise ProtocolViolation("an answer to what was not asked")
        kind = message["type"]
        if kind not in ("failed", _ANSWER_TO[flight.ask.query.kind]):
            raise ProtocolViolation("an answer of another kind than the question")
        if kind in _GO_ELSEWHERE and not (kind == "rolled_back" and message.get("in_place", False)):
            flight.rolled_back = message  # told when it has
            self._say_no_more()
            return
        if kind in ("begun", "committed", "rolled_back"):
            self.transaction = flight.number if kind == "begun" else 0
            self.at_risk.settle()
        elif kind == "keeping":
            self.keeps_history = message["count"] > 0
        elif kind == "branched":
            # Whose copy it is, the worker does not get to say.
            message["worker"] = self.pid()
        await self.answer(flight, message)

    async def answer(self, flight: QuestionFlight, message: Mapping[str, Any]) -> None:
        """Deliver the answer to the question that is asked, and begin what is next."""
        self._next(flight)
        try:
            await self.notify(Ended(flight.number, "kept", self._is_protected, self.transaction))
        finally:
            flight.ask.query.reply.answer(message)

    # --- another process ------------------------------------------------------------------------

    def runs(self, number: int) -> bool:
        """Whether it is this job's end that comes next."""
        return bool(self.flights) and self.flights[0].number == number

    def may_survive(self, begun: int) -> bool:
        """Whether a snapshot was asked for that nobody has been told to be past.

        ``begun``: the last job that the worker took. One that it took behind an end which it has
        told, and we have not heard, may have had a snapshot of its own, with what came before.
        """
        if self.transaction:
            return not any(_commits(flight) and flight.number < begun for flight in self.flights)
        if self.at_risk.since:
            return True
        flight = self.flights[0] if self.flights else None
        if flight is None or flight.number != begun:
            return False
        if isinstance(flight, QuestionFlight):
            return flight.rolled_back is not None
        return self.keeps_history or flight.run.request.is_protected

    def may_go_on_from(self, taken_before: int, begun: int) -> bool:
        """Whether that snapshot, which was taken before that job, is one that may be gone on from:
        none of what it lacks is told to be safe, and it has nothing of what is told as undone."""
        if not self.at_risk.since or self.transaction or self._was_asked_to_go_back():
            return True
        running = self.flights[0].number if self.flights else begun
        return self.at_risk.since <= taken_before <= min(running, begun)

    def _was_asked_to_go_back(self) -> bool:
        flight = self.flights[0] if self.flights else None
        return isinstance(flight, QuestionFlight) and flight.rolled_back is not None

    @property
    def _is_protected(self) -> bool:
        return self.transaction > 0 or self.keeps_history or self.at_risk.since > 0

    async def survive(self, cause: verdicts.Cause, begun: int, taken_before: int) -> None:
        """The worker has died, and all that it said is taken: a snapshot speaks from here on.

        What it had begun has ended by that, also what it had ended unheard. Nothing of what is
        behind the job ``begun`` has run: that is to be sent again, or what could not be sent, now.
        """
        self.is_deaf, self.transaction = False, 0
        if not self._was_asked_to_go_back():
            self._lost += self.at_risk.lost_with(taken_before)
        self.at_risk.settle()
        self._decoder = FrameDecoder()
        if not self.flights or self.flights[0].number > begun:
            await self.notify(Survived(cause.text))
        while self.flights and self.flights[0].number <= begun:
            flight = self.flights[0]
            # What was noted is of the last one that had begun; of others it is not known.
            of_it = cause if flight.number == begun else attrs.evolve(cause, uncovered=None)
            await self._undo(flight, of_it)
        for flight in self.flights:
            if isinstance(flight, ExecutionFlight) and not flight.sent:
                flight.sent = True
                if flight is self.flights[0]:
                    self._begin_next()

    async def _undo(self, flight: Flight, cause: verdicts.Cause) -> None:
        if isinstance(flight, ExecutionFlight):
            await self.end(flight, flight.rolled_back or _death_of(flight, cause))
        elif flight.rolled_back is not None:
            await self.answer(flight, flight.rolled_back)
        else:
            await self._fail(flight)

    async def _fail(self, flight: QuestionFlight) -> None:
        self._next(flight)
        try:
            await self.notify(
                Ended(flight.number, "rolled_back", self._is_protected, self.transaction)
            )
        finally:
            flight.ask.query.reply.fail(verdicts.died_of_question())

    async def notify(self, notice: SessionNotice) -> None:
        """Tell the session."""
        try:
            try:
                self.session.send_nowait(notice)
            except trio.WouldBlock:
                await self.session.send(notice)
        except trio.BrokenResourceError:
            return  # the session has ended; its subtree ends us next


def _commits(flight: Flight) -> bool:
    return isinstance(flight, QuestionFlight) and flight.ask.query.kind == "commit"


def _death_of(flight: ExecutionFlight, cause: verdicts.Cause) -> Error:
    last_output = flight.allowance.last_output
    return verdicts.death_of(
        flight.execution, cause, flight.code, flight.limit_s, last_output, state="rolled_back"
    )
