"""Every error the actor layer raises, with the one rule of when.

Owns the classes and their stable codes. Must not know who raises them, nor any program's errors.
Each error says *what* happened, *why*, and *how* to go on; its base class says whose fault it is:
:class:`Misuse` is the calling code's, :class:`Gone` is the other actor's end, which a program that
runs for long must expect, and :class:`GaveUp` is a whole subtree's.
"""

from typing import ClassVar


class ActorError(Exception):
    """Anything this layer raises by itself; an actor's own exceptions are never wrapped in it."""

    code: ClassVar[str] = "ACTOR_ERROR"
    how: ClassVar[str] = "See the chained exception."

    def __init__(self, what: str, *, why: str) -> None:
        super().__init__(what, why)
        self.what = what
        self.why = why

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.how}"


class Misuse(ActorError):
    """The calling code broke a rule of this layer: fix that code, don't catch this."""

    code: ClassVar[str] = "MISUSE"


class Gone(ActorError):
    """The other side ended first. It can happen in any correct program: be ready for it."""

    code: ClassVar[str] = "GONE"


class GaveUp(ActorError):
    """A supervisor cannot keep its children up, so it has stopped them all and raises."""

    code: ClassVar[str] = "GAVE_UP"


class ActorGone(Gone):
    """The mailbox was closed *before* it took the message: nobody has seen the request.

    So it is always safe to ask again, elsewhere or after a restart; with :class:`NoReply` it is
    not.
    """

    code: ClassVar[str] = "ACTOR_GONE"
    how: ClassVar[str] = "Ask for the actor's present address and send the request again."

    def __init__(self, why: str = "its mailbox is closed") -> None:
        super().__init__("the actor did not take the message", why=why)


class NoReply(Gone):
    """The request was taken, but its reply was closed, or dropped, without an answer.

    Unlike with :class:`ActorGone`, the actor may have done some or all of what was asked.
    """

    code: ClassVar[str] = "NO_REPLY"
    how: ClassVar[str] = "Find out what the actor has done before you ask again."

    def __init__(self, why: str = "its reply was closed unanswered") -> None:
        super().__init__("the request got no answer", why=why)


class AlreadyAnswered(Misuse):
    """A reply was answered, failed or closed before, and now is answered or failed again."""

    code: ClassVar[str] = "ALREADY_ANSWERED"
    how: ClassVar[str] = "Answer each reply once."

    def __init__(self) -> None:
        super().__init__("a reply takes one answer", why="this one has been used or closed")


class AlreadyRunning(Misuse):
    """``run`` was called while an earlier ``run`` of the same object goes on."""

    code: ClassVar[str] = "ALREADY_RUNNING"
    how: ClassVar[str] = "Make one object for each task, or wait for the earlier run to end."

    def __init__(self, who: str) -> None:
        super().__init__(f"{who} cannot run twice at a time", why="it is running now")


class NeverStarted(Misuse):
    """A child ended well without ever calling ``task_status.started()``.

    Raised by the supervisor in the child's name, and so counted as that child's crash.
    """

    code: ClassVar[str] = "NEVER_STARTED"
    how: ClassVar[str] = "Call task_status.started(address) once the child is ready."

    def __init__(self, name: str) -> None:
        super().__init__(f"child {name!r} did not start", why="it returned before started()")


class UnknownChild(Misuse):
    """A name that no child of this supervisor has; :class:`ChildNotRunning` is for those it has."""

    code: ClassVar[str] = "UNKNOWN_CHILD"
    how: ClassVar[str] = "Use the name of a ChildSpec that the supervisor was made with."

    def __init__(self, name: str, supervisor: str) -> None:
        super().__init__(f"no child {name!r}", why=f"supervisor {supervisor!r} has none such")
        self.name = name


class ChildNotRunning(Gone):
    """The child is known but down: not started yet, waiting for its restart, or ended for good."""

    code: ClassVar[str] = "CHILD_NOT_RUNNING"
    how: ClassVar[str] = "Try again after its restart, or treat the service as unavailable."

    def __init__(self, name: str) -> None:
        super().__init__(f"child {name!r} has no address", why="it is not running")
        self.name = name


class ChildOverdue(GaveUp):
    """A child that had to end before its restart runs on, although it was cancelled.

    Trio has no way to end a task that shields itself or swallows Cancelled, and two incarnations
    of one child must not run side by side, so its supervisor gives up.
    """

    code: ClassVar[str] = "CHILD_OVERDUE"
    how: ClassVar[str] = "Bound the child's clean-up, or give it a longer shutdown_s."

    def __init__(self, name: str, *, shutdown_s: float) -> None:
        super().__init__(
            f"child {name!r} did not end", why=f"it ran on for {shutdown_s:g} s after its cancel"
        )
        self.name = name


class RestartIntensityExceeded(GaveUp):
    """Children crashed more often than their supervisor is allowed to restart them.

    The supervisor has stopped every child before this is raised; the last crash is its
    ``__cause__``. To a parent supervisor it is an exit like any other, so it climbs the tree.
    """

    code: ClassVar[str] = "RESTART_INTENSITY_EXCEEDED"
    how: ClassVar[str] = "Look at the crash that caused it; restarting did not help."

    def __init__(self, supervisor: str, child: str, *, restarts: int, period_s: float) -> None:
        super().__init__(
            f"supervisor {supervisor!r} gave up on child {child!r}",
            why=f"more than {restarts} restarts within {period_s:g} s",
        )
        self.supervisor = supervisor
        self.child = child
