"""Histories of a session by chance: a client, a worker and a clock, all of them inconvenient."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import attrs

from actors import Reply, open_reply
from pyrepl3.config import Limits, Timeouts
from pyrepl3.events import InterruptOutcome
from pyrepl3.messages import AnswerInput, Execute, Interrupt, Query, open_events
from pyrepl3.session.session_records import Effect, Hand, KillWorker
from pyrepl3.session.session_state import Phase, SessionState
from pyrepl3.session.session_trace import SessionTrace

TIMEOUTS = Timeouts(interrupt_grace_s=2.0, stack_dump_s=0.5, close_grace_s=1.0)
QUEUED = 12


@attrs.define(eq=False)
class History:
    """One session from its start, and what it recorded."""

    random: Random
    make_state: Callable[..., SessionState] = SessionState
    recorded: list[Mapping[str, Any]] = attrs.field(factory=list, init=False)
    state: SessionState = attrs.field(init=False)
    now: float = 0.0
    _at_worker: deque[int] = attrs.field(factory=deque, init=False)
    _ids: list[str] = attrs.field(factory=lambda: ["never was"], init=False)
    _habit: float = attrs.field(init=False)
    """How often it is in a transaction."""

    def __attrs_post_init__(self) -> None:
        limits = Limits(queued_executions=QUEUED, execution_timeout_s=30.0)
        trace = SessionTrace(self.recorded.append, "s1")
        self.state = self.make_state(limits, TIMEOUTS, trace)
        self._habit = self.random.choice([0.0, 0.2, 0.9])

    def run(self, steps: int) -> None:
        """Live that long, or to the end if it comes first; then die."""
        acts = list(_CHANCES)
        # Each history has habits of its own: what is rare in all is frequent in some.
        chances = [_CHANCES[act] * self.random.choice([0.1, 1, 5]) for act in acts]
        for act in self.random.choices(acts, chances, k=steps):
            act(self)
            if self.state.phase is Phase.ENDED:
                break
        self.die()

    # --- the client -----------------------------------------------------------------------------

    def execute(self, *, reads: bool | None = None) -> None:
        """Ask for an execution."""
        name = f"e{len(self._ids)}"
        self._ids.append(name)
        send, _ = open_events()
        timeout_s = self.random.choice([None, None, 0.5, math.inf])
        reads = self.random.random() < 0.2 if reads is None else reads
        guard = self.random.random() < 0.3
        request = Execute(name, "1", send, allow_input=reads, timeout_s=timeout_s, guard=guard)
        self.perform(self.state.execute(request, now=self.now))

    def query(self) -> None:
        """Ask a question."""
        reply: Reply[Mapping[str, Any]]
        reply, _ = open_reply()
        self.perform(self.state.query(Query("complete", {}, reply), now=self.now))

    def interrupt(self) -> None:
        """Interrupt what runs, or one of the latest."""
        reply: Reply[InterruptOutcome]
        reply, _ = open_reply()
        name = self.random.choice([None, *self._latest()])
        grace_s = self.random.choice([None, 0.0, 10.0, math.inf])
        self.perform(self.state.interrupt(Interrupt(name, grace_s, reply), now=self.now))

    def abandon(self) -> None:
        """Be gone, and want one of the latest no more."""
        name = self.random.choice(self._latest())
        self.perform(self.state.abandon(name, now=self.now))

    def answer(self) -> None:
        """Send a line to one of the latest, which may not read."""
        name = self.random.choice(self._latest())
        self.perform(self.state.answer_input(AnswerInput(name, "i", "line")))

    def narrow(self) -> None:
        """Let fewer wait."""
        queued = self.random.randint(1, QUEUED)
        self.perform(self.state.narrow(Limits(queued_executions=queued)))

    def close(self) -> None:
        """End it."""
        self.perform(self.state.close(graceful=self.random.random() < 0.7, now=self.now))

    def _latest(self) -> list[str]:
        return self._ids[-2 * QUEUED :]

    # --- the worker -------------------------------------------------------------------------------

    def end(self) -> None:
        """Answer what runs, or tell of what does not."""
        number = self._at_worker.popleft() if self._at_worker else self.random.randint(0, 40)
        is_open = self.random.random() < self._habit
        self.perform(self.state.ended(number, is_protected=is_open, now=self.now))

    def undo(self) -> None:
        """Die of what runs, and be outlived."""
        if self._at_worker:
            number = self._at_worker.popleft()
            self.perform(self.state.ended(number, rolled_back=True, now=self.now))

    def outlive(self) -> None:
        """Die between two executions, and be outlived."""
        self.perform(self.state.survived(now=self.now))

    def break_(self) -> None:
        """Answer, and say that it cannot go on."""
        if self._at_worker:
            self.perform(self.state.broke(self._at_worker.popleft(), now=self.now))

    def die(self) -> None:
        """Be dead."""
        self._at_worker.clear()
        self.perform(self.state.died())

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what concerns the worker."""
        self._at_worker.extend(effect.job.number for effect in effects if isinstance(effect, Hand))
        if any(isinstance(effect, KillWorker) and effect.number for effect in effects):
            self.random.choice([self.undo, self.outlive])()

    # --- time -------------------------------------------------------------------------------------

    def wait(self) -> None:
        """Let a little time pass."""
        self.now += self.random.choice([0.0, 0.1, 1.0])
        self.perform(self.state.tick(now=self.now))

    def wake(self) -> None:
        """Let all the time pass that the session waits for."""
        deadline = self.state.next_deadline()
        if deadline < math.inf:
            self.now = max(self.now, deadline)
            self.perform(self.state.tick(now=self.now))


_CHANCES: dict[Callable[[History], None], float] = {
    History.execute: 30,
    History.query: 5,
    History.interrupt: 6,
    History.abandon: 2,
    History.answer: 3,
    History.narrow: 0.3,
    History.close: 0.4,
    History.end: 30,
    History.undo: 2,
    History.outlive: 1,
    History.break_: 0.1,
    History.die: 0.1,
    History.wait: 6,
    History.wake: 3,
}
