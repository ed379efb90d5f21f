"""The machine that a simulated service runs on: its processes, its chance, and the log of it all.

Owns what is true of processes, whatever the service believes of them. Must not know sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import attrs
import trio

from pyrepl3.transport.spawning import WorkerExit

from .fates import GOOD, Fate, draw_fate
from .memory_worker import MemoryProcess

FIRST_PID = 1001
START_TIMEOUT_S = 2.0
"""What the service gives a start. A fork that takes just as long comes in the same tick."""


@attrs.frozen
class Entry:
    """One line of the log."""

    time: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.time:10.4f}  {self.who:<12} {self.what}"


@attrs.define(eq=False)
class Machine:
    """Every process there ever was, and what happened."""

    wickedness: float
    """How likely each thing is to go wrong, from 0 to 1."""
    entries: list[Entry] = attrs.field(factory=list)
    processes: dict[int, MemoryProcess] = attrs.field(factory=dict)
    bad: set[int] = attrs.field(factory=set)
    """The ids of those that do by themselves what no worker should, or were killed by chance."""
    exits: dict[int, WorkerExit] = attrs.field(factory=dict)
    ran: list[str] = attrs.field(factory=list)
    most_alive: int = 0
    peaceful: bool = False
    """Nothing goes wrong any more."""

    def log(self, who: object, what: str) -> None:
        """One more entry."""
        self.entries.append(Entry(trio.current_time(), str(who), what))

    # --- processes --------------------------------------------------------------------------

    def new_process(self, fate: Fate) -> MemoryProcess:
        """A process of the next id."""
        process = MemoryProcess(FIRST_PID + len(self.processes), fate.kill_s)
        self.processes[process.pid] = process
        if fate.is_bad:
            self.bad.add(process.pid)
        return process

    def alive(self) -> list[MemoryProcess]:
        """Those that have not ended."""
        return [process for process in self.processes.values() if not process.dead]

    def was_taken(self) -> None:
        """A new process was accepted by who asked for it, and takes a place in the pool."""
        wanted = [process for process in self.alive() if not process.discarded]
        self.most_alive = max(self.most_alive, len(wanted))

    def ended(self, process: MemoryProcess, exit_: WorkerExit) -> None:
        """A process is dead."""
        process.die()
        self.exits[process.pid] = exit_
        self.log(process.pid, f"has ended: {exit_}")

    def spoil(self, pids: Iterable[int]) -> None:
        """Something befalls these that is no fault of theirs."""
        self.bad.update(pids)

    def kill(self, process: MemoryProcess) -> None:
        """As somebody's `kill -9`."""
        self.bad.add(process.pid)
        self.log(process.pid, "is killed by chance")
        process.kill()

    # --- chance -----------------------------------------------------------------------------

    def _unlucky(self, random: Random, share: float) -> bool:
        return not self.peaceful and random.random() < self.wickedness * share

    def draw_fate(self, random: Random) -> Fate:
        """What is to become of the next worker."""
        return GOOD if self.peaceful else draw_fate(random, self.wickedness)

    def draw_fork_s(self, random: Random) -> float:
        """How long the zygote takes to fork."""
        if self._unlucky(random, 0.5):
            return random.choice((1.0, START_TIMEOUT_S, START_TIMEOUT_S))
        return random.choice((0.0, 0.001))

    def draw_zygote_start_s(self, random: Random) -> float:
        """How long a zygote takes to be ready."""
        return random.choice((0.01, 0.1)) if not self._unlucky(random, 0.3) else 3.0

    def draw_zygote_fails(self, random: Random) -> bool:
        """Whether a zygote cannot be started."""
        return self._unlucky(random, 0.5)
