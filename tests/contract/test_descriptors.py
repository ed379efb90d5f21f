"""Contract tests: a worker in memory is to the service what one on the system is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Protocol

import attrs
import pytest
import trio
import trio.testing

from pyrepl3.events import Stream
from pyrepl3.transport.process import WorkerProcess, open_control_page
from pyrepl3.transport.spawner import SpawnedWorker
from pyrepl3.transport.spawning import Readable, Worker
from tests.simulation.memory_worker import Connection, MemoryProcess, MemoryWorker

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")


class Inside(Protocol):
    """What the worker's own process does at its ends."""

    worker: Worker

    def write(self, data: bytes) -> None: ...
    def read(self, size: int) -> bytes:
        """What is there now, or nothing: a test that waited here would stop all its tasks."""

    def hang_up(self) -> None: ...
    def print(self, stream: Stream, data: bytes) -> None: ...
    def close_pipe(self, stream: Stream) -> None: ...
    def die(self) -> None: ...


@attrs.define(eq=False)
class SystemInside:
    """A process, a socket pair and two pipes of the system's."""

    worker: SpawnedWorker
    socket: socket.socket
    pipes: dict[Stream, int]
    process: subprocess.Popen[bytes]

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, size: int) -> bytes:
        try:
            return self.socket.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""

    def hang_up(self) -> None:
        self.socket.close()

    def print(self, stream: Stream, data: bytes) -> None:
        os.write(self.pipes[stream], data)

    def close_pipe(self, stream: Stream) -> None:
        os.close(self.pipes.pop(stream))

    def die(self) -> None:
        self.hang_up()
        for stream in list(self.pipes):
            self.close_pipe(stream)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def on_the_system() -> Iterator[SystemInside]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    read_ends, pipes = {}, {}
    for stream in STREAMS:
        read_ends[stream], pipes[stream] = os.pipe()
        os.set_blocking(read_ends[stream], False)
    with subprocess.Popen(SLEEPER, start_new_session=True) as process:
        handle = WorkerProcess(process.pid, os.pidfd_open(process.pid), open_control_page())
        worker = SpawnedWorker(handle, ours, read_ends["stdout"], read_ends["stderr"])
        inside = SystemInside(worker, theirs, pipes, process)
        try:
            yield inside
        finally:
            inside.die()


@attrs.define(eq=False)
class MemoryInside:
    """What a simulated worker has."""

    worker: MemoryWorker

    def write(self, data: bytes) -> None:
        assert self.worker.connection.up.put(data) == len(data)

    def read(self, size: int) -> bytes:
        return self.worker.connection.down.take(size)

    def hang_up(self) -> None:
        self.worker.connection.hang_up()

    def print(self, stream: Stream, data: bytes) -> None:
        assert self.worker.connection.pipes[stream].put(data) == len(data)

    def close_pipe(self, stream: Stream) -> None:
        self.worker.connection.pipes[stream].close_writer()

    def die(self) -> None:
        self.hang_up()
        for stream in STREAMS:
            self.close_pipe(stream)
        self.worker.process.die()


@contextmanager
def in_memory() -> Iterator[MemoryInside]:
    process = MemoryProcess(1001, kill_s=0.0)
    yield MemoryInside(MemoryWorker(process, Connection.of(process), Random("a seed")))


@pytest.fixture(params=[on_the_system, in_memory], ids=["system", "memory"])
def inside(request: pytest.FixtureRequest) -> Iterator[Inside]:
    make: Callable[[], contextmanager[Inside]] = request.param
    with make() as made:
        yield made


def received(descriptors: object) -> bytes:
    """All that the socket has now, in however many pieces."""
    data = b""
    while piece := descriptors.receive():  # type: ignore[attr-defined]
        data += piece
    return data


