"""Ctrl-C at the REPL: interrupts what runs, keeps the session, and says when it cannot.

Owns the meaning of the first, second and third Ctrl-C of one execution. Must not know the prompt,
where Ctrl-C is a key and no signal.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import attrs
import trio

from actors import open_body_nursery
from pyrepl3.cli import descriptors
from pyrepl3.cli.signals import FOR_EVER_S, AnySession, Signals
from pyrepl3.cli.texts import (
    INTERRUPT_WAITS,
    INTERRUPTED_LATER,
    INTERRUPTING_AGAIN,
    LOST_THEN,
    UNDONE_THEN,
)

HINT_S = 2.0
"""From a Ctrl-C that has not stopped the code to the hint that another one will."""
SECOND_GRACE_S = 3.0
THIRD_GRACE_S = 0.1


@attrs.define(eq=False)
class PromptSignals(Signals):
    """Ctrl-C is for what runs; other signals end the command."""

    is_connected: Callable[[], bool] = lambda: True
    """Whether an interrupt can be heard now."""
    is_protected: Callable[[], bool] = lambda: False
    """Whether what is killed is undone, and not lost."""

    async def interrupt(self, session: AnySession, execution: str | None, count: int) -> None:
        """First ask; then set a limit, and say so; then end it at once."""
        if not self.is_connected():
            if count > 1:
                self.end(signal.SIGINT)
                return
            descriptors.say(INTERRUPTED_LATER)
        if count == 1:
            await self._ask(session, execution)
        elif count == 2:
            told = INTERRUPTING_AGAIN.format(grace_s=SECOND_GRACE_S, fate=self._fate)
            descriptors.say(told)
            await session.interrupt(execution, grace_s=SECOND_GRACE_S)
        else:
            await session.interrupt(execution, grace_s=THIRD_GRACE_S)

    async def _ask(self, session: AnySession, execution: str | None) -> None:
        """As python: what the code does about it may take as long as it likes."""
        async with open_body_nursery() as nursery:
            nursery.start_soon(self._hint)
            await session.interrupt(execution, grace_s=FOR_EVER_S)
            nursery.cancel_scope.cancel()

    async def _hint(self) -> None:
        await trio.sleep(HINT_S)
        if self._interrupts == 1 and self.is_connected():
            descriptors.say(INTERRUPT_WAITS.format(fate=self._fate))

    @property
    def _fate(self) -> str:
        return UNDONE_THEN if self.is_protected() else LOST_THEN
