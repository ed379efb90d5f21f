"""``sys.stdout`` and ``sys.stderr`` of a session: text in, ordered output messages out.

Owns when a message ends: at a newline, a carriage return, a ``flush()`` or 64 KiB; nothing waits
for a timer. The two streams keep their order. In a forked child, and in the zygote, the same
objects write to the descriptors 1 and 2. Must not know executions beyond the id it tags with.

The hot path is written out by hand: a million ``print`` calls a session are common, and of the
3.3 microseconds that a line may cost, the write(2) takes 1.2.
"""

import io
from _thread import RLock
from collections.abc import Iterable
from posix import write as posix_write
from struct import Struct
from typing import Any

from .codec import pack
from .interrupts import Interrupts
from .link import Link

CHUNK_BYTES = 63 * 2**10
"""The most data in one output message, so that its frame stays within 64 KiB."""
SLICE_CHARACTERS = 2**20
"""How much of a huge text is encoded at a time: a line of 1 GiB must not need another."""

_U32 = Struct(">I").pack
_BIN16 = Struct(">BH").pack
_SHORT_BYTES = 256


class Output:
    """What the two streams share: the link, the lock, and the execution to tag with."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.interrupts = interrupts
        self.link: Link | None = None
        self.lock = RLock()
        self.stdout = OutputStream(self, "stdout", 1)
        self.stderr = OutputStream(self, "stderr", 2)
        self.stdout.other, self.stderr.other = self.stderr, self.stdout
        self.tag(None)

    def attach(self, link: Link) -> None:
        """From now on the streams speak to the service."""
        self.flush()
        self.link = link
        self.lock = link.lock
        self.stdout.share_lock()
        self.stderr.share_lock()

    def detach(self) -> None:
        """In a forked child: forget what the parent will send, and write to 1 and 2."""
        self.link = None
        self.lock = RLock()
        self.stdout.forget_pending()
        self.stderr.forget_pending()

    def tag(self, execution: str | None) -> None:
        """Send what is pending under the old execution; what comes now is of this one."""
        self.flush()
        self.stdout.tag(execution)
        self.stderr.tag(execution)

    def flush(self) -> None:
        """Send what is pending in both streams."""
        self.stdout.flush()
        self.stderr.flush()


class OutputStream(io.TextIOBase):
    """A text stream whose lines are messages."""

    other: "OutputStream"

    def __init__(self, output: Output, stream: str, descriptor: int) -> None:
        self._output = output
        self._interrupts = output.interrupts
        self._stream = stream
        self._descriptor = descriptor
        self._errors = "backslashreplace"
        self._line_buffering = True
        self._prefix = b""
        self._short_heads: dict[int, bytes] = {}
        self._binary = OutputBuffer(self)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.share_lock()

    def share_lock(self) -> None:
        """Use the lock that the output has now."""
        lock = self._output.lock
        self._acquire, self._release = lock.acquire, lock.release

    def forget_pending(self) -> None:
        """Drop what the parent process will send itself."""
        self._pending = []
        self._pending_bytes = 0
        self.share_lock()

    def tag(self, execution: str | None) -> None:
        """Put the parts of a message that stay the same together, once an execution."""
        self._prefix = (
            b"\x84" + pack("type") + pack("output") + pack("stream") + pack(self._stream)
            + pack("execution") + pack(execution) + pack("data")
        )  # fmt: skip
        self._short_heads = {}

    def write(self, text: str, /) -> int:
        if text.__class__ is not str:
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            text = str.__str__(text)
        length = len(text)
        if length > SLICE_CHARACTERS:
            for start in range(0, length, SLICE_CHARACTERS):
                self.write(text[start : start + SLICE_CHARACTERS])
            return length
        data = text.encode("utf-8", self._errors)
        blocked = None
        self._acquire()
        try:
            self._pending.append(data)
            self._pending_bytes += length
            if "\n" in text or "\r" in text or self._pending_bytes >= CHUNK_BYTES:
                blocked = self._send_pending()
        finally:
            self._release()
        if blocked is not None:
            blocked.drain()
        if self._interrupts.pending:
            self._interrupts.deliver()
        return length

    def write_bytes(self, data: bytes) -> None:
        """What is written to ``buffer``: it keeps its place among the text."""
        blocked = None
        self._acquire()
        try:
            self._pending.append(data)
            self._pending_bytes += len(data)
            if b"\n" in data or self._pending_bytes >= CHUNK_BYTES:
                blocked = self._send_pending()
        finally:
            self._release()
        if blocked is not None:
            blocked.drain()
        if self._interrupts.pending:
            self._interrupts.deliver()

    def flush(self) -> None:
        blocked = None
        if self._pending:
            self._acquire()
            try:
                blocked = self._send_pending()
            finally:
                self._release()
        if blocked is not None:
            blocked.drain()
        if self._interrupts.pending:
            self._interrupts.deliver()

    def _send_pending(self) -> Link | None:
        """Send what waits, the other stream's first. The link, when it could not take it all."""
        blocked = self.other._send_pending() if self.other._pending else None
        pending, self._pending = self._pending, []
        self._pending_bytes = 0
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        link = self._output.link
        if link is None:
            self._write_descriptor(data)
            return None
        size = len(data)
        if size < _SHORT_BYTES:
            head = self._short_heads.get(size)
            if head is None:
                body_bytes = len(self._prefix) + 2 + size
                head = _U32(body_bytes) + self._prefix + b"\xc4" + bytes((size,))
                self._short_heads[size] = head
            return link if link.post(head + data) else blocked
        if size <= CHUNK_BYTES:
            return link if link.post(self._frame(data)) else blocked
        return self._send_large(link, data)

    def _send_large(self, link: Link, data: bytes) -> Link | None:
        start, blocked = 0, False
        while start < len(data):
            end = min(start + CHUNK_BYTES, len(data))
            # A character is not split between two messages (its later bytes look like 10xxxxxx).
            for _ in range(3):
                if end < len(data) and data[end] & 0xC0 == 0x80:
                    end -= 1
            blocked = link.post(self._frame(data[start:end]))
            start = end
        return link if blocked else None

    def _frame(self, data: bytes) -> bytes:
        size = len(data)
        prefix = self._prefix
        return _U32(len(prefix) + 3 + size) + prefix + _BIN16(0xC5, size) + data

    def _write_descriptor(self, data: bytes) -> None:
        try:
            while data:
                data = data[posix_write(self._descriptor, data) :]
        except OSError:
            # The descriptor was closed: output ends, the program goes on.
            self._pending = []

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def reconfigure(
        self,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        line_buffering: bool | None = None,
        write_through: bool | None = None,
    ) -> None:
        """As of ``io.TextIOWrapper``; the link is always UTF-8 and ends messages at lines."""
        self.flush()
        if errors is not None:
            "".encode("utf-8", errors)
            self._errors = errors
        elif encoding is not None:
            self._errors = "strict"

    def close(self) -> None:
        """Flush only: the stream stays usable, so ``sys.__stdout__`` always restores it."""
        self.flush()

    @property
    def buffer(self) -> "OutputBuffer":
        return self._binary

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return self._errors

    @property
    def newlines(self) -> None:  # type: ignore[override]
        return None

    @property
    def line_buffering(self) -> bool:
        return True

    @property
    def write_through(self) -> bool:
        return False

    @property
    def name(self) -> str:
        return f"<{self._stream}>"

    @property
    def mode(self) -> str:
        return "w"

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<session stream name='<{self._stream}>' mode='w' encoding='utf-8'>"


class OutputBuffer(io.BufferedIOBase):
    """``sys.stdout.buffer``: bytes, in order with the text."""

    def __init__(self, text: OutputStream) -> None:
        self._text = text
        self.raw = self  # type: ignore[assignment]

    def write(self, data: Any, /) -> int:
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        content = bytes(memoryview(data))
        for start in range(0, len(content), SLICE_CHARACTERS):
            self._text.write_bytes(content[start : start + SLICE_CHARACTERS])
        return len(content)

    def flush(self) -> None:
        self._text.flush()

    def close(self) -> None:
        self.flush()

    def fileno(self) -> int:
        return self._text.fileno()

    def writable(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return self._text.name

    @property
    def mode(self) -> str:
        return "wb"
