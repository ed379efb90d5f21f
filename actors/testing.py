"""What tests of trio programs want: cancel everywhere, crash on cue, record, leave nothing behind.

Owns test helpers that are real implementations, not mocks. Must not know any program under test;
most of it works without actors, too.

:func:`cancel_at_each_checkpoint` is the one to know: it turns "is this safe to cancel?" from a
question about the awaits that one thought of into a loop over all of them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Generic, TypeVar

import attrs
import trio

from .mailbox import Address, open_mailbox

T = TypeVar("T")

AT_MOST_MOMENTS = 1000
"""Default bound of :func:`cancel_at_each_checkpoint`: 500 switches, more than one operation has."""


class TooManyMoments(AssertionError):
    """The function still had moments left to cancel it at when the stated bound was reached."""


class Moment(Enum):
    """Which side of a task switch the cancellation arrives on.

    They differ: one arrives while the task waits, and usually ends the wait. The other arrives
    after the wait was over, when a value has been handed to the task that has not yet run; it is
    felt only at the next checkpoint, if there is one. Most lost values and leaked leases are there.
    """

    WAITING = "waiting"
    RESUMING = "resuming"


@attrs.frozen
class CancelledRun(Generic[T]):
    """One run of the function, with the cancellation it met."""

    switch: int
    """The task switch of this run that the cancellation came at, counted from 1."""
    moment: Moment
    cancel_sent: bool
    """False in the last run only, which ended before there was anything left to cancel."""
    cancelled: bool
    """Whether the function ended as Cancelled."""
    value: T | None
    """What it returned, if it did: a cancellation may come too late to be felt."""


@attrs.define(eq=False)
class _CancelAt(trio.abc.Instrument):
    """Cancels ``scope`` at one side of the n-th time that ``task`` gives way to others."""

    task: trio.lowlevel.Task
    scope: trio.CancelScope
    switch: int
    moment: Moment
    switches_seen: int = 0
    fired: bool = False

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.switches_seen += 1
            self._fire(Moment.WAITING)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self._fire(Moment.RESUMING)

    def _fire(self, moment: Moment) -> None:
        if self.switches_seen == self.switch and moment is self.moment and not self.fired:
            self.fired = True
            self.scope.cancel()


async def _run_once(
    async_fn: Callable[[], Awaitable[T]], switch: int, moment: Moment
) -> CancelledRun[T]:
    scope = trio.CancelScope()
    instrument = _CancelAt(trio.lowlevel.current_task(), scope, switch, moment)
    value: T | None = None
    trio.lowlevel.add_instrument(instrument)
    try:
        with scope:
            value = await async_fn()
    except BaseException as error:
        if instrument.fired:
            error.add_note(f"cancelled at task switch {switch}, {moment.value}")
        raise
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return CancelledRun(switch, moment, instrument.fired, scope.cancelled_caught, value)


def cancel_at_each_checkpoint(
    async_fn: Callable[[], Awaitable[T]], *, at_most: int = AT_MOST_MOMENTS
) -> AsyncIterator[CancelledRun[T]]:
    """Run ``async_fn()`` again and again, cancelled a little later each time.

    Run by run, the cancellation comes at the 1st, 2nd, 3rd... time that the function's task gives
    way to others, first while it waits there, then just before it resumes. After each run the
    outcome is yielded, so that the loop's body can check what must hold then; the last one is of
    the run that was over before its cancellation was due::

        async for run in cancel_at_each_checkpoint(acquire_use_release):
            assert pool.statistics().leased == 0

    Exceptions other than that Cancelled propagate, with a note that says where the run was
    cancelled. Only switches of the task that runs ``async_fn`` itself count, not those of tasks
    that it starts. Under an autojump clock, timeouts cost no time. Raises TooManyMoments if the
    function is not through after ``at_most`` runs.
    """
    return _CancelledRuns(async_fn, at_most)


@attrs.define(eq=False)
class _CancelledRuns(AsyncIterator[CancelledRun[T]]):
    """An object, not an async generator: a loop that is left early leaves nothing to close."""

    async_fn: Callable[[], Awaitable[T]]
    at_most: int
    _runs: int = attrs.field(default=0, init=False)
    _through: bool = attrs.field(default=False, init=False)

    async def __anext__(self) -> CancelledRun[T]:
        await trio.lowlevel.checkpoint()
        if self._through:
            raise StopAsyncIteration
        if self._runs == self.at_most:
            raise TooManyMoments(f"still not through after {self.at_most} cancelled runs")
        moment = Moment.RESUMING if self._runs % 2 else Moment.WAITING
        run = await _run_once(self.async_fn, switch=self._runs // 2 + 1, moment=moment)
        self._runs += 1
        self._through = not run.cancel_sent
        return run


@contextmanager
def assert_no_tasks_left() -> Iterator[None]:
    """Fail if a task that was begun within the block, by anybody, still exists at its end.

    Does nothing when the block raises: that exception says more.
    """
    before = set(_tasks())
    yield
    left = [task.name for task in _tasks() if task not in before]
    if left:
        raise AssertionError(f"tasks left behind: {', '.join(sorted(left))}")


def _tasks() -> Iterator[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    waiting = [root] if root is not None else []
    while waiting:
        task = waiting.pop()
        yield task
        for nursery in task.child_nurseries:
            waiting.extend(nursery.child_tasks)


@attrs.define(eq=False)
class Recorder:
    """What happened, in order, with the time on trio's clock."""

    timed: list[tuple[float, str, str]] = attrs.field(factory=list, init=False)
    """Each event as (seconds since this recorder was made, who, what)."""
    _made_at: float = attrs.field(factory=trio.current_time, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    @property
    def events(self) -> list[tuple[str, str]]:
        """Each event as (who, what)."""
        return [(who, what) for _, who, what in self.timed]

    def record(self, who: str, what: str) -> None:
        """Add an event. Never waits."""
        self.timed.append((trio.current_time() - self._made_at, who, what))
        self._changed.set()
        self._changed = trio.Event()

    async def wait_recorded(self, who: str, what: str, *, times: int = 1) -> None:
        """Wait until this event has been recorded ``times`` times in all."""
        await trio.lowlevel.checkpoint()
        while self.events.count((who, what)) < times:
            await self._changed.wait()


class PlannedCrash(Exception):
    """The crash of a CrashingActor."""


@attrs.define(eq=False)
class CrashingActor:
    """Crashes on cue: its n-th run lives for the n-th of ``lifetimes_s``, and later runs go on.

    Its address takes any message; an exception is raised in the actor, which is another way to
    have it crash, the rest is recorded. Closing the address, or :meth:`stop`, ends it well.
    Records "started", then "crashed", "ended" or "cancelled".
    """

    name: str
    recorder: Recorder
    lifetimes_s: Iterable[float] = attrs.field(default=(), kw_only=True)
    make_error: Callable[[], Exception] = attrs.field(default=PlannedCrash, kw_only=True)
    fails_to_start: bool = attrs.field(default=False, kw_only=True)
    _lifetimes: Iterator[float] = attrs.field(init=False)
    _address: Address[object] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._lifetimes = iter(self.lifetimes_s)

    async def run(
        self, *, task_status: trio.TaskStatus[Address[object]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Start, and crash when it is time."""
        if self.fails_to_start:
            self.recorder.record(self.name, "failed to start")
            raise self.make_error()
        self._address, inbox = open_mailbox(0)
        self.recorder.record(self.name, "started")
        try:
            with self._address, inbox:
                task_status.started(self._address)
                await self._serve(inbox)
        except trio.Cancelled:
            self.recorder.record(self.name, "cancelled")
            raise
        except Exception:
            self.recorder.record(self.name, "crashed")
            raise
        self.recorder.record(self.name, "ended")

    def stop(self) -> None:
        """Have the present run end well."""
        if self._address is not None:
            self._address.close()

    async def _serve(self, inbox: trio.MemoryReceiveChannel[Any]) -> None:
        with trio.move_on_after(next(self._lifetimes, float("inf"))):
            async for message in inbox:
                if isinstance(message, Exception):
                    raise message
                self.recorder.record(self.name, f"got {message!r}")
            return
        raise self.make_error()
