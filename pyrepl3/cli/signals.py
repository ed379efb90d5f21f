"""Signals that the command gets, and who hears them.

Owns whether code is running, and thus whether a Ctrl-C is meant for it: one that comes just
before the code begins is kept for it. Must not know what the code is.
"""

from __future__ import annotations

import os
import signal
from abc import abstractmethod
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import attrs
import trio

from pyrepl3.client.session import Session
from pyrepl3.errors import ExecutionNotFound, ServiceUnreachable, SessionLost

if TYPE_CHECKING:
    from pyrepl3.remote.session import RemoteSession

AnySession: TypeAlias = "Session | RemoteSession"
"""One of an embedded supervisor, or of a service."""

FOR_EVER_S = 365 * 86_400.0
"""python lets what a program does about an interrupt take as long as it likes."""


def caught_signals() -> list[int]:
    """What a command catches: not what it was started to ignore (nohup)."""
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]


@attrs.define(eq=False)
class Signals:
    """What the signals of one command do. Subclasses say what an interrupt does to code."""

    scope: trio.CancelScope
    """Cancelled by a signal that ends the command."""
    ended_by: int | None = attrs.field(default=None, init=False)
    """The signal that cancelled it."""
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    _running: tuple[AnySession, str | None] | None = attrs.field(default=None, init=False)
    """The session and the execution that Ctrl-C is for."""
    _to_be_taken: trio.CancelScope | None = attrs.field(default=None, init=False)
    """Of code that a service has not taken yet."""
    _interrupts: int = attrs.field(default=0, init=False)
    """Of the code that runs now, or that is about to."""

    async def run(
        self,
        numbers: AsyncIterator[int],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """For ever: act on what comes."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            async for number in numbers:
                self.take(number)

    def take(self, number: int) -> None:
        """Act on one signal."""
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._to_be_taken is not None:
                self._to_be_taken.cancel()
            elif self._running is not None:
                self._start(*self._running, self._interrupts)
        else:
            self.end(number)

    def end(self, number: int) -> None:
        """End the command."""
        self.ended_by = number
        self.scope.cancel()

    def forget(self) -> None:
        """What came until now was for nothing that will run."""
        self._interrupts = 0

    @contextmanager
    def gives_up(self) -> Generator[trio.CancelScope]:
        """For the length of the block, in which code is sent to a service, Ctrl-C cancels it."""
        with trio.CancelScope() as scope:
            self._to_be_taken = scope
            if self._interrupts:
                scope.cancel()
            try:
                yield scope
            finally:
                self._to_be_taken = None

    @contextmanager
    def heard_meanwhile(self, session: AnySession) -> Generator[None]:
        """For the length of the block, in which an execution is sent but has not begun, Ctrl-C is
        for what keeps it waiting, and then for it."""
        self._running = session, None
        try:
            yield
        finally:
            self._running = None

    @contextmanager
    def heard_by(self, session: AnySession, execution: str | None) -> Generator[None]:
        """For the length of the block, in which an execution has begun, Ctrl-C is for it; None: for
        whatever runs."""
        self._running = session, execution
        for count in range(1, self._interrupts + 1):
            self._start(session, execution, count)
        try:
            yield
        finally:
            self._running = None
            self._interrupts = 0

    def _start(self, session: AnySession, execution: str | None, count: int) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._interrupt_running, session, execution, count)

    async def _interrupt_running(
        self, session: AnySession, execution: str | None, count: int
    ) -> None:
        try:
            await self.interrupt(session, execution, count)
        except (ExecutionNotFound, SessionLost, ServiceUnreachable):
            return  # it has ended, or is out of reach, which its last event says

    @abstractmethod
    async def interrupt(self, session: AnySession, execution: str | None, count: int) -> None:
        """Interrupt that execution; it is the ``count``-th time."""


@attrs.define(eq=False)
class ProgramSignals(Signals):
    """Passes every signal on to the program, as if it had come to it."""

    _process: int | None = attrs.field(default=None, init=False)

    @contextmanager
    def aimed_at(self, session: Session) -> Generator[None]:
        """For the length of the block there is a program; outside, signals end the command."""
        # A lasting hold on the process, so that no other one can ever be meant.
        self._process = os.pidfd_open(session.pid)
        try:
            yield
        finally:
            os.close(self._process)
            self._process = None

    def take(self, number: int) -> None:
        """Act on one signal."""
        if self._process is None:
            self.end(number)
        elif number == signal.SIGINT:
            super().take(number)
        else:
            self._send(number)

    async def interrupt(self, session: AnySession, execution: str | None, count: int) -> None:
        """The first one by the service, which aims at this execution and no other; others
        directly, as the service signals an execution once, and a program may want several."""
        if count == 1:
            await session.interrupt(execution, grace_s=FOR_EVER_S)
        else:
            self._send(signal.SIGINT)

    def _send(self, number: int) -> None:
        if self._process is not None:
            try:
                signal.pidfd_send_signal(self._process, number)
            except ProcessLookupError:
                return  # it has ended, which its execution tells
