"""Signals that the command gets, passed on to the program that it runs.

Owns which signal means what. Until a program runs, a signal ends the command instead. Must not
know what the program is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import attrs
import trio

from pyrepl3.client.session import Session
from pyrepl3.errors import ExecutionNotFound, SessionLost

FOR_EVER_S = 365 * 86_400.0
"""python lets what a program does about an interrupt take as long as it likes."""


def caught_signals() -> list[int]:
    """What a command catches: not what it was started to ignore (nohup)."""
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]


@attrs.define(eq=False)
class ProgramSignals:
    """Passes signals on to one process."""

    scope: trio.CancelScope
    """Cancelled by a signal that comes while there is no program."""
    ended_by: int | None = None
    """The signal that cancelled it."""
    _session: Session | None = None
    _process: int = -1
    _interrupting: bool = False

    @contextmanager
    def aimed_at(self, session: Session) -> Generator[None]:
        """For the length of the block, signals are this session's."""
        # A lasting hold on the process, so that no other one can ever be meant.
        self._process = os.pidfd_open(session.pid)
        self._session = session
        try:
            yield
        finally:
            self._session = None
            os.close(self._process)

    async def run(self, numbers: AsyncIterator[int]) -> None:
        """For ever: pass on what comes."""
        async with trio.open_nursery() as nursery:
            async for number in numbers:
                if self._session is None:
                    self.ended_by = number
                    self.scope.cancel()
                elif number == signal.SIGINT and not self._interrupting:
                    self._interrupting = True
                    nursery.start_soon(self._interrupt, self._session)
                else:
                    self._send(number)

    async def _interrupt(self, session: Session) -> None:
        """The first one by the service: it cannot miss an execution that is just beginning."""
        try:
            await session.interrupt(grace_s=FOR_EVER_S)
        except (ExecutionNotFound, SessionLost):
            return
        finally:
            self._interrupting = False

    def _send(self, number: int) -> None:
        """Others directly: the service signals an execution once, a program may want several."""
        try:
            signal.pidfd_send_signal(self._process, number)
        except ProcessLookupError:
            return  # it has ended, which its execution tells
