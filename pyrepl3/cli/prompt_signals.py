"""Ctrl-C at the REPL: interrupts what runs, keeps the session, and says when it cannot.

Owns the meaning of the first, second and third Ctrl-C of one execution. Must not know the prompt,
where Ctrl-C is a key and no signal.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import attrs
import trio

from pyrepl3.cli import descriptors
from pyrepl3.cli.signals import FOR_EVER_S
from pyrepl3.cli.texts import INTERRUPT_WAITS, INTERRUPTING_AGAIN
from pyrepl3.client.session import Session
from pyrepl3.errors import ExecutionNotFound, SessionLost

HINT_S = 2.0
"""From a Ctrl-C that has not stopped the code to the hint that another one will."""
SECOND_GRACE_S = 3.0
THIRD_GRACE_S = 0.1


@attrs.define(eq=False)
class PromptSignals:
    """Passes Ctrl-C on to what runs; other signals end the command."""

    scope: trio.CancelScope
    ended_by: int | None = None
    _session: Session | None = None
    _count: int = 0
    _executions: int = 0

    @contextmanager
    def aimed_at(self, session: Session) -> Generator[None]:
        """For the length of an execution, Ctrl-C is for this session."""
        self._session = session
        self._count = 0
        self._executions += 1
        try:
            yield
        finally:
            self._session = None

    async def run(self, numbers: AsyncIterator[int]) -> None:
        """For ever: act on what comes."""
        async with trio.open_nursery() as nursery:
            async for number in numbers:
                if number != signal.SIGINT:
                    self.ended_by = number
                    self.scope.cancel()
                elif self._session is not None:
                    self._count += 1
                    nursery.start_soon(self._interrupt, self._session, self._count)

    async def _interrupt(self, session: Session, count: int) -> None:
        try:
            if count == 1:
                await self._interrupt_first(session)
            elif count == 2:
                descriptors.say(INTERRUPTING_AGAIN.format(grace_s=SECOND_GRACE_S))
                await session.interrupt(grace_s=SECOND_GRACE_S)
            else:
                await session.interrupt(grace_s=THIRD_GRACE_S)
        except (ExecutionNotFound, SessionLost):
            return  # it has ended, which its last event says

    async def _interrupt_first(self, session: Session) -> None:
        """As python: what the code does about it may take as long as it likes."""
        execution = self._executions
        async with trio.open_nursery() as nursery:

            async def hint() -> None:
                await trio.sleep(HINT_S)
                if self._session is session and (execution, 1) == (self._executions, self._count):
                    descriptors.say(INTERRUPT_WAITS)

            nursery.start_soon(hint)
            await session.interrupt(grace_s=FOR_EVER_S)
            nursery.cancel_scope.cancel()
