"""``sys.stdout`` and ``sys.stderr`` of a session: text in, ordered output messages out.

Owns when a message ends: at a newline, a carriage return, a ``flush()`` or 64 KiB; nothing waits
for a timer. The two streams keep their order. In a forked child, and in the zygote, the same
objects write to the descriptors 1 and 2. Must not know executions beyond the id it tags with.

The hot path is written out by hand: a million ``print`` calls a session are common, and of the
3.3 microseconds that a line may cost, the write(2) takes 1.2.
"""

import io
from _thread import RLock
from collections.abc import Callable, Iterable
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
_NIL = pack(None)
_DATA_KEY = pack("data")


def _post_nowhere(frame: bytes) -> bool:
    return False


class Output:
    """What the two streams share: the link, the lock, and the execution to tag with."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.interrupts = interrupts
        self.link: Link | None = None
        self.lock = RLock()
        self.stdout = OutputStream(self, "stdout", 1)
        self.stderr = OutputStream(self, "stderr", 2)
        self.stdout.follow(self.stderr)
        self.stderr.follow(self.stdout)
        self.tag(None)

    def attach(self, link: Link) -> None:
        """From now on the streams speak to the service."""
        self.flush()
        self.link = link
        self.lock = link.lock
        self.stdout.use_link()
        self.stderr.use_link()

    def call_before_lines(self, function: Callable[[], None] | None) -> None:
        """Have this called before each line: for children, whose output has its own way."""
        self.stdout.before_line = self.stderr.before_line = function

    def detach(self) -> None:
        """In a forked child: forget what the parent will send, and write to 1 and 2."""
        self.link = None
        self.call_before_lines(None)
        self.lock = RLock()
        self.stdout.forget_pending()
        self.stderr.forget_pending()

    def tag(self, execution: str | None) -> None:
        """Send what is pending under the old execution; what comes now is of this one."""
        if self.stdout.has_pending() or self.stderr.has_pending():
            self.flush()
        packed = _NIL if execution is None else pack(execution)
        self.stdout.tag(packed)
        self.stderr.tag(packed)

    def flush(self) -> None:
        """Send what is pending in both streams."""
        self.stdout.flush()
        self.stderr.flush()


class OutputStream(io.TextIOBase):
    """A text stream whose lines are messages."""

    def __init__(self, output: Output, stream: str, descriptor: int) -> None:
        self._output = output
        self._interrupts = output.interrupts
        self._stream = stream
        self._descriptor = descriptor
        self._errors = "backslashreplace"
        self._fixed_prefix = (
            b"\x84" + pack("type") + pack("output") + pack("stream") + pack(stream)
            + pack("execution")
        )  # fmt: skip
        self._prefix = b""
        self._short_heads: dict[int, bytes] = {}
        self._binary = OutputBuffer(self)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.before_line: Callable[[], None] | None = None
        self._other = self
        self._other_pending: list[bytes] = []
        self.use_link()

    def follow(self, other: "OutputStream") -> None:
        """Keep the order of the two streams: what the other has pending is sent first."""
        self._other, self._other_pending = other, other._pending

    def use_link(self) -> None:
        """Use the link and its lock that the output has now."""
        output = self._output
        self._acquire, self._release = output.lock.acquire, output.lock.release
        self._post = _post_nowhere if output.link is None else output.link.post_locked
        self._short_heads = {}

    def has_pending(self) -> bool:
        """Whether something was printed that no message carries yet."""
        return bool(self._pending)

    def forget_pending(self) -> None:
        """Drop what the parent process will send itself."""
        self._pending.clear()
        self._pending_bytes = 0
        self.use_link()

    def tag(self, packed_execution: bytes) -> None:
        """Put the parts of a message that stay the same together, once an execution."""
        self._prefix = self._fixed_prefix + packed_execution + _DATA_KEY
        self._short_heads = {}

    def write(self, text: str, /) -> int:
        if text.__class__ is not str or len(text) > SLICE_CHARACTERS:
            return self._write_unusual(text)
        pending = self._pending
        if "\n" not in text and "\r" not in text:
            try:
                data = text.encode()
            except UnicodeEncodeError:
                data = text.encode("utf-8", self._errors)
            # Without the lock: one append is atomic, and this list is never replaced.
            pending.append(data)
            self._pending_bytes += len(data)
            if self._pending_bytes >= CHUNK_BYTES:
                self.flush()
            elif self._interrupts.pending:
                self._interrupts.deliver()
            return len(text)
        blocked = None
        if self.before_line is not None:
            self.before_line()
        self._acquire()
        try:
            if text == "\n" and len(pending) == 1:
                data = pending.pop() + b"\n"
            else:
                data = self._take_pending(text.encode("utf-8", self._errors))
            self._pending_bytes = 0
            head = self._short_heads.get(len(data))
            if head is None or self._other_pending:
                blocked = self._send(data)
            elif self._post(head + data):
                blocked = self._output.link
        finally:
            self._release()
        if blocked is not None:
            blocked.drain()
        if self._interrupts.pending:
            self._interrupts.deliver()
        return len(text)

    def _write_unusual(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        length = str.__len__(text)
        for start in range(0, length, SLICE_CHARACTERS):
            self.write(str.__getitem__(text, slice(start, start + SLICE_CHARACTERS)))
        return length

    def write_bytes(self, data: bytes) -> None:
        """What is written to ``buffer``: it keeps its place among the text."""
        self._pending.append(data)
        self._pending_bytes += len(data)
        if b"\n" in data or self._pending_bytes >= CHUNK_BYTES:
            self.flush()

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

    def _take_pending(self, data: bytes) -> bytes:
        pending = self._pending
        count = len(pending)
        if count:
            # What another thread appends meanwhile stays for the next message.
            data = b"".join(pending[:count]) + data
            del pending[:count]
        return data

    def _send_pending(self) -> Link | None:
        return self._send(self._take_pending(b""))

    def _send(self, data: bytes) -> Link | None:
        """Send, what waits in the other stream first. The link, when it could not take it all."""
        self._pending_bytes = 0
        blocked = self._other._send_pending() if self._other_pending else None
        link = self._output.link
        if link is None:
            self._write_descriptor(data)
            return None
        size = len(data)
        if size == 0:
            return blocked
        if size < _SHORT_BYTES:
            head = _U32(len(self._prefix) + 2 + size) + self._prefix + b"\xc4" + bytes((size,))
            self._short_heads[size] = head
            return link if link.post_locked(head + data) else blocked
        if size <= CHUNK_BYTES:
            return link if link.post_locked(self._frame(data)) else blocked
        return self._send_large(link, data)

    def _send_large(self, link: Link, data: bytes) -> Link | None:
        start, blocked = 0, False
        while start < len(data):
            end = min(start + CHUNK_BYTES, len(data))
            # A character is not split between two messages (its later bytes look like 10xxxxxx).
            for _ in range(3):
                if end < len(data) and data[end] & 0xC0 == 0x80:
                    end -= 1
            blocked = link.post_locked(self._frame(data[start:end]))
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
            return

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
        self.raw = self

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
