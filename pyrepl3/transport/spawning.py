"""What a spawner is asked for, and what it answers: a worker, and news of its end.

Owns the interface between who makes processes and who uses them, so that processes can be made in
other ways: by a zygote (`spawner.py`), or in memory, where whole trees are simulated. Must not
know any of these ways, nor what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs

from actors import Answer, Reply
from pyrepl3.events import Stream

MARK_BYTES = 8
"""A word of the control page. It is chosen by chance for each take-over, so that nothing which was
sent before has it."""


@attrs.frozen
class WorkerExit:
    """How a worker ended: an exit status, or a signal, or neither when its zygote died first."""

    status: int | None
    signal: int | None
    stopped: bool = False
    """It had stopped itself (SIGSTOP), and was killed for that."""
    zygote_died: bool = False
    """Nobody reaped it for us. It got SIGKILL if it still lived."""
    survivor: Survivor | None = None
    """A snapshot of it, which waits to take over. Whoever gets this has to let it, or to end it."""


@attrs.frozen(eq=False)
class Survivor:
    """A worker that comes in another one's place, on what connected us with that one."""

    process: Process
    exit: Answer[WorkerExit]
    """Of its own."""


@attrs.frozen
class Readable:
    """What was ready at one look."""

    pipes: tuple[Stream, ...]
    dead: bool


class Process(Protocol):
    """A running or ended worker. Every method but `wait` returns at once, also when it is dead."""

    @property
    def pid(self) -> int:
        """For people and logs. Never signal it."""

    async def wait(self) -> None:
        """Wait until the process is dead; what it died of is told by the `WorkerExit`."""

    def interrupt(self, number: int) -> bool:
        """Interrupt the execution of that number, and no other. False when it is dead."""

    def consumed_interrupt(self) -> int:
        """The last execution's number whose interrupt it says it has taken; 0 for none."""

    def begun(self) -> int:
        """The number of the last job that it has taken; 0 for none."""

    def taken_before(self) -> int:
        """The number of the job before which it was copied, where it is a snapshot; 0: it is none,
        or one that was kept for the session's history."""

    def dump_stack(self) -> bool:
        """Have its stack written; `read_stack` has it soon. False when it is dead."""

    def read_stack(self) -> str:
        """What the last `dump_stack` gave, or ""."""

    def read_notes(self) -> bytes:
        """What it has noted of what it runs, for when it dies of that."""

    def resume(self) -> bool:
        """Let it go on, if someone has stopped it. False when it is dead."""

    def let_speak(self, mark: bytes) -> bool:
        """Let a snapshot take over: what it is to do is behind this mark. False when it is dead."""

    def kill(self) -> bool:
        """End it, and what it has started, without asking. False when it is dead."""

    def close(self) -> None:
        """Forget it. The process itself is not touched."""


class Descriptors(Protocol):
    """What connects us with one worker, read together: its socket, its two pipes, its death.

    All calls but the two `async` ones return at once.
    """

    async def wait_readable(self) -> None:
        """Wait for data on the socket or a pipe, for the end of one, or for the death."""

    def poll(self) -> Readable:
        """Which pipes have something, and whether the process is dead, without waiting."""

    def receive(self) -> bytes | None:
        """What the socket has: b"" at its end, None when there is nothing now."""

    def read_pipe(self, stream: Stream) -> Iterable[bytes]:
        """All that is in a pipe now. At its end the pipe is forgotten."""

    def pass_to(self, process: Process) -> None:
        """From now on its death is waited for; the one before has died."""

    def start_over(self, mark: bytes) -> None:
        """Forget what was sent and does not fit yet; behind this mark comes what is to be done."""

    def forget_socket(self) -> None:
        """Read and write the socket no more: it is at its end, or not to be trusted."""

    def send(self, data: bytes, passed: Sequence[int] = ()) -> bool:
        """Send now what the socket takes; `send_rests` sends what it does not.

        Copies of the descriptors ``passed`` go with it, or none where there are too many. False
        when the worker's end is closed: it never gets any of this.
        """

    async def send_rests(self) -> None:
        """For ever: send what did not fit."""

    def close(self) -> None:
        """Give all of them back, the `Process` too."""


class Worker(Protocol):
    """A new worker. The receiver owns it, and ends with either `discard` or the descriptors."""

    @property
    def process(self) -> Process:
        """Its process."""

    def open_descriptors(self) -> Descriptors:
        """All that it is read and written by; once."""

    def discard(self) -> None:
        """Kill a worker that nobody wants, and give everything back."""


@attrs.define(eq=False)
class Spawn:
    """Start a worker. ``reply`` gets it or WorkerSpawnFailed; ``exit`` is answered at its end,
    and closed when there was no worker."""

    reply: Reply[Worker]
    exit: Reply[WorkerExit]


@attrs.define(eq=False)
class Spare:
    """That child of this worker is a copy of it, which is to outlive it. ``reply`` gets its pidfd,
    for the asker to close, or WorkerSpawnFailed."""

    worker: int
    copy: int
    reply: Reply[int]


SpawnerMessage = Spawn | Spare
