"""A worker process in memory, as the service sees one: all of `pyrepl3.transport.spawning`.

Owns the process's life and death, its control page, and what connects it with the service. Must
not know what runs in it (`worker_program.py`), nor who starts it (`memory_spawner.py`).

Where the system may do as it likes, so does this: a read of a socket gives as many bytes as chance
wants, and a process takes its time to die.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import attrs
import trio

from pyrepl3.events import Stream
from pyrepl3.transport.spawning import Process, Readable

from .memory_pipe import BytePipe

SOCKET_BYTES = 2048
"""Much less than a socket's, so that little traffic is enough to fill it."""
PIPE_BYTES = 512
READ_BYTES = 4096

_STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")


@attrs.define(eq=False)
class MemoryProcess:
    """One process: from its birth until nothing of it is left."""

    pid: int
    kill_s: float
    """How long it goes on after SIGKILL: the system ends it when it gets there."""
    on_interrupt: Callable[[], None] | None = None
    """The program's handler of SIGINT."""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    """What its program runs in: cancelled by SIGKILL, and by nothing else."""
    bell: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    dead: bool = False
    died_at: float | None = None
    discarded: bool = False
    """Nobody wanted it by the time that it was there."""
    executions: int = 0
    wanted: int = 0
    consumed: int = 0
    _killed: bool = False
    _closed: bool = False
    _stack: str = ""

    async def wait(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.checkpoint()
        while not self.dead:
            await self.bell.park()

    def interrupt(self, number: int) -> bool:
        if self._closed or self.dead:
            return False
        self.wanted = number
        if self.on_interrupt is not None:
            self.on_interrupt()
        return True

    def consumed_interrupt(self) -> int:
        return 0 if self._closed else self.consumed

    def begun(self) -> int:
        return 0  # nothing outlives these: whoever asks has nobody to pass on to

    def taken_before(self) -> int:
        return 0

    def let_speak(self, mark: bytes) -> bool:
        return False

    def dump_stack(self) -> bool:
        if self._closed or self.dead:
            return False
        self._stack = f"the stack of {self.pid}"
        return True

    def read_stack(self) -> str:
        return "" if self._closed else self._stack

    def read_notes(self) -> bytes:
        return b""  # nothing outlives these

    def resume(self) -> bool:
        return not (self._closed or self.dead)

    def kill(self) -> bool:
        if self._closed or self.dead:
            return False
        if not self._killed:
            self._killed = True
            self.scope.deadline = min(self.scope.deadline, trio.current_time() + self.kill_s)
        return True

    def close(self) -> None:
        self._closed = True

    def die(self) -> None:
        """It has ended, whatever the reason was."""
        self.dead = True
        self.died_at = trio.current_time()
        self.bell.unpark_all()


@attrs.define(eq=False)
class Connection:
    """The socket (a pipe each way) and the two output pipes between a worker and the service."""

    down: BytePipe
    up: BytePipe
    pipes: dict[Stream, BytePipe]

    @classmethod
    def of(cls, process: MemoryProcess) -> Connection:
        """What connects a new process, which rings one bell with all that it has to tell."""
        bell = process.bell
        pipes = {stream: BytePipe(PIPE_BYTES, bell) for stream in _STREAMS}
        return cls(BytePipe(SOCKET_BYTES), BytePipe(SOCKET_BYTES, bell), pipes)

    def hang_up(self) -> None:
        """The worker closes its end of the socket."""
        self.up.close_writer()
        self.down.close_reader()

    def close_ours(self) -> None:
        """The service closes its ends."""
        self.down.close_writer()
        for pipe in (self.up, *self.pipes.values()):
            pipe.close_reader()


@attrs.define(eq=False)
class MemoryDescriptors:
    """The service's ends of one worker's connection."""

    process: MemoryProcess
    connection: Connection
    random: Random
    _open: dict[Stream, BytePipe] = attrs.field(init=False)
    _rest: bytearray = attrs.field(factory=bytearray, init=False)
    _rest_left: trio.Event = attrs.field(factory=trio.Event, init=False)
    _socket_gone: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._open = dict(self.connection.pipes)

    def _is_readable(self) -> bool:
        if self.process.dead or (self.connection.up.has_news and not self._socket_gone):
            return True
        return any(pipe.has_news for pipe in self._open.values())

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._is_readable():
            await self.process.bell.park()

    def poll(self) -> Readable:
        pipes = tuple(stream for stream, pipe in self._open.items() if pipe.has_news)
        return Readable(pipes, self.process.dead)

    def _some(self) -> int:
        """How many bytes a read gives at most: mostly all there are, sometimes a few."""
        return READ_BYTES if self.random.random() < 0.8 else self.random.randint(1, 40)

    def receive(self) -> bytes | None:
        up = self.connection.up
        if self._socket_gone:
            return None
        if up.at_end:
            return b""
        return up.take(self._some()) or None

    def read_pipe(self, stream: Stream) -> Iterator[bytes]:
        pipe = self._open[stream]
        if pipe.at_end:
            del self._open[stream]
        elif data := pipe.take(READ_BYTES):
            yield data

    def pass_to(self, process: Process) -> None:
        raise AssertionError("no snapshots are taken in memory")

    def start_over(self, mark: bytes) -> None:
        raise AssertionError("no snapshots are taken in memory")

    def forget_socket(self) -> None:
        self._socket_gone = True

    def send(self, data: bytes, passed: Sequence[int] = ()) -> bool:
        # What is passed gets lost: there is no other process for it to be in.
        if self._socket_gone:
            return False
        if self._rest:
            self._rest += data
            return True
        try:
            sent = self.connection.down.put(data)
        except BrokenPipeError:
            return False
        if sent < len(data):
            self._rest += data[sent:]
            self._rest_left.set()
        return True

    async def send_rests(self) -> None:
        while True:
            await self._rest_left.wait()
            while self._rest:
                await self.connection.down.wait_writable()
                try:
                    sent = self.connection.down.put(memoryview(bytes(self._rest)))
                except BrokenPipeError:
                    self._rest.clear()
                    break
                del self._rest[:sent]
            self._rest_left = trio.Event()

    def close(self) -> None:
        self.connection.close_ours()
        self.process.close()


@attrs.frozen(eq=False)
class MemoryWorker:
    """A new worker, owned by who gets it."""

    process: MemoryProcess
    connection: Connection
    random: Random

    def open_descriptors(self) -> MemoryDescriptors:
        return MemoryDescriptors(self.process, self.connection, self.random)

    def discard(self) -> None:
        self.process.discarded = True
        self.process.kill()
        self.connection.close_ours()
        self.process.close()
