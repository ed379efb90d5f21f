"""One socket and one process: messages down, bytes up, and the exit.

Owns a worker's descriptors from its start to its end. Events go straight to the client, on the
channel that its request carried; the session is told when a job has ended. The worker is trusted
with nothing. Must not know queues, deadlines or ladders: it does what the session says, at once.

Two tasks: one takes the session's commands and never waits for anything else, one reads. The
reader waits for a slow client, and the worker's full socket then slows the worker; nobody else
waits for the reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import trio

from actors import Address, Answer, NoReply, close_mailbox, open_mailbox
from pyrepl3 import messages
from pyrepl3.config import Timeouts
from pyrepl3.errors import SessionLost, WorkerSpawnFailed
from pyrepl3.events import Display, Error, InputRequested, Result, Stream
from pyrepl3.messages import (
    AnswerInput,
    Ask,
    Died,
    Ended,
    Run,
    SessionMessage,
    SessionNotice,
    TransportMessage,
)
from pyrepl3.transport import verdicts
from pyrepl3.transport.descriptors import WorkerDescriptors
from pyrepl3.transport.flight import ExecutionFlight, Flight, QuestionFlight
from pyrepl3.transport.output import Background, Merger
from pyrepl3.transport.spawner import SpawnedWorker, WorkerExit
from pyrepl3.wire.frames import FrameDecoder, FrameTooLarge
from pyrepl3.wire.worker_messages import ProtocolViolation, decode_message, encode_message

TRANSPORT_MAILBOX = 16
"""Two jobs, and for each an interrupt, a dump, a kill and an input; a shutdown: more than a
session sends before this task, which waits for nothing else, has taken the first."""

HANG_UP_GRACE_S = 0.1
"""From the end of the socket to the death that explains it; without one it was a violation."""

EXIT_REPORT_S = 1.0
"""From a death to the zygote's report of its exit status: it reaps at once, unless it died too."""


@attrs.frozen
class Ready:
    """A worker that can be used."""

    address: Address[TransportMessage]
    pid: int
    language_version: str


