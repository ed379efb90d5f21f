"""What the pool should decide, said once more as plainly as it can be.

A model of `PoolState` too simple to be wrong for the same reasons: everything is in one list, and
is counted anew each time. Jitter is at its mean; how many idle sessions are wanted it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from pyrepl3.config import PoolConfig


@attrs.define(eq=False)
class PoolModel:
    """`after` an action: what is to be done, in no order; sessions are numbered as they start."""

    config: PoolConfig
    templates: list[str]
    wanted_idle: Callable[[str], int]
    waiting: dict[int, tuple[str, float]] = attrs.field(factory=dict)  # template, deadline
    place: dict[str, str] = attrs.field(factory=dict)  # who came last there is last
    template_of: dict[str, str] = attrs.field(factory=dict)
    owner: dict[str, int] = attrs.field(factory=dict)
    expires: dict[str, float] = attrs.field(factory=dict)
    stale: set[str] = attrs.field(factory=set)  # their failure was counted by another's
    failures: dict[str, int] = attrs.field(factory=dict)
    pause: dict[str, float] = attrs.field(factory=dict)
    open: set[str] = attrs.field(factory=set)
    shut: bool = False
    done: set[tuple[str | int, ...]] = attrs.field(factory=set)
    now: float = 0.0

    def after(
        self, now: float, action: Callable[..., object], *about: object
    ) -> set[tuple[str | int, ...]]:
        self.done, self.now = set(), now
        for template in [name for name, until in self.pause.items() if until <= now]:
            del self.pause[template]
            self.open.discard(template)
        self.settle()
        action(*about)
        self.settle()
        return self.done

    def acquire(self, waiter: int, template: str, deadline: float) -> None:
        self.waiting[waiter] = (template, deadline)
        if self.shut or (template in self.open and not self.at("idle", template)):
            self.refuse([waiter])

    def give_back(self, session: str, waiter: int, used: bool) -> None:
        if self.place.get(session) == "leased" and self.owner[session] == waiter:
            self.stop([session]) if used else self.rest(session)

    def start_succeeds(self, session: str) -> None:
        template = self.template_of[session]
        self.open.discard(template)
        self.failures[template] = 0
        self.pause.pop(template, None)
        self.rest(session)

    def start_fails(self, session: str) -> None:
        template, config = self.template_of[session], self.config
        if self.place.pop(session) == "starting" and session not in self.stale:
            failures = self.failures[template] = self.failures.get(template, 0) + 1
            backoff_s = min(config.backoff_initial_s * 2 ** (failures - 1), config.backoff_max_s)
            self.pause[template] = self.now + 0.75 * backoff_s
            self.stale.update(self.at("starting", template))
            if failures >= config.breaker_failures:
                self.open.add(template)
                self.pause[template] = self.now + config.breaker_reset_s
                self.refuse(self.queue(template))

    def shut_down(self) -> None:
        self.shut = True
        self.refuse(list(self.waiting))
        self.stop(session for session, place in list(self.place.items()) if place != "stopping")

    def tick(self) -> None:
        self.refuse([who for who, (_, deadline) in self.waiting.items() if deadline <= self.now])
        self.settle()
        self.stop(session for session in self.at("idle") if self.expires[session] <= self.now)

    def settle(self) -> None:
        """Serve in turn, start what waiters lack, make room for it, and keep some ready."""
        if self.shut:
            return
        for waiter, (template, _) in list(self.waiting.items()):
            for session in self.at("idle", template)[:1]:
                del self.waiting[waiter]
                self.move(session, "leased")
                self.owner[session] = waiter
                self.done.add(("serve", waiter, session))
        uncovered = [self.template_of[session] for session in self.at("starting")]
        for template, _ in self.waiting.values():
            uncovered.remove(template) if template in uncovered else self.start(template)
        if len(self.place) == self.config.max_sessions:
            lacking = [self.starts_lacking(template) for template in self.templates]
            oldest = [session for name in self.templates for session in self.at("idle", name)]
            self.stop(oldest[: max(0, sum(lacking) - len(self.at("stopping")))])
        for template in self.templates:
            ready = len(self.at("idle", template)) + len(self.at("starting", template))
            for _ in range(self.wanted_idle(template) + len(self.queue(template)) - ready):
                self.start(template)

    def starts_lacking(self, template: str) -> int:
        lacking = len(self.queue(template)) - len(self.at("starting", template))
        return max(0, min(lacking, self.starts_allowed(template)))

    def starts_allowed(self, template: str) -> int:
        at_once = 1 if self.failures.get(template) else self.config.max_sessions
        return 0 if template in self.pause else at_once - len(self.at("starting", template))

    def start(self, template: str) -> None:
        if len(self.place) < self.config.max_sessions and self.starts_allowed(template) > 0:
            session = f"s{len(self.template_of) + 1}"
            self.template_of[session] = template
            self.move(session, "starting")
            self.done.add(("start", session, template))

    def stop(self, sessions: Iterable[str]) -> None:
        for session in sessions:
            self.done.add(("stop", session))
            self.move(session, "stopping")

    def refuse(self, waiters: list[int]) -> None:
        for waiter in waiters:
            self.done.add(("refuse", waiter))
            del self.waiting[waiter]

    def rest(self, session: str) -> None:
        self.expires[session] = self.now + self.config.idle_lifetime_s
        self.move(session, "idle")

    def move(self, session: str, place: str) -> None:
        self.place.pop(session, None)
        self.place[session] = place

    def at(self, place: str, template: str | None = None) -> list[str]:
        there = [session for session, where in self.place.items() if where == place]
        return [s for s in there if template in (None, self.template_of[s])]

    def queue(self, template: str) -> list[int]:
        return [waiter for waiter, (wanted, _) in self.waiting.items() if wanted == template]
