"""Hands the command's own standard streams to its session's process.

Owns the meeting point: an abstract socket with a name that cannot be guessed, whose visitor must
be the session's process. Must not know what becomes of the descriptors.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import trio

HANDOVER_S = 30.0
"""From the visit that was announced to the visit: the session's next statement."""

_CREDENTIALS = struct.Struct("3i")
CAN_HAND_OVER = sys.platform == "linux"
"""Abstract sockets are Linux's. Elsewhere the session's own streams serve."""


class Handover:
    """One meeting."""

    def __init__(self, listener: socket.socket, name: str) -> None:
        self.name = name
        self._listener = listener

    async def serve(self, descriptors: Sequence[int], *, pid: int) -> None:
        """Give the descriptors to the process ``pid``, and to nobody else."""
        with trio.move_on_after(HANDOVER_S):
            while True:
                await trio.lowlevel.wait_readable(self._listener)
                visitor, _ = self._listener.accept()
                with visitor:
                    if _process_of(visitor) == pid:
                        socket.send_fds(visitor, [b"\0"], list(descriptors))
                        return


@contextmanager
def open_handover() -> Generator[Handover]:
    """A meeting point for the length of the block."""
    name = f"pyrepl3-{os.urandom(16).hex()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("\0" + name)
        listener.listen(1)
        listener.setblocking(False)
        yield Handover(listener, name)


def _process_of(visitor: socket.socket) -> int:
    credentials = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid
