"""One socket and one process: messages down, bytes up, and the exit.

Owns a worker's descriptors from its start to its end. Events go straight to the client, on the
channel that its request carried; the session is told when a job has ended. The worker is trusted
with nothing. Must not know queues, deadlines or ladders: it does what the session says, at once.

Two tasks: one takes the session's commands and never waits for anything else, one reads. The
reader waits for a slow client, and the worker's full socket then slows the worker; nobody else
waits for the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_bytes
from typing import Any

import attrs
import trio

from actors import Address, Answer, NoReply, close_mailbox, open_mailbox, receive_more
from pyrepl3 import messages
from pyrepl3.config import Timeouts
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.events import Stream
from pyrepl3.messages import AnswerInput, Ask, Died, Run, SessionMessage, TransportMessage
from pyrepl3.transport import verdicts
from pyrepl3.transport.flight import ExecutionFlight, Flight, QuestionFlight
from pyrepl3.transport.spawning import (
    MARK_BYTES,
    Descriptors,
    Process,
    Worker,
    WorkerExit,
)
from pyrepl3.transport.uplink import Uplink
from pyrepl3.wire.worker_messages import ProtocolViolation, encode_message

TRANSPORT_MAILBOX = 80
"""All that a session sends before it hears of it, 71 messages. Each of the eight jobs here may end,
and hand down another: an interrupt, a dump and a kill for each and for the one that runs next, and
eight runs; a shutdown, and the kill after its grace. (TransportMailboxHasRoom in spec/Tree.tla;
with one place less TLC overfills it.) And the inputs of two turns of the session, of 17 messages
each: more it does not get before this task, which waits for nothing else, has its own."""

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

    worker: Worker
    exit: Answer[WorkerExit]
    session: Address[SessionMessage]
    timeouts: Timeouts
    on_survival: Callable[[Answer[WorkerExit]], object] = attrs.field(default=lambda _: None)
    """Told of the exit of each snapshot that has come in its worker's place."""
    _process: Process = attrs.field(init=False)
    """The one that speaks now."""
    _descriptors: Descriptors = attrs.field(init=False)
    _uplink: Uplink = attrs.field(init=False)
    _is_ending: bool = attrs.field(default=False, init=False)
    """Whether the session is: no snapshot is to go on from here."""
    _shutdown: messages.Shutdown | None = attrs.field(default=None, init=False)
    _violation: str | None = attrs.field(default=None, init=False)
    _killed_for_ladder: bool = attrs.field(default=False, init=False)
    _stack: str = attrs.field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self._process = self.worker.process
        self._descriptors = self.worker.open_descriptors()
        self._uplink = Uplink(self.session, None, ExecutionFlight.drop)
        self._uplink.rolling_back = self._end_process
        self._uplink.pid = lambda: self._process.pid

    @trio.lowlevel.enable_ki_protection
    async def run(self, *, task_status: trio.TaskStatus[Ready] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until the process has ended; the started value comes with its `ready`.

        Raises WorkerSpawnFailed when it ends before that.
        """
        address: Address[TransportMessage]
        inbox: trio.MemoryReceiveChannel[TransportMessage]
        address, inbox = open_mailbox(TRANSPORT_MAILBOX)

        def ready(message: dict[str, Any]) -> None:
            self._uplink.on_ready = None
            task_status.started(Ready(address, message["pid"], message["version"]))

        self._uplink.on_ready = ready
        failure: WorkerSpawnFailed | None = None
        try:
            async with trio.open_nursery() as lingering:
                self._uplink.linger = lambda flight: lingering.start_soon(flight.finish_later)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._command, inbox)
                    nursery.start_soon(self._descriptors.send_rests)
                    cause = await self._read_until_no_one_survives()
                    nursery.cancel_scope.cancel()
                failure = await self._tell_death(cause or await self._learn_cause())
        finally:
            # However it ended: nothing lives on, and nobody waits for what cannot come.
            self._process.kill()
            self._descriptors.close()
            for flight in self._uplink.flights:
                _drop(flight)
            self.session.close()
        if failure is not None:
            raise failure

    # --- down ---------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def _command(self, inbox: trio.MemoryReceiveChannel[TransportMessage]) -> None:
        try:
            while True:
                message: TransportMessage | None = await inbox.receive()
                # What has come with it is taken in the same turn: turns are what costs.
                while message is not None:
                    _COMMANDS[type(message)](self, message)
                    message = receive_more(inbox)
        finally:
            # Not only once the death is told, which takes its time: a mailbox that nobody takes
            # from fills up, and the session counts on room in it.
            close_mailbox(inbox, _turn_away)

    def _run(self, message: Run) -> None:
        flight = ExecutionFlight.of(message)
        flight.sent = self._send_flight(flight)
        self._uplink.launch(flight)

    def _ask(self, message: Ask) -> None:
        flight = QuestionFlight(message)
        self._uplink.launch(flight)
        self._send_flight(flight)

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
        for flight in self._uplink.flights:
            if flight.number == message.number:
                if isinstance(flight, ExecutionFlight):
                    flight.interrupt(message.code, message.limit_s)
                self._process.interrupt(message.number)

    def _dump_stack(self, _: messages.DumpStack) -> None:
        self._process.dump_stack()

    def _kill(self, message: messages.Kill) -> None:
        if message.number is None:
            self._is_ending = True
        elif self._uplink.runs(message.number):
            # What is to be undone is not told as done any more.
            self._uplink.is_deaf = True
        else:
            return
        self._killed_for_ladder = True
        self._stack = self._process.read_stack()
        self._process.kill()

    def _end_process(self) -> None:
        self._process.kill()

    def _shut_down(self, message: messages.Shutdown) -> None:
        self._is_ending = True
        self._shutdown = message
        self._send_shutdown(message)

    def _send_shutdown(self, message: messages.Shutdown) -> None:
        self._send({"type": "shutdown", "reason": "closed", "grace_s": message.grace_s})

    def _send_flight(self, flight: Flight) -> bool:
        return self._send(flight.message(), flight.passed)

    def _send(self, message: dict[str, Any], passed: Sequence[int] = ()) -> bool:
        return self._descriptors.send(encode_message(message), passed)

    # --- up -----------------------------------------------------------------------------------

    async def _read_until_no_one_survives(self) -> verdicts.Cause | None:
        """Read one process after the other; why the last one ended, where that is known by then."""
        while True:
            await self._read_until_death()
            before, begun = self._process, self._process.begun()
            if self._is_ending or not self._uplink.may_survive(begun):
                # What a snapshot holds is older than what was told: nothing may go on from it.
                return None
            cause = await self._learn_cause()
            if self._process is before or self._is_ending:
                return cause
            taken_before = self._process.taken_before()
            if not self._uplink.may_go_on_from(taken_before, begun):
                return cause
            await self._uplink.survive(cause, begun, taken_before)
            self._violation, self._killed_for_ladder, self._stack = None, False, ""
            self._go_on()

    def _go_on(self) -> None:
        """Have the snapshot speak, and do what nobody has begun.

        All of that is sent again, behind a mark up to which it throws away what it reads: how much
        of the socket the dead process had read nobody knows, as it may have died within a message,
        or between its reading and its word that it has.
        """
        mark = token_bytes(MARK_BYTES)
        self._descriptors.start_over(mark)
        for flight in self._uplink.flights:
            self._send_flight(flight)
        if self._shutdown is not None:
            self._send_shutdown(self._shutdown)
        self._process.let_speak(mark)

    async def _learn_cause(self) -> verdicts.Cause:
        """Why the process ended. A snapshot that outlives it has its place from then on."""
        report, notes = await self._exit_report(), self._process.read_notes()
        survivor = None if report is None else report.survivor
        if survivor is not None:
            self._process, self.exit = survivor.process, survivor.exit
            self.on_survival(survivor.exit)
            self._descriptors.pass_to(survivor.process)
        return verdicts.cause_of(
            report,
            violation=self._violation,
            killed_for_ladder=self._killed_for_ladder,
            stack=self._stack,
            notes=notes,
        )

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
            await self._uplink.print(stream, "pipe", data)
        await self._uplink.flush()

    async def _take_frames(self, data: bytes) -> None:
        try:
            await self._uplink.take_frames(data)
        except ProtocolViolation as violation:
            self._violated(str(violation))

    # --- the end --------------------------------------------------------------------------------

    def _violated(self, what: str) -> None:
        self._violation = self._violation or what
        self._descriptors.forget_socket()
        self._process.kill()

    async def _hung_up(self) -> None:
        """The worker's end of the socket is closed: it has died, or has thrown it away."""
        self._descriptors.forget_socket()
        with trio.move_on_after(HANG_UP_GRACE_S):
            await self._process.wait()
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

    async def _tell_death(self, cause: verdicts.Cause) -> WorkerSpawnFailed | None:
        """Give everyone who waits for this process the one end that they were promised.

        Returns the failure where nobody but its start waited for it.
        """
        if self._uplink.on_ready is not None:
            return self._spawn_failed(cause)
        await self._uplink.notify(Died(cause.text))
        rests, begun = self._uplink.rests(), self._process.begun()
        while self._uplink.flights:
            flight = self._uplink.flights.popleft()
            if isinstance(flight, ExecutionFlight) and not flight.sent:
                flight.refuse(verdicts.never_sent())
            elif isinstance(flight, ExecutionFlight):
                last_output = flight.allowance.last_output
                code, limit_s = flight.code, flight.limit_s
                terminal = verdicts.death_of(flight.execution, cause, code, limit_s, last_output)
                self._uplink.finish(flight, rests, terminal)
                rests = []
            elif flight.number <= begun:
                flight.ask.query.reply.fail(verdicts.lost_with_question(cause))
            else:
                _drop(flight)
        return None

    async def _exit_report(self) -> WorkerExit | None:
        with trio.move_on_after(EXIT_REPORT_S):
            try:
                return await self.exit.wait()
            except NoReply:
                return None
        return None

    def _spawn_failed(self, cause: verdicts.Cause) -> WorkerSpawnFailed:
        tail = self._uplink.background.last()
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
