"""Transactions: which snapshot is taken for what, and whether it is gone back to.

Owns the policies of executions and the one transaction that may be open over several. Must not
know how a snapshot is made, nor how anything runs or is sent.
"""

from typing import Any

from .snapshots import Snapshots, SnapshotUnavailable

ROLLBACK_ON_FAILURE, ROLLBACK_ALWAYS = "rollback_on_failure", "rollback_always"
_OF_ONE_EXECUTION = (ROLLBACK_ON_FAILURE, ROLLBACK_ALWAYS)

Message = dict[str, Any]


class Refusal(Exception):
    """What cannot be done; ``code`` is one of the service's."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class Transactions:
    """Those of one session. Methods that take a snapshot return False in the copy that has taken
    over by it: for that one, what was asked for is long over."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._is_open = False

    def enter(self, request: Message, count: int) -> bool:
        """Before an execution, which will be the ``count``-th. Raises Refusal."""
        policy = request.get("transaction_policy")
        wants_snapshot = policy in _OF_ONE_EXECUTION or bool(request.get("guard"))
        if self._is_open:
            if policy in _OF_ONE_EXECUTION:
                raise Refusal(
                    "TRANSACTION_ACTIVE",
                    f"a transaction is open, within which nothing can be {policy}",
                )
        elif wants_snapshot and not self._take():
            return False
        self._snapshots.note_count(count)
        return True

    def judge(self, request: Message, answer: Message) -> None:
        """Whether what an execution did is undone, now that it has ended."""
        policy = request.get("transaction_policy")
        failed = answer["type"] == "error"
        if policy == ROLLBACK_ALWAYS or (policy == ROLLBACK_ON_FAILURE and failed):
            answer["state"] = "rolled_back"

    def leave(self) -> None:
        """Its end was told, and what it did stays."""
        if not self._is_open:
            self._snapshots.release()

    def begin(self, count: int) -> bool:
        """Open one. Raises Refusal."""
        if self._is_open:
            raise Refusal("TRANSACTION_ACTIVE", "a transaction is open already")
        if not self._take():
            return False
        self._snapshots.note_count(count)
        self._is_open = True
        return True

    def check_open(self) -> None:
        """Raises Refusal."""
        if not self._is_open:
            raise Refusal("NO_TRANSACTION", "no transaction is open")

    def end(self) -> None:
        """What was done in the open one stays; or the session ends."""
        self._is_open = False
        self._snapshots.release()

    def _take(self) -> bool:
        try:
            return self._snapshots.take()
        except SnapshotUnavailable as error:
            raise Refusal("SNAPSHOT_UNAVAILABLE", str(error)) from None
