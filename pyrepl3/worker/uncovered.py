"""What code did that no snapshot covers: files, sockets, child processes, threads.

Owns two ways to see it. An audit hook notes what Python's own functions are asked for as it
happens (`audit_notes`), as a file that was written and closed again leaves no other trace. And
descriptors, children and threads are compared before and after (`standing`), which shows also what
C code did, as far as it is still there. Must not know what a snapshot is, nor when one is taken.

A hook can never be removed, and is called for each audit event of the process from then on (0.15
microseconds; `open`, `import`, `id` raise one): it is installed with the first snapshot, so that
sessions without any pay nothing.
"""

import os
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from .audit_notes import NOTES, Entry
from .interrupts import Interrupts
from .last_notes import LastNotes
from .standing import Standing, identities_of
from .values import cut, encodable

MOST_ENTRIES = 50
"""What more there is, is counted in one last entry of the kind ``more``."""
DETAIL_CHARACTERS = 300
_SEEN_AT_MOST = 1000
"""Different entries of one execution that are told apart, so that a loop costs no memory."""

_register_at_fork = os.register_at_fork

Message = dict[str, Any]


class Watch:
    """Sees what the code of one process does, from `begin` to `end`."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.is_watching = False
        self.last_notes = LastNotes()
        """For who comes after a crash."""
        self._interrupts = interrupts
        self._is_installed = False
        self._noted: dict[Entry, None] = {}
        self._unnoted = 0
        self._before: Standing | None = None

    def begin(self) -> None:
        """Code is about to run that may be undone."""
        if not self._is_installed:
            self._is_installed = True
            sys.addaudithook(_hook_of(self, self._interrupts))
            _register_at_fork(after_in_child=self._leave)
        self._noted.clear()
        self._unnoted = 0
        self.last_notes.clear()
        self._before = Standing.now()
        self.is_watching = True

    def end(self) -> list[Message]:
        """It has run: what of that no snapshot undoes, each once."""
        self.is_watching = False
        self.last_notes.clear()
        told = list(self._noted)
        before, now = self._before, Standing.now()
        if before is not None and now is not None:
            written = {detail for kind, detail in told if kind == "file_written"}
            seen = now.files_since(before, identities_of(written)) + now.others_since(before)
            told += [each for each in map(_shown, seen) if each not in self._noted]
        more = self._unnoted + len(told) - MOST_ENTRIES
        del told[MOST_ENTRIES:]
        if more > 0:
            told.append(("more", str(more)))
        return [{"kind": kind, "detail": what} for kind, what in told]

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """That is about to be done."""
        try:
            noted = NOTES[event](*arguments)
        except Exception:
            # Odd arguments, which the function that was called is to refuse; never the hook.
            return
        entry = None if noted is None else _shown(noted)
        if entry is None or entry in self._noted:
            return
        if len(self._noted) < _SEEN_AT_MOST:
            self._noted[entry] = None
            self.last_notes.add(*entry)
        else:
            self._unnoted += 1

    def _leave(self) -> None:
        """This is a child of the user's: what it does is no more told than what a program does."""
        self.is_watching = False


def _shown(entry: Entry) -> Entry:
    """With a detail that can be told on every way."""
    kind, detail = entry
    return kind, encodable(cut(detail, DETAIL_CHARACTERS)).replace("\0", "@")


def _hook_of(watch: Watch, interrupts: Interrupts) -> Callable[[str, tuple[Any, ...]], None]:
    """The audit hook. Its frame has no builtins of the runtime: a signal that strikes in it is the
    interrupted code's, as it is called from anywhere, a hundred times in a loop of the user's."""
    notes = NOTES

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in notes and watch.is_watching:
            watch.note(event, arguments)
            if interrupts.pending:
                interrupts.deliver()

    return FunctionType(hook.__code__, {"__builtins__": {}}, "hook", None, hook.__closure__)
