"""When ``guard="auto"`` takes a new snapshot: as often as its cost stays under a share of the work.

Owns the account by which that is decided. Each snapshot leaves a debt, of what it cost to take, of
the pages that are copied because of it and of its end; executions pay that off with a share of
their time, and the next one is due when nothing is owed. What is left of an execution's share then
is not saved up: after an hour's work a row of short executions is not slowed down by a tenth of
that hour. Pure: is told what was measured. Must not know how a snapshot is made.
"""

SHARE = 0.1
"""Of the executions' time. A user who does not see a tenth sees nothing of the guard; with less,
what is at risk grows: at 2 ms a snapshot and 0.1 it is the last 20 ms of work."""
MOST_AT_RISK = 1000
"""Executions behind one snapshot: their ids are told where they are lost, in one message. A
thousand take 0.2 s at the least, so a snapshot is not dear then."""


class Guarding:
    """The account of one session."""

    def __init__(self) -> None:
        self.since = 0
        """The number of the job before which the snapshot was taken that is kept open; 0: none."""
        self._at_risk = 0
        self._debt_s = 0.0
        self._uncopied = 0
        self._page_copy_s = 0.0

    @property
    def is_full(self) -> bool:
        """Whether no more executions may be at risk."""
        return self._at_risk >= MOST_AT_RISK

    @property
    def is_due(self) -> bool:
        """Whether the next execution has a new snapshot."""
        return not self.since or not self._debt_s or self.is_full

    def open(self, number: int, *, cost_s: float, pages: int, page_copy_s: float) -> None:
        """A snapshot was taken before that job, at this cost, that of the one before's end too.

        ``pages``: as many as the process has, which is as many as can be copied because of it, at
        ``page_copy_s`` each.
        """
        self.since, self._at_risk = number, 0
        self._uncopied, self._page_copy_s = pages, page_copy_s
        self._debt_s += cost_s

    def close(self) -> None:
        """It is kept open no more."""
        self.since = self._at_risk = 0

    def note(self, execution_s: float, faults: int) -> None:
        """An execution has ended, in that time, and what it did may be undone by the next crash.

        ``faults``: the pages that it was given. Those of new memory are among them, and are no
        copies: nothing tells them apart at this price.
        """
        copied = min(faults, self._uncopied)
        self._uncopied -= copied
        self._debt_s = max(0.0, self._debt_s + copied * self._page_copy_s - SHARE * execution_s)
        self._at_risk += 1
