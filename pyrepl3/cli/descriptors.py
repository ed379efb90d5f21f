"""The command's three standard descriptors, before and beside everything else.

Owns what can be said with no service running. Imports next to nothing: `--help` must be instant.
"""

from __future__ import annotations

import os

STDIN, STDOUT, STDERR = range(3)
READ_BYTES = 64 * 2**10


def read_all() -> bytes:
    """The whole standard input, to its end."""
    pieces = []
    while data := os.read(STDIN, READ_BYTES):
        pieces.append(data)
    return b"".join(pieces)


def say(text: str, descriptor: int = STDERR) -> bool:
    """Write a message of the command itself, by default to the standard error. False where
    nobody could read it."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return False
    return True


def is_terminal(descriptor: int) -> bool:
    """Whether this descriptor is a terminal; False where it is closed."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def fill_closed_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 is closed, before something else gets that number."""
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
