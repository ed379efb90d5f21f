"""Huge pages for a session whose process is copied again and again.

A fork copies the tables of all pages, and the end of a copy goes through them once more: 80 MB in
pages of 4 KiB take some 20,000 entries, and 40 in huge ones. Few programs ask the kernel for huge
pages, and it gives none unasked.

Owns when memory is moved into them: once so much time has been lost that moving it costs no more.
Must not know what is copied, nor why.
"""

import ctypes
from collections.abc import Iterator
from errno import EINVAL

_COLLAPSE = 25
"""MADV_COLLAPSE of Linux 6.1: what is there is copied into huge pages, at once."""
_HUGE_BYTES = 2 * 2**20
LEAST_BYTES = 4 * _HUGE_BYTES
"""Of a mapping: smaller ones are not what takes the time."""
_DENSE = 0.9
"""Of a mapping, how much is there and this process's alone: what is not there would be filled in,
and what is shared with others, as with the zygote, would be copied."""
QUICK_S = 0.0005
"""A fork of a process that has no more than the interpreter takes less."""
TIMES_LOST = 4.0
"""What a fork takes longer for its pages is lost so often: it is made, its copy ends, and what is
written meanwhile is copied page by page. Measured at 80 MB: a guarded execution takes 6 ms longer
than in an empty session, and its fork 1.5 ms."""
MOVE_S_PER_BYTE = 0.5e-3 / 2**20
PIECE_BYTES = 8 * _HUGE_BYTES
"""Moved at a time, in 8 ms: a message that comes meanwhile waits so long."""

Region = tuple[int, int]
"""Of memory: where it starts, and its size in bytes."""

_madvise = ctypes.CDLL(None, use_errno=True).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class HugePages:
    """Those of one process, which makes the copies."""

    def __init__(self) -> None:
        self._lost_s = 0.0
        self._wanted_s = LEAST_BYTES * MOVE_S_PER_BYTE
        self._is_possible = True
        self._pieces: list[Region] = []

    def note_fork(self, took_s: float) -> None:
        """One was made."""
        self._lost_s += max(0.0, took_s - QUICK_S) * TIMES_LOST

    @property
    def is_due(self) -> bool:
        """Whether `move_some` has something to do, which may wait for a moment without work."""
        return bool(self._pieces) or (self._is_possible and self._lost_s >= self._wanted_s)

    def move_some(self) -> None:
        """Move one piece; not while there is a copy, which would keep what was there as its own."""
        if not self._pieces:
            self._decide()
            return
        start, size = self._pieces.pop()
        if _madvise(start, size, _COLLAPSE) and ctypes.get_errno() == EINVAL:
            # The kernel is older, or has no huge pages. Else: it has none left, or the mapping is
            # not there any more, which is of no consequence.
            self._is_possible = False
            self._pieces.clear()

    def _decide(self) -> None:
        regions = list(small_paged_regions())
        wanted_s = sum(size for _, size in regions) * MOVE_S_PER_BYTE
        if not regions or self._lost_s < wanted_s:
            # It is for something else that forks take long, or not yet worth it.
            self._wanted_s = max(wanted_s, 2 * self._lost_s)
            return
        self._lost_s, self._wanted_s = 0.0, LEAST_BYTES * MOVE_S_PER_BYTE
        for start, size in regions:
            for offset in range(0, size, PIECE_BYTES):
                self._pieces.append((start + offset, min(PIECE_BYTES, size - offset)))


def small_paged_regions() -> Iterator[Region]:
    """Where this process has much memory of its own that is in small pages."""
    with open("/proc/self/smaps", "rb", buffering=0) as file:
        lines = file.read().split(b"\n")
    region, own = (0, 0), 0
    for line in lines:
        words = line.split()
        if not words:
            continue
        if not words[0].endswith(b":"):
            # 7f32e8000000-7f32ed000000 rw-p 00000000 00:00 0 [anon]
            is_own = words[1] == b"rw-p" and words[4] == b"0"
            region, own = _whole_huge_pages(words[0]) if is_own else (0, 0), 0
        elif words[0] in (b"Private_Clean:", b"Private_Dirty:"):
            own += int(words[1]) * 1024
        elif words[0] == b"AnonHugePages:":
            size = region[1]
            small = own - int(words[1]) * 1024
            if size >= LEAST_BYTES and own >= _DENSE * size and small >= LEAST_BYTES:
                yield region


def _whole_huge_pages(addresses: bytes) -> Region:
    start, _, end = addresses.partition(b"-")
    first = -(-int(start, 16) // _HUGE_BYTES) * _HUGE_BYTES
    last = int(end, 16) // _HUGE_BYTES * _HUGE_BYTES
    return first, max(0, last - first)
