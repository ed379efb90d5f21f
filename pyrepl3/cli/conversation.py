"""Follows one execution at the terminal: shows what it prints, answers what it asks.

Owns how each event is shown. Must not know what runs, nor what its end means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import attrs
import trio

from actors import open_body_nursery
from pyrepl3.cli import standard_output
from pyrepl3.cli.standard_input import LineReader, has_controlling_terminal, hidden_line
from pyrepl3.errors import AlreadyAnswered, SessionLost
from pyrepl3.events import Display, Error, Event, Gap, InputRequested, Output, Result


class ShowsDisplays(Protocol):
    """Whatever can show rich output."""

    async def show(self, display: Display) -> None:
        """Show one."""


@attrs.define(eq=False)
class Conversation:
    """The terminal's side of a session."""

    displays: ShowsDisplays
    reader: LineReader = attrs.field(factory=LineReader)
    _ends_line: bool = attrs.field(default=True, init=False)
    """Whether what was printed last ended its line."""
    _turn: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    """Threads of the code may ask at once; the terminal answers one after the other."""

    async def follow(self, events: AsyncIterator[Event]) -> Result | Error:
        """Show the events of an execution to its end, which is returned."""
        async with open_body_nursery() as nursery:
            async for event in events:
                if isinstance(event, Result | Error):
                    return event
                if isinstance(event, InputRequested):
                    # Not awaited here: what comes next may be the end of who asked.
                    nursery.start_soon(self._answer, event)
                else:
                    await self._take(event)
        raise AssertionError("an execution ends with a Result or an Error")

    async def begin_line(self) -> None:
        """Make sure that what comes next starts a line."""
        if not self._ends_line:
            await standard_output.write("stdout", "\n")
            self._ends_line = True

    async def _take(self, event: Event) -> None:
        if isinstance(event, Output):
            await standard_output.write(event.stream, event.data)
            self._ends_line = event.data.endswith("\n")
        elif isinstance(event, Display):
            await self.displays.show(event)
        elif isinstance(event, Gap):
            await standard_output.write(
                "stderr", f"\n[{event.bytes} bytes of output were left out here]\n"
            )

    async def _answer(self, request: InputRequested) -> None:
        async with self._turn:
            line = await self._ask(request)
        try:
            await request.respond(line)
        except (AlreadyAnswered, SessionLost):
            return  # the execution has ended, and its last event says how

    async def _ask(self, request: InputRequested) -> str | None:
        if request.password and has_controlling_terminal():
            return await hidden_line(request.prompt)
        await standard_output.write("stdout", request.prompt)
        line = await self.reader.line()
        self._ends_line = line is not None
        return line
