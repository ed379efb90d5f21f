"""The history of a session: which snapshots are kept, and which give way to others.

Owns the bounds, on their number and on the memory that they alone hold, and the way back and
forward between them. Must not know how a snapshot is made, nor how a process takes over.

Who goes to another moment leaves a copy of itself where it stood, names who is to take over, and
ends: so it is a death like any other to the service, and nobody speaks beside anybody. The
timeline goes along in a record that whoever takes over reads: of what happened after it was
copied, it knows nothing by itself.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from resource import RUSAGE_SELF, getpagesize, getrusage
from typing import Any

from .descriptors import CONTROL_PAGE
from .handover import MOST_KEPT
from .refusals import Refusal
from .snapshots import Keeper, Snapshots, SnapshotUnavailable
from .timeline import Step, Timeline

EXECUTION_BYTES = 512
"""Of an execution's id, so that a whole history fits its record; a longer one is not kept."""

Message = dict[str, Any]


class History:
    """Of one session; none is kept at first."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._handover = snapshots.handover
        snapshots.on_take_over = self._take_over
        self._timeline: Timeline[Keeper] = Timeline()
        self._most = 0
        self._most_bytes = 0
        self._dropped = 0
        self._faults = 0
        self._pending: Step | None = None
        """The execution that has just ended, if it is to be kept."""

    @property
    def is_kept(self) -> bool:
        """Whether each execution is to be undone later on."""
        return self._most > 0

    # --- what is kept ---------------------------------------------------------------------------

    def set_bounds(self, most: int, most_bytes: int) -> list[Message]:
        """From now on keep so many, or so much; 0: none. What gives way to that."""
        self._most, self._most_bytes = min(most, MOST_KEPT - 1), most_bytes
        dropped = self._make_room()
        self._record()
        return dropped

    def begin(self) -> None:
        """A snapshot was taken; from here on its pages are copied where they are changed."""
        self._faults = getrusage(RUSAGE_SELF).ru_minflt

    def go_on(self) -> None:
        """Something new is executed: what was undone cannot be redone any more."""
        forgotten = self._timeline.forget_future()
        if forgotten:
            self._record()
            for keeper in forgotten:
                self._snapshots.end(keeper)

    def prepare(self, execution: str) -> list[Message]:
        """That has ended, and what it did stays; to be called before that is told.

        What gives way to it; it may be itself.
        """
        keeper = self._snapshots.opened
        if keeper is None:
            return []  # it ran without one
        step = self._pending = self._step(execution, keeper)
        dropped = self._make_room()
        if step.pages * getpagesize() > self._most_bytes:
            self._pending = None
            self._dropped += 1
            dropped.append(_told(step, "bytes"))
        if dropped:
            self._record()
        return dropped

    def prepare_later(self, execution: str) -> None:
        """As `prepare`, for a transaction, whose last execution that is. What gives way to it does
        so when the next one ends, to be told with that."""
        keeper = self._snapshots.opened
        if keeper is not None:
            self._pending = self._step(execution, keeper)

    def _step(self, execution: str, keeper: Keeper) -> Step:
        # A page that is changed is copied by a fault. One that is new comes by one too, and costs
        # the keeper nothing; but the kernel's own count takes a millisecond for each gigabyte, and
        # does not tell what several keepers hold together.
        changed = getrusage(RUSAGE_SELF).ru_minflt - self._faults
        return Step(execution, changed, keeper.taken_at)

    def add(self) -> None:
        """What was prepared is told, and can be undone from here on."""
        step, self._pending = self._pending, None
        if step is None or len(step.execution.encode("utf-8", "replace")) > EXECUTION_BYTES:
            self._snapshots.release()
            return
        keeper = self._snapshots.close()
        assert keeper is not None
        self._timeline.add(keeper, step)
        self._record()
        self._handover.name_survivor(0)

    @property
    def held_bytes(self) -> int:
        """What all that is kept holds alone, about."""
        return sum(step.pages for step in self._steps()) * getpagesize()

    def _steps(self) -> list[Step]:
        pending = [] if self._pending is None else [self._pending]
        return self._timeline.steps + pending

    def _make_room(self) -> list[Message]:
        """The oldest give way, also to what is to be kept next."""
        dropped = []
        while self._timeline.steps:
            if len(self._steps()) > self._most:
                reason = "count"
            elif self.held_bytes > self._most_bytes:
                reason = "bytes"
            else:
                break
            step, keeper = self._timeline.forget_oldest()
            self._snapshots.end(keeper)
            dropped.append(_told(step, reason))
        self._dropped += len(dropped)
        return dropped

    # --- back and forward -----------------------------------------------------------------------

    def undo(self, to: str | None) -> str | None:
        """Have the session go back: to before its last execution, or to right after that one.

        Returns the first execution that is undone, and this process is to end then; None in the
        copy of it, when that has taken over. Raises Refusal.
        """
        self._forget_ended()
        timeline = self._timeline
        if not self.is_kept and not timeline.past:
            raise Refusal("EXECUTION_NOT_FOUND", "no history of the session is kept")
        if not timeline.past:
            raise Refusal("EXECUTION_NOT_FOUND", "nothing is left in its history to go back to")
        if to is not None and to == timeline.past[-1][1].execution:
            raise Refusal("EXECUTION_NOT_FOUND", f"nothing came after {to} that is not undone")
        count = 1 if to is None else timeline.place_after(to)
        if count is None:
            raise Refusal(
                "EXECUTION_NOT_FOUND", f"what came right after {to} is not in its history"
            )
        try:
            here = self._snapshots.copy()
            if here is None:
                return None
        except SnapshotUnavailable:  # it cannot be redone then
            here = None
        beyond = [keeper for _, keeper in timeline.future] if here is None else []
        step, keeper = timeline.go_back(count, here)
        self._go_to(keeper, beyond)
        return step.execution

    def redo(self) -> str | None:
        """Have the session go forward, to right after the execution that was undone last.

        Returns that one, or None, as `undo` does. Raises Refusal.
        """
        self._forget_ended()
        if not self._timeline.future:
            raise Refusal("EXECUTION_NOT_FOUND", "nothing was undone that could be redone")
        try:
            here = self._snapshots.copy()
            if here is None:
                return None
        except SnapshotUnavailable:  # who undoes it goes back further
            here = None
        step, keeper = self._timeline.go_forward(here)
        self._go_to(keeper, [])
        return step.execution

    def _go_to(self, keeper: Keeper, beyond: Sequence[Keeper]) -> None:
        """It takes over when this process has ended, which is to be at once."""
        # Named first, as it is not among those that are kept any more.
        self._handover.name_survivor(keeper.pid)
        self._record()
        for each in beyond:
            self._snapshots.end(each)

    def _forget_ended(self) -> None:
        """Those that somebody has killed; it may be the kernel, for memory."""
        gone = [keeper for keeper in self._timeline if keeper.has_ended]
        if gone:
            beyond = self._timeline.forget(gone)
            self._record()
            for keeper in [*gone, *beyond]:
                self._snapshots.end(keeper)

    def leave(self) -> None:
        """This process is another session's: what is kept is for others to see to."""
        for keeper in self._timeline:
            keeper.forget()
        self._timeline = Timeline()

    # --- from one process to the next -----------------------------------------------------------

    def _record(self) -> None:
        """Whoever takes over goes on from here."""
        timeline = self._timeline
        if not self._handover.is_possible:
            return
        self._handover.write_record(
            {
                "past": [[keeper.pid, *step.as_list()] for keeper, step in timeline.past],
                "future": [[keeper.pid, *step.as_list()] for step, keeper in timeline.future],
                "most": self._most,
                "most_bytes": self._most_bytes,
                "dropped": self._dropped,
            }
        )
        self._handover.name_kept([keeper.pid for keeper in timeline])

    def _take_over(self) -> None:
        """In the process that has taken over: as the one before it left it."""
        self._pending = None
        before, timeline = self._timeline, Timeline[Keeper]()
        try:
            record = self._handover.read_record()
            if record is None:
                return
            for pid, *step in record["past"]:
                if keeper := _found(pid):
                    timeline.past.append((keeper, Step(*step)))
            for pid, *step in record["future"]:
                if not (keeper := _found(pid)):
                    break
                timeline.future.append((Step(*step), keeper))
            self._most, self._most_bytes = int(record["most"]), int(record["most_bytes"])
            self._dropped = int(record["dropped"])
        except (ValueError, TypeError, KeyError):  # user code has written over it
            timeline = Timeline()
        for keeper in before:
            keeper.forget()  # found anew, or ended meanwhile, and its number another's
        self._timeline = timeline
        self._record()

    # --- what is told of it ---------------------------------------------------------------------

    def entries(self) -> Message:
        """What may be undone and redone, each the oldest first, with what it takes to keep that."""
        self._forget_ended()
        timeline = self._timeline
        return {
            "entries": [_entry(keeper, step) for keeper, step in timeline.past],
            "undone": [_entry(keeper, step) for step, keeper in timeline.future],
            "dropped": self._dropped,
            "count": self._most,
            "bytes": self._most_bytes,
        }


def _entry(keeper: Keeper, step: Step) -> Message:
    return {
        "execution": step.execution,
        "private_bytes": _private_bytes(keeper.pid),
        "taken_at": step.taken_at,
    }


def _told(step: Step, reason: str) -> Message:
    return {"execution": step.execution, "bytes": step.pages * getpagesize(), "reason": reason}


def _found(pid: int) -> Keeper | None:
    """The snapshot of that number, if it is there, and one of this session's."""
    with suppress(OSError):
        keeper = Keeper(pid)
        page = f"/proc/{pid}/fd/{CONTROL_PAGE}"
        with suppress(OSError):
            if os.path.samestat(os.stat(page), os.fstat(CONTROL_PAGE)):
                return keeper
        keeper.forget()
    return None


def _private_bytes(pid: int) -> int:
    """The memory that would be free without it. 0: it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb", buffering=0) as file:
            lines = file.read().split(b"\n")
    except OSError:
        return 0
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith(b"Private_")]
    return sum(kilobytes) * 1024
