"""One session's decisions: what runs when, and how what runs too long is ended.

Pure: one method for each action, each changes the state at once and returns the effects to be
carried out; takes `now`; knows no trio, no socket and no process.

A session hands its transport at most a few jobs at a time, one that runs and others ready in the
socket behind it, and queues the rest itself, so nothing that it hands down can wait there.
"""

from __future__ import annotations

import enum
import math
from collections import deque

import attrs

from actors import Reply
from pyrepl3.config import Limits, Timeouts
from pyrepl3.errors import Code
from pyrepl3.events import InterruptOutcome
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

HANDED_AT_MOST = 8
"""Jobs at the transport: one that runs, the others ready in the socket. With one, the worker
idles for a round trip between executions. Measured with 1,000 in flight: 2 gave 5,000 executions
a second, 4 gave 6,600, 8 gave 8,900: a worker that never sleeps need not be woken."""


class Phase(enum.Enum):
    """A session opens once, and ends once."""

    OPEN = enum.auto()
    CLOSING = enum.auto()
    ENDED = enum.auto()


@attrs.define(eq=False)
class SessionState:
    """The jobs of one session, in order, and the ladder under what is to end."""

    limits: Limits
    timeouts: Timeouts
    phase: Phase = Phase.OPEN
    _waiting: deque[Job] = attrs.field(factory=deque)
    _handed: deque[Job] = attrs.field(factory=deque)
    _ladder: Ladder | None = None
    _kill_at: float = math.inf
    _last_number: int = 0

    # --- actions of the client --------------------------------------------------------------

    def execute(self, request: Execute, *, now: float) -> list[Effect]:
        """Take an execution, or refuse it; it runs after those before it."""
        if self.phase is not Phase.OPEN:
            return [Refuse(request, refusals.session_closed())]
        if self._queue_is_full():
            return [Refuse(request, refusals.queue_full(self.limits.queued_executions))]
        timeout_s = request.timeout_s
        if timeout_s is None:
            timeout_s = self.limits.execution_timeout_s
        return self._enqueue(request, request.allow_input, timeout_s, now)

    def query(self, request: Query, *, now: float) -> list[Effect]:
        """Take a question to the worker, in its turn."""
        if self.phase is not Phase.OPEN:
            return [Refuse(request, refusals.session_closed())]
        if self._queue_is_full():
            return [Refuse(request, refusals.queue_full(self.limits.queued_executions))]
        return self._enqueue(request, False, self.limits.execution_timeout_s, now)

    def answer_input(self, answer: AnswerInput) -> list[Effect]:
        """Pass a line on to the execution that waits for it, if it still runs."""
        running = self._running()
        if running is None or running.execution != answer.execution:
            return []
        return [SendInput(answer)]

    def interrupt(self, request: Interrupt, *, now: float) -> list[Effect]:
        """End what runs, or the execution that is named."""
        running = self._running()
        if request.execution is None:
            if running is None or not isinstance(running.request, Execute):
                return [Settle(request.reply, InterruptOutcome("kept", "nothing"))]
            return self._climb(running, Code.INTERRUPTED, request.grace_s, request.reply, now)
        for job in self._handed:
            if job.execution == request.execution:
                return self._climb(job, Code.INTERRUPTED, request.grace_s, request.reply, now)
        for job in self._waiting:
            if job.execution == request.execution:
                self._waiting.remove(job)
                outcome = InterruptOutcome("kept", "nothing")
                return [Drop(job, refusals.never_ran(job)), Settle(request.reply, outcome)]
        return [Settle(request.reply, refusals.not_found(request.execution))]

    def abandon(self, execution: str, *, now: float) -> list[Effect]:
        """Its client has gone: what waits is dropped, what runs is interrupted."""
        for job in self._handed:
            if job.execution == execution:
                return self._climb(job, Code.INTERRUPTED, None, None, now)
        for job in self._waiting:
            if job.execution == execution:
                self._waiting.remove(job)
                return [Drop(job, refusals.never_ran(job))]
        return []

    def narrow(self, limits: Limits) -> list[Effect]:
        """From now on these limits; what runs keeps its own."""
        self.limits = limits
        return []

    def close(self, *, graceful: bool, now: float) -> list[Effect]:
        """Take nothing any more, and end the worker."""
        if self.phase is not Phase.OPEN:
            return []
        self.phase = Phase.CLOSING
        effects = self._drop_waiting()
        if not graceful:
            return [*effects, KillWorker()]
        for job in self._handed:
            effects.extend(self._climb(job, Code.INTERRUPTED, None, None, now))
        self._kill_at = now + self.timeouts.close_grace_s
        return [*effects, ShutWorkerDown(self.timeouts.close_grace_s)]

    # --- actions of the transport -------------------------------------------------------------

    def ended(self, number: int, *, now: float) -> list[Effect]:
        """The worker has answered; the next one begins."""
        if not self._handed or self._handed[0].number != number:
            return []
        job = self._handed.popleft()
        effects: list[Effect] = []
        if self._ladder is not None and self._ladder.number == number:
            told = InterruptOutcome("kept", "signal")
            if self._ladder.rung is Rung.KILLED:
                told = InterruptOutcome("lost", "kill")
            effects.extend(Settle(reply, told) for reply in self._ladder.replies)
            self._ladder = None
        ended_before = InterruptOutcome("kept", "nothing")
        effects.extend(Settle(reply, ended_before) for reply in job.interrupts)
        running = self._running()
        if running is not None:
            effects.extend(self._begin(running, now))
        if self._waiting:
            effects.extend(self._hand(now))
        return effects

    def broke(self, number: int, *, now: float) -> list[Effect]:
        """The worker has answered, and said that it cannot go on: its client was told `lost`.

        So it is lost, whether the process ends by itself or not.
        """
        if self.phase is Phase.OPEN:
            self.phase = Phase.CLOSING
        effects = self._drop_waiting()
        return [*effects, *self.ended(number, now=now), KillWorker()]

    def died(self) -> list[Effect]:
        """The process has ended; the transport has told those whose jobs it had."""
        self.phase = Phase.ENDED
        effects = self._drop_waiting()
        outcome = InterruptOutcome("lost", "kill")
        if self._ladder is not None:
            effects.extend(Settle(reply, outcome) for reply in self._ladder.replies)
            self._ladder = None
        for job in self._handed:
            effects.extend(Settle(reply, outcome) for reply in job.interrupts)
        self._handed.clear()
        self._kill_at = math.inf
        return effects

    # --- time ---------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When `tick` may have something to do; infinite when never."""
        deadline = self._kill_at
        if self._ladder is not None:
            deadline = min(deadline, self._ladder.next_at)
        if self._handed and (self._ladder is None or self._ladder.rung is Rung.SIGNALLED):
            deadline = min(deadline, self._handed[0].deadline)
        return deadline

    def tick(self, *, now: float) -> list[Effect]:
        """Whatever is due: a deadline, the next rung, the end of a closing session's grace."""
        if now >= self._kill_at:
            self._kill_at = math.inf
            return [KillWorker()]
        effects: list[Effect] = []
        running = self._running()
        if running is not None and now >= running.deadline:
            # Also under an interrupt's ladder: its grace, however long, ends with the deadline's.
            running.deadline = math.inf
            effects.extend(self._climb(running, Code.EXECUTION_TIMEOUT, None, None, now))
        if self._ladder is not None:
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

    def _enqueue(
        self, request: Execute | Query, allow_input: bool, timeout_s: float | None, now: float
    ) -> list[Effect]:
        self._last_number += 1
        self._waiting.append(Job(self._last_number, request, allow_input, timeout_s))
        return self._hand(now)

    def _hand(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        while self._waiting and self._can_hand():
            job = self._waiting.popleft()
            self._handed.append(job)
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

    def _drop_waiting(self) -> list[Effect]:
        dropped: list[Effect] = [Drop(job, refusals.lost_waiting(job)) for job in self._waiting]
        self._waiting.clear()
        return dropped

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
            return []
        if self._ladder is not None:
            if reply is not None:
                self._ladder.replies.append(reply)
            if self._ladder.rung is Rung.SIGNALLED:
                self._ladder.next_at = min(self._ladder.next_at, now + grace_s)
            return []
        replies = [] if reply is None else [reply]
        replies.extend(job.interrupts)
        job.interrupts.clear()
        self._ladder = Ladder(job.number, Rung.SIGNALLED, now + grace_s, replies)
        limit_s = job.timeout_s if code is Code.EXECUTION_TIMEOUT else None
        return [Signal(job.number, code, limit_s)]

    def _next_rung(self, ladder: Ladder, now: float) -> list[Effect]:
        if now < ladder.next_at:
            return []
        if ladder.rung is Rung.SIGNALLED:
            ladder.rung = Rung.DUMPED
            ladder.next_at = now + self.timeouts.stack_dump_s
            return [DumpStack()]
        ladder.rung = Rung.KILLED
        ladder.next_at = math.inf
        return [KillWorker()]
