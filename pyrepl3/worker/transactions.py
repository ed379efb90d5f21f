"""Transactions: which snapshot is taken for what, and whether it is gone back to.

Owns the policies of executions, the snapshot that ``guard="auto"`` keeps open behind them, and the
one transaction that may be open over several. Must not know how a snapshot or a copy is made, nor
how anything runs or is sent.
"""

from resource import RUSAGE_SELF, getpagesize, getrusage
from typing import Any

from .copies import Copies, CopyUnavailable, Undo
from .guarding import Guarding
from .history import History
from .page_copies import PageCopies
from .refusals import Refusal
from .snapshots import Keeper, Snapshots, SnapshotUnavailable

ROLLBACK_ON_FAILURE, ROLLBACK_ALWAYS = "rollback_on_failure", "rollback_always"
_OF_ONE_EXECUTION = (ROLLBACK_ON_FAILURE, ROLLBACK_ALWAYS)
AUTO = "auto"

Message = dict[str, Any]


class Transactions:
    """Those of one session. Methods that take a snapshot return False in the copy that has taken
    over by it: for that one, what was asked for is long over."""

    def __init__(self, snapshots: Snapshots, copies: Copies) -> None:
        self._snapshots = snapshots
        self._copies = copies
        self.history = History(snapshots)
        self._guarding = Guarding()
        self._page_copies = PageCopies()
        self._open = 0
        """The number of the request that began the open one; 0: none is."""
        self._tag: int | None = None
        """By which whoever began it ends it, and no other."""
        self._has_taken = False
        """Whether the execution that runs has a snapshot of its own."""
        self._latest: str | None = None
        """The execution that ran last in the open one; None: none that counts."""
        self._copy: Undo | None = None
        """What the execution or the transaction is undone by that has no snapshot."""
        self._faults = 0
        self._signal_was_sent = False
        """Whether the code that ran last has sent one elsewhere, as far as that is seen."""
        self._counted_s = snapshots.cost_s
        """What of the snapshots' cost is in the account."""

    def enter(self, request: Message, count: int) -> bool:
        """Before an execution, which will be the ``count``-th. Raises Refusal."""
        self._has_taken = False
        opened = self._snapshots.opened
        if opened is None:
            self._guarding.close()  # in a copy that was made for the history, and has taken over
        elif self._guarding.since:
            self._check_kept(opened)
        meant = request.get("transaction") or 0
        if meant and meant != self._open:
            raise Refusal(
                "NO_TRANSACTION", "the transaction that it was sent in was rolled back meanwhile"
            )
        if not (self._stay_within(request) if self._open else self._protect(request)):
            return False
        self.history.go_on()
        self._snapshots.handover.note_count(count)
        if self._guarding.since:
            self._faults = getrusage(RUSAGE_SELF).ru_minflt
        return True

    def _check_kept(self, opened: Keeper) -> None:
        """Where somebody has killed the snapshot that is kept open, the next one is due."""
        was_sent, self._signal_was_sent = self._signal_was_sent, False
        if opened.is_dying if was_sent else opened.has_ended:
            self._release()

    def _stay_within(self, request: Message) -> bool:
        policy = request.get("transaction_policy")
        if policy in _OF_ONE_EXECUTION:
            raise Refusal(
                "TRANSACTION_ACTIVE",
                f"a transaction is open, within which nothing can be {policy}",
            )
        if self._is_history(request):
            self._latest = request["execution"]
        return True

    def _protect(self, request: Message) -> bool:
        """With a snapshot of its own, or that of those before it, or none, as it asks for."""
        policy, guard, number = (
            request.get("transaction_policy"),
            request.get("guard"),
            request["number"],
        )
        if policy in _OF_ONE_EXECUTION:
            return self._take_or_copy(request)
        if guard and guard != AUTO:
            return self._take(number)
        if self._is_history(request):
            return self._take(number) if guard else self._take_if_possible(number)
        if guard == AUTO and self._guarding.is_due:
            # Another one is taken where it can be; else the one that there is stays.
            if self._guarding.since and not self._guarding.is_full:
                return self._take_if_possible(number)
            return self._take(number)
        if self._guarding.is_full:
            # It asks for no snapshot, and what it does is to be at no risk that cannot be told.
            self._release()
        return True

    def judge(self, request: Message, answer: Message) -> list[Message]:
        """Whether what an execution did is undone, now that it has ended; what gives way to it in
        the history, where it is not."""
        policy = request.get("transaction_policy")
        failed = answer["type"] == "error"
        undone = policy == ROLLBACK_ALWAYS or (policy == ROLLBACK_ON_FAILURE and failed)
        if undone and (self._has_taken or self._copy is not None):
            # Else it was interrupted while its variables were copied, and nothing of it ran.
            answer["state"] = "rolled_back"
        if self._copy is not None:
            answer["by_reference"] = self._copy.by_reference
            if undone:
                answer["in_place"] = True
        if self._keeps_open(request):
            answer["at_risk_since"] = self._guarding.since
        if answer["state"] == "rolled_back" or not self._is_kept(request):
            return []
        dropped = self.history.prepare(request["execution"])
        answer["usage"]["history_bytes"] = self.history.held_bytes
        return dropped

    def restore(self, answer: Message) -> None:
        """Undo what an execution did, where this process goes on from before it."""
        if answer.get("in_place") and self._copy is not None:
            self._copy.restore()

    def leave(self, request: Message, answer: Message) -> None:
        """Its end was told, and what it did stays, or is undone already."""
        if self._open:
            return
        self._copy = None
        if self._keeps_open(request):
            faults = getrusage(RUSAGE_SELF).ru_minflt - self._faults
            self._signal_was_sent = any(
                entry["kind"] == "signal_sent" for entry in answer.get("uncovered") or ()
            )
            self._guarding.note(answer["duration_s"], faults)
        elif self._is_kept(request):
            self._guarding.close()
            self.history.add()
        else:
            self._release()

    def begin(self, request: Message, count: int) -> bool:
        """Open one, by that request. Raises Refusal."""
        if self._open:
            raise Refusal("TRANSACTION_ACTIVE", "a transaction is open already")
        if not self._take_or_copy(request):
            return False
        if self._copy is None:
            self._guarding.close()
        else:
            # What is committed then is behind it: it is not gone back to any more.
            self._release()
        self.history.go_on()
        self._snapshots.handover.note_count(count)
        self._open, self._tag, self._latest = _number(request), request.get("tag"), None
        return True

    def check_none_open(self) -> None:
        """Raises Refusal."""
        if self._open:
            raise Refusal(
                "TRANSACTION_ACTIVE", "a transaction is open, of which nobody knows if it stays"
            )

    @property
    def by_reference(self) -> list[str] | None:
        """The names that the open transaction does not cover; None: it covers all there is."""
        return None if self._copy is None else self._copy.by_reference

    def check_open(self, tag: int | None) -> None:
        """``tag``: of the one that is meant; None: any. Raises Refusal."""
        if not self._open:
            raise Refusal("NO_TRANSACTION", "no transaction is open")
        if tag not in (None, self._tag):
            raise Refusal("NO_TRANSACTION", "the one that is open is another")

    def roll_back(self) -> bool:
        """Undo the open one. False: this process is to end for that, and its snapshot goes on."""
        if self._copy is None:
            return False
        self._copy.restore()
        self.end()
        return True

    def prepare_commit(self) -> None:
        """To be called before it is told that what was done in the open one stays."""
        if self._latest is not None and self.history.is_kept:
            self.history.prepare_later(self._latest)

    def commit(self) -> None:
        """That was told: from here on it can be undone as a whole, where history is kept."""
        self._guarding.close()
        self.history.add()
        self._open, self._copy = 0, None

    def end(self) -> None:
        """What was done in the open one is undone; or the session ends."""
        self._open, self._copy = 0, None
        self._release()

    def _is_history(self, request: Message) -> bool:
        return self.history.is_kept and not request.get("silent")

    def _is_kept(self, request: Message) -> bool:
        """Whether its snapshot goes into the history."""
        return self._has_taken and not self._open and self._is_history(request)

    def _keeps_open(self, request: Message) -> bool:
        """Whether the snapshot that is open stays so, behind this execution."""
        if self._open or not self._guarding.since:
            return False
        if not self._has_taken:
            return True
        return request.get("guard") == AUTO and not self._is_history(request)

    def _release(self) -> None:
        self._guarding.close()
        self._snapshots.release()

    def _take_or_copy(self, request: Message) -> bool:
        """A snapshot, or where that cannot be and the request allows it, a copy of the names."""
        try:
            return self._take(_number(request))
        except Refusal as refusal:
            most_bytes = request.get("copy_bytes")
            guard = request.get("guard")
            # A copy outlives no crash, which is what a guard is for.
            is_guarded = guard and not (guard == AUTO and self._guarding.since)
            if not most_bytes or is_guarded or refusal.code != "SNAPSHOT_UNAVAILABLE":
                raise
            self._take_copy(request, most_bytes, str(refusal))
            return True

    def _take_copy(self, request: Message, most_bytes: int, why: str) -> None:
        try:
            self._copy = self._copies.take(most_bytes, number=_number(request))
        except CopyUnavailable as error:
            raise Refusal("SNAPSHOT_UNAVAILABLE", f"{why}; and {error}") from None
        except KeyboardInterrupt:
            # An execution that was interrupted ends at once, as such.
            if request["type"] != "execute":
                raise Refusal("SNAPSHOT_UNAVAILABLE", "it was interrupted") from None

    def _take_if_possible(self, number: int) -> bool:
        """What cannot be undone later on runs all the same."""
        try:
            return self._take(number)
        except Refusal:
            return True

    def _take(self, number: int) -> bool:
        try:
            is_original = self._snapshots.take(number)
        except SnapshotUnavailable as error:
            raise Refusal("SNAPSHOT_UNAVAILABLE", str(error)) from None
        self.history.begin()
        if not is_original:
            self._guarding.close()
            return False
        self._has_taken = True
        self._guarding.open(
            number,
            cost_s=self._snapshots.cost_s - self._counted_s,
            pages=getrusage(RUSAGE_SELF).ru_maxrss * 1024 // getpagesize(),
            page_copy_s=self._page_copies.cost_s(),
        )
        self._counted_s = self._snapshots.cost_s
        return True


def _number(request: Message) -> int:
    number: int = request["number"] if "number" in request else request["id"]
    return number
