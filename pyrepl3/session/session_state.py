"""One session's decisions: what runs when, and how what runs too long is ended.

Pure: one method for each action, each changes the state at once and returns the effects to be
carried out; takes `now`; knows no trio, no socket and no process.

`spec/Session.tla` is the model of this module, action for action, and `session_trace.py` has the
names under which each is recorded, at the moment of the change.

A session hands its transport at most a few jobs at a time, one that runs and others ready in the
socket behind it, and queues the rest itself, so nothing that it hands down can wait there.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections import deque
from typing import Literal

import attrs

from actors import Reply
from pyrepl3.config import Limits, Timeouts
from pyrepl3.errors import Code, PyreplError
from pyrepl3.events import Error, InterruptOutcome
from pyrepl3.messages import AnswerInput, Execute, Interrupt, Query
from pyrepl3.session import refusals
from pyrepl3.session.session_records import (
    Drop,
    DumpStack,
    Effect,
    Hand,
    Job,
    KillWorker,
    Ladder,
    Refuse,
    Rung,
    SendInput,
    Settle,
    ShutWorkerDown,
    Signal,
)
from pyrepl3.session.session_trace import NO_JOB, UNKNOWN, SessionAction, SessionTrace

HANDED_AT_MOST = 8
"""Jobs at the transport: one that runs, the others ready in the socket. With one, the worker
idles for a round trip between executions. Measured with 1,000 in flight: 2 gave 5,000 executions
a second, 4 gave 6,600, 8 gave 8,900: a worker that never sleeps need not be woken."""


class Phase(enum.Enum):
    """A session opens once, and ends once. Each phase is further on than the one before."""

    OPEN = enum.auto()
    CLOSING = enum.auto()
    LOST = enum.auto()
    """What its process held is gone, as it was killed or said so; its death is not yet told."""
    ENDED = enum.auto()


@attrs.define(eq=False)
class SessionState:
    """The jobs of one session, in order, and the ladder under what is to end."""

    limits: Limits
    timeouts: Timeouts
    trace: SessionTrace | None = None
    phase: Phase = Phase.OPEN
    _waiting: deque[Job] = attrs.field(factory=deque)
    _handed: deque[Job] = attrs.field(factory=deque)
    _ladder: Ladder | None = None
    _kill_at: float = math.inf
    _is_protected: bool = False
    """Whether a transaction is open: its beginning is what a kill goes back to."""
    _transaction: int = 0
    """The number of the job that began the one that is open; 0: none is."""
    _last_number: int = 0

    def __attrs_post_init__(self) -> None:
        if self.trace is not None:
            self.trace.open(queued=self.limits.queued_executions, handed_at_most=HANDED_AT_MOST)

    # --- actions of the client --------------------------------------------------------------

    def execute(self, request: Execute, *, now: float) -> list[Effect]:
        """Take an execution, or refuse it; it runs after those before it."""
        if self.phase is not Phase.OPEN or self._queue_is_full():
            return self._refuse(request)
        timeout_s = request.timeout_s
        if timeout_s is None:
            timeout_s = self.limits.execution_timeout_s
        job = self._enqueue(request, request.allow_input, timeout_s)
        if self.trace is not None:
            self.trace.record(
                SessionAction.EXECUTE,
                job=job.number,
                execution=request.execution,
                reads=request.allow_input,
                timed=job.is_timed,
                protected=job.is_protected,
            )
        return self._hand(now)

    def query(self, request: Query, *, now: float) -> list[Effect]:
        """Take a question to the worker, in its turn."""
        if self.phase is not Phase.OPEN or self._queue_is_full():
            return self._refuse(request)
        job = self._enqueue(request, False, self.limits.execution_timeout_s)
        if self.trace is not None:
            self.trace.record(SessionAction.QUERY, job=job.number, timed=job.is_timed)
        return self._hand(now)

    def answer_input(self, answer: AnswerInput) -> list[Effect]:
        """Pass a line on to the execution that waits for it, if it still runs."""
        running = self._running()
        if running is None or running.execution != answer.execution:
            return []
        if self.trace is not None:
            self.trace.record(SessionAction.ANSWER_INPUT, execution=answer.execution)
        return [SendInput(answer)]

    def interrupt(self, request: Interrupt, *, now: float) -> list[Effect]:
        """End what runs, a question too, or the execution that is named."""
        if self.trace is not None:
            self.trace.record(
                SessionAction.INTERRUPT,
                execution=None if request.execution is None else self._recorded(request.execution),
                reply=self.trace.number_of(request.reply),
                patient=request.grace_s == math.inf,
            )
        job = self._running() if request.execution is None else self._named(request.execution)
        if job is None and request.execution is not None:
            return [self._settle(request.reply, refusals.not_found(request.execution))]
        if job is None:
            return [self._settle(request.reply, InterruptOutcome(self._state_now(), "nothing"))]
        return self._call_off(job, request.grace_s, request.reply, now)

    def abandon(self, execution: str, *, now: float) -> list[Effect]:
        """Its client has gone: what waits is dropped, what runs is interrupted."""
        if self.trace is not None:
            self.trace.record(SessionAction.ABANDON, execution=self._recorded(execution))
        job = self._named(execution)
        return [] if job is None else self._call_off(job, None, None, now)

    def narrow(self, limits: Limits) -> list[Effect]:
        """From now on these limits; what runs keeps its own."""
        self.limits = limits
        if self.trace is not None:
            self.trace.record(SessionAction.NARROW, queued=limits.queued_executions)
        return []

    def close(self, *, graceful: bool, now: float) -> list[Effect]:
        """Take nothing any more, and end the worker."""
        if self.phase is not Phase.OPEN:
            return []
        if self.trace is not None:
            self.trace.record(SessionAction.CLOSE, graceful=graceful)
        if not graceful:
            return [*self._lose(), self._kill()]
        self.phase = Phase.CLOSING
        effects = self._drop_waiting()
        for job in self._handed:
            effects.extend(self._climb(job, Code.INTERRUPTED, None, None, now))
        self._kill_at = now + self.timeouts.close_grace_s
        if self.trace is not None:
            self.trace.record(SessionAction.SHUT_WORKER_DOWN)
        return [*effects, ShutWorkerDown(self.timeouts.close_grace_s)]

    # --- actions of the transport -------------------------------------------------------------

    def ended(
        self,
        number: int,
        *,
        rolled_back: bool = False,
        is_protected: bool = False,
        transaction: int = 0,
        now: float,
    ) -> list[Effect]:
        """The worker has answered, or was rolled back; the next one begins."""
        if not self._handed or self._handed[0].number != number:
            return []
        self._is_protected, self._transaction = is_protected, transaction
        if self.trace is not None:
            self.trace.record(
                SessionAction.ENDED, job=number, rolled_back=rolled_back, open=is_protected
            )
        return self._next(now, rolled_back=rolled_back)

    def survived(self, *, now: float) -> list[Effect]:
        """The process died with nothing to do, and the transaction that was open is undone.

        What it was to be killed for had not begun in it: that begins in the process which has
        taken over, and is given its time to end there.
        """
        self._is_protected, self._transaction = False, 0
        if self.trace is not None:
            self.trace.record(SessionAction.SURVIVED)
        if self._ladder is not None and self._ladder.rung is Rung.KILLED:
            self._ladder.rung = Rung.SIGNALLED
            self._ladder.next_at = now + self.timeouts.interrupt_grace_s
        return []

    def broke(self, number: int, *, now: float) -> list[Effect]:
        """The worker has answered, and said that it cannot go on: its client was told `lost`.

        So it is lost, whether the process ends by itself or not.
        """
        if not self._handed or self._handed[0].number != number:
            return []
        if self.trace is not None:
            self.trace.record(SessionAction.BROKE, job=number)
        # First of all: who asked for an interrupt must not hear that the state is kept.
        effects = self._lose()
        effects.extend(self._next(now))
        return [*effects, self._kill()]

    def died(self) -> list[Effect]:
        """The process has ended; the transport has told those whose jobs it had."""
        if self.phase is Phase.ENDED:
            return []
        if self.trace is not None:
            self.trace.record(SessionAction.DIED)
        self.phase = Phase.ENDED
        effects = self._drop_waiting()
        if self._ladder is not None:
            self._handed[0].interrupts[:0] = self._ladder.replies
            self._ladder = None
        for job in self._handed:
            outcome = InterruptOutcome("lost", "kill", job.execution)
            effects.extend(self._settle(reply, outcome) for reply in job.interrupts)
        self._handed.clear()
        self._kill_at = math.inf
        return effects

    # --- time ---------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When `tick` may have something to do; infinite when never."""
        if self.phase is Phase.LOST:
            return math.inf
        deadline = self._kill_at
        if self._ladder is not None:
            deadline = min(deadline, self._ladder.next_at)
        if self._handed and (self._ladder is None or self._ladder.rung is Rung.SIGNALLED):
            deadline = min(deadline, self._handed[0].deadline)
        return deadline

    def tick(self, *, now: float) -> list[Effect]:
        """Whatever is due: a deadline, the next rung, the end of a closing session's grace."""
        if self.phase is Phase.LOST:
            return []
        if now >= self._kill_at:
            if self.trace is not None:
                self.trace.record(SessionAction.CLOSE_GRACE_PASSED)
            return [*self._lose(), self._kill()]
        effects: list[Effect] = []
        running = self._running()
        if running is not None and now >= running.deadline:
            # Also under an interrupt's ladder: its grace, however long, ends with the deadline's.
            running.deadline = math.inf
            if self.trace is not None:
                self.trace.record(SessionAction.DEADLINE_PASSED, job=running.number)
            effects.extend(self._climb(running, Code.EXECUTION_TIMEOUT, None, None, now))
        if self._ladder is not None and now >= self._ladder.next_at:
            effects.extend(self._next_rung(self._ladder, now))
        return effects

    # --- the order of jobs --------------------------------------------------------------------

    def _running(self) -> Job | None:
        return self._handed[0] if self._handed else None

    def _queue_is_full(self) -> bool:
        """Everything behind the running job counts, also what is ready in the socket."""
        behind = len(self._waiting) + len(self._handed) - 1
        return behind >= self.limits.queued_executions

    def _can_hand(self) -> bool:
        """Whether one more may go down: never behind one whose input() reads the same socket."""
        if not self._handed:
            return True
        return len(self._handed) < HANDED_AT_MOST and not self._handed[-1].allow_input

    def _refuse(self, request: Execute | Query) -> list[Effect]:
        full = self.phase is Phase.OPEN
        if self.trace is not None:
            self.trace.record(SessionAction.REFUSE, reason="full" if full else "closed")
        if full:
            return [Refuse(request, refusals.queue_full(self.limits.queued_executions))]
        if self.phase is Phase.LOST:
            return [Refuse(request, refusals.session_closed("its process is being killed"))]
        return [Refuse(request, refusals.session_closed())]

    def _enqueue(self, request: Execute | Query, allow_input: bool, timeout_s: float | None) -> Job:
        self._last_number += 1
        transaction = self._transaction
        if transaction and any(map(_ends_one, itertools.chain(self._handed, self._waiting))):
            transaction = 0  # it is over by then, as was wished
        job = Job(self._last_number, request, allow_input, timeout_s, transaction=transaction)
        self._waiting.append(job)
        return job

    def _hand(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while self._waiting and self._can_hand():
            job = self._waiting.popleft()
            self._handed.append(job)
            if self.trace is not None:
                self.trace.record(SessionAction.HAND, job=job.number)
            effects.append(Hand(job))
            if len(self._handed) == 1:
                effects.extend(self._begin(job, now))
        return effects

    def _begin(self, job: Job, now: float) -> list[Effect]:
        if job.timeout_s is not None:
            job.deadline = now + job.timeout_s
        if job.to_interrupt is not None:
            grace_s, job.to_interrupt = job.to_interrupt, None
            return self._climb(job, Code.INTERRUPTED, grace_s, None, now)
        return []

    def _next(self, now: float, *, rolled_back: bool = False) -> list[Effect]:
        """What runs is over: those who asked for that are told, and the next one begins."""
        job = self._handed.popleft()
        effects: list[Effect] = []
        if self._ladder is not None:
            told = self._outcome(job, self._ladder.rung, rolled_back)
            effects.extend(self._settle(reply, told) for reply in self._ladder.replies)
            self._ladder = None
        running = self._running()
        if running is not None:
            effects.extend(self._begin(running, now))
        if self._waiting:
            effects.extend(self._hand(now))
        return effects

    def _outcome(self, job: Job, rung: Rung, rolled_back: bool) -> InterruptOutcome:
        """What is told of a job that has ended on this rung."""
        execution = job.execution
        if self._state_now() == "lost":
            return InterruptOutcome("lost", "kill", execution)  # also what was undone before
        if rolled_back:
            by: Literal["kill", "signal"] = "kill" if rung is Rung.KILLED else "signal"
            return InterruptOutcome("rolled_back", by, execution)
        # Before the kill, if that was on its way.
        return InterruptOutcome("kept", "signal", execution)

    def _drop(self, job: Job, error: Error | PyreplError) -> Drop:
        if self.trace is not None:
            self.trace.record(SessionAction.DROP, job=job.number)
        return Drop(job, error)

    def _drop_waiting(self) -> list[Effect]:
        dropped: list[Effect] = [
            self._drop(job, refusals.lost_waiting(job)) for job in self._waiting
        ]
        self._waiting.clear()
        return dropped

    def _named(self, execution: str) -> Job | None:
        jobs = itertools.chain(self._handed, self._waiting)
        return next((job for job in jobs if job.execution == execution), None)

    def _call_off(
        self,
        job: Job,
        grace_s: float | None,
        reply: Reply[InterruptOutcome] | None,
        now: float,
    ) -> list[Effect]:
        if job not in self._waiting:
            return self._climb(job, Code.INTERRUPTED, grace_s, reply, now)
        self._waiting.remove(job)
        effects: list[Effect] = [self._drop(job, refusals.never_ran(job))]
        if reply is not None:
            effects.append(self._settle(reply, InterruptOutcome(self._state_now(), "nothing")))
        return effects

    # --- what its process holds -----------------------------------------------------------------

    def _state_now(self) -> Literal["kept", "lost"]:
        return "kept" if self.phase in (Phase.OPEN, Phase.CLOSING) else "lost"

    def _lose(self) -> list[Effect]:
        """It is gone from here on, whatever the process still says; time can do no more to it."""
        self.phase = Phase.LOST
        self._kill_at = math.inf
        return self._drop_waiting()

    def _kill(self, number: int | None = None) -> KillWorker:
        if self.trace is not None:
            self.trace.record(SessionAction.KILL_WORKER, job=NO_JOB if number is None else number)
        return KillWorker(number)

    # --- the ladder: SIGINT, grace, stack, SIGKILL ----------------------------------------------

    def _climb(
        self,
        job: Job,
        code: Code,
        grace_s: float | None,
        reply: Reply[InterruptOutcome] | None,
        now: float,
    ) -> list[Effect]:
        """Set a ladder under the job; a second request may only make it quicker."""
        if grace_s is None:
            grace_s = self.timeouts.interrupt_grace_s
        if job is not self._running():
            # Its own time has not come; when it begins, the ladder does.
            earlier_s = job.to_interrupt
            job.to_interrupt = grace_s if earlier_s is None else min(earlier_s, grace_s)
            if reply is not None:
                job.interrupts.append(reply)
            self._record_climb(SessionAction.POSTPONE, job, reply)
            return []
        if self._ladder is not None:
            if reply is not None:
                self._ladder.replies.append(reply)
            if self._ladder.rung is Rung.SIGNALLED:
                self._ladder.next_at = min(self._ladder.next_at, now + grace_s)
            self._record_climb(SessionAction.JOIN, job, reply)
            return []
        replies = [] if reply is None else [reply]
        replies.extend(job.interrupts)
        job.interrupts.clear()
        self._ladder = Ladder(Rung.SIGNALLED, now + grace_s, replies)
        self._record_climb(SessionAction.SIGNAL, job, reply)
        limit_s = job.timeout_s if code is Code.EXECUTION_TIMEOUT else None
        return [Signal(job.number, code, limit_s)]

    def _next_rung(self, ladder: Ladder, now: float) -> list[Effect]:
        if ladder.rung is Rung.SIGNALLED:
            ladder.rung = Rung.DUMPED
            ladder.next_at = now + self.timeouts.stack_dump_s
            if self.trace is not None:
                self.trace.record(SessionAction.GRACE_PASSED)
                self.trace.record(SessionAction.DUMP_STACK)
            return [DumpStack()]
        if self.trace is not None:
            self.trace.record(SessionAction.DUMP_PASSED)
        running = self._running()
        if running is not None and (running.is_protected or self._is_protected):
            ladder.rung, ladder.next_at = Rung.KILLED, math.inf
            return [self._kill(running.number)]
        return [*self._lose(), self._kill()]

    def _settle(
        self, reply: Reply[InterruptOutcome], outcome: InterruptOutcome | PyreplError
    ) -> Settle:
        if self.trace is not None:
            told = outcome.state if isinstance(outcome, InterruptOutcome) else "unknown"
            self.trace.record(SessionAction.SETTLE, reply=self.trace.forget(reply), outcome=told)
        return Settle(reply, outcome)

    def _recorded(self, execution: str) -> str:
        """What a recording may hold of an id that a client gave."""
        return UNKNOWN if self._named(execution) is None else execution

    def _record_climb(
        self, action: SessionAction, job: Job, reply: Reply[InterruptOutcome] | None
    ) -> None:
        if self.trace is not None:
            self.trace.record(action, job=job.number, reply=self.trace.number_of(reply))


def _ends_one(job: Job) -> bool:
    return isinstance(job.request, Query) and job.request.kind in ("commit", "rollback")
