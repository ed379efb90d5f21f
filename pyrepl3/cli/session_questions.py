"""An editor's questions to the live session, from the editor's thread.

Owns the way from asyncio to trio and back. An answer that does not come in time is no answer:
the editor never waits for a session.
"""

from __future__ import annotations

import asyncio
import codeop
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import attrs
import trio
from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.completion import Completion as Suggestion
from prompt_toolkit.document import Document

from pyrepl3.cli.prompt_requests import REQUESTS
from pyrepl3.cli.signals import AnySession
from pyrepl3.client.editing import Completeness, Completion
from pyrepl3.errors import PyreplError

T = TypeVar("T")

COMPLETION_S = 5.0
COMPLETENESS_S = 0.3
"""Enter waits for this answer, so it is short; it usually comes in a millisecond."""


@attrs.define(eq=False)
class SessionQuestions:
    """The questions of one prompt."""

    session: AnySession
    token: trio.lowlevel.TrioToken
    start_soon: Callable[[Callable[[], Awaitable[Any]]], None]
    _open: bool = True

    def close(self) -> None:
        """In trio: take no more questions."""
        self._open = False

    async def complete(self, code: str, cursor: int) -> Completion | None:
        """In the editor's loop: what could stand at the cursor; None where nobody knows."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Completion | None] = loop.create_future()

        async def ask() -> None:
            completion = await _in_time(COMPLETION_S, lambda: self.session.complete(code, cursor))
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, answer, completion)

        def start() -> None:
            if self._open:
                self.start_soon(ask)

        self.token.run_sync_soon(start)
        return await answer

    def completeness(self, code: str) -> Completeness:
        """In the editor's thread, which waits: whether the code can run."""

        async def ask() -> Completeness | None:
            return await _in_time(COMPLETENESS_S, lambda: self.session.is_complete(code))

        answer = trio.from_thread.run(ask)
        return answer or _own_guess(code)


async def _in_time(limit_s: float, question: Callable[[], Awaitable[T]]) -> T | None:
    with trio.move_on_after(limit_s):
        try:
            return await question()
        except PyreplError:
            return None  # the session has gone: what is entered next will be told so
    return None


def _settle(answer: asyncio.Future[T], value: T) -> None:
    if not answer.done():
        answer.set_result(value)


def _own_guess(code: str) -> Completeness:
    """For a session that is busy: what this command's own python thinks of it."""
    try:
        complete = codeop.compile_command(code, symbol="exec") is not None
    except (SyntaxError, ValueError, OverflowError):
        complete = True
    return Completeness("complete" if complete else "incomplete", "")


class SessionCompleter(Completer):
    """Completes from what the session holds now."""

    def __init__(self) -> None:
        self.questions: SessionQuestions | None = None

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Suggestion]:
        """Not used: the asynchronous one is."""
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Suggestion, None]:
        """Ask, and give what comes."""
        word = document.text.lstrip()
        if word.startswith("%"):
            for match in REQUESTS:
                if match.startswith(word):
                    yield Suggestion(match, start_position=-len(word))
            return
        if self.questions is None:
            return
        completion = await self.questions.complete(document.text, document.cursor_position)
        if completion is not None:
            start = completion.cursor_start - document.cursor_position
            for match in completion.matches:
                yield Suggestion(match, start_position=start)

    def completeness(self, code: str) -> Completeness:
        """Whether the code can run."""
        return _own_guess(code) if self.questions is None else self.questions.completeness(code)
