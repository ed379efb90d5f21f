"""One run of trio whose time and whose order of tasks follow from a seed alone.

Owns every use of what trio keeps private, and nothing else: `check_trio` says so clearly where a
new trio has changed it. Must not know what runs.

With the flag that trio keeps for Hypothesis, the tasks that can run are sorted by age and shuffled
by a `random.Random` of trio's own; we set the flag and seed that. The clock is trio's MockClock,
which jumps whenever everybody waits. The collector is off during a run, as the moment at which it
closes a dropped reply depends on all that the process has done before.
"""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import trio
import trio._core._run as private
import trio.testing

T = TypeVar("T")

_FLAG = "_ALLOW_DETERMINISTIC_SCHEDULING"


class TrioChanged(Exception):
    """This trio does not keep its scheduler where the simulation looks for it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"trio {trio.__version__}: {what}. The simulation rests on trio's private scheduler; "
            "mend tests/simulation/deterministic.py, or hold trio back in pyproject.toml"
        )


@functools.cache
def check_trio() -> None:
    """Raises TrioChanged where trio's private scheduler is not what this module knows."""
    if getattr(private, _FLAG, None) not in (False, True):
        raise TrioChanged(f"trio._core._run.{_FLAG} is no longer there")
    if not isinstance(getattr(private, "_r", None), Random):
        raise TrioChanged("trio._core._run._r is no longer a random.Random")
    source = inspect.getsource(private.unrolled_run)
    for line in (f"if {_FLAG}:", "batch.sort(key=lambda t: t._counter)", "_r.shuffle(batch)"):
        if line not in source:
            raise TrioChanged(f"its loop has no longer the line {line!r}")


@contextmanager
def _seeded_scheduler(seed: str) -> Iterator[None]:
    flag, state = getattr(private, _FLAG), private._r.getstate()
    setattr(private, _FLAG, True)
    private._r.seed(seed)
    try:
        yield
    finally:
        setattr(private, _FLAG, flag)
        private._r.setstate(state)


@contextmanager
def _no_collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def run(
    seed: str,
    main: Callable[[], Awaitable[T]],
    *,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """`trio.run(main)`, from time 0, in the order that the seed gives."""
    check_trio()
    clock = trio.testing.MockClock(autojump_threshold=0)
    with _seeded_scheduler(seed), _no_collector():
        return trio.run(main, clock=clock, instruments=instruments)
