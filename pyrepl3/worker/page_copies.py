"""What it costs to change a page that a snapshot has too: a fault, and a copy.

Owns a few pages that are used for nothing else. It differs tenfold between a machine and a virtual
one in another (there 4 to 7 µs were measured), so it is measured and not assumed.
"""

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PAGESIZE, mmap
from time import perf_counter

_PAGES = 4
"""Of which the cheapest counts: the process may be put aside meanwhile, for milliseconds."""


class PageCopies:
    """Those of one process."""

    def __init__(self) -> None:
        self._scratch = mmap(-1, _PAGES * PAGESIZE, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        self.cost_s()

    def cost_s(self) -> float:
        """Of one page. To be asked right after a fork, when they all are shared."""
        return min(self._touch(page) for page in range(_PAGES))

    def _touch(self, page: int) -> float:
        started_s = perf_counter()
        self._scratch[page * PAGESIZE] = 1
        return perf_counter() - started_s
