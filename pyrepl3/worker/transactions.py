"""Transactions: which snapshot is taken for what, and whether it is gone back to.

Owns the policies of executions and the one transaction that may be open over several. Must not
know how a snapshot is made, nor how anything runs or is sent.
"""

from typing import Any

from .history import History
from .refusals import Refusal
from .snapshots import Snapshots, SnapshotUnavailable

ROLLBACK_ON_FAILURE, ROLLBACK_ALWAYS = "rollback_on_failure", "rollback_always"
_OF_ONE_EXECUTION = (ROLLBACK_ON_FAILURE, ROLLBACK_ALWAYS)

Message = dict[str, Any]


class Transactions:
    """Those of one session. Methods that take a snapshot return False in the copy that has taken
    over by it: for that one, what was asked for is long over."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self.history = History(snapshots)
        self._open = 0
        """The number of the request that began the open one; 0: none is."""

    def enter(self, request: Message, count: int) -> bool:
        """Before an execution, which will be the ``count``-th. Raises Refusal."""
        meant = request.get("transaction") or 0
        if meant and meant != self._open:
            raise Refusal(
                "NO_TRANSACTION", "the transaction that it was sent in was rolled back meanwhile"
            )
        policy = request.get("transaction_policy")
        wants_snapshot = policy in _OF_ONE_EXECUTION or bool(request.get("guard"))
        if self._open:
            if policy in _OF_ONE_EXECUTION:
                raise Refusal(
                    "TRANSACTION_ACTIVE",
                    f"a transaction is open, within which nothing can be {policy}",
                )
        elif wants_snapshot:
            if not self._take():
                return False
        elif self._is_history(request) and not self._take_if_possible():
            return False
        self.history.go_on()
        self._snapshots.handover.note_count(count)
        return True

    def judge(self, request: Message, answer: Message) -> list[Message]:
        """Whether what an execution did is undone, now that it has ended; what gives way to it in
        the history, where it is not."""
        policy = request.get("transaction_policy")
        failed = answer["type"] == "error"
        if policy == ROLLBACK_ALWAYS or (policy == ROLLBACK_ON_FAILURE and failed):
            answer["state"] = "rolled_back"
            return []
        if self._open or not self._is_history(request):
            return []
        dropped = self.history.prepare(request["execution"])
        answer["usage"]["history_bytes"] = self.history.held_bytes
        return dropped

    def leave(self, request: Message) -> None:
        """Its end was told, and what it did stays."""
        if self._open:
            return
        if self._is_history(request):
            self.history.add()
        else:
            self._snapshots.release()

    def begin(self, number: int, count: int) -> bool:
        """Open one, by the request of that number. Raises Refusal."""
        if self._open:
            raise Refusal("TRANSACTION_ACTIVE", "a transaction is open already")
        if not self._take():
            return False
        self.history.go_on()
        self._snapshots.handover.note_count(count)
        self._open = number
        return True

    def check_none_open(self) -> None:
        """Raises Refusal."""
        if self._open:
            raise Refusal(
                "TRANSACTION_ACTIVE", "a transaction is open, of which nobody knows if it stays"
            )

    def check_open(self) -> None:
        """Raises Refusal."""
        if not self._open:
            raise Refusal("NO_TRANSACTION", "no transaction is open")

    def end(self) -> None:
        """What was done in the open one stays; or the session ends."""
        self._open = 0
        self._snapshots.release()

    def _is_history(self, request: Message) -> bool:
        return self.history.is_kept and not request.get("silent")

    def _take_if_possible(self) -> bool:
        """What cannot be undone later on runs all the same."""
        try:
            return self._take()
        except Refusal:
            return True

    def _take(self) -> bool:
        try:
            is_original = self._snapshots.take()
            self.history.begin()
            return is_original
        except SnapshotUnavailable as error:
            raise Refusal("SNAPSHOT_UNAVAILABLE", str(error)) from None
