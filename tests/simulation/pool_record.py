"""The pool's own record of its actions, read by somebody who trusts it in nothing.

Owns a naive account of who waits and who has what, and the claims that a record can break. Must
not know how the pool decides. The model checker reads the same record (`tests/conformance`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

LEAVES_THE_QUEUE = frozenset({"Cancel", "TimeOut", "Refuse", "HandOver"})


@attrs.define(eq=False)
class PoolRecord:
    """What follows from the actions so far, of the pool that was opened last."""

    accuse: Callable[[str], None]
    on_hand_over: Callable[[int], None]
    max_sessions: int
    waiting: dict[int, str] = attrs.field(factory=dict)
    """Each waiter's template, the longest waiting first."""
    template_of: dict[str, str] = attrs.field(factory=dict)
    """Of each session that has a place."""
    owner: dict[str, int] = attrs.field(factory=dict)
    gone: set[str] = attrs.field(factory=set)
    """Sessions that died or are being stopped."""
    shut_down: bool = False

    def take(self, event: Mapping[str, Any]) -> None:
        """One action of the pool."""
        if event["of"] != "pool":
            return
        action: str = event["action"]
        session: str = event.get("session", "")
        waiter: int = event.get("waiter", 0)
        if action == "Open":
            for books in (self.waiting, self.template_of, self.owner, self.gone):
                books.clear()
            self.shut_down = False
        elif action == "Acquire":
            self.waiting[waiter] = event["template"]
        elif action == "HandOver":
            self._hand_over(session, waiter)
        elif action == "Start":
            self._start(session, event["template"])
        elif action in ("Release", "TakeBack") and self.owner.get(session) == waiter:
            del self.owner[session]
        elif action in ("SessionDied", "Stop"):
            self.gone.add(session)
            self.owner.pop(session, None)
        elif action in ("SessionEnded", "StartFailed"):
            self._free(session)
        self.shut_down = self.shut_down or action == "ShutDown"
        if action in LEAVES_THE_QUEUE:
            self.waiting.pop(waiter, None)

    def _hand_over(self, session: str, waiter: int) -> None:
        template = self.template_of.get(session)
        first = next((w for w, wanted in self.waiting.items() if wanted == template), None)
        if first != waiter:
            self.accuse(f"waiter {waiter} is served before {first}")
        if session in self.owner:
            self.accuse(f"{session} is handed to {waiter}, and {self.owner[session]} has it")
        if session in self.gone or template is None:
            self.accuse(f"{session} is handed to {waiter}, and is no more")
        if self.shut_down:
            self.accuse(f"{session} is handed to {waiter} after the pool was shut down")
        self.owner[session] = waiter
        self.on_hand_over(waiter)

    def _start(self, session: str, template: str) -> None:
        self.template_of[session] = template
        if len(self.template_of) > self.max_sessions:
            self.accuse(f"{session} is started beyond the limit of {self.max_sessions}")

    def _free(self, session: str) -> None:
        if self.template_of.pop(session, None) is None:
            self.accuse(f"the place of {session} is given back twice")
        self.gone.discard(session)
        self.owner.pop(session, None)