@attrs.define(eq=False)
class Transport:
    """One worker's messages, both ways."""

    worker: SpawnedWorker
    exit: Answer[WorkerExit]
    session: Address[SessionMessage]
    timeouts: Timeouts
    _descriptors: WorkerDescriptors = attrs.field(init=False)
    _decoder: FrameDecoder = attrs.field(factory=FrameDecoder, init=False)
    _merger: Merger = attrs.field(factory=Merger, init=False)
    _background: Background = attrs.field(factory=Background, init=False)
    _flights: deque[Flight] = attrs.field(factory=deque, init=False)
    _on_ready: Callable[[dict[str, Any]], None] | None = attrs.field(default=None, init=False)
    _violation: str | None = attrs.field(default=None, init=False)
    _killed_for_ladder: bool = attrs.field(default=False, init=False)
    _stack: str = attrs.field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self._descriptors = WorkerDescriptors(self.worker)

    async def run(self, *, task_status: trio.TaskStatus[Ready] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until the process has ended; the started value comes with its `ready`.

        Raises WorkerSpawnFailed when it ends before that.
        """
        address: Address[TransportMessage]
        inbox: trio.MemoryReceiveChannel[TransportMessage]
        address, inbox = open_mailbox(TRANSPORT_MAILBOX)

        def ready(message: dict[str, Any]) -> None:
            self._on_ready = None
            task_status.started(Ready(address, message["pid"], message["version"]))

        self._on_ready = ready
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._command, inbox)
                nursery.start_soon(self._descriptors.send_rests)
                await self._read_until_death()
                nursery.cancel_scope.cancel()
            await self._tell_death()
        finally:
            # However it ended: nothing lives on, and nobody waits for what cannot come.
            self.worker.process.kill()
            self._descriptors.close()
            close_mailbox(inbox, _turn_away)
            for flight in self._flights:
                _drop(flight)
            self.session.close()

    # --- down ---------------------------------------------------------------------------------

    async def _command(self, inbox: trio.MemoryReceiveChannel[TransportMessage]) -> None:
        async for message in inbox:
            _COMMANDS[type(message)](self, message)

    def _run(self, message: Run) -> None:
        flight = ExecutionFlight.of(message)
        self._flights.append(flight)
        request = message.request
        flight.sent = self._send(
            {
                "type": "execute",
                "execution": request.execution,
                "number": message.number,
                "code": request.code,
                "filename": request.filename,
                "silent": request.silent,
                "allow_input": request.allow_input,
                "transaction_policy": request.transaction_policy,
            }
        )
        if self._flights[0] is flight:
            flight.begin(self._background.take(flight.execution))

    def _ask(self, message: Ask) -> None:
        self._flights.append(QuestionFlight(message))
        self._send({"type": message.query.kind, "id": message.number, **message.query.fields})

    def _answer_input(self, message: AnswerInput) -> None:
        self._send(
            {
                "type": "input_response",
                "execution": message.execution,
                "input": message.input,
                "data": message.data,
            }
        )

    def _signal(self, message: messages.Signal) -> None:
        for flight in self._flights:
            if flight.number == message.number:
                if isinstance(flight, ExecutionFlight):
                    flight.interrupt(message.code, message.limit_s)
                self.worker.process.interrupt(message.number)

    def _dump_stack(self, _: messages.DumpStack) -> None:
        self.worker.process.dump_stack()

    def _kill(self, _: messages.Kill) -> None:
        self._killed_for_ladder = True
        self._stack = self.worker.process.read_stack()
        self.worker.process.kill()

    def _shut_down(self, message: messages.Shutdown) -> None:
        self._send({"type": "shutdown", "reason": "closed", "grace_s": message.grace_s})

    def _send(self, message: dict[str, Any]) -> bool:
        return self._descriptors.send(encode_message(message))

    # --- up -----------------------------------------------------------------------------------

    async def _read_until_death(self) -> None:
        """Read socket and pipes until the process is dead and all that it left is read."""
        descriptors = self._descriptors
        while True:
            await descriptors.wait_readable()
            data = descriptors.receive()
            # The pipes after the socket, and told before it: what was written to them before a
            # result was sent is in them now.
            ready = descriptors.poll()
            for stream in ready.pipes:
                await self._take_pipe(stream)
            if data:
                await self._take_frames(data)
            elif data is not None:
                await self._hung_up()
            if ready.dead:
                await self._drain()
                return

    async def _take_pipe(self, stream: Stream) -> None:
        for data in self._descriptors.read_pipe(stream):
            await self._print(stream, "pipe", data)
        await self._flush()

    async def _take_frames(self, data: bytes) -> None:
        decoder = self._decoder
        decoder.receive(data)
        try:
            while (body := decoder.next_frame()) is not None:
                message = decode_message(body)
                if message["type"] == "output":
                    await self._output(message)
                else:
                    await self._flush()
                    await self._handle(message)
        except (ProtocolViolation, FrameTooLarge) as violation:
            self._violated(str(violation))
        await self._flush()

    async def _output(self, message: dict[str, Any]) -> None:
        execution = message["execution"]
        if execution is None:
            await self._print(message["stream"], "background", message["data"])
            return
        flights = self._flights
        if not flights or flights[0].execution != execution:  # type: ignore[union-attr]
            raise ProtocolViolation("output of an execution that is not running")
        await self._print(message["stream"], "link", message["data"])

    async def _print(self, stream: Stream, source: str, data: bytes) -> None:
        merger = self._merger
        if not merger.belongs(stream, source):
            await self._flush()
        merger.add(stream, source, data)

    async def _flush(self) -> None:
        """Deliver what was merged."""
        merger = self._merger
        if not merger:
            return
        background = merger.source == "background"
        stream, text = merger.take()
        flight = self._flights[0] if self._flights else None
        if isinstance(flight, ExecutionFlight):
            await flight.print(stream, text, background=background)
        else:
            self._background.hold(stream, text)

    async def _handle(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self._on_ready is not None:
            if kind != "ready":
                raise ProtocolViolation(f"a {kind!r} message before its 'ready'")
            self._on_ready(message)
        elif kind == "result":
            flight = self._current_execution(message)
            await self._finish(flight, verdicts.result_of(message))
        elif kind == "error":
            flight = self._current_execution(message)
            await self._finish(flight, verdicts.error_of(message, flight.code, flight.limit_s))
        elif kind == "display":
            await self._display(message)
        elif kind == "input":
            await self._input(message)
        elif kind in _ANSWERS:
            await self._answered(message)
        elif kind != "heartbeat":
            raise ProtocolViolation(f"a {kind!r} message out of turn")

    def _current_execution(self, message: dict[str, Any]) -> ExecutionFlight:
        flight = self._flights[0] if self._flights else None
        if not isinstance(flight, ExecutionFlight) or flight.execution != message["execution"]:
            raise ProtocolViolation(f"a {message['type']!r} of an execution that is not running")
        return flight

    async def _finish(
        self, flight: ExecutionFlight, terminal: Result | Error
    ) -> None:
        rests = self._merger.finish()
        self._next(flight)
        # The session first: a client that does not take its result must not look like code
        # that does not end.
        await self._notify(Ended(flight.number))
        await flight.finish(rests, terminal)

    def _next(self, ended: Flight) -> None:
        assert self._flights[0] is ended
        self._flights.popleft()
        flight = self._flights[0] if self._flights else None
        if isinstance(flight, ExecutionFlight):
            flight.begin(self._background.take(flight.execution))

    async def _display(self, message: dict[str, Any]) -> None:
        flight = self._flights[0] if self._flights else None
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
        flight = self._flights[0] if self._flights else None
        if not isinstance(flight, QuestionFlight) or flight.number != message["id"]:
            raise ProtocolViolation("an answer to what was not asked")
        self._next(flight)
        await self._notify(Ended(flight.number))
        flight.ask.query.reply.answer(message)

    async def _notify(self, notice: SessionNotice) -> None:
        try:
            try:
                self.session.send_nowait(notice)
            except trio.WouldBlock:
                await self.session.send(notice)
        except trio.BrokenResourceError:
            return  # the session has ended; its subtree ends us next

    # --- the end --------------------------------------------------------------------------------

    def _violated(self, what: str) -> None:
        self._violation = self._violation or what
        self._descriptors.forget_socket()
        self.worker.process.kill()

    async def _hung_up(self) -> None:
        """The worker's end of the socket is closed: it has died, or has thrown it away."""
        self._descriptors.forget_socket()
        with trio.move_on_after(HANG_UP_GRACE_S):
            await self.worker.process.wait()
            return
        self._violated("closing its protocol descriptor")

    async def _drain(self) -> None:
        """Read what a dead process left; descendants that still write are given a bound."""
        descriptors = self._descriptors
        while data := descriptors.receive():
            await self._take_frames(data)
        deadline = trio.current_time() + self.timeouts.drain_s
        while trio.current_time() < deadline and (streams := descriptors.poll().pipes):
            for stream in streams:
                await self._take_pipe(stream)

    async def _tell_death(self) -> None:
        """Give everyone who waits for this process the one end that they were promised."""
        cause = verdicts.cause_of(
            await self._exit_report(),
            violation=self._violation,
            killed_for_ladder=self._killed_for_ladder,
            stack=self._stack,
        )
        if self._on_ready is not None:
            raise self._spawn_failed(cause)
        await self._notify(Died(cause.text))
        rests = self._merger.finish()
        while self._flights:
            flight = self._flights.popleft()
            if isinstance(flight, ExecutionFlight) and not flight.sent:
                flight.refuse(verdicts.never_sent())
            elif isinstance(flight, ExecutionFlight):
                last_output = flight.allowance.last_output
                code, limit_s = flight.code, flight.limit_s
                terminal = verdicts.death_of(flight.execution, cause, code, limit_s, last_output)
                await flight.finish(rests, terminal)
                rests = []
            else:
                _drop(flight)

    async def _exit_report(self) -> WorkerExit | None:
        with trio.move_on_after(EXIT_REPORT_S):
            try:
                return await self.exit.wait()
            except NoReply:
                return None
        return None

    def _spawn_failed(self, cause: verdicts.Cause) -> WorkerSpawnFailed:
        tail = self._background.text()[-4096:]
        return WorkerSpawnFailed(
            what="a session's process ended before it was ready",
            why=cause.text + (f"; it wrote: {tail.strip()}" if tail.strip() else ""),
            how="Check the template: its interpreter, preload, warmup_code, env and limits",
            details={
                "signal": cause.signal,
                "exit_status": cause.exit_status,
                "last_output": tail,
            },
        )


_ANSWERS = frozenset({"configured", "failed", "completed", "inspected", "completeness"})

_COMMANDS: dict[type, Callable[[Transport, Any], None]] = {
    Run: Transport._run,
    Ask: Transport._ask,
    AnswerInput: Transport._answer_input,
    messages.Signal: Transport._signal,
    messages.DumpStack: Transport._dump_stack,
    messages.Kill: Transport._kill,
    messages.Shutdown: Transport._shut_down,
}


def _drop(flight: Flight) -> None:
    if isinstance(flight, ExecutionFlight):
        flight.drop()
    else:
        flight.ask.query.reply.fail(verdicts.never_sent())


def _turn_away(message: TransportMessage) -> None:
    """What was handed down after the process had ended: it never ran."""
    if isinstance(message, Run):
        ExecutionFlight.of(message).refuse(verdicts.never_sent())
    elif isinstance(message, Ask):
        _drop(QuestionFlight(message))


