"""Unit tests: the end of a transport, over a worker that exists in memory only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from actors import Address, Answer, Reply, open_mailbox, open_reply
from pyrepl3.config import Timeouts
from pyrepl3.events import Started, Stream
from pyrepl3.messages import (
    Ask,
    Died,
    DumpStack,
    Ended,
    EventReceiver,
    Execute,
    Kill,
    Query,
    Run,
    SessionMessage,
    Shutdown,
    TransportMessage,
    open_events,
)
from pyrepl3.transport.spawning import MARK_BYTES, Process, Readable, Survivor, WorkerExit
from pyrepl3.transport.transport import Ready, Transport
from pyrepl3.wire.frames import HEADER_BYTES
from pyrepl3.wire.worker_messages import encode_message
from pyrepl3.worker.codec import decode_message

Clock = trio.testing.MockClock
READY = encode_message(
    {"type": "ready", "protocol": [1], "language": "python", "version": "3.11", "pid": 7}
)
RESULT = {
    "type": "result",
    "value": None,
    "has_value": False,
    "repr": "",
    "data": {},
    "metadata": {},
    "execution_count": 1,
    "duration_s": 0.1,
    "usage": {},
    "state": "kept",
}


@attrs.define(eq=False)
class MemoryWorker:
    """A process that says `ready` and lives until it is killed: all of `spawning.Worker`."""

    pid: int = 7
    data: bytes = READY
    dead: trio.Event = attrs.field(factory=trio.Event)
    news: trio.Event = attrs.field(factory=trio.Event)
    begins: int = 0
    notes: bytes = b""
    speaks: bool = False
    mark: bytes = b""
    sent: list[object] = attrs.field(factory=list)
    """The numbers of the jobs that were sent to it, the mark, and what else."""

    def __attrs_post_init__(self) -> None:
        self.news.set()

    @property
    def process(self) -> MemoryWorker:
        return self

    def says(self, data: bytes) -> None:
        self.data += data
        self.news.set()

    def open_descriptors(self) -> MemoryWorker:
        return self

    def discard(self) -> None:
        self.kill()

    async def wait(self) -> None:
        await self.dead.wait()

    def interrupt(self, number: int) -> bool:
        return not self.dead.is_set()

    def consumed_interrupt(self) -> int:
        return 0

    def begun(self) -> int:
        return self.begins

    def taken_before(self) -> int:
        return self.begins

    def dump_stack(self) -> bool:
        return not self.dead.is_set()

    def read_stack(self) -> str:
        return ""

    def read_notes(self) -> bytes:
        return self.notes

    def resume(self) -> bool:
        return not self.dead.is_set()

    def let_speak(self, mark: bytes) -> bool:
        self.speaks = True
        self.mark = mark
        return not self.dead.is_set()

    def start_over(self, mark: bytes) -> None:
        self.sent.append(mark)

    def pass_to(self, process: Process) -> None:
        self.dead, self.news = process.dead, process.news

    def kill(self) -> bool:
        self.dead.set()
        self.news.set()
        return True

    def close(self) -> None:
        self.data = b""

    async def wait_readable(self) -> None:
        await self.news.wait()

    def poll(self) -> Readable:
        return Readable((), self.dead.is_set())

    def receive(self) -> bytes | None:
        data, self.data = self.data, b""
        if not self.dead.is_set():
            self.news = trio.Event()
        return data or None

    def read_pipe(self, stream: Stream) -> Iterable[bytes]:
        return ()

    def forget_socket(self) -> None:
        self.data = b""

    def send(self, data: bytes, passed: Sequence[int] = ()) -> bool:
        message = decode_message(data[HEADER_BYTES:])
        self.sent.append(message.get("number", message.get("id", message["type"])))
        return not self.dead.is_set()

    async def send_rests(self) -> None:
        await trio.sleep_forever()


@attrs.frozen
class World:
    """A transport that runs, and both of its sides."""

    address: Address[TransportMessage]
    session: trio.MemoryReceiveChannel[SessionMessage]
    worker: MemoryWorker
    exit: Reply[WorkerExit]


@asynccontextmanager
async def open_transport(*, mailbox: int = 16) -> AsyncIterator[World]:
    address: Address[SessionMessage]
    address, session = open_mailbox(mailbox)
    exit_reply: Reply[WorkerExit]
    exit_answer: Answer[WorkerExit]
    exit_reply, exit_answer = open_reply()
    worker = MemoryWorker()
    async with trio.open_nursery() as nursery:
        transport = Transport(worker, exit_answer, address, Timeouts())
        ready: Ready = await nursery.start(transport.run)
        yield World(ready.address, session, worker, exit_reply)


async def test_a_transport_of_a_dead_process_takes_nothing_while_its_exit_is_awaited(
    autojump_clock: Clock,
) -> None:
    async with open_transport() as world:
        world.worker.kill()
        await trio.testing.wait_all_tasks_blocked()

        with pytest.raises(trio.BrokenResourceError):
            world.address.send_nowait(DumpStack())
        with pytest.raises(trio.WouldBlock):
            world.session.receive_nowait()

        world.exit.answer(WorkerExit(None, 9))
        assert isinstance(await world.session.receive(), Died)


async def outlive(world: World, *, taken_before: int = 0) -> MemoryWorker:
    """Have a snapshot come in the place of the process that died."""
    survivor = MemoryWorker(8, b"", begins=taken_before)
    reply: Reply[WorkerExit]
    answer: Answer[WorkerExit]
    reply, answer = open_reply()
    reply.answer(WorkerExit(None, 9))
    world.exit.answer(WorkerExit(None, 9, survivor=Survivor(survivor, answer)))
    await trio.testing.wait_all_tasks_blocked()
    return survivor


async def run_guarded(world: World) -> None:
    """Have it run what has a snapshot."""
    await send_run(world, 1)
    world.worker.begins = 1


async def send_run(world: World, number: int) -> EventReceiver:
    send, receive = open_events()
    world.address.send_nowait(Run(number, Execute(f"e{number}", "1", send, guard=True), None))
    await trio.testing.wait_all_tasks_blocked()
    return receive


async def kill(world: World, number: int | None) -> None:
    world.address.send_nowait(Kill(number))
    await trio.testing.wait_all_tasks_blocked()


async def test_a_snapshot_goes_on_from_what_was_killed_alone(autojump_clock: Clock) -> None:
    async with open_transport() as world:
        await run_guarded(world)
        await kill(world, 1)
        survivor = await outlive(world)

        assert world.session.receive_nowait() == Ended(1, "rolled_back")
        assert survivor.speaks
        world.worker.kill()


async def test_what_nobody_has_begun_is_sent_again_behind_a_mark(autojump_clock: Clock) -> None:
    """Also what the dead process had read of the socket by then, or a part of it."""
    async with open_transport() as world:
        await run_guarded(world)
        await send_run(world, 2)
        reply: Reply[Mapping[str, Any]]
        reply, _ = open_reply()
        world.address.send_nowait(Ask(3, Query("history", {}, reply)))
        await kill(world, 1)
        world.worker.sent.clear()
        survivor = await outlive(world)

        assert len(survivor.mark) == MARK_BYTES
        assert world.worker.sent == [survivor.mark, 2, 3]
        world.worker.kill()


async def test_what_could_not_be_sent_to_the_dead_begins_in_who_has_taken_over(
    autojump_clock: Clock,
) -> None:
    async with open_transport() as world:
        reply: Reply[Mapping[str, Any]]
        reply, _ = open_reply()
        world.address.send_nowait(Ask(1, Query("begin", {}, reply)))
        await trio.testing.wait_all_tasks_blocked()
        world.worker.begins = 1
        world.worker.data = encode_message({"type": "begun", "id": 1})
        world.worker.news.set()
        await trio.testing.wait_all_tasks_blocked()
        world.worker.kill()
        events = await send_run(world, 2)
        survivor = await outlive(world)

        assert survivor.speaks
        assert events.receive_nowait() == Started("e2")
        world.worker.kill()


async def test_what_was_told_to_shut_down_when_it_was_dead_already_is_told_again(
    autojump_clock: Clock,
) -> None:
    """The session is told that the job has ended before the snapshot may speak."""
    async with open_transport(mailbox=0) as world:
        await run_guarded(world)
        await kill(world, 1)
        survivor = await outlive(world)
        assert not survivor.speaks
        world.address.send_nowait(Shutdown(1.0))
        await trio.testing.wait_all_tasks_blocked()
        world.worker.sent.clear()

        assert await world.session.receive() == Ended(1, "rolled_back")
        await trio.testing.wait_all_tasks_blocked()
        assert world.worker.sent == [survivor.mark, "shutdown"]
        world.worker.kill()
        assert isinstance(await world.session.receive(), Died)


async def test_what_has_ended_is_killed_no_more(autojump_clock: Clock) -> None:
    """The kill would be that of what is next."""
    async with open_transport() as world:
        await run_guarded(world)
        await kill(world, 0)

        assert not world.worker.dead.is_set()
        world.exit.answer(WorkerExit(None, 9))
        world.worker.kill()


@pytest.mark.parametrize("is_dead_already", [False, True])
async def test_no_snapshot_goes_on_from_what_was_killed_for_good(
    autojump_clock: Clock, is_dead_already: bool
) -> None:
    async with open_transport() as world:
        await run_guarded(world)
        if is_dead_already:
            await kill(world, 1)
        await kill(world, None)
        survivor = await outlive(world)

        assert isinstance(await world.session.receive(), Died)
        assert not survivor.speaks
    assert survivor.dead.is_set()


@pytest.mark.parametrize("taken_before", [0, 1, 2])
async def test_a_snapshot_goes_on_only_where_it_has_all_that_was_told_as_safe(
    autojump_clock: Clock, taken_before: int
) -> None:
    async with open_transport() as world:
        for number in (1, 2):
            send, _ = open_events()
            request = Execute(f"e{number}", "1", send, guard="auto")
            world.address.send_nowait(Run(number, request, None))
        await trio.testing.wait_all_tasks_blocked()
        ended = {**RESULT, "execution": "e1", "at_risk_since": 1}
        world.worker.says(encode_message(ended))
        world.worker.begins = 2
        await trio.testing.wait_all_tasks_blocked()
        world.worker.kill()
        survivor = await outlive(world, taken_before=taken_before)

        assert world.session.receive_nowait() == Ended(1, is_protected=True)
        told = world.session.receive_nowait()
        if taken_before:
            assert told == Ended(2, "rolled_back")
            assert survivor.speaks
            world.worker.kill()
        else:
            assert isinstance(told, Died)
            assert survivor.dead.is_set()
