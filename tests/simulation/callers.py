"""The callers of a world: they ask for sessions, use them in every way, and go when they please.

Owns what callers do. Must not judge: `books.py` does, from what is told to it here.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random

import attrs
import trio

from actors.testing import Moment
from pyrepl3.client.session import Session
from pyrepl3.errors import (
    ExecutionNotFound,
    PoolDegraded,
    PoolExhausted,
    PyreplError,
    QueueFull,
    SessionLost,
    ShuttingDown,
    WorkerSpawnFailed,
)
from pyrepl3.events import Error, Event, Gap, InputRequested, Output, Result
from pyrepl3.supervisor import Supervisor

from .books import Books, Holding, Operation
from .cancelling import Canceller
from .plan import WorldPlan
from .scripts import WICKED, draw_script

REFUSALS = (PoolExhausted, PoolDegraded, WorkerSpawnFailed, ShuttingDown)
LOSSES = (SessionLost, QueueFull, ExecutionNotFound)

_PAUSES_S = (0.0, 0.0, 0.001, 0.01, 0.1, 0.5, 1.0)
_CANCEL_AFTER_S = (0.0, 0.001, 0.01, 0.02, 0.1, 0.5, 1.0, 3.0)
_CANCEL_AT_SWITCH = (1, 2, 2, 2, 3, 4, 5, 7, 12, 25)
"""Of its own: the second one is that in which it waits for its session, and is given it."""
_ACQUIRE_S = (0.001, 0.01, 0.1, 1.0, 5.0, 5.0, math.inf)


class UsersError(Exception):
    """A caller's own, which has to come out as it went in."""


