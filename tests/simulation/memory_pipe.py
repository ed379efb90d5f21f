"""A pipe in memory: bytes from one end to the other, with the room of a pipe and no more.

Owns the bytes under way and the state of both ends. Must not know what the bytes mean. Whoever
waits for several pipes at once waits for their common ``bell``.
"""

from __future__ import annotations

import attrs
import trio


@attrs.define(eq=False)
class BytePipe:
    """What is written at one end is read at the other, in order."""

    capacity: int
    bell: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    """Where those are parked who wait for something to read, or for the end."""
    _bytes: bytearray = attrs.field(factory=bytearray, init=False)
    _room: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)
    _writable: bool = attrs.field(default=True, init=False)
    _readable: bool = attrs.field(default=True, init=False)

    @property
    def has_news(self) -> bool:
        """Whether reading would not have to wait: there are bytes, or the end."""
        return bool(self._bytes) or not self._writable

    @property
    def at_end(self) -> bool:
        """Whether nothing comes any more."""
        return not self._bytes and not self._writable

    @property
    def is_broken(self) -> bool:
        """Whether nobody can read any more what is written."""
        return not self._readable

    def put(self, data: bytes | memoryview) -> int:
        """Write what there is room for, and say how much that was. Raises BrokenPipeError."""
        if not self._readable:
            raise BrokenPipeError
        taken = bytes(data[: self.capacity - len(self._bytes)])
        if taken:
            self._bytes += taken
            self.bell.unpark_all()
        return len(taken)

    def take(self, at_most: int) -> bytes:
        """Read what there is now; b"" for nothing."""
        data = bytes(self._bytes[:at_most])
        if data:
            del self._bytes[:at_most]
            self._room.unpark_all()
        return data

    async def write(self, data: bytes) -> None:
        """Write all of it, waiting for room. Raises BrokenPipeError."""
        rest = memoryview(data)
        await trio.lowlevel.checkpoint()
        while rest := rest[self.put(rest) :]:
            await self._room.park()

    async def wait_writable(self) -> None:
        """Wait until there is room, or nobody reads any more."""
        await trio.lowlevel.checkpoint()
        while self._readable and len(self._bytes) >= self.capacity:
            await self._room.park()

    async def wait_news(self) -> None:
        """Wait until there are bytes, or the end."""
        await trio.lowlevel.checkpoint()
        while not self.has_news:
            await self.bell.park()

    def close_writer(self) -> None:
        """Nothing more is written: what is under way can still be read."""
        self._writable = False
        self.bell.unpark_all()

    def close_reader(self) -> None:
        """Nothing more is read: who writes is told."""
        self._readable = False
        self._bytes.clear()
        self._room.unpark_all()
