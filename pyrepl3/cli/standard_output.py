"""The command's own standard output and error: text goes out as it comes.

Owns the descriptors 1 and 2. A reader that is slow makes the code wait, and never this command's
signals: it waits until there is room before it writes. Must not know what is written.
"""

from __future__ import annotations

import os

import trio

from pyrepl3.cli.descriptors import STDERR, STDOUT
from pyrepl3.events import Stream

ROOM_BYTES = 4096
"""PIPE_BUF: what a writable pipe takes without blocking."""

_DESCRIPTORS = {"stdout": STDOUT, "stderr": STDERR}


async def write(stream: Stream, text: str) -> None:
    """Write all of it. What nobody reads any more is dropped, as the code cannot be told."""
    descriptor = _DESCRIPTORS[stream]
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    try:
        while data:
            size = ROOM_BYTES
            try:
                await trio.lowlevel.wait_writable(descriptor)
            except PermissionError:
                size = len(data)  # a regular file: epoll refuses it, and it never blocks
                await trio.lowlevel.checkpoint()
            data = data[os.write(descriptor, data[:size]) :]
    except OSError:
        return
