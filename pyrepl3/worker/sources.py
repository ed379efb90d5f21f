"""The lines of the cells, for tracebacks, ``inspect`` and debuggers.

Owns what ``linecache`` knows of cells: a cell's source stays for as long as code of it can be
reached, so a million small cells cost no memory. Must not know executions.
"""

import linecache
from collections.abc import Iterator
from types import CodeType
from typing import Any
from weakref import ref

from .compiler import Cell


class Sources:
    """The sources that are kept, by file name."""

    def __init__(self) -> None:
        self._entries: dict[str, Any] = {}

    def keep(self, filename: str, source: str) -> Any:
        """Show the source's lines in tracebacks; returns what `watch` and `drop` take."""
        lines = source.splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        # Without a time of change, linecache never looks for the file on disk.
        entry = (len(source), None, lines, filename)
        self._entries[filename] = linecache.cache[filename] = entry
        return entry

    def watch(self, entry: Any, cell: Cell) -> None:
        """Drop the source when the last code object of the cell is gone."""
        alive: set[Any] = set()

        def forget(gone: Any) -> None:
            alive.discard(gone)
            if not alive:
                self.drop(entry)

        for part in cell:
            if part is not None:
                alive.update(ref(code, forget) for code in _with_nested(part))

    def drop(self, entry: Any) -> None:
        """Forget the source, unless a newer one has its name."""
        filename = entry[3]
        if self._entries.get(filename) is entry:
            del self._entries[filename]
            if linecache.cache.get(filename) is entry:
                del linecache.cache[filename]

    def restore(self, entry: Any) -> None:
        """Tell linecache again what user code has cleared from it, if it has."""
        if linecache.cache.get(entry[3]) is not entry:
            linecache.cache.update(self._entries)


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    waiting = [code]
    while waiting:
        each = waiting.pop()
        yield each
        waiting.extend(constant for constant in each.co_consts if type(constant) is CodeType)
