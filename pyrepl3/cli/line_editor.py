"""Editing a piece of code at the terminal, with prompt_toolkit.

prompt_toolkit runs on asyncio, the service on trio: the prompt has a thread and an event loop of
its own, and trio keeps the main thread, with the signals. Questions go from there to trio;
nothing in trio ever waits for the thread but `ask`. (The other way, trio as a guest of asyncio,
would put the service's timing into the hands of the editor.) Must not know what becomes of a line.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from errno import EIO

import attrs
import trio
from prompt_toolkit import PromptSession
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.shortcuts import CompleteStyle
from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

from pyrepl3.cli.history import open_history
from pyrepl3.cli.key_bindings import make_key_bindings
from pyrepl3.cli.session_questions import SessionCompleter, SessionQuestions
from pyrepl3.cli.signals import AnySession

PROMPT, CONTINUATION = ">>> ", "... "


class Gesture(enum.Enum):
    """What a prompt may come back with, other than a line."""

    CLEARED = enum.auto()
    LEAVE = enum.auto()
    GONE = enum.auto()
    """There is no terminal any more. SIGHUP tells that as well, now or in a moment."""


CLEARED, LEAVE, GONE = Gesture.CLEARED, Gesture.LEAVE, Gesture.GONE


class LineCleared(Exception):
    """Ctrl-C at the prompt."""


class LineEditor:
    """The prompt of one terminal."""

    def __init__(self, note: Callable[[], str] = lambda: "") -> None:
        """``note`` stands before the prompt; `refresh` has it asked again."""
        self._completer = SessionCompleter()
        self._editing: _Editing | None = None
        self._prompt: PromptSession[str] = PromptSession(
            lambda: note() + PROMPT,
            multiline=True,
            prompt_continuation=CONTINUATION,
            lexer=PygmentsLexer(PythonLexer),
            completer=self._completer,
            complete_while_typing=False,
            complete_style=CompleteStyle.MULTI_COLUMN,
            history=open_history(),
            key_bindings=make_key_bindings(self._completer.completeness),
            interrupt_exception=LineCleared,
        )

    @property
    def was_cleared_empty(self) -> bool:
        """Whether the line that was cleared last had nothing on it."""
        return not self._prompt.default_buffer.text

    def refresh(self) -> bool:
        """Show the prompt anew. False where there is none now."""
        return self._editing is not None and self._editing.refresh()

    async def ask(self, session: AnySession) -> str | Gesture:
        """A piece of code that its user wants to run. Can be cancelled: the terminal is left
        as it was."""
        async with trio.open_nursery() as nursery:
            questions = SessionQuestions(
                session, trio.lowlevel.current_trio_token(), nursery.start_soon
            )
            self._completer.questions = questions
            editing = self._editing = _Editing(self._prompt)
            nursery.start_soon(editing.end_when_cancelled)
            try:
                with trio.CancelScope(shield=True):
                    answer = await trio.to_thread.run_sync(editing.run)
            finally:
                self._editing = None
                questions.close()
            nursery.cancel_scope.cancel()
        return answer


@attrs.define(eq=False)
class _Editing:
    """One line, from the prompt to Enter."""

    prompt: PromptSession[str]
    _loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> str | Gesture:
        """In the editor's thread."""
        try:
            return asyncio.run(self._ask())
        except LineCleared:
            return CLEARED
        except EOFError:
            return LEAVE
        except OSError as error:
            if error.errno != EIO:
                raise
            return GONE

    async def _ask(self) -> str:
        self._loop = asyncio.get_running_loop()
        try:
            return await self.prompt.prompt_async()
        finally:
            self._loop = None

    def refresh(self) -> bool:
        """In trio: have the prompt drawn again, if there is one."""
        loop = self._loop
        if loop is None:
            return False
        loop.call_soon_threadsafe(self.prompt.app.invalidate)
        return True

    async def end_when_cancelled(self) -> None:
        """In trio: when the prompt is cancelled, its application must leave the terminal."""
        try:
            await trio.sleep_forever()
        finally:
            loop = self._loop
            if loop is not None:
                loop.call_soon_threadsafe(self._exit)

    def _exit(self) -> None:
        if self.prompt.app.is_running and not self.prompt.app.is_done:
            self.prompt.app.exit(exception=EOFError)
