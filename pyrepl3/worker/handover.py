"""What the process that speaks for a session leaves to whoever speaks after it.

Owns the words of the control page that snapshots are named on, and a record behind them, which
each process of the session can read and only the one that speaks writes. Must not know what is in
the record, nor how a process takes over.

A process that is killed while it writes leaves the record before it: there are two places, and a
word that says which one counts.
"""

import sys
from collections.abc import Sequence
from typing import Any

from .codec import decode_message, pack

SURVIVOR, COUNT, BEGUN, RECORDED, MARK, KEPT = 2, 3, 4, 5, 7, 8
"""Words of the control page: who takes over when this process dies, and the execution count then;
the number of the last job that was begun, so that the service knows which to send again; how many
records were written; the mark in the socket up to which all was sent to others than who takes over;
and, from the last word on, those that are kept, up to a 0. The zygote reads SURVIVOR and KEPT
too."""
WORD_BYTES = 8
MOST_KEPT = 64
TAKEN = 128
"""The first of two words, each of a snapshot's pid and of the number of the job before which it was
taken, so that the service knows what is undone where it takes over. The one that takes another's
place has the other word: whoever dies between the two is taken over from by who is named."""
PID_SHIFT = 40

RECORD_OFFSET = 8192
"""Behind the stack that an interrupted process writes for the report."""
RECORD_BYTES = 64 * 2**10
"""Of each place. Its pages take memory once they are written to."""
PAGE_BYTES = RECORD_OFFSET + 2 * RECORD_BYTES
"""As in transport/process.py."""
_LENGTH_BYTES = 4


class Handover:
    """Of one session; where there is no page, nothing is left to anybody."""

    def __init__(self) -> None:
        self._words: Any = ()

    def attach(self, words: Any) -> None:
        """``words``: the control page."""
        self._words = words

    @property
    def is_possible(self) -> bool:
        """Whether there is a page."""
        return len(self._words) > BEGUN

    def name_survivor(self, pid: int) -> None:
        """Who takes over when this process dies; 0: nobody."""
        self._words[SURVIVOR] = pid

    def note_taken(self, pid: int, number: int, *, before: int) -> None:
        """That snapshot was taken before that job; ``before``: the one whose place it takes, which
        may still take over; 0: there was none."""
        word, other = TAKEN, TAKEN + 1
        if not before:
            self._words[other] = 0
        elif self._words[TAKEN] >> PID_SHIFT == before:
            word = other
        self._words[word] = pid << PID_SHIFT | number

    def name_kept(self, pids: Sequence[int]) -> None:
        """Those that are spared when this process has died."""
        for place, pid in enumerate(pids):
            self._words[KEPT + place] = pid
        self._words[KEPT + len(pids)] = 0

    @property
    def count(self) -> int:
        """The session's executions, as they were noted."""
        return int(self._words[COUNT])

    def note_count(self, count: int) -> None:
        """The session's executions are counted on, whoever goes on with it."""
        if self.is_possible:
            self._words[COUNT] = count

    @property
    def mark(self) -> bytes:
        """What the service has written into the socket before it let this process speak."""
        return int(self._words[MARK]).to_bytes(WORD_BYTES, sys.byteorder)

    def note_begun(self, number: int) -> None:
        """That job is this process's from here on, whatever becomes of it."""
        if self.is_possible:
            self._words[BEGUN] = number

    def write_record(self, record: dict[str, Any]) -> None:
        """For whoever takes over, from now on."""
        if not self.is_possible:
            return
        number = self._words[RECORDED] + 1
        body = pack(record)
        start = self._start_of(number)
        data = memoryview(self._words).cast("B")
        data[start : start + _LENGTH_BYTES] = len(body).to_bytes(_LENGTH_BYTES, "little")
        data[start + _LENGTH_BYTES : start + _LENGTH_BYTES + len(body)] = body
        self._words[RECORDED] = number

    def read_record(self) -> dict[str, Any] | None:
        """The last one that was written whole; None: there was none.

        Raises ValueError, TypeError or KeyError for one that user code has written over.
        """
        number = self._words[RECORDED]
        if not number:
            return None
        start = self._start_of(number)
        data = memoryview(self._words).cast("B")
        length = int.from_bytes(data[start : start + _LENGTH_BYTES], "little")
        body = bytes(data[start + _LENGTH_BYTES : start + _LENGTH_BYTES + length])
        return decode_message(body)

    @staticmethod
    def _start_of(number: int) -> int:
        return RECORD_OFFSET + number % 2 * RECORD_BYTES
