"""Sessions that are each wrong in one way, as a change of the code might make them."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from actors import Reply
from pyrepl3.errors import Code
from pyrepl3.events import InterruptOutcome
from pyrepl3.messages import Execute, Query
from pyrepl3.session.session_records import Effect, Job, KillWorker, Rung
from pyrepl3.session.session_state import SessionState
from pyrepl3.session.session_trace import SessionAction


class EndsAnExecutionTwice(SessionState):
    """Takes whatever end it is told for that of what runs."""

    def ended(self, number: int, *, now: float, **how: bool) -> list[Effect]:
        effects = super().ended(number, now=now, **how)
        if effects or not self._handed:
            return effects
        if self.trace is not None:
            self.trace.record(SessionAction.ENDED, job=number, rolled_back=False, open=False)
        return self._next(now)


class ForgetsToHandTheNext(SessionState):
    """Hands down what is asked of an idle session, and nothing else."""

    def _can_hand(self) -> bool:
        return not self._handed


class HandsBehindAReader(SessionState):
    """Lets code that reads input read the request behind it."""

    def _can_hand(self) -> bool:
        return len(self._handed) < 8


class RunsWhatWasDropped(SessionState):
    """Tells the client that its execution never ran, and then runs it."""

    def _call_off(self, job: Job, *others: Any) -> list[Effect]:
        waits = job in self._waiting
        effects = super()._call_off(job, *others)
        if waits:
            self._waiting.append(job)
        return effects


class SignalsAnother(SessionState):
    """Interrupts what runs, whichever is named."""

    def _call_off(self, job: Job, *others: Any) -> list[Effect]:
        return super()._call_off(self._handed[0], *others)


class ForgetsToSettle(SessionState):
    """Lets who asked for an interrupt wait for ever."""

    def _next(self, now: float, *, rolled_back: bool = False) -> list[Effect]:
        self._ladder = None
        return super()._next(now, rolled_back=rolled_back)


class ForgetsToSettleAtDeath(SessionState):
    """The same, of those whose jobs die with the process."""

    def died(self) -> list[Effect]:
        self._ladder = None
        for job in self._handed:
            job.interrupts.clear()
        return super().died()


class ForgetsWhoseTurnHadNotCome(SessionState):
    """An interrupt of what is ready is forgotten when its turn comes."""

    def _begin(self, job: Job, now: float) -> list[Effect]:
        job.to_interrupt = None
        return super()._begin(job, now)


class SignalsTwice(SessionState):
    """Sets a second ladder under what has one."""

    def _climb(
        self,
        job: Job,
        code: Code,
        grace_s: float | None,
        reply: Reply[InterruptOutcome] | None,
        now: float,
    ) -> list[Effect]:
        self._ladder = None
        return super()._climb(job, code, grace_s, reply, now)


class IsImpatient(SessionState):
    """Ends what was to be given all the time that it takes."""

    def _climb(
        self,
        job: Job,
        code: Code,
        grace_s: float | None,
        reply: Reply[InterruptOutcome] | None,
        now: float,
    ) -> list[Effect]:
        return super()._climb(job, code, None, reply, now)


class SaysThatALostStateIsKept(SessionState):
    """Whatever was done to its process."""

    def _state_now(self) -> Literal["kept", "lost"]:
        return "kept"


class SaysThatWhatIsUndoneIsKept(SessionState):
    """Lets who asked for an interrupt believe that its execution had an effect."""

    def _outcome(self, job: Job, rung: Rung, rolled_back: bool) -> InterruptOutcome:
        return super()._outcome(job, rung, False)


class KillsForGood(SessionState):
    """Lets no snapshot go on from what is killed."""

    def _kill(self, number: int | None = None) -> KillWorker:
        return super()._kill()


class ForgetsThatATransactionIsOver(SessionState):
    """Takes it to be open when the process that held it has died."""

    def survived(self, *, now: float) -> list[Effect]:
        was_protected = self._is_protected
        effects = super().survived(now=now)
        self._is_protected = was_protected
        return effects


class GivesNoTimeToWhatItMissed(SessionState):
    """Kills at once what its kill did not strike, where that has just begun."""

    def survived(self, *, now: float) -> list[Effect]:
        ladder = self._ladder
        missed = ladder is not None and ladder.rung is Rung.KILLED
        effects = super().survived(now=now)
        if ladder is not None and missed:
            ladder.rung, ladder.next_at = Rung.DUMPED, now
        return effects


class ForgetsWhatWaits(SessionState):
    """Leaves those that wait without an end when it ends itself."""

    def _drop_waiting(self) -> list[Effect]:
        self._waiting.clear()
        return []


class TakesTooMany(SessionState):
    """Counts what waits, and not what is at the worker."""

    def _queue_is_full(self) -> bool:
        return len(self._waiting) >= self.limits.queued_executions


class GivesANumberTwice(SessionState):
    """Lets a late signal for one execution strike another."""

    def _enqueue(self, request: Execute | Query, allow_input: bool, timeout_s: float | None) -> Job:
        if self._last_number == 3:
            self._last_number = 2
        return super()._enqueue(request, allow_input, timeout_s)


@attrs.define(eq=False)
class PassesOnAnyAnswer(SessionState):
    """Gives a line to what runs, whoever it was for."""

    def answer_input(self, answer: Any) -> list[Effect]:
        running = self._running()
        if running is not None and self.trace is not None:
            self.trace.record(SessionAction.ANSWER_INPUT, execution=answer.execution)
        return []


BROKEN: list[type[SessionState]] = [
    EndsAnExecutionTwice,
    ForgetsToHandTheNext,
    HandsBehindAReader,
    RunsWhatWasDropped,
    SignalsAnother,
    ForgetsToSettle,
    ForgetsToSettleAtDeath,
    ForgetsWhoseTurnHadNotCome,
    SignalsTwice,
    IsImpatient,
    SaysThatALostStateIsKept,
    SaysThatWhatIsUndoneIsKept,
    KillsForGood,
    ForgetsThatATransactionIsOver,
    GivesNoTimeToWhatItMissed,
    ForgetsWhatWaits,
    TakesTooMany,
    GivesANumberTwice,
    PassesOnAnyAnswer,
]
