"""What is recorded of a session: its actions, under the names that they have in `spec/Session.tla`.

Owns those names and the shape of a recorded event. Must not decide, nor know where events go.
`SessionState` calls it at the moment of each change, with no `await` between the two.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from actors import Reply

NOBODY = 0
"""The number of the reply that nobody waits for."""
NO_JOB = 0
"""The number of the job for which alone a process is killed, where that is for good."""
UNKNOWN = "no such execution"
"""Stands for an execution's id that is of no job: it may be any text, of any length, that a user
typed. No id that a client may give to an execution has spaces."""


class SessionAction(enum.StrEnum):
    """The actions of a session: what it is told, what time does, and what it does then."""

    # What its client tells it.
    EXECUTE = "Execute"
    QUERY = "Query"
    REFUSE = "Refuse"
    ANSWER_INPUT = "AnswerInput"
    INTERRUPT = "Interrupt"
    ABANDON = "Abandon"
    NARROW = "Narrow"
    CLOSE = "Close"
    # What its transport tells it.
    ENDED = "Ended"
    BROKE = "Broke"
    SURVIVED = "Survived"
    DIED = "Died"
    # What time does.
    DEADLINE_PASSED = "DeadlinePassed"
    GRACE_PASSED = "GracePassed"
    DUMP_PASSED = "DumpPassed"
    CLOSE_GRACE_PASSED = "CloseGracePassed"
    # What it does then.
    HAND = "Hand"
    DROP = "Drop"
    POSTPONE = "Postpone"
    JOIN = "Join"
    SIGNAL = "Signal"
    SETTLE = "Settle"
    DUMP_STACK = "DumpStack"
    KILL_WORKER = "KillWorker"
    SHUT_WORKER_DOWN = "ShutWorkerDown"


@attrs.define(eq=False)
class SessionTrace:
    """Gives each action of one `SessionState` to ``sink``, in order.

    Whoever waits for an interrupt is known by a number, as a reply has no other name.
    """

    sink: Callable[[Mapping[str, object]], None]
    session: str
    _numbers: dict[Reply[Any], int] = attrs.field(factory=dict, init=False)
    _last_number: int = attrs.field(default=NOBODY, init=False)

    def open(self, *, queued: int, handed_at_most: int) -> None:
        """A new session, idle, with what of its configuration the model knows."""
        self._write("Open", {"queued": queued, "handed_at_most": handed_at_most})

    def record(self, action: SessionAction, **fields: str | int | None) -> None:
        """One change. A `Settle` is the last that is heard of its ``reply``."""
        self._write(action.value, fields)

    def number_of(self, reply: Reply[Any] | None) -> int:
        """The number of who waits for an interrupt."""
        if reply is None:
            return NOBODY
        number = self._numbers.get(reply)
        if number is None:
            self._last_number += 1
            number = self._numbers[reply] = self._last_number
        return number

    def forget(self, reply: Reply[Any]) -> int:
        """Its number, for the last time."""
        number = self.number_of(reply)
        del self._numbers[reply]
        return number

    def _write(self, action: str, fields: Mapping[str, object]) -> None:
        self.sink({"of": "session", "session": self.session, "action": action, **fields})
