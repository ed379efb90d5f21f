"""The history of a session: which snapshots are kept, and which give way to others.

Owns the two bounds, on their number and on the memory that they alone hold. Must not know how a
snapshot is made or gone back to.
"""

from resource import RUSAGE_SELF, getpagesize, getrusage
from typing import Any

from .refusals import Refusal
from .snapshots import MOST_KEPT, Snapshots

Message = dict[str, Any]


class History:
    """Of one session; none is kept at first."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._most = 0
        self._most_bytes = 0
        self._dropped = 0
        self._faults = 0

    @property
    def is_kept(self) -> bool:
        """Whether each execution is to be undone later on."""
        return self._most > 0

    def set_bounds(self, most: int, most_bytes: int) -> None:
        """From now on keep so many, or so much. 0: none."""
        self._most, self._most_bytes = min(most, MOST_KEPT - 1), most_bytes
        self._make_room()

    def begin(self) -> None:
        """A snapshot was taken; from here on its pages are copied where they are changed."""
        self._faults = getrusage(RUSAGE_SELF).ru_minflt

    def add(self, execution: str) -> None:
        """What was done since is to stay, and may be undone."""
        # A page that is changed is copied by a fault: to read the kernel's own count takes a
        # millisecond for each gigabyte.
        changed = getrusage(RUSAGE_SELF).ru_minflt - self._faults
        self._snapshots.keep(execution, changed)
        self._make_room()

    def _make_room(self) -> None:
        kept = self._snapshots.kept
        page_bytes = getpagesize()
        while kept and (
            len(kept) > self._most
            or (sum(each.pages for each in kept) * page_bytes > self._most_bytes)
        ):
            self._snapshots.drop(kept[0])
            self._dropped += 1

    def undo(self, to: str | None) -> str:
        """Have the session go back: to before its last execution, or to right after that one.

        Returns the first execution that is undone. This process is to end then. Raises Refusal.
        """
        kept = list(self._snapshots.kept)
        if not kept:
            raise Refusal("EXECUTION_NOT_FOUND", "there is nothing in its history to go back to")
        keeper = kept[-1]
        if to is not None:
            labels = [each.label for each in kept]
            if to not in labels[:-1]:
                raise Refusal(
                    "EXECUTION_NOT_FOUND", f"what came right after {to} is not in its history"
                )
            keeper = kept[labels.index(to) + 1]
        self._snapshots.go_back_to(keeper)
        return keeper.label

    def entries(self) -> list[Message]:
        """What may be undone, the oldest first, with what it takes to keep that."""
        return [
            {
                "execution": each.label,
                "private_bytes": _private_bytes(each.pid),
                "taken_at": each.taken_at,
            }
            for each in self._snapshots.kept
        ]

    @property
    def dropped(self) -> int:
        """How many gave way so far."""
        return self._dropped


def _private_bytes(pid: int) -> int:
    """The memory that would be free without it. 0: it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb", buffering=0) as file:
            lines = file.read().split(b"\n")
    except OSError:
        return 0
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith(b"Private_")]
    return sum(kilobytes) * 1024
