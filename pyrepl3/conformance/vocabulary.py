"""What each recorded action tells beside its name.

Data only. A test holds it to the enums of the recorders, and to what they record.
"""

from __future__ import annotations

from collections.abc import Mapping

POOL = "pool"
SESSION = "session"
OPEN = "Open"
"""Begins a run, and is no action of a spec."""


def _fields(text: str) -> Mapping[str, tuple[str, ...]]:
    return {action: tuple(fields) for action, *fields in map(str.split, text.strip().splitlines())}


POOL_FIELDS = _fields("""
    Acquire waiter template
    Cancel waiter
    Release session waiter
    TakeBack session waiter
    StartSucceeded session
    StartFailed session
    SessionDied session
    SessionEnded session
    ShutDown
    TimeOut waiter
    Expire session
    Retry template
    HandOver waiter session
    Refuse waiter
    Start session template
    Stop session
    ZygoteDies template
""")
COUNTED = ("live", "waiting")
UNCOUNTED = frozenset({"ZygoteDies"})
"""All actions of the pool have the counts too, but that one: it is the world's, and the spawners
see it."""

SESSION_FIELDS = _fields("""
    Execute job execution reads timed protected
    Query job timed
    Refuse reason
    AnswerInput execution
    Interrupt execution reply patient
    Abandon execution
    Narrow queued
    Close graceful
    Ended job rolled_back open
    Broke job
    Survived
    Died
    DeadlinePassed job
    GracePassed
    DumpPassed
    CloseGracePassed
    Hand job
    Drop job
    Postpone job reply
    Join job reply
    Signal job reply
    Settle reply outcome
    DumpStack
    KillWorker job
    ShutWorkerDown
""")

OPEN_FIELDS = {
    POOL: ("templates", "min_idle", "max_sessions", "breaker_failures"),
    SESSION: ("queued", "handed_at_most"),
}

TRUTHS = frozenset({"reads", "timed", "protected", "rolled_back", "open", "patient", "graceful"})
NUMBERS = frozenset(
    {
        *("waiter", "job", "reply", "queued", "handed_at_most"),
        *("live", "waiting", "min_idle", "max_sessions", "breaker_failures"),
    }
)
"""Fields whose values are that; those of all others are names."""
OPTIONAL = frozenset({"execution"})
"""Null where a client named none: it means the one that runs."""
