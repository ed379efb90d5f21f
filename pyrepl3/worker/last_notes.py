"""What code has done that no roll back undoes, on the control page: it outlives a crash of this
process, and the service reads it then.

Owns that part of the page. Must not know what is noted. Two threads that note at the same moment
may spoil an entry: whoever reads trusts none of it.
"""

from typing import Any

FIRST_WORD, END_WORD = 256, 512
"""The words of the page that it has, 2 KiB: NOTES_OFFSET, NOTES_BYTES of transport/process.py."""
_BYTES = (END_WORD - FIRST_WORD) * 8
_EMPTY = bytes(_BYTES)
_ROOM_FOR_MORE = 24
"""For the one that says how many there was no room for."""


class LastNotes:
    """Of the execution that runs."""

    def __init__(self) -> None:
        self._page: Any = None
        self._end = 0
        self._more = 0

    def attach(self, words: Any) -> None:
        """This process is the session's. ``words``: the control page, as integers."""
        has_room = len(words) >= END_WORD
        self._page = words[FIRST_WORD:END_WORD].cast("B") if has_room else None

    def clear(self) -> None:
        """It has not begun, or has ended and told all itself."""
        self._end = self._more = 0
        if self._page is not None:
            self._page[:] = _EMPTY

    def add(self, kind: str, detail: str) -> None:
        """One more; the text is encodable."""
        if self._page is None:
            return
        entry = f"{kind}\t{detail}\0".encode()
        if self._more or self._end + len(entry) > _BYTES - _ROOM_FOR_MORE:
            self._more += 1
            entry = b"more\t%d\0" % self._more
            self._page[self._end : self._end + len(entry)] = entry
        else:
            self._page[self._end : self._end + len(entry)] = entry
            self._end += len(entry)
