"""The session's history at the prompt: %history, %undo and %redo.

Owns what is said of it, and by what people call an execution: the number of a cell, as tracebacks
have it, where it ran at this prompt; otherwise its id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from pyrepl3.cli.signals import AnySession
from pyrepl3.cli.texts import (
    HISTORY_ENDED,
    HISTORY_IS_EMPTY,
    HISTORY_KEPT,
    HISTORY_TOTAL,
    HISTORY_USAGE,
    NO_HISTORY,
    NOT_IN_HISTORY,
    NOTHING_CAME_AFTER,
    NOTHING_TO_REDO,
    NOTHING_TO_UNDO,
    REDONE,
    REQUEST_IS_ALONE,
    UNDO_USAGE,
    UNDONE,
)
from pyrepl3.client.history import History, HistoryEntry
from pyrepl3.errors import ExecutionNotFound

_ASKED = re.compile(r"\s*%(history|undo|redo)(?:\s+(.*\S))?\s*")
_NUMBER = re.compile(r"[0-9]{1,9}")
LINE_CHARACTERS = 60
"""Of a cell, in a list."""
REMEMBERED = 1000


@attrs.frozen
class _Cell:
    number: int
    line: str


@attrs.define(eq=False)
class PromptHistory:
    """Of one prompt."""

    _cells: dict[str, _Cell] = attrs.field(factory=dict)
    """By the ids of their executions, the oldest first."""
    is_kept: bool = False
    """As far as it was told here."""

    def ran(self, execution: str, number: int, code: str) -> None:
        """That cell runs under that id."""
        lines = code.strip().splitlines() or [""]
        line = lines[0] if len(lines) == 1 else f"{lines[0]} …"
        self._cells[execution] = _Cell(number, line[:LINE_CHARACTERS])
        if len(self._cells) > REMEMBERED:
            del self._cells[next(iter(self._cells))]

    def asks(self, line: str) -> tuple[str, str | None] | None:
        """What a line asks, if it is about the history, and of what."""
        asked = _ASKED.fullmatch(line)
        return None if asked is None else (asked[1], asked[2])

    async def answer(self, session: AnySession, kind: str, argument: str | None) -> str:
        """Do it; what is to be said. Raises TransactionActive, ConfigInvalid, SessionLost."""
        if kind == "history":
            if argument is None:
                history = await session.history()
                self.is_kept = history.count > 0
                return self.listed(history)
            if not _NUMBER.fullmatch(argument):
                return HISTORY_USAGE
            return await self._keep(session, int(argument))
        if kind == "redo" and argument is not None:
            return REQUEST_IS_ALONE.format(request="%redo")
        if argument is not None and len(argument.split()) > 1:
            return UNDO_USAGE
        if not (await session.history()).count:
            return NO_HISTORY
        try:
            if kind == "undo":
                undone = await session.undo(to=self._execution(argument))
                return UNDONE.format(execution=self._named(undone))
            return REDONE.format(execution=self._named(await session.redo()))
        except ExecutionNotFound as error:
            if error.why.startswith("nothing came after"):
                return NOTHING_CAME_AFTER.format(cell=argument)
            if kind == "redo":
                return NOTHING_TO_REDO
            return NOTHING_TO_UNDO if argument is None else NOT_IN_HISTORY.format(cell=argument)

    async def _keep(self, session: AnySession, count: int) -> str:
        await session.keep_history(count)
        self.is_kept = count > 0
        return HISTORY_KEPT.format(count=count) if count else HISTORY_ENDED

    def _execution(self, name: str | None) -> str | None:
        """By its number, the last one of that; or by its id."""
        for execution, cell in reversed(self._cells.items()):
            if str(cell.number) == name:
                return execution
        return name

    def _named(self, execution: str) -> str:
        cell = self._cells.get(execution)
        return execution if cell is None else f"cell {cell.number}: {cell.line}"

    def listed(self, history: History) -> str:
        """All of it, a line each, and what it costs."""
        if not history.count:
            return NO_HISTORY
        if not history.entries and not history.undone:
            return HISTORY_IS_EMPTY
        lines = [*self._lines(history.entries), *self._lines(history.undone, " (undone)")]
        total = HISTORY_TOTAL.format(
            count=history.count,
            held=_megabytes(history.private_bytes),
            most=_megabytes(history.bytes),
        )
        return "".join([*lines, total])

    def _lines(self, entries: Sequence[HistoryEntry], note: str = "") -> list[str]:
        return [
            f"{_megabytes(entry.private_bytes):>9}  {self._named(entry.execution)}{note}\n"
            for entry in entries
        ]


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
