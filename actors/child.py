"""One supervised child: what it was declared as, and one incarnation of it.

Owns the child's task, its cancel scope and its address. Must not know its siblings, nor whether
it will be started again: it reports its end and is forgotten.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
import trio
from attrs.validators import ge, lt

from .errors import NeverStarted
from .shutdown import Ending, ask_then_cancel
from .supervision import Restart

logger = logging.getLogger(__name__)


class StartChild(Protocol):
    """An actor's ``run``, or any async callable that tells its address by ``task_status``."""

    def __call__(self, *, task_status: trio.TaskStatus[Any]) -> Awaitable[object]:
        """Run the child to its end."""


@attrs.frozen
class ChildSpec:
    """How a supervisor starts, restarts and stops one child.

    - ``name``: its name among its siblings.
    - ``start``: runs a new incarnation each time it is called.
    - ``restart``: when it is started again.
    - ``stop``: the ask. Called to have the child end by itself, for example by closing its inbox;
      without one, stopping it means cancelling it. Called only while the child is up.
    - ``shutdown_s``: seconds that it may take after the ask, and again after the cancel. Finite,
      so that no end waits for ever; give a supervisor more than its children need together.
    """

    name: str
    start: StartChild
    restart: Restart = attrs.field(default=Restart.PERMANENT, kw_only=True)
    stop: Callable[[], object] | None = attrs.field(default=None, kw_only=True)
    shutdown_s: float = attrs.field(default=5.0, kw_only=True, validator=[ge(0), lt(float("inf"))])


@attrs.define(eq=False)
class ChildRun:
    """One incarnation of a child, from its start to its end.

    It is its own ``task_status``: the child is a task of the supervisor's service nursery, and so
    shielded, from the very beginning. A start that hangs ends like all else, by the supervisor.
    """

    spec: ChildSpec
    report_end: Callable[["ChildRun"], None]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    settled: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set once it has started or ended, whichever is first."""
    ended: trio.Event = attrs.field(factory=trio.Event, init=False)
    address: Any = attrs.field(default=None, init=False)
    error: Exception | None = attrs.field(default=None, init=False)
    started_at: float | None = attrs.field(default=None, init=False)
    ended_at: float | None = attrs.field(default=None, init=False)
    _raises: bool = attrs.field(default=False, init=False)

    @property
    def is_up(self) -> bool:
        """Whether it has started and not ended."""
        return self.started_at is not None and self.ended_at is None

    @property
    def uptime_s(self) -> float:
        """How long it was up, once it has ended; 0 if it never started."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.started_at

    @property
    def failed_start(self) -> Exception | None:
        """What it raised, if that was before it had started."""
        return self.error if self.started_at is None else None

    def started(self, value: Any = None) -> None:
        """The child's ``task_status.started(address)``."""
        if self.started_at is not None:
            raise RuntimeError("called 'started' twice on the same task status")
        self.address = value
        self.started_at = trio.current_time()
        self.settled.set()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """The child's task. Its exceptions end here, unless it is being stopped for good."""
        try:
            with self.scope:
                await self.spec.start(task_status=self)
                if self.started_at is None:
                    raise NeverStarted(self.spec.name)
        except Exception as error:
            self.error = error
            if self._raises:
                raise
            logger.warning("child %r crashed", self.spec.name, exc_info=error)
        finally:
            self.ended_at = trio.current_time()
            self.settled.set()
            self.ended.set()
        self.report_end(self)
        # Like any of trio's own, this lets others run, even if the child never did.
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def stop(self, *, for_good: bool) -> Ending:
        """Ask, wait, cancel, wait: at most twice ``shutdown_s`` in all.

        ``for_good``: what the child raises from now on is raised in the nursery, rather than
        logged, since no supervision follows that could make up for it.
        """
        self._raises = for_good
        return await ask_then_cancel(
            ask=self.spec.stop if self.is_up else None,
            ended=self.ended,
            scope=self.scope,
            shutdown_s=self.spec.shutdown_s,
        )
