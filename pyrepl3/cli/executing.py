"""``pyrepl3 exec``: code in a session of a running service, as if it ran here.

Owns what is printed of it, and what Ctrl-C means meanwhile. Must not know the protocol.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from typing import Any

import attrs
import trio

from actors import open_body_nursery
from pyrepl3.cli import descriptors
from pyrepl3.cli.connection_notes import ConnectionNotes
from pyrepl3.cli.conversation import Conversation
from pyrepl3.cli.descriptors import STDOUT
from pyrepl3.cli.effects import names_told, not_undone
from pyrepl3.cli.endings import describe_death, describe_undoing, is_death, status_of
from pyrepl3.cli.scripts import PlainDisplays
from pyrepl3.cli.statuses import INTERRUPTED
from pyrepl3.cli.texts import END_ITS_THREADS, MAY_GO_ON, NOT_STOPPED, OVER_DEADLINE
from pyrepl3.config import Guard, TransactionPolicy
from pyrepl3.errors import Code, ExecutionNotFound, ServiceUnreachable, SessionLost
from pyrepl3.events import Error, Result
from pyrepl3.remote.session import RemoteSession

HINT_S = 2.0
"""From a Ctrl-C that has not stopped the code to the hint what another one does."""


async def execute(
    session: RemoteSession,
    code: str,
    connection: ConnectionNotes,
    *,
    transaction_policy: TransactionPolicy | None = None,
    guard: Guard | None = None,
    allow_copy: bool | None = None,
    report_namespace: bool | None = None,
) -> int:
    """As a cell: show what it prints, then its value if it has one; the exit status.

    Raises what it was refused with, SessionLost, ServiceUnreachable.
    """
    executing = _Executing(session, connection)
    return await executing.run(
        code,
        transaction_policy=transaction_policy,
        guard=guard,
        allow_copy=allow_copy,
        report_namespace=report_namespace,
    )


@attrs.define(eq=False)
class _Executing:
    """One execution, for which Ctrl-C is."""

    session: RemoteSession
    connection: ConnectionNotes
    _execution: str | None = attrs.field(default=None, init=False)
    _was_taken: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set once the service has the code."""

    async def run(self, code: str, **options: Any) -> int:
        """The exit status."""
        ending: Result | Error | None = None
        with trio.open_signal_receiver(signal.SIGINT) as numbers:
            async with open_body_nursery() as nursery:
                with trio.CancelScope() as scope:
                    nursery.start_soon(self._hear, numbers, scope)
                    async with self.session.stream(code, **options) as events:
                        self._execution = events.execution
                        self._was_taken.set()
                        ending = await Conversation(PlainDisplays()).follow(events)
        if ending is None:
            return INTERRUPTED
        _show(ending)
        return status_of(ending)

    async def _hear(self, numbers: AsyncIterator[int], scope: trio.CancelScope) -> None:
        """The first Ctrl-C interrupts the code, where somebody hears it. Otherwise it leaves, and
        so does a second one."""
        async with trio.open_nursery() as nursery:
            was_asked = False
            async for _ in numbers:
                if was_asked or not self.connection.is_connected:
                    break
                was_asked = True
                nursery.start_soon(self._interrupt)
            nursery.cancel_scope.cancel()
        if not self.connection.is_connected:
            descriptors.say(MAY_GO_ON)
        scope.cancel()

    async def _interrupt(self) -> None:
        async with open_body_nursery() as nursery:
            nursery.start_soon(self._hint)
            await self._was_taken.wait()
            try:
                await self.session.interrupt(self._execution)
            except (ExecutionNotFound, SessionLost, ServiceUnreachable):
                return  # it has ended, or is out of reach, which its last event says

    async def _hint(self) -> None:
        await trio.sleep(HINT_S)
        descriptors.say(NOT_STOPPED)


def _show(ending: Result | Error) -> None:
    if isinstance(ending, Result):
        if ending.has_value and ending.repr:
            descriptors.say(ending.repr + "\n", STDOUT)
    else:
        _show_error(ending)
    told = names_told(ending.namespace) + describe_undoing(ending)
    if ending.state == "rolled_back":
        told += not_undone(ending.uncovered)
    descriptors.say(told)


def _show_error(ending: Error) -> None:
    traceback = "".join(ending.traceback)
    if traceback or not is_death(ending):
        descriptors.say(traceback or f"pyrepl3: {ending.name}: {ending.value}\n")
    if ending.code == Code.SNAPSHOT_UNAVAILABLE:
        descriptors.say(END_ITS_THREADS)
    if ending.code == Code.EXECUTION_TIMEOUT:
        descriptors.say(OVER_DEADLINE)
    if is_death(ending):
        descriptors.say(f"pyrepl3: the session is lost: {describe_death(ending)}\n")
