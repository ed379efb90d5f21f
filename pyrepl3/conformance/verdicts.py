"""What came of a check: which specs allow which recordings, and how much of each spec they took.

Data, and its arithmetic. Must not know how TLC is asked, nor how a verdict is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Rejection:
    """The first event that a spec does not allow where it stands."""

    path: str
    line: int
    run: str
    """Whose it is: a session's id, or "pool"."""
    event: Mapping[str, Any] | None
    """None: the run ends there, and something was still to come."""
    violated: str | None
    """The invariant that the event would break, if it is for that."""
    state: str
    """The spec's state before the event, as TLC writes it."""
    allowed: tuple[str, ...] | None
    """What the spec would have allowed there, of what could be thought of; None: unknown."""


@attrs.frozen(kw_only=True)
class Inconsistency:
    """The first line of a recording that does not agree with the lines before it."""

    path: str
    line: int
    event: Mapping[str, Any]
    why: str


@attrs.frozen(kw_only=True)
class SpecVerdict:
    """One spec's word on all runs of all recordings."""

    spec: str
    runs: int
    events: int
    states: int
    """Distinct ones, by TLC's count."""
    seconds: float
    taken: Mapping[str, int]
    """How often the runs took each action of the spec, the world's too; where one was rejected,
    how often it is in them."""
    rejection: Rejection | None

    @property
    def accepted(self) -> bool:
        """Whether every run is a behaviour of the spec."""
        return self.rejection is None

    @property
    def never_taken(self) -> tuple[str, ...]:
        """Actions that no run took."""
        return tuple(action for action, times in self.taken.items() if not times)


@attrs.frozen(kw_only=True)
class Verdict:
    """All of it."""

    recordings: Mapping[str, tuple[str, ...]]
    """Each file, and what its reader should know of it."""
    specs: tuple[SpecVerdict, ...]
    """Every spec, also one that no run was of."""
    inconsistencies: tuple[Inconsistency, ...] = ()
    """Of each recording at most one."""

    @property
    def accepted(self) -> bool:
        """Whether every spec accepts, and each recording agrees with itself."""
        return not self.inconsistencies and all(spec.accepted for spec in self.specs)

    @property
    def coverage_percent(self) -> float | None:
        """How many of the actions of the specs the recordings took; None where one was rejected:
        TLC did not take what comes behind that."""
        if not self.accepted:
            return None
        actions = sum(len(spec.taken) for spec in self.specs)
        missing = sum(len(spec.never_taken) for spec in self.specs)
        return 100 * (actions - missing) / actions