async def test_a_quiet_worker_has_nothing_to_read(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()

    with trio.move_on_after(0.05) as waited:
        await descriptors.wait_readable()

    assert waited.cancelled_caught
    assert descriptors.receive() is None
    assert descriptors.poll() == Readable((), False)
    descriptors.close()


async def test_what_it_writes_to_its_socket_is_received_in_order(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()
    inside.write(b"first, ")
    inside.write(b"second")
    await descriptors.wait_readable()

    assert descriptors.poll() == Readable((), False)
    assert received(descriptors) == b"first, second"
    assert descriptors.receive() is None
    descriptors.close()


async def test_the_end_of_its_socket_is_told_until_it_is_forgotten(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()
    inside.write(b"last")
    inside.hang_up()
    await descriptors.wait_readable()

    assert received(descriptors) == b"last"
    assert [descriptors.receive(), descriptors.receive()] == [b"", b""]
    descriptors.forget_socket()
    descriptors.forget_socket()
    assert descriptors.receive() is None
    assert not descriptors.send(b"anybody there?")
    with trio.move_on_after(0.05) as waited:
        await descriptors.wait_readable()
    assert waited.cancelled_caught
    descriptors.close()


async def test_its_pipes_are_named_read_and_forgotten_at_their_end(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()
    inside.print("stderr", b"a word")
    inside.close_pipe("stderr")
    await descriptors.wait_readable()

    assert descriptors.poll() == Readable(("stderr",), False)
    assert b"".join(descriptors.read_pipe("stderr")) == b"a word"
    assert descriptors.poll() == Readable(("stderr",), False)
    assert list(descriptors.read_pipe("stderr")) == []
    assert descriptors.poll() == Readable((), False)
    descriptors.close()


async def test_an_empty_pipe_is_not_at_its_end(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()

    assert list(descriptors.read_pipe("stdout")) == []
    inside.print("stdout", b"later")
    assert descriptors.poll() == Readable(("stdout",), False)
    assert list(descriptors.read_pipe("stdout")) == [b"later"]
    descriptors.close()


async def test_what_the_dead_have_written_can_be_read_after_their_death(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()
    inside.write(b"a result")
    inside.print("stdout", b"a line")
    inside.die()
    await descriptors.wait_readable()

    assert descriptors.poll() == Readable(("stdout", "stderr"), True)
    assert received(descriptors) == b"a result"
    assert descriptors.receive() == b""
    assert list(descriptors.read_pipe("stdout")) == [b"a line"]
    descriptors.close()


async def test_what_is_sent_is_read_there(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()

    assert descriptors.send(b"a job")
    assert inside.read(100) == b"a job"
    descriptors.close()


async def test_what_does_not_fit_is_sent_as_there_is_room_and_in_order(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()
    sent = bytes(range(256)) * 4096
    read = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(descriptors.send_rests)
        assert descriptors.send(sent)
        assert descriptors.send(b"the end")
        with trio.fail_after(30):
            while len(read) < len(sent) + 7:
                await trio.lowlevel.checkpoint()
                read += inside.read(2**16)
        nursery.cancel_scope.cancel()

    assert read == sent + b"the end"
    descriptors.close()


async def test_nothing_can_be_sent_to_who_has_hung_up(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()
    inside.hang_up()

    assert not descriptors.send(b"a job")
    descriptors.close()


async def test_a_rest_for_who_hangs_up_is_let_go(inside: Inside) -> None:
    descriptors = inside.worker.open_descriptors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(descriptors.send_rests)
        assert descriptors.send(bytes(2**20))
        await trio.testing.wait_all_tasks_blocked(0.01)
        inside.hang_up()
        await trio.testing.wait_all_tasks_blocked(0.01)

        assert not descriptors.send(b"more")
        nursery.cancel_scope.cancel()
    descriptors.close()


async def test_what_did_not_fit_before_a_take_over_is_sent_no_more() -> None:
    """What did, in part or whole, is for its reader to throw away."""
    mark = b"the mark"
    with on_the_system() as inside:
        descriptors = inside.worker.open_descriptors()
        read = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(descriptors.send_rests)
            assert descriptors.send(bytes(2**21))
            await trio.testing.wait_all_tasks_blocked(0.01)
            descriptors.start_over(mark)
            assert descriptors.send(b"a job")
            with trio.fail_after(30):
                while not read.endswith(b"a job"):
                    await trio.lowlevel.checkpoint()
                    read += inside.read(2**16)
            nursery.cancel_scope.cancel()
        descriptors.close()

    assert len(read) < 2**21
    assert read.lstrip(b"\0") == mark + b"a job"


async def test_its_death_is_seen_by_all_who_wait(inside: Inside) -> None:
    process = inside.worker.process
    descriptors = inside.worker.open_descriptors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.wait)
        nursery.start_soon(descriptors.wait_readable)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(nursery.child_tasks) == 2
        inside.die()

    assert descriptors.poll().dead
    assert not process.kill()
    assert not process.interrupt(1)
    assert not process.dump_stack()
    assert not process.resume()
    descriptors.close()


async def test_the_living_take_signals(inside: Inside) -> None:
    process = inside.worker.process

    assert process.resume()
    assert (process.consumed_interrupt(), process.read_stack()) == (0, "")
    assert process.kill()
    inside.worker.discard()


async def test_closed_handles_do_no_harm(inside: Inside) -> None:
    process = inside.worker.process
    inside.worker.open_descriptors().close()
    process.close()

    assert not process.kill()
    assert not process.interrupt(1)
    assert not process.dump_stack()
    assert not process.resume()
    assert (process.consumed_interrupt(), process.read_stack()) == (0, "")
    with pytest.raises(trio.ClosedResourceError):
        await process.wait()
