"""What a pool recorded, as the module that `spec/traces/PoolTrace.tla` extends.

Pure: events in, TLA+ out. Owns how the names of a recording become those of the spec; must not
judge: an event that makes no sense becomes an action that the spec does not allow.

A session's id is never used twice in a pool. The spec has slots, of which a session has the least
that is free, and an epoch that tells it from others of its slot: the number of its start.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from pyrepl3.conformance.tla_values import definitions, tla

POOL_RUNS = "PoolRuns"
"""The module's name. A definition there is evaluated once, and a constant of a configuration
wherever it is used."""
NOWHERE = 0
"""The slot and epoch of a session that was never started."""

POOL_CONFIG = """\
SPECIFICATION TraceSpec
CONSTANTS
    Slots <- RecordedSlots
    None = None
    Templates = {}
    Waiters = {}
    Patient = {}
    Epochs = {}
    MinIdle = 0
    MostSpare = 0
    Snapshots = {}
    MaxSessions = 0
    BreakerFailures = 0
INVARIANTS
    CapacityIsKept
    EveryProcessIsCounted
    NoUsedSessionIsIdle
    ACancelledCallerOwnsNothing
    AnOpenBreakerKeepsNobodyWaiting
    AfterShutdownNothingIsLeft
"""
"""TLC's configuration for any recording. The numbers that a pool was configured with stand in the
recording itself; the sets that only a search needs are empty. The invariants are those that are
cheap to ask at the real size, of hundreds of sessions."""


def pool_module(
    runs: Sequence[Sequence[Mapping[str, Any]]],
    *,
    whole: Sequence[bool] | None = None,
    after: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The module for these runs: each the events of one pool, its `Open` first.

    The event at index n of a run is the n-th of its actions, as TLA+ counts from 1. ``whole``
    tells of each run whether it was recorded to its end (None: all were); one that was cut may
    end between an action and its effects. Each run goes on from the events ``after`` which it
    comes, that are not in the module.
    """
    lines = [f"---- MODULE {POOL_RUNS} ----", "EXTENDS Naturals, Sequences"]
    names: list[str] = []
    slots = 1
    begun = _Translation.of(runs[0][0]) if after else None
    for event in after:
        assert begun is not None
        begun.action(event)
    ends = [True] * len(runs) if whole is None else whole
    for number, (run, has_end) in enumerate(zip(runs, ends, strict=True), start=1):
        names.append(f"Run_{number}")
        translation = _Translation.of(run[0]) if begun is None else begun.copy()
        actions = [translation.action(event) for event in run[1:]]
        slots = max(slots, translation.highest)
        lines.append(definitions(f"Actions_{number}", actions))
        templates = _templates_of((*after, *run[1:])).union(run[0]["templates"])
        told = _run(run[0], f"Actions_{number}", templates=templates, whole=has_end)
        lines.append(f"{names[-1]} == {told}")
    lines.append(f"Runs == <<{', '.join(names)}>>")
    lines.append(f"RecordedSlots == 1 .. {slots}")
    lines.append("====\n")
    return "\n".join(lines)


def _run(opened: Mapping[str, Any], actions: str, *, templates: frozenset[str], whole: bool) -> str:
    config = tla(
        {
            "min_idle": opened["min_idle"],
            # The demand decides how many there are; no more than there is room for.
            "most_spare": opened["max_sessions"],
            # What the pool was not opened with came to be later: nothing is kept ready of it, so to
            # the spec it may as well have been there from the start.
            "snapshots": templates.difference(opened["templates"]),
            "max_sessions": opened["max_sessions"],
            "breaker_failures": opened["breaker_failures"],
        }
    )
    fields = f"config |-> {config}, templates |-> {tla(templates)}, whole |-> {tla(whole)}"
    return f"[{fields}, actions |-> {actions}]"


def _templates_of(events: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(event["template"] for event in events if "template" in event)


@attrs.define
class _Translation:
    """The names of one pool's sessions, as they come and go."""

    most: int
    """Slots: one more than sessions may live, so that one that is too many gets a slot, and the
    spec's refusal."""
    free: list[int] = attrs.field(factory=list)
    """Slots that were used and are free again, as a heap."""
    used: int = 0
    """Slots that were ever used; as many as are needed, and not as many as are allowed."""
    epoch: int = 0
    highest: int = 1
    live: int = 0
    waiting: int = 0
    live_sessions: set[str] = attrs.field(factory=set)
    places: dict[str, tuple[int, int]] = attrs.field(factory=dict)
    """The slot and epoch of every session there ever was: a late event may be about any."""

    @classmethod
    def of(cls, opened: Mapping[str, Any]) -> _Translation:
        return cls(most=opened["max_sessions"] + 1)

    def copy(self) -> _Translation:
        """Another one that has come as far."""
        return attrs.evolve(
            self,
            free=list(self.free),
            live_sessions=set(self.live_sessions),
            places=dict(self.places),
        )

    def action(self, event: Mapping[str, Any]) -> dict[str, object]:
        """One event in the spec's names."""
        # What the world did to several sessions at once was not counted by the pool.
        self.live = event.get("live", self.live)
        self.waiting = event.get("waiting", self.waiting)
        action: dict[str, object] = {
            "action": event["action"],
            "live": self.live,
            "waiting": self.waiting,
        }
        for name in ("waiter", "template"):
            if name in event:
                action[name] = event[name]
        if "session" in event:
            action["slot"], action["epoch"] = self._place(event["action"], event["session"])
        return action

    def _place(self, action: str, session: str) -> tuple[int, int]:
        if action == "Start":
            if session in self.places:
                return NOWHERE, NOWHERE  # an id is used once: the spec has no such start
            self._start(session)
        place = self.places.get(session, (NOWHERE, NOWHERE))
        if action in ("StartFailed", "SessionEnded") and session in self.live_sessions:
            self.live_sessions.remove(session)
            heapq.heappush(self.free, place[0])
        return place

    def _start(self, session: str) -> None:
        """The least slot that is free, if there is one."""
        if self.free:
            slot = heapq.heappop(self.free)
        elif self.used < self.most:
            self.used += 1
            slot = self.used
        else:
            return
        self.epoch += 1
        self.highest = max(self.highest, slot)
        self.places[session] = (slot, self.epoch)
        self.live_sessions.add(session)


def pool_actions(runs: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """How often each recorded action is in these runs."""
    counts: dict[str, int] = {}
    for run in runs:
        for event in run[1:]:
            counts[event["action"]] = counts.get(event["action"], 0) + 1
    return counts
