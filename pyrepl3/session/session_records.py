"""What a session remembers of a job, and what it may decide.

Data only: `session_state.py` alone changes it.
"""

from __future__ import annotations

import enum
import math

import attrs

from actors import Reply
from pyrepl3.errors import Code, PyreplError
from pyrepl3.events import Error, InterruptOutcome
from pyrepl3.messages import AnswerInput, Execute, Query


@attrs.define(eq=False)
class Job:
    """One execution or question, from its acceptance to its end."""

    number: int
    request: Execute | Query
    allow_input: bool
    timeout_s: float | None
    deadline: float = math.inf
    to_interrupt: float | None = None
    """The grace of an interrupt that came before its turn."""
    transaction: int = 0
    """The one that was open when it was accepted; 0: none was."""
    interrupts: list[Reply[InterruptOutcome]] = attrs.field(factory=list)
    """Who asked for it."""

    @property
    def is_timed(self) -> bool:
        """Whether it has a deadline, from when it begins."""
        return self.timeout_s is not None and self.timeout_s < math.inf

    @property
    def is_protected(self) -> bool:
        """Whether a snapshot is taken before it, to go on from if it is killed."""
        return isinstance(self.request, Execute) and self.request.is_protected

    @property
    def execution(self) -> str | None:
        """Its id, where it is an execution."""
        return self.request.execution if isinstance(self.request, Execute) else None


class Rung(enum.Enum):
    """How far up the ladder: each rung is harder than the one before."""

    SIGNALLED = enum.auto()
    DUMPED = enum.auto()
    """The next one is the kill: what it ends, is lost."""
    KILLED = enum.auto()
    """But for what has a snapshot: that goes on without what is killed."""


@attrs.define(eq=False)
class Ladder:
    """The ladder under the job that runs; ``next_at`` is when its next rung is due."""

    rung: Rung
    next_at: float
    replies: list[Reply[InterruptOutcome]]


@attrs.frozen
class Hand:
    """Give this job to the transport."""

    job: Job


@attrs.frozen
class Refuse:
    """The request was not taken."""

    request: Execute | Query
    error: PyreplError


@attrs.frozen
class Drop:
    """An accepted job ends without having run."""

    job: Job
    error: Error | PyreplError


@attrs.frozen
class SendInput:
    """Pass this line on."""

    answer: AnswerInput


@attrs.frozen
class Signal:
    """SIGINT, for the execution of this number."""

    number: int
    code: Code
    limit_s: float | None = None


@attrs.frozen
class DumpStack:
    """SIGUSR1."""


@attrs.frozen
class KillWorker:
    """SIGKILL, for the job of this number alone; None: nothing is to outlive it."""

    number: int | None = None


@attrs.frozen
class ShutWorkerDown:
    """Ask the worker to end."""

    grace_s: float


@attrs.frozen
class Settle:
    """Tell who asked for an interrupt what came of it."""

    reply: Reply[InterruptOutcome]
    outcome: InterruptOutcome | PyreplError


Effect = (
    Hand | Refuse | Drop | SendInput | Signal | DumpStack | KillWorker | ShutWorkerDown | Settle
)
