"""`pyrepl3 session attach`: a session's life as at a terminal, whoever runs code in it.

Owns what a line, Ctrl-C and Ctrl-D mean there. Must not know the protocol.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack

import attrs
import trio

from actors import open_body_nursery
from pyrepl3.cli import descriptors, standard_output
from pyrepl3.cli.connection_notes import ConnectionNotes
from pyrepl3.cli.scripts import PlainDisplays
from pyrepl3.cli.standard_input import LineReader, without_echo
from pyrepl3.cli.statuses import FAILED, INTERRUPTED
from pyrepl3.cli.texts import (
    ATTACHED,
    LEAVES_AT_ONCE,
    MAY_GO_ON,
    NOBODY_ASKS,
    NOT_SENT,
    NOTHING_RUNS,
)
from pyrepl3.errors import (
    AlreadyAnswered,
    ExecutionNotFound,
    PyreplError,
    SessionLost,
)
from pyrepl3.events import Display, Error, Event, Gap, InputRequested, Output, Result, Started
from pyrepl3.remote.client import Client
from pyrepl3.remote.session import RemoteSession

TWICE_S = 2.0
"""Between two Ctrl-C of which the second one leaves."""


async def attach(
    client: Client, session: str, called: str, since: int | None, connection: ConnectionNotes
) -> int:
    """Show what happens until it ends, or its user leaves; the exit status.

    Raises SessionNotFound, SessionLost.
    """
    send, receive = trio.open_memory_channel[Event](float("inf"))
    async with client.attach(session, since=since, on_event=send.send_nowait) as found:
        return await _Attached(found, called, connection, receive, send).run()


@attrs.define(eq=False)
class _Attached:
    """One user at one session."""

    session: RemoteSession
    called: str
    connection: ConnectionNotes
    events: trio.MemoryReceiveChannel[Event]
    no_more: trio.MemorySendChannel[Event]
    """Closed when none come."""
    _status: int = attrs.field(default=0, init=False)
    _asked: list[InputRequested] = attrs.field(factory=list, init=False)
    """Inputs that wait for a line, the oldest first."""
    _running: str | None = attrs.field(default=None, init=False)
    _interrupted_at: float = attrs.field(default=float("-inf"), init=False)
    _hidden: ExitStack = attrs.field(factory=ExitStack, init=False)
    """While a password is typed."""

    async def run(self) -> int:
        """The exit status."""
        with self._hidden, trio.open_signal_receiver(signal.SIGINT) as numbers:
            async with open_body_nursery() as nursery:
                scope = nursery.cancel_scope
                nursery.start_soon(self._show_all, scope)
                nursery.start_soon(self._close_at_end)
                if descriptors.is_terminal(descriptors.STDIN):
                    descriptors.say(ATTACHED.format(session=self.called))
                    nursery.start_soon(self._read, scope)
                async for _ in numbers:
                    if self._leaves():
                        self._status = INTERRUPTED
                        break
                    nursery.start_soon(self._interrupt)
                scope.cancel()
        return self._status

    # --- what comes -------------------------------------------------------------------------------

    async def _show_all(self, scope: trio.CancelScope) -> None:
        """To the end of the session."""
        async for event in self.events:
            await self._show(event)
        error = await self.session.wait_ended()
        descriptors.say(f"pyrepl3: {error.what}: {error.why}\n")
        self._status = 0 if isinstance(error, SessionLost) else FAILED
        scope.cancel()

    async def _show(self, event: Event) -> None:
        if isinstance(event, Started):
            self._running = event.execution
        elif isinstance(event, Output):
            await standard_output.write(event.stream, event.data)
        elif isinstance(event, Display):
            await PlainDisplays().show(event)
        elif isinstance(event, Gap):
            await standard_output.write("stderr", f"[{event.bytes} bytes are not there any more]\n")
        elif isinstance(event, InputRequested):
            self._asked.append(event)
            await standard_output.write("stdout", event.prompt)
            self._hide_or_show()
        elif isinstance(event, Result | Error):
            await self._show_end(event)

    async def _show_end(self, ending: Result | Error) -> None:
        self._running = None
        self._asked = [each for each in self._asked if each.execution != ending.execution]
        self._hide_or_show()
        if isinstance(ending, Error):
            text = "".join(ending.traceback) or f"{ending.name}: {ending.value}\n"
            await standard_output.write("stderr", text)
        elif ending.has_value and ending.repr:
            await standard_output.write("stdout", ending.repr + "\n")

    def _hide_or_show(self) -> None:
        """A password is not shown as it is typed."""
        self._hidden.close()
        if self._asked and self._asked[0].password and descriptors.is_terminal(descriptors.STDIN):
            self._hidden.enter_context(without_echo(descriptors.STDIN))

    async def _close_at_end(self) -> None:
        await self.session.wait_ended()
        self.no_more.close()

    # --- what is typed ----------------------------------------------------------------------------

    async def _read(self, scope: trio.CancelScope) -> None:
        reader = LineReader()
        while (line := await reader.line()) is not None:
            if not self._asked:
                descriptors.say(NOBODY_ASKS)
                continue
            await self._answer(self._asked.pop(0), line)
            self._hide_or_show()
        scope.cancel()

    async def _answer(self, request: InputRequested, line: str) -> None:
        try:
            await request.respond(line)
        except (AlreadyAnswered, ExecutionNotFound, SessionLost):
            return  # somebody else was quicker, or it has ended: what follows tells
        except PyreplError as error:
            descriptors.say(f"{NOT_SENT.rstrip()} {error.what}: {error.why}\n")

    def _leaves(self) -> bool:
        """The first Ctrl-C is for what runs, where somebody hears it; a second one soon after it
        leaves."""
        before, self._interrupted_at = self._interrupted_at, trio.current_time()
        if not self.connection.is_connected:
            descriptors.say(MAY_GO_ON)
            return True
        return self._interrupted_at - before < TWICE_S

    async def _interrupt(self) -> None:
        if self._running is None:
            descriptors.say(NOTHING_RUNS)
            return
        descriptors.say(LEAVES_AT_ONCE)
        try:
            await self.session.interrupt(self._running)
        except PyreplError:
            return  # it has ended, or is out of reach, which is told
