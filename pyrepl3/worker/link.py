"""The worker's end of the protocol: one frame at a time, in both directions.

Owns the descriptors, the partial writes and the partial reads. Reads exactly one frame, never
ahead: whoever waits for the next one looks whether the socket can be read. Bytes that could not be
written yet are kept and go first, whatever interrupted the wait for them. Must not know what
the messages mean.
"""

import _socket
from _thread import RLock
from array import array
from collections import deque
from errno import ECONNRESET, EPIPE
from posix import _exit, close, read, set_blocking, set_inheritable, write
from select import POLLIN, POLLOUT, poll
from signal import pause
from typing import Any, NoReturn

from ..wire.frames import HEADER, HEADER_BYTES, MAX_FRAME_BYTES, FrameTooLarge
from .codec import decode_message, encode_message
from .interrupts import Interrupts, waits

_PEER_IS_GONE = frozenset({EPIPE, ECONNRESET})
_INTEGER_BYTES = array("i").itemsize
_MOST_PASSED = 4
"""Descriptors that come with one message."""
_ANCILLARY_BYTES = _socket.CMSG_SPACE(_MOST_PASSED * _INTEGER_BYTES)


class LinkEnded(Exception):
    """The service closed its end."""


class Link:
    """The two descriptors of the protocol. ``lock`` also guards the streams that write to it."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.lock = RLock()
        self.descriptors: tuple[int, ...] = ()
        """What a forked child must not keep; empty until there is a service to speak to."""
        self._interrupts = interrupts
        self.write_fd = self.read_fd = -1
        self._socket: _socket.socket | None = None
        """What is read from, where it is one: then descriptors may come with a message."""
        self._is_open = False
        self._is_writing = False
        self._unsent: deque[bytes] = deque()
        self._incoming = bytearray()
        self._passed: list[int] = []

    def attach(self, read_fd: int, write_fd: int, *others: int | None) -> None:
        """Speak through these. ``others`` belong to the link as well, and are not inherited."""
        self.read_fd, self.write_fd = read_fd, write_fd
        try:
            self._socket = _socket.socket(fileno=read_fd)
            self._socket.setblocking(False)
        except OSError:  # a pipe
            self._socket = None
        named = {read_fd, write_fd, *others}
        self.descriptors = tuple(each for each in named if each is not None)
        for descriptor in self.descriptors:
            set_inheritable(descriptor, False)
        set_blocking(read_fd, False)
        set_blocking(write_fd, False)
        self._is_open = True

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, and wait until it is written.

        Raises FrameTooLarge and UnicodeEncodeError, with nothing sent; KeyboardInterrupt when an
        interrupt of user code comes while it waits; the message is then sent before the next.
        """
        if self.post(encode_message(message)):
            self.drain()

    def post(self, frame: bytes) -> bool:
        """Write what can be written without waiting. True when `drain` has to see to the rest."""
        with self.lock:
            return self.post_locked(frame)

    def post_locked(self, frame: bytes) -> bool:
        """`post` for callers that hold ``lock``."""
        unsent = self._unsent
        if unsent or self._is_writing or not self._is_open:
            if not self._is_open:
                return False
            # Writing: a finalizer that prints, run in the midst of a write of this same thread.
            unsent.append(frame)
            if not self._is_writing:
                self._write_unsent()
            return bool(unsent)
        self._is_writing = True
        try:
            written = write(self.write_fd, frame)
        except OSError as error:
            written = self._count_failed_write(frame, error)
        if written != len(frame):
            unsent.appendleft(frame[written:])
        self._is_writing = False
        return bool(unsent)

    def drain(self) -> None:
        """Wait until everything is written."""
        while True:
            with self.lock:
                if not self._is_writing:
                    self._write_unsent()
                if not self._unsent or self._is_writing:
                    return
            self._wait(self.write_fd, POLLOUT)

    def receive(self) -> dict[str, Any]:
        """The next message. Raises LinkEnded at the end of file, KeyboardInterrupt as `send`."""
        incoming = self._incoming
        while True:
            while len(incoming) < HEADER_BYTES:
                self._read(HEADER_BYTES - len(incoming))
            (length,) = HEADER.unpack_from(incoming)
            if length > MAX_FRAME_BYTES:
                raise FrameTooLarge(length)
            missing = HEADER_BYTES + length - len(incoming)
            if not missing:
                body = bytes(memoryview(incoming)[HEADER_BYTES:])
                incoming.clear()
                return decode_message(body)
            self._read(missing)

    def take_passed(self) -> list[int]:
        """The descriptors that came with the last message, for the caller to close."""
        passed, self._passed = self._passed, []
        return passed

    def skip_past(self, mark: bytes) -> None:
        """Throw away what others were to read, up to this mark and with it; ends the process at the
        end of file.

        They may have read a part of a message, so it is no message that is looked for. Never reads
        past the mark: what is behind it is for whoever waits until the descriptor can be read.
        """
        seen = self._incoming
        seen.clear()
        try:
            while seen != mark:
                while not mark.startswith(bytes(seen)):
                    del seen[0]
                self._read(len(mark) - len(seen))
        except LinkEnded:
            _exit(0)
        seen.clear()
        for each in self.take_passed():
            close(each)

    def is_readable(self, timeout_ms: int) -> bool:
        """Whether a message, or its beginning, is there within the time."""
        poller = poll()
        poller.register(self.read_fd, POLLIN)
        return bool(poller.poll(timeout_ms))

    def close(self) -> None:
        """Nothing is sent from now on (a forked child must not speak for its parent)."""
        self.lock = RLock()
        self._is_open = False
        self._unsent.clear()
        self._incoming.clear()
        if self._socket is not None:
            self._socket.detach()  # it would close its number, which may be another's by then
            self._socket = None

    def linger(self) -> NoReturn:
        """The protocol was closed from inside: the service sees its end, and ends this process."""
        while True:
            pause()

    def _read(self, count: int) -> None:
        # A frame's body follows its header closely; a header may be long in coming.
        if not self._incoming:
            self._wait(self.read_fd, POLLIN)
        while True:
            try:
                data = self._receive(count)
                break
            except BlockingIOError:
                self._wait(self.read_fd, POLLIN)
            except OSError as error:
                if error.errno in _PEER_IS_GONE:
                    raise LinkEnded from error
                self.linger()
        if not data:
            raise LinkEnded
        self._incoming += data

    def _receive(self, count: int) -> bytes:
        # Descriptors come with the first byte of a message; a plain read would drop them.
        if self._incoming or self._socket is None:
            return read(self.read_fd, count)
        data, ancillary, _, _ = self._socket.recvmsg(
            count, _ANCILLARY_BYTES, _socket.MSG_CMSG_CLOEXEC
        )
        for _, _, content in ancillary:
            received = array("i")
            received.frombytes(content[: len(content) - len(content) % _INTEGER_BYTES])
            self._passed.extend(received)
        return data

    @waits
    def _wait(self, descriptor: int, events: int) -> None:
        # A signal that came before this frame was put off; one that comes in it raises here.
        if self._interrupts.pending:
            self._interrupts.deliver()
        poller = poll()
        poller.register(descriptor, events)
        poller.poll()

    def _write_unsent(self) -> None:
        unsent = self._unsent
        self._is_writing = True
        while unsent:
            frame = unsent[0]
            try:
                written = write(self.write_fd, frame)
            except OSError as error:
                written = self._count_failed_write(frame, error)
            if written == len(frame):
                unsent.popleft()
            else:
                unsent[0] = frame[written:]
                break
        self._is_writing = False

    def _count_failed_write(self, frame: bytes, error: OSError) -> int:
        """How many bytes count as written: what a closed link cannot take is gone."""
        if isinstance(error, BlockingIOError):
            return 0
        if error.errno in _PEER_IS_GONE:
            _exit(0)
        # Closed by user code, which goes on: the service notices and decides.
        self._is_open = False
        return len(frame)