@attrs.define(eq=False)
class Caller:
    """One of those who use the service."""

    name: str
    plan: WorldPlan
    supervisor: Supervisor
    books: Books
    canceller: Canceller
    random: Random
    _operations: int = attrs.field(default=0, init=False)

    async def run(self) -> None:
        """All its rounds; nothing that the service may do makes it fail."""
        for _ in range(self.plan.rounds):
            await trio.sleep(self.random.choice(_PAUSES_S))
            with self._perhaps_cancelled():
                await self._use_a_session()

    # --- going when one pleases -----------------------------------------------------------------

    @contextmanager
    def _perhaps_cancelled(self) -> Iterator[None]:
        """A scope that is cancelled after a while, or at a task switch, or never."""
        how = self.random.random()
        with trio.CancelScope() as scope:
            if how < 0.2:
                scope.deadline = trio.current_time() + self.random.choice(_CANCEL_AFTER_S)
            elif how < 0.5:
                moment = self.random.choice(list(Moment))
                self.canceller.plan(scope, self.random.choice(_CANCEL_AT_SWITCH), moment)
            try:
                yield
            finally:
                self.canceller.forget()
        if scope.cancelled_caught:
            self._log("was cancelled")

    def _log(self, what: str) -> None:
        self.books.machine.log(self.name, what)

    # --- one session ----------------------------------------------------------------------------

    async def _use_a_session(self) -> None:
        template = self.random.choice(list(self.plan.config.templates))
        timeout_s = self.random.choice(_ACQUIRE_S)
        self._log(f"asks for a session of {template}, for {timeout_s} s")
        env = {"NAME": "value"} if self.random.random() < 0.1 else None
        limits = attrs.evolve(self.plan.config.limits, output_bytes=100)
        narrowed = limits if self.random.random() < 0.1 else None
        try:
            async with self.supervisor.session(
                template, env=env, limits=narrowed, acquire_timeout_s=timeout_s
            ) as session:
                await self._hold(session)
        except REFUSALS as error:
            self._log(f"gets none: {type(error).__name__}")
        except SessionLost as error:
            self._log(f"has lost it at once: {error}")
        except UsersError:
            self._log("has failed by itself")
        except PyreplError as error:
            self.books.accuse(f"{self.name} gets {error!r} instead of a session")

    async def _hold(self, session: Session) -> None:
        holding = self.books.took(self.name, session)
        try:
            acts = [self._draw_act() for _ in range(self.random.choice((0, 1, 1, 2, 3)))]
            if len(acts) > 1 and self.random.random() < 0.4:
                async with trio.open_nursery() as nursery:
                    for act in acts:
                        nursery.start_soon(self._perform, act, holding)
            else:
                for act in acts:
                    await self._perform(act, holding)
            if self.random.random() < 0.05:
                raise UsersError
        finally:
            self.books.gave_back(holding)

    def _draw_act(self) -> Callable[[Holding], Awaitable[None]]:
        return self.random.choice(
            (
                self._run,
                self._run,
                self._run,
                self._run_and_leave,
                self._stream,
                self._stream_and_leave,
                self._ask,
                self._interrupt,
                self._burst,
                self._wait,
                self._kill,
            )
        )

    async def _perform(self, act: Callable[[Holding], Awaitable[None]], holding: Holding) -> None:
        try:
            await act(holding)
        except (*LOSSES, *REFUSALS) as error:
            self._log(f"cannot go on: {type(error).__name__}")
        except PyreplError as error:
            self.books.accuse(f"{self.name} gets {error!r} from its session")
        finally:
            self.books.follow(holding)

    # --- what one may do with it ----------------------------------------------------------------

    def _operation(self, holding: Holding) -> tuple[Operation, float | None]:
        """An execution to ask for, and its deadline."""
        self._operations += 1
        token = f"{self.name}.{self._operations}"
        script = draw_script(self.random, token, wickedness=self.plan.wickedness)
        timeout_s = self.random.choice((None, None, None, 0.1, 2.0))
        limit_s = self.plan.config.limits.execution_timeout_s
        assert limit_s is not None
        answers = self.random.random() < 0.5
        operation = Operation(script, holding, limit_s if timeout_s is None else timeout_s, answers)
        # What others run in this session meanwhile may come to anything.
        holding.tokens.append(token)
        if script.does(WICKED):
            holding.wicked.append(token)
        self._log(f"sends {script.code}")
        return operation, timeout_s

    async def _run(self, holding: Holding) -> None:
        operation, timeout_s = self._operation(holding)
        slow = operation.slow = self.random.random() < 0.1

        async def on_output(output: Output) -> None:
            if not output.background and output.stream == "stdout":
                operation.printed.append(output.data)
            if slow:
                await trio.sleep(0.3)

        on_input = (lambda prompt: "a line") if operation.answers_input else None
        with self._ending(operation):
            execution = await holding.session.run(
                operation.script.code, timeout_s=timeout_s, on_input=on_input, on_output=on_output
            )
            operation.gap = bool(execution.omitted_bytes)
            terminal: Result | Error
            if execution.error is not None:
                terminal = execution.error
            else:
                terminal = _result_of(execution.id, execution.value)
            self.books.ended(operation, terminal)

    @contextmanager
    def _ending(self, operation: Operation) -> Iterator[None]:
        """What it means for the books that an operation has no last event."""
        try:
            yield
        except SessionLost as error:
            # The end of the channel, unlike a refusal, does not say that nothing ran.
            refused = not isinstance(error.__cause__, trio.EndOfChannel)
            self.books.raised(operation, error, refused=refused)
            raise
        except QueueFull as error:
            self.books.raised(operation, error, refused=True)
            raise
        except (*REFUSALS, trio.Cancelled) as error:
            operation.holding.interrupted = True
            self.books.raised(operation, error, refused=False)
            raise

    async def _run_and_leave(self, holding: Holding) -> None:
        holding.interrupted = True
        with trio.move_on_after(self.random.choice(_CANCEL_AFTER_S)):
            await self._run(holding)

    async def _stream(self, holding: Holding, leave_after: int | None = None) -> None:
        operation, timeout_s = self._operation(holding)
        pause_s = self.random.choice((0.0, 0.0, 0.0, 0.05))
        operation.slow = pause_s > 0
        with self._ending(operation):
            async with holding.session.stream(
                operation.script.code, timeout_s=timeout_s, allow_input=operation.answers_input
            ) as events:
                async for event in events:
                    await trio.sleep(pause_s)
                    await self._follow(operation, event)
                    if leave_after is not None:
                        leave_after -= 1
                        if leave_after < 0:
                            return

    async def _follow(self, operation: Operation, event: Event) -> None:
        if isinstance(event, Output) and event.stream == "stdout" and not event.background:
            operation.printed.append(event.data)
        elif isinstance(event, Gap):
            operation.gap = True
        elif isinstance(event, InputRequested):
            # It may have ended since: that is told by what comes next.
            with suppress(SessionLost):
                await event.respond("a line")
        elif isinstance(event, Result | Error):
            self.books.ended(operation, event)

    async def _stream_and_leave(self, holding: Holding) -> None:
        holding.interrupted = True
        await self._stream(holding, leave_after=self.random.randint(0, 3))

    async def _ask(self, holding: Holding) -> None:
        completion = await holding.session.complete("i")
        if list(completion.matches) != ["it"]:
            self.books.accuse(f"{self.name} is answered {completion}")

    async def _interrupt(self, holding: Holding) -> None:
        await trio.sleep(self.random.choice(_PAUSES_S))
        holding.interrupted = True
        outcome = await holding.session.interrupt(grace_s=self.random.choice((None, 0.05, 1.0)))
        self._log(f"has interrupted: {outcome}")

    async def _burst(self, holding: Holding) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(self.random.choice((2, 5, 10))):
                nursery.start_soon(self._perform, self._run, holding)

    async def _wait(self, holding: Holding) -> None:
        await trio.sleep(self.random.choice(_PAUSES_S))

    async def _kill(self, holding: Holding) -> None:
        if self.plan.wickedness:
            machine = self.books.machine
            machine.kill(machine.processes[holding.session.pid])


def _result_of(execution: str, value: object) -> Result:
    """The event again that an `Execution` was made of, as far as anybody looks at it."""
    return Result(execution, value, True, "", {}, {}, 1, 0.0, None)  # type: ignore[arg-type]
