"""Ctrl-C at the REPL: interrupts what runs, keeps the session, and says when it cannot.

Owns the meaning of the first, second and third Ctrl-C of one execution. Must not know the prompt,
where Ctrl-C is a key and no signal.
"""

from __future__ import annotations

import attrs
import trio

from pyrepl3.cli import descriptors
from pyrepl3.cli.signals import FOR_EVER_S, Signals
from pyrepl3.cli.texts import INTERRUPT_WAITS, INTERRUPTING_AGAIN
from pyrepl3.client.session import Session

HINT_S = 2.0
"""From a Ctrl-C that has not stopped the code to the hint that another one will."""
SECOND_GRACE_S = 3.0
THIRD_GRACE_S = 0.1


@attrs.define(eq=False)
class PromptSignals(Signals):
    """Ctrl-C is for what runs; other signals end the command."""

    async def interrupt(self, session: Session, count: int) -> None:
        """First ask; then set a limit, and say so; then end it at once."""
        if count == 1:
            await self._ask(session)
        elif count == 2:
            descriptors.say(INTERRUPTING_AGAIN.format(grace_s=SECOND_GRACE_S))
            await session.interrupt(grace_s=SECOND_GRACE_S)
        else:
            await session.interrupt(grace_s=THIRD_GRACE_S)

    async def _ask(self, session: Session) -> None:
        """As python: what the code does about it may take as long as it likes."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hint)
            await session.interrupt(grace_s=FOR_EVER_S)
            nursery.cancel_scope.cancel()

    async def _hint(self) -> None:
        await trio.sleep(HINT_S)
        if self._interrupts == 1:
            descriptors.say(INTERRUPT_WAITS)
