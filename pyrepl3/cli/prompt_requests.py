"""What a line at the prompt may ask besides code: `?name`, %begin, %history, %report and the like.

Owns which lines are requests, what is answered to each, and what a roll back would leave behind.
Branches are not among them: in those the prompt itself goes on. Must not know how a line is edited.
"""

from __future__ import annotations

import difflib
import re

import attrs

from pyrepl3.cli.effects import not_undone
from pyrepl3.cli.prompt_history import PromptHistory
from pyrepl3.cli.signals import AnySession
from pyrepl3.cli.texts import (
    BEGUN,
    COMMITTED,
    NO_REQUEST,
    NO_TRANSACTION,
    NOT_COPIED,
    NOT_REPORTING,
    PROMPT_HELP,
    REPORTING,
    REQUEST_IS_ALONE,
    ROLLED_BACK,
    TRANSACTION_OPEN,
)
from pyrepl3.effects import Uncovered
from pyrepl3.errors import NoTransaction, PyreplError, SnapshotUnavailable, TransactionActive
from pyrepl3.events import Error, Result

_INSPECTED = re.compile(r"\s*(?:\?{1,2}\s*([\w.]+)|([\w.]+)\s*\?{1,2})\s*")
_TRANSACTION = re.compile(r"\s*%(begin|commit|rollback)\s*")
_HELP = re.compile(r"\s*%help\s*")
_REPORT = re.compile(r"\s*%report\s*")
FORK, BACK = re.compile(r"\s*%fork\s*"), re.compile(r"\s*%back\s*")

REQUESTS = (
    "%begin",
    "%commit",
    "%rollback",
    "%history",
    "%undo",
    "%redo",
    "%fork",
    "%back",
    "%report",
    "%help",
)
"""What begins with a word that Python has no use for."""


@attrs.define(eq=False)
class PromptRequests:
    """Those of one prompt."""

    history: PromptHistory = attrs.field(factory=PromptHistory)
    reports: bool = False
    """Whether it is shown what code does to the names."""
    is_in_transaction: bool = False
    """As far as it was told here."""
    _uncovered: dict[Uncovered, None] = attrs.field(factory=dict)
    """What a roll back would not undo now, each once."""

    def begin_session(self, *, is_in_transaction: bool) -> None:
        """The prompt is that of another session now."""
        self.is_in_transaction = is_in_transaction
        self.history.is_kept = False
        self._uncovered.clear()

    async def answer(self, session: AnySession, line: str) -> str | None:
        """Do what the line asks; what is to be said. None: it is code.

        Raises what the session does.
        """
        inspected = _INSPECTED.fullmatch(line)
        if inspected is not None:
            return await self._inspect(session, inspected[1] or inspected[2])
        if not line.lstrip().startswith("%"):
            return None
        if _REPORT.fullmatch(line):
            self.reports = not self.reports
            return REPORTING if self.reports else NOT_REPORTING
        asked = _TRANSACTION.fullmatch(line)
        if asked is not None:
            return await self._transact(session, asked[1])
        if _HELP.fullmatch(line):
            return PROMPT_HELP
        of_history = self.history.asks(line)
        if of_history is not None:
            return await self.history.answer(session, *of_history)
        return _not_understood(line.split()[0])

    @property
    def is_protected(self) -> bool:
        """Whether a crash is undone, as far as it was told here."""
        return self.is_in_transaction or self.history.is_kept

    def see(self, ending: Result | Error) -> None:
        """What is to be told at the next roll back: its own, or that of the transaction."""
        if not self.is_in_transaction:
            self._uncovered.clear()
        self._uncovered.update(dict.fromkeys(ending.uncovered or ()))

    def take_uncovered(self) -> str:
        """It is rolled back: what of that is not undone."""
        told = not_undone(list(self._uncovered))
        self._uncovered.clear()
        self.is_in_transaction = False
        return told

    async def _inspect(self, session: AnySession, name: str) -> str:
        inspection = await session.inspect(name)
        text = inspection.text if inspection.found else f"The session has no name {name!r}."
        return text + "\n"

    async def _transact(self, session: AnySession, kind: str) -> str:
        if kind == "begin":
            await session.begin()
            told = BEGUN
        elif kind == "commit":
            await session.commit()
            told = COMMITTED
        else:
            await session.rollback()
            told = ROLLED_BACK + self.take_uncovered()
        self.is_in_transaction = kind == "begin"
        self._uncovered.clear()
        return told


def told_of(error: PyreplError) -> str:
    """A refusal, in the words of the prompt where there are any."""
    if isinstance(error, TransactionActive):
        return TRANSACTION_OPEN
    if isinstance(error, NoTransaction):
        return NO_TRANSACTION
    if isinstance(error, SnapshotUnavailable):
        return NOT_COPIED.format(why=error.why)
    return f"{error.what}: {error.why}. {error.how}.\n"


def _not_understood(word: str) -> str:
    if word in REQUESTS:
        return REQUEST_IS_ALONE.format(request=word)
    close = difflib.get_close_matches(word, REQUESTS, n=1, cutoff=0.7)
    hint = f"did you mean {close[0]}?" if close else f"there are {' '.join(REQUESTS)}"
    return NO_REQUEST.format(request=word, hint=hint)
