"""Frames of the worker link: a 4-byte big-endian length, then that many bytes.

Owns the framing and its one limit. Must not know what a frame holds, nor how bytes travel.
The worker's side imports this file in interpreters that lack every package of the service,
so it uses the standard library alone.
"""

from struct import Struct
from typing import Any

MAX_FRAME_BYTES = 10 * 2**20
"""The largest body, in bytes (protocol.md 1): no peer can make us buffer more than this."""

HEADER = Struct(">I")
HEADER_BYTES = HEADER.size
_unpack_header = HEADER.unpack_from


class FrameTooLarge(ValueError):
    """A frame announces, or would need, a body over :data:`MAX_FRAME_BYTES`."""

    def __init__(self, body_bytes: int) -> None:
        super().__init__(f"a frame of {body_bytes} bytes is over the limit of {MAX_FRAME_BYTES}")
        self.body_bytes = body_bytes


def encode_frame(body: bytes) -> bytes:
    """The frame that carries ``body``.

    Raises FrameTooLarge, before anything is sent.
    """
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLarge(len(body))
    return HEADER.pack(len(body)) + body


class FrameDecoder:
    """Bytes in, whole frames out, whatever the boundaries of the reads were."""

    __slots__ = ("_buffer", "_position")

    def __init__(self) -> None:
        self._buffer: bytes | bytearray = b""
        self._position = 0

    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the peer."""
        if self._position == len(self._buffer):
            self._buffer = data
        else:
            # Grows in place from here on: a large frame that drips in is not copied each time.
            if self._position or type(self._buffer) is bytes:
                self._buffer = bytearray(self._buffer[self._position :])
            self._buffer += data
        self._position = 0

    def next_frame(self) -> bytes | None:
        """The next whole frame's body, or None when more data is needed.

        Raises FrameTooLarge before the body arrives, so a peer cannot make us buffer it.
        """
        frames = self.frames(at_most=1)
        return frames[0] if frames else None

    def frames(self, at_most: int | None = None) -> list[bytes]:
        """All whole frames' bodies, in order: one call for a flood of small ones.

        Raises FrameTooLarge as `next_frame` does, once the frames before that one are taken.
        """
        buffer: Any = self._buffer
        position = self._position
        size = len(buffer)
        frames: list[bytes] = []
        while size - position >= HEADER_BYTES and len(frames) != at_most:
            (length,) = _unpack_header(buffer, position)
            if length > MAX_FRAME_BYTES:
                if not frames:
                    raise FrameTooLarge(length)
                break
            end = position + HEADER_BYTES + length
            if end > size:
                break
            frames.append(buffer[position + HEADER_BYTES : end])
            position = end
        self._position = position
        if type(buffer) is bytearray:
            return [bytes(frame) for frame in frames]
        return frames

    @property
    def pending_bytes(self) -> int:
        """How many bytes wait for the rest of their frame (a partial frame at a peer's death)."""
        return len(self._buffer) - self._position
