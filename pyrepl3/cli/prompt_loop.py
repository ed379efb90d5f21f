"""The REPL: reads a piece of code, runs it in the session, shows what came of it, again.

Owns the loop and what each ending means at a prompt. Must not know how a line is edited.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from signal import SIGHUP

import attrs
import trio

from actors import open_body_nursery
from pyrepl3.cli import descriptors, standard_output
from pyrepl3.cli.colours import coloured_traceback
from pyrepl3.cli.conversation import Conversation
from pyrepl3.cli.effects import names_told
from pyrepl3.cli.endings import describe_death, describe_undoing, is_death, status_of
from pyrepl3.cli.line_editor import CLEARED, GONE, LEAVE, LineEditor
from pyrepl3.cli.pictures import Pictures
from pyrepl3.cli.places import Followed, Place
from pyrepl3.cli.prompt_requests import BACK, FORK, PromptRequests, told_of
from pyrepl3.cli.prompt_signals import PromptSignals
from pyrepl3.cli.signals import AnySession, caught_signals
from pyrepl3.cli.surroundings import finish_code
from pyrepl3.cli.texts import (
    BACK_AGAIN,
    BRANCH_LOST,
    BRANCH_NOTE,
    BRANCHED,
    CANCELLED,
    EMPTY_INTERRUPT,
    NO_BRANCH,
    SESSION_LOST,
    TRANSACTION_LEFT,
    TRANSACTION_NOTE,
)
from pyrepl3.errors import PyreplError, SessionLost
from pyrepl3.events import Error, Result

_BARE_EXIT = re.compile(r"\s*(exit|quit)\s*")
_WHOLE_NUMBER = re.compile(r"-?\d*|None|True|False")
"""Of a SystemExit what python does not print."""
_CALL_QUITTER = "{0}() if type({0}).__name__ == 'Quitter' else {0}"


def interact(place: Place) -> int:
    """Serve the terminal until its user leaves; the exit status."""
    return trio.run(_interact, place)


async def _interact(place: Place) -> int:
    status: int | None = None
    with trio.open_signal_receiver(*caught_signals()) as numbers, trio.CancelScope() as scope:
        signals = PromptSignals(scope, is_connected=place.is_connected)
        with Pictures.open() as pictures:
            loop = _PromptLoop(signals, Conversation(pictures), pictures, place)
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
    place: Place
    editor: LineEditor = attrs.field(init=False)
    _pieces: int = attrs.field(default=0, init=False)
    _branches: int = attrs.field(default=0, init=False)
    """How many branches deep the prompt is."""
    _requests: PromptRequests = attrs.field(factory=PromptRequests, init=False)

    def __attrs_post_init__(self) -> None:
        self.editor = LineEditor(self._note)
        self.signals.is_protected = lambda: self._requests.is_protected
        self.place.watch(self.editor.refresh)

    def _note(self) -> str:
        """What stands before the prompt."""
        transaction = TRANSACTION_NOTE if self._requests.is_in_transaction else ""
        return self.place.note() + BRANCH_NOTE * self._branches + transaction

    async def run(self, numbers: AsyncIterator[int]) -> int:
        """Open session after session until one is left; the exit status."""
        status: int | None = None
        greeted = False
        async with open_body_nursery() as nursery:
            await nursery.start(self.signals.run, numbers)
            async with self.place.open():
                while status is None:
                    status = await self._use_session(greet=not greeted)
                    greeted = True
        return status

    async def _use_session(self, *, greet: bool) -> int | None:
        """The exit status, or None when the session was lost."""
        async with self.place.session() as session:
            self._requests.begin_session(is_in_transaction=self.place.is_in_transaction)
            if greet:
                banner = self.place.banner(session, self.pictures.folder)
                await standard_output.write("stdout", banner)
            try:
                return await self._converse(session)
            except SessionLost as error:
                descriptors.say(SESSION_LOST.format(cause=error.why))
                return None

    async def _converse(self, session: AnySession) -> int | None:
        """The exit status; None when the session was lost, or its branch was left."""
        while True:
            self.signals.forget()
            line = await self.editor.ask(session)
            if line is GONE:
                self.signals.end(SIGHUP)
                await trio.sleep_forever()  # until that has come about
            if line is LEAVE:
                return await self._leave(session, None)
            if line is CLEARED:
                if self.editor.was_cleared_empty:
                    await standard_output.write("stdout", EMPTY_INTERRUPT)
                continue
            if not isinstance(line, str) or not line.strip():
                continue
            if BACK.fullmatch(line):
                if self._branches:
                    return None
                await standard_output.write("stdout", NO_BRANCH)
                continue
            try:
                if FORK.fullmatch(line):
                    status = await self._use_branch(session)
                    if status is not None:
                        return status
                    continue
                ending = await self._evaluate(session, line)
            except SessionLost:
                raise
            except PyreplError as error:
                # Too large, too many that wait, or out of reach for too long.
                descriptors.say(told_of(error))
                continue
            if ending is None:
                continue
            if isinstance(ending, Result):
                await self._show_value(ending)
            elif is_death(ending):
                lost = BRANCH_LOST if self._branches else SESSION_LOST
                descriptors.say(lost.format(cause=describe_death(ending)))
                return None
            elif ending.exit_status is not None:
                return await self._leave(session, ending)
            else:
                await self._show_error(ending)

    async def _use_branch(self, session: AnySession) -> int | None:
        """The exit status; None where it goes on in the session that it was forked from."""
        with self._interruptible(session) as scope:
            (branch,) = await session.fork(1)
        if scope.cancelled_caught:
            await standard_output.write("stdout", CANCELLED)
            return None
        self._branches += 1
        was_kept, self._requests.history.is_kept = self._requests.history.is_kept, False
        try:
            await standard_output.write("stdout", BRANCHED)
            status = await self._converse(branch)
        except SessionLost as error:
            descriptors.say(BRANCH_LOST.format(cause=error.why))
            status = None
        finally:
            self._branches -= 1
            self._requests.history.is_kept = was_kept
            # That of the branch, if there was one: in a transaction nothing is forked.
            self._requests.is_in_transaction = False
        await branch.close()
        if status is None:
            await standard_output.write("stdout", BACK_AGAIN)
        return status

    async def _evaluate(self, session: AnySession, line: str) -> Result | Error | None:
        with self._interruptible(session) as scope:
            told = await self._requests.answer(session, line)
        if scope.cancelled_caught:
            told = CANCELLED
        if told is not None:
            await standard_output.write("stdout", told)
            return None
        bare_exit = _BARE_EXIT.fullmatch(line)
        code = _CALL_QUITTER.format(bare_exit[1]) if bare_exit is not None else line
        self._pieces += 1
        ending = await self._execute(
            session,
            code,
            filename=f"<cell {self._pieces}>",
            begun=lambda execution: self._requests.history.ran(execution, self._pieces, line),
        )
        if ending is not None:
            self._requests.see(ending)
        return ending

    @contextmanager
    def _interruptible(self, session: AnySession) -> Generator[trio.CancelScope]:
        """For the length of a request, Ctrl-C is for that. A service's session may be others' too:
        what runs there is not ours to interrupt, so it is waited for no more."""
        if self.place.is_remote:
            with self.signals.gives_up() as scope:
                yield scope
        else:
            with self.signals.heard_by(session, None), trio.CancelScope() as scope:
                yield scope

    async def _execute(
        self,
        session: AnySession,
        code: str,
        *,
        filename: str | None = None,
        silent: bool = False,
        begun: Callable[[str], None] = lambda _: None,
    ) -> Result | Error | None:
        """Its last event; None where it was given up before it was taken."""
        async with AsyncExitStack() as stack:
            reports = self._requests.reports and not silent
            stream = _stream(session, code, filename=filename, silent=silent, reports=reports)
            if self.place.is_remote:
                with self.signals.gives_up() as scope:
                    events = await stack.enter_async_context(stream)
                if scope.cancelled_caught:
                    return None
            else:
                with self.signals.heard_meanwhile(session):
                    events = await stack.enter_async_context(stream)
            begun(events.execution)
            with self.signals.heard_by(session, events.execution):
                ending = await self.conversation.follow(events)
        await self.conversation.begin_line()
        return ending

    async def _show_value(self, ending: Result) -> None:
        if ending.has_value:
            await standard_output.write("stdout", ending.repr + "\n")
            await self.pictures.save(ending.data)
        self._show_effects(ending)

    async def _show_error(self, ending: Error) -> None:
        text = "".join(ending.traceback) or f"{ending.name}: {ending.value}\n"
        await standard_output.write("stderr", coloured_traceback(text))
        self._show_effects(ending)

    def _show_effects(self, ending: Result | Error) -> None:
        whole = self._requests.is_in_transaction
        told = names_told(ending.namespace) + describe_undoing(ending, whole=whole)
        if ending.state == "rolled_back":
            told += self._requests.take_uncovered()
        descriptors.say(told)

    async def _leave(self, session: AnySession, ending: Error | None) -> int:
        """As python ends: threads, exit handlers, finalizers, whose output is seen. A session of a
        service is left as it is."""
        status = (ending.exit_status if ending is not None else None) or 0
        if self.place.is_remote:
            goes_on = self.place.goes_on and not self._branches
            if self._requests.is_in_transaction and goes_on:
                descriptors.say(TRANSACTION_LEFT)
            if ending is not None and not _WHOLE_NUMBER.fullmatch(ending.value):
                descriptors.say(f"{ending.value}\n")
            return status
        report = "" if ending is None else "".join(ending.traceback)
        finished = await self._execute(session, finish_code(report), silent=True)
        if isinstance(finished, Error) and (is_death(finished) or finished.exit_status is not None):
            return status_of(finished)
        return status


def _stream(
    session: AnySession, code: str, *, filename: str | None, silent: bool, reports: bool
) -> AbstractAsyncContextManager[Followed]:
    return session.stream(code, filename=filename, silent=silent, report_namespace=reports or None)
