"""Runs a program in a session as python would run it, to its exit status.

Owns the order: prepare, run, finish; and what each end means. Must not know where the program
came from.
"""

from __future__ import annotations

import attrs
import trio

from actors import open_body_nursery
from pyrepl3.cli import descriptors, standard_output
from pyrepl3.cli.conversation import Conversation
from pyrepl3.cli.endings import describe_death, is_death, status_of
from pyrepl3.cli.programs import Program
from pyrepl3.cli.service import open_service
from pyrepl3.cli.signals import ProgramSignals, caught_signals
from pyrepl3.cli.statuses import FAILED
from pyrepl3.cli.surroundings import finish_code, prepare_program
from pyrepl3.client.session import Session
from pyrepl3.events import Display, Error, Result


class PlainDisplays:
    """A script has no place for pictures: the plain text of what it displays."""

    async def show(self, display: Display) -> None:
        """Write it to the standard output."""
        text = display.data.get("text/plain")
        if isinstance(text, str):
            await standard_output.write("stdout", text + "\n")


async def run_program(program: Program, record_trace: str | None) -> int:
    """Run it; the exit status that python would have.

    Raises PyreplError when no session can be started, or nothing recorded into ``record_trace``.
    """
    status = FAILED
    with trio.open_signal_receiver(*caught_signals()) as numbers, trio.CancelScope() as scope:
        signals = ProgramSignals(scope)
        async with open_body_nursery() as nursery:
            await nursery.start(signals.run, numbers)
            async with open_service(record_trace) as service, service.session() as session:
                status = await _ProgramRun(session, program, signals).run()
    return status if signals.ended_by is None else 128 + signals.ended_by


@attrs.define(eq=False)
class _ProgramRun:
    """One program in one session."""

    session: Session
    program: Program
    signals: ProgramSignals
    conversation: Conversation = attrs.field(factory=lambda: Conversation(PlainDisplays()))

    async def run(self) -> int:
        """Prepare, run, finish."""
        prepared = await prepare_program(self.session, self.program)
        if prepared.error is not None:
            return self._not_prepared(prepared.error)
        with self.signals.aimed_at(self.session):
            ending = await self._execute(self.program.code, self.program.filename)
            if is_death(ending):
                return self._died(ending)
            return await self._finish(ending)

    async def _execute(self, code: str, filename: str | None) -> Result | Error:
        async with self.session.stream(code, filename=filename, silent=True) as events:
            with self.signals.heard_by(self.session, events.execution):
                return await self.conversation.follow(events)

    async def _finish(self, ending: Result | Error) -> int:
        report = "".join(ending.traceback) if isinstance(ending, Error) else ""
        finished = await self._execute(finish_code(report), None)
        if isinstance(finished, Result):
            return status_of(ending)
        if is_death(finished):
            return self._died(finished)
        if finished.exit_status is None:
            # The program broke what would have told of it.
            descriptors.say(report or "".join(finished.traceback))
            return status_of(ending)
        return finished.exit_status

    def _died(self, ending: Result | Error) -> int:
        assert isinstance(ending, Error)
        status = status_of(ending)
        if ending.details.get("exit_status") is None:
            descriptors.say(f"pyrepl3: the script has ended: {describe_death(ending)}\n")
        return status

    def _not_prepared(self, error: Error) -> int:
        descriptors.say("pyrepl3: the session could not be prepared for the script\n")
        descriptors.say("".join(error.traceback) or f"{describe_death(error)}\n")
        return FAILED
