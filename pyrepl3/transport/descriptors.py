"""A worker's descriptors, read together: its socket, its two pipes, and its death.

Owns them, and the one epoll over them, so that one task can wait for whichever comes first. All
calls but the two `async` ones return at once. Must not know what the bytes mean.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from fcntl import F_DUPFD_CLOEXEC, fcntl

import attrs
import trio

from pyrepl3.events import Stream
from pyrepl3.transport.process import WorkerProcess
from pyrepl3.transport.spawning import Process, Readable

READ_BYTES = 64 * 2**10
"""A pipe holds as much. Larger reads of the socket gain nothing, and cost a fresh mapping each."""

PIPE_READS_AT_MOST = 16
"""Reads of one pipe in a row, where user code has made the pipe larger, or keeps writing."""


@attrs.define(eq=False)
class _Rest:
    """What the socket had no room for yet. The descriptors that go with it are its own."""

    data: memoryview
    passed: list[int] = attrs.field(factory=list)

    def keep(self, passed: Sequence[int]) -> None:
        """Copies of all of them, or none."""
        try:
            for each in passed:
                self.passed.append(fcntl(each, F_DUPFD_CLOEXEC, 0))
        except OSError:
            self.forget_passed()

    def forget_passed(self) -> None:
        while self.passed:
            os.close(self.passed.pop())


_NOTHING = Readable((), False)
_STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")


class WorkerDescriptors:
    """Non-blocking reads and writes on what connects the service with one worker."""

    __slots__ = ("_epoll", "_pidfd", "_pipes", "_rest_left", "_rests", "_socket", "_socket_gone")

    def __init__(
        self, process: WorkerProcess, connection: socket.socket, stdout_fd: int, stderr_fd: int
    ) -> None:
        self._socket = connection
        self._pipes = {"stdout": stdout_fd, "stderr": stderr_fd}
        self._pidfd = process
        self._rests: deque[_Rest] = deque()
        self._rest_left = trio.Event()
        self._socket_gone = False
        self._epoll = select.epoll()
        try:
            for descriptor in (self._socket.fileno(), *self._pipes.values(), self._pidfd.fileno()):
                self._epoll.register(descriptor, select.EPOLLIN)
        except OSError:
            self._epoll.close()
            raise

    async def wait_readable(self) -> None:
        """Wait for data on the socket or a pipe, for the end of one, or for the death."""
        await trio.lowlevel.wait_readable(self._epoll.fileno())

    def poll(self) -> Readable:
        """Which pipes have something, and whether the process is dead, without waiting."""
        ready = self._epoll.poll(0)
        if len(ready) == 1 and ready[0][0] == self._socket.fileno():
            return _NOTHING
        numbers = {number for number, _ in ready}
        pipes = tuple(stream for stream in _STREAMS if self._pipes.get(stream) in numbers)
        return Readable(pipes, self._pidfd.fileno() in numbers)

    def receive(self) -> bytes | None:
        """What the socket has: b"" at its end, None when there is nothing now."""
        if self._socket_gone:
            return None
        try:
            data: bytes = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""
        return data

    def read_pipe(self, stream: Stream) -> Iterator[bytes]:
        """All that is in a pipe now. At its end the pipe is forgotten."""
        descriptor = self._pipes[stream]
        for _ in range(PIPE_READS_AT_MOST):
            try:
                data = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._epoll.unregister(descriptor)
                os.close(self._pipes.pop(stream))
                return
            yield data
            if len(data) < READ_BYTES:
                return

    def pass_to(self, process: Process) -> None:
        """From now on its death is waited for, instead of that of the one before.

        What that one left in the socket, where it was not to be read, is thrown away.
        """
        assert isinstance(process, WorkerProcess)
        self._epoll.unregister(self._pidfd.fileno())
        self._pidfd.close()
        self._pidfd = process
        self._epoll.register(process.fileno(), select.EPOLLIN)
        if self._socket_gone:
            self._socket_gone = False
            self._epoll.register(self._socket.fileno(), select.EPOLLIN)
            while self.receive():
                continue

    def start_over(self, mark: bytes) -> None:
        """What was sent is for nobody any more; what is sent now is behind this mark."""
        self._forget_rests()
        self.send(mark)

    def forget_socket(self) -> None:
        """Read and write the socket no more: it is at its end, or not to be trusted."""
        if not self._socket_gone:
            self._socket_gone = True
            self._epoll.unregister(self._socket)

    def send(self, data: bytes, passed: Sequence[int] = ()) -> bool:
        """Send now what the socket takes; `send_rests` sends what it does not.

        Copies of ``passed`` go with it, or none where there are too many. False when the worker's
        end is closed: it never gets any of this.
        """
        if self._socket_gone:
            return False
        sent = 0
        if not self._rests:
            try:
                sent = self._send(data, passed)
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                return False  # its death, or its hanging up, is about to be read
        if sent < len(data):
            rest = _Rest(memoryview(data)[sent:])
            if not sent:
                rest.keep(passed)
            self._rests.append(rest)
            self._rest_left.set()
        return True

    def _send(self, data: bytes | memoryview, passed: Sequence[int]) -> int:
        if passed:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", passed))
            try:
                return self._socket.sendmsg([data], [rights])
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:
                    raise
        return self._socket.send(data)

    @trio.lowlevel.enable_ki_protection
    async def send_rests(self) -> None:
        """For ever: send what did not fit. A session hands down a few jobs, so it is bounded."""
        while True:
            await self._rest_left.wait()
            while self._rests:
                await trio.lowlevel.wait_writable(self._socket)
                if not self._rests:
                    break  # another process has taken over meanwhile
                rest = self._rests[0]
                try:
                    sent = self._send(rest.data, rest.passed)
                except BlockingIOError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    self._forget_rests()
                    break
                rest.forget_passed()
                rest.data = rest.data[sent:]
                if not rest.data:
                    self._rests.popleft()
            self._rest_left = trio.Event()

    def _forget_rests(self) -> None:
        while self._rests:
            self._rests.popleft().forget_passed()

    def close(self) -> None:
        """Give all of them back."""
        self._forget_rests()
        self._epoll.close()
        self._socket.close()
        while self._pipes:
            os.close(self._pipes.popitem()[1])
        self._pidfd.close()
