"""A spawner in a nursery of its own, and small clients of its workers, for end-to-end tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import msgpack
import trio

from actors import ActorGone, Address, Answer, NoReply, Reply, ask, open_reply
from pyrepl3.config import Limits, Template
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.transport.process import WorkerProcess
from pyrepl3.transport.spawner import SpawnedWorker, Spawner, zygotes_of
from pyrepl3.transport.spawning import Spawn, WorkerExit
from pyrepl3.wire.frames import FrameDecoder, encode_frame

WAIT_S = 10.0


def own_descriptors() -> set[int]:
    """The descriptors that this process has open."""
    numbers = map(int, os.listdir("/proc/self/fd"))
    # The one that listed them is closed again.
    return {number for number in numbers if os.path.islink(f"/proc/self/fd/{number}")}


def children_of(pid: int) -> list[int]:
    """The processes that this one has started or adopted, zombies among them."""
    # Trio starts processes from other threads, and each thread has its own list.
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(each) for file in files for each in file.read_text().split()]


def own_children() -> list[int]:
    """The same of this process."""
    return children_of(os.getpid())


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def eventually(claim: Callable[[], bool]) -> bool:
    """Whether a claim about other processes comes true in time: nothing tells us when it does."""
    for _ in range(1000):
        if claim():
            return True
        await trio.sleep(0.005)
    return False


@attrs.define(eq=False)
class Running:
    """A worker, spoken to in frames."""

    worker: SpawnedWorker
    exit: Answer[WorkerExit]
    decoder: FrameDecoder = attrs.field(factory=FrameDecoder)

    @property
    def process(self) -> WorkerProcess:
        """Its handle."""
        return self.worker.process

    async def receive(self) -> dict[str, Any]:
        """The next message."""
        with trio.fail_after(WAIT_S):
            while (body := self.decoder.next_frame()) is None:
                await trio.lowlevel.wait_readable(self.worker.socket)
                self.decoder.receive(self.worker.socket.recv(65536))
        message: dict[str, Any] = msgpack.unpackb(body, raw=False)
        return message

    async def begin(self, code: str, number: int = 1) -> None:
        """Send code, and wait for nothing."""
        await trio.lowlevel.checkpoint()
        execute = {
            "type": "execute",
            "execution": f"e{number}",
            "number": number,
            "code": code,
            "filename": None,
            "silent": False,
            "allow_input": False,
            "transaction_policy": "commit_always",
        }
        self.worker.socket.send(encode_frame(msgpack.packb(execute)))

    async def terminal(self) -> dict[str, Any]:
        """The end of the execution under way."""
        while (message := await self.receive())["type"] not in ("result", "error"):
            pass
        return message

    async def run(self, code: str) -> Any:
        """The value of the last expression."""
        await self.begin(code)
        message = await self.terminal()
        assert message["type"] == "result", message
        return message["value"]


@attrs.define(eq=False)
class Driven:
    """A spawner that runs."""

    address: Address[Spawn]
    scope: trio.CancelScope
    running: list[Running] = attrs.field(factory=list)

    async def spawn_unready(self) -> Running:
        """A worker that may be still starting."""
        exit_reply: Reply[WorkerExit]
        exit_answer: Answer[WorkerExit]
        exit_reply, exit_answer = open_reply()
        worker = await ask(
            self.address,
            lambda reply: Spawn(reply, exit_reply),
            on_abandoned=SpawnedWorker.discard,
        )
        running = Running(worker, exit_answer)
        self.running.append(running)
        return running

    async def spawn(self) -> Running:
        """A worker that is ready."""
        running = await self.spawn_unready()
        ready = await running.receive()
        assert (ready["type"], ready["pid"]) == ("ready", running.process.pid)
        return running

    async def spawn_and_discard(self) -> None:
        """What `ask` gives, given back at once."""
        running = await self.spawn_unready()
        self.running.remove(running)
        running.worker.discard()

    def discard_all(self) -> list[int]:
        """Give back what was spawned and not discarded; the pids of those."""
        discarded, self.running = self.running, []
        for running in discarded:
            running.worker.discard()
        return [running.process.pid for running in discarded]

    async def spawn_until_refused(self) -> None:
        """One after another, until the spawner ends."""
        try:
            while True:
                await self.spawn_unready()
        except (ActorGone, NoReply, WorkerSpawnFailed):
            return


@asynccontextmanager
async def open_spawner(
    template: Template | None = None, *, start_timeout_s: float = WAIT_S
) -> AsyncIterator[Driven]:
    """A spawner for the block, and the workers that it gave; cancelled at the end of it."""
    template = template if template is not None else Template()
    spawner = Spawner("test", zygotes_of(template, Limits(), start_timeout_s=start_timeout_s))
    async with trio.open_nursery() as nursery:
        driven = Driven(await nursery.start(spawner.run), nursery.cancel_scope)
        try:
            yield driven
        finally:
            nursery.cancel_scope.cancel()
            driven.address.close()
            driven.discard_all()
