"""What the end of an execution tells beside its value, where it is to.

Owns which of the two reports an execution gets. Must not know how either is found out.
"""

from typing import Any

from .interrupts import Interrupts
from .namespace import Namespace
from .reports import Look, report_of
from .snapshots import Snapshots
from .uncovered import Watch

Message = dict[str, Any]


class Effects:
    """Those of one session's executions, one after the other."""

    def __init__(self, namespace: Namespace, snapshots: Snapshots, interrupts: Interrupts) -> None:
        self._namespace = namespace
        self._snapshots = snapshots
        self._watch = Watch(interrupts)
        self._look: Look | None = None
        """At the names, when the last execution had ended that told of them. It is the first look
        of the next, if that does, too: half of what it costs. What a thread or a task did to them
        in between is told then."""
        self._reports = False

    def attach(self, words: Any) -> None:
        """This process is the session's. ``words``: the control page."""
        self._watch.last_notes.attach(words)

    def begin(self, request: Message) -> None:
        """That execution is about to run; its snapshot is taken, if there is to be one."""
        self._reports = bool(request.get("report_namespace"))
        if not self._reports:
            self._look = None
        elif self._look is None:
            self._look = Look(self._namespace.names)
        if self._snapshots.opened is not None:
            self._watch.begin()

    def tell(self, answer: Message) -> None:
        """It has ended by this message, which says already whether it is to be undone."""
        if self._watch.is_watching:
            answer["uncovered"] = self._watch.end()
        before = self._look
        if self._reports and before is not None:
            self._look = Look(self._namespace.names)
            is_undone = answer["state"] == "rolled_back"
            answer["namespace"] = report_of(before, self._look, is_undone=is_undone)
            if is_undone:
                self._look = None  # at what is not there any more, where this process goes on
