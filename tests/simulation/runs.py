"""Many worlds, one after the other or in several processes, and what came of them.

Owns the chunks that processes take, and the guard against a world that never ends in real time.
Must not know what is in a world.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from types import FrameType

import attrs

from pyrepl3.recording import open_recording

from .planted_bugs import PLANTED_BUGS
from .world import Outcome, run_seed

CHUNK = 25
"""Seeds that a process takes at once: half a second's work, so that a failure is told soon."""
STUCK_S = 60.0
"""Of real time: a world takes some 20 ms."""


class Stuck(BaseException):
    """A world that does not give way to others: no error of trio's may hide it."""


@attrs.frozen
class Task:
    """What to do with each of some seeds."""

    first: int
    count: int
    bug: str | None = None
    record_into: str | None = None

    def chunks(self) -> Iterator[Task]:
        """The same in pieces."""
        for first in range(self.first, self.first + self.count, CHUNK):
            count = min(CHUNK, self.first + self.count - first)
            yield attrs.evolve(self, first=first, count=count)


@attrs.frozen
class Failure:
    """A seed whose world was accused."""

    seed: int
    accusation: str


@attrs.define
class Tally:
    """What came of some seeds."""

    seeds: int = 0
    failures: list[Failure] = attrs.field(factory=list)
    steps: int = 0
    virtual_s: float = 0.0
    actions: Counter[str] = attrs.field(factory=Counter)
    """What the services recorded of themselves."""

    def add(self, other: Tally) -> None:
        """Take in what came of others."""
        self.seeds += other.seeds
        self.failures.extend(other.failures)
        self.steps += other.steps
        self.virtual_s += other.virtual_s
        self.actions.update(other.actions)


def digest(outcome: Outcome) -> str:
    """The same for the same log, the same recording and the same accusations only."""
    lines = [*map(str, outcome.entries), *map(str, outcome.events), *outcome.accusations]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run_one(seed: int, *, bug: str | None = None, record_into: str | None = None) -> Outcome:
    """One seed. Raises Stuck, and whatever leaves the service."""
    with PLANTED_BUGS[bug]() if bug is not None else nullcontext():
        outcome = run_seed(seed)
    if record_into is not None:
        path = Path(record_into) / f"seed-{seed}.ndjson"
        with open_recording(str(path), outcome.plan.config) as recording:
            for event in outcome.events:
                recording.write(event)
    return outcome


def run_task(task: Task) -> Tally:
    """All seeds of a task, in this process."""
    tally = Tally()
    for seed in range(task.first, task.first + task.count):
        try:
            with _guarded():
                outcome = run_one(seed, bug=task.bug, record_into=task.record_into)
        except (Exception, Stuck) as error:
            tally.failures.append(Failure(seed, f"the world ends with {error!r}"))
        else:
            tally.failures.extend(Failure(seed, each) for each in outcome.accusations[:1])
            tally.steps += outcome.steps
            tally.virtual_s += outcome.seconds
            tally.actions.update(f"{event['of']} {event['action']}" for event in outcome.events)
        tally.seeds += 1
    return tally


@contextmanager
def _guarded() -> Iterator[None]:
    """Raises Stuck within the block, when that takes too long. An alarm that was set stays set."""

    def raise_stuck(number: int, frame: FrameType | None) -> None:
        raise Stuck(f"{STUCK_S:g} s were not enough")

    previous = signal.signal(signal.SIGALRM, raise_stuck)
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, STUCK_S)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, left_s)


def run_all(task: Task, jobs: int) -> Iterator[Tally]:
    """What came of each chunk, as it comes; in ``jobs`` processes, or in this one for 1."""
    if jobs == 1:
        yield from map(run_task, task.chunks())
        return
    # Not forked: a fork would share what this process has done before.
    context = multiprocessing.get_context("spawn")
    chunks = task.chunks()
    with ProcessPoolExecutor(jobs, mp_context=context) as executor:
        under_way = {executor.submit(run_task, chunk) for chunk in islice(chunks, 2 * jobs)}
        try:
            while under_way:
                done: set[Future[Tally]]
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                under_way |= {executor.submit(run_task, each) for each in islice(chunks, len(done))}
                yield from (future.result() for future in done)
        finally:
            executor.shutdown(cancel_futures=True)
