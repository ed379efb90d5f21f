"""The REPL: reads a piece of code, runs it in the session, shows what came of it, again.

Owns the loop and what each ending means at a prompt. Must not know how a line is edited.
"""

from __future__ import annotations

import platform
import re
from collections.abc import AsyncIterator

import attrs
import trio

from actors import open_body_nursery
from pyrepl3 import __version__
from pyrepl3.cli import descriptors, standard_output
from pyrepl3.cli.colours import coloured_traceback
from pyrepl3.cli.conversation import Conversation
from pyrepl3.cli.endings import describe_death, is_death, status_of
from pyrepl3.cli.line_editor import CLEARED, LEAVE, LineEditor
from pyrepl3.cli.pictures import Pictures
from pyrepl3.cli.prompt_signals import PromptSignals
from pyrepl3.cli.service import open_service
from pyrepl3.cli.signals import caught_signals
from pyrepl3.cli.surroundings import finish_code, prepare_prompt
from pyrepl3.cli.texts import BANNER, EMPTY_INTERRUPT, SESSION_LOST
from pyrepl3.client.session import Session
from pyrepl3.errors import SessionLost
from pyrepl3.events import Error, Result
from pyrepl3.supervisor import Supervisor

_INSPECTED = re.compile(r"\s*(?:\?{1,2}\s*([\w.]+)|([\w.]+)\s*\?{1,2})\s*")
_BARE_EXIT = re.compile(r"\s*(exit|quit)\s*")
_CALL_QUITTER = "{0}() if type({0}).__name__ == 'Quitter' else {0}"


def interact(record_trace: str | None) -> int:
    """Serve the terminal until its user leaves; the exit status."""
    return trio.run(_interact, record_trace)


async def _interact(record_trace: str | None) -> int:
    status: int | None = None
    with trio.open_signal_receiver(*caught_signals()) as numbers, trio.CancelScope() as scope:
        signals = PromptSignals(scope)
        with Pictures.open() as pictures:
            loop = _PromptLoop(signals, Conversation(pictures), pictures, record_trace)
            status = await loop.run(numbers)
    if signals.ended_by is not None:
        return 128 + signals.ended_by
    return status or 0


@attrs.define(eq=False)
class _PromptLoop:
    """One user at one terminal."""

    signals: PromptSignals
    conversation: Conversation
    pictures: Pictures
    record_trace: str | None
    editor: LineEditor = attrs.field(factory=LineEditor)
    _pieces: int = attrs.field(default=0, init=False)

    async def run(self, numbers: AsyncIterator[int]) -> int:
        """Open session after session until one is left; the exit status."""
        status: int | None = None
        greeted = False
        async with open_body_nursery() as nursery:
            await nursery.start(self.signals.run, numbers)
            async with open_service(self.record_trace) as service:
                while status is None:
                    status = await self._use_session(service, greet=not greeted)
                    greeted = True
        return status

    async def _use_session(self, service: Supervisor, *, greet: bool) -> int | None:
        """The exit status, or None when the session was lost."""
        async with service.session() as session:
            await prepare_prompt(session)
            if greet:
                await self._greet(session)
            try:
                return await self._converse(session)
            except SessionLost as error:
                descriptors.say(SESSION_LOST.format(cause=error.why))
                return None

    async def _greet(self, session: Session) -> None:
        banner = BANNER.format(
            version=__version__,
            python=platform.python_version(),
            pid=session.pid,
            pictures=self.pictures.folder,
        )
        await standard_output.write("stdout", banner)

    async def _converse(self, session: Session) -> int | None:
        while True:
            self.signals.forget()
            line = await self.editor.ask(session)
            if line is LEAVE:
                return await self._leave(session, 0, "")
            if line is CLEARED:
                if self.editor.was_cleared_empty:
                    await standard_output.write("stdout", EMPTY_INTERRUPT)
                continue
            if not isinstance(line, str) or not line.strip():
                continue
            ending = await self._evaluate(session, line)
            if ending is None:
                continue
            if isinstance(ending, Result):
                await self._show_value(ending)
            elif is_death(ending):
                descriptors.say(SESSION_LOST.format(cause=describe_death(ending)))
                return None
            elif ending.exit_status is not None:
                return await self._leave(session, ending.exit_status, "".join(ending.traceback))
            else:
                await self._show_error(ending)

    async def _evaluate(self, session: Session, line: str) -> Result | Error | None:
        inspected = _INSPECTED.fullmatch(line)
        if inspected is not None:
            await self._inspect(session, inspected[1] or inspected[2])
            return None
        bare_exit = _BARE_EXIT.fullmatch(line)
        code = _CALL_QUITTER.format(bare_exit[1]) if bare_exit is not None else line
        self._pieces += 1
        return await self._execute(session, code, filename=f"<cell {self._pieces}>")

    async def _execute(
        self, session: Session, code: str, *, filename: str | None = None, silent: bool = False
    ) -> Result | Error:
        stream = session.stream(code, filename=filename, silent=silent)
        async with stream as events:
            with self.signals.heard_by(session):
                ending = await self.conversation.follow(events)
        await self.conversation.begin_line()
        return ending

    async def _inspect(self, session: Session, name: str) -> None:
        inspection = await session.inspect(name)
        text = inspection.text if inspection.found else f"The session has no name {name!r}."
        await standard_output.write("stdout", text + "\n")

    async def _show_value(self, ending: Result) -> None:
        if ending.has_value:
            await standard_output.write("stdout", ending.repr + "\n")
            await self.pictures.save(ending.data)

    async def _show_error(self, ending: Error) -> None:
        text = "".join(ending.traceback) or f"{ending.name}: {ending.value}\n"
        await standard_output.write("stderr", coloured_traceback(text))

    async def _leave(self, session: Session, status: int, report: str) -> int:
        """As python ends: threads, exit handlers, finalizers, whose output is seen."""
        ending = await self._execute(session, finish_code(report), silent=True)
        if isinstance(ending, Error) and (is_death(ending) or ending.exit_status is not None):
            return status_of(ending)
        return status
