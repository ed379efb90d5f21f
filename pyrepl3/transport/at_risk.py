"""Executions that were told as kept, and that the next crash may undo all the same.

Pure. Owns which they are: of ``guard="auto"``, which does not take a snapshot before each. The
worker says behind which job it has one; a worker that says what cannot be is not believed.
"""

from __future__ import annotations

from collections import deque

import attrs

MOST_AT_RISK = 1000
"""As in worker/guarding.py."""


@attrs.define(eq=False)
class AtRisk:
    """Those of one session."""

    since: int = 0
    """The number of the job before which the snapshot was taken that is open, as far as it was
    told; 0: none is."""
    _ended: deque[tuple[int, str]] = attrs.field(factory=deque)

    def note(self, number: int, execution: str, since: int) -> None:
        """An execution has ended, with that snapshot open behind it; 0: it is at no risk, and what
        came before it neither.

        Raises ValueError where that cannot be.
        """
        if not since:
            self.settle()
            return
        if not self.since <= since <= number:
            raise ValueError("a snapshot that cannot be open")
        self.since = since
        while self._ended and self._ended[0][0] < since:
            self._ended.popleft()
        self._ended.append((number, execution))
        if len(self._ended) > MOST_AT_RISK:
            raise ValueError("more at risk than may be")

    def settle(self) -> None:
        """Nothing of what was told can be undone any more."""
        self.since = 0
        self._ended.clear()

    def lost_with(self, taken_before: int) -> tuple[str, ...]:
        """The ids of those that are not in the snapshot which was taken before that job."""
        return tuple(execution for number, execution in self._ended if number >= taken_before)
