"""The command's own standard input: lines for code that asks, and hidden ones for passwords.

Owns what was read and not yet asked for. Nothing is read ahead of what is asked, but what came
with it. Must not know who asks. Every wait can be cancelled, and leaves the terminal as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio

from pyrepl3.cli.descriptors import READ_BYTES, STDIN

CONTROLLING_TERMINAL = "/dev/tty"


async def _wait_readable(descriptor: int) -> None:
    try:
        await trio.lowlevel.wait_readable(descriptor)
    except PermissionError:
        # A regular file or /dev/null: epoll refuses it, as it is always readable.
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class LineReader:
    """Lines of one descriptor."""

    descriptor: int = STDIN
    _rest: bytes = b""

    async def line(self) -> str | None:
        """The next line, without its newline; None at the end of the input."""
        while b"\n" not in self._rest:
            await _wait_readable(self.descriptor)
            data = os.read(self.descriptor, READ_BYTES)
            if not data:
                return self._last()
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return _text(line)

    def _last(self) -> str | None:
        line, self._rest = self._rest, b""
        return _text(line) if line else None


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def has_controlling_terminal() -> bool:
    """Whether there is a terminal to ask a password at, wherever the streams go."""
    try:
        descriptor = os.open(CONTROLLING_TERMINAL, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    os.close(descriptor)
    return True


async def hidden_line(prompt: str) -> str | None:
    """A line from the controlling terminal that is not shown; None at the end of the input."""
    descriptor = os.open(CONTROLLING_TERMINAL, os.O_RDWR | os.O_NOCTTY)
    try:
        with without_echo(descriptor):
            os.write(descriptor, prompt.encode("utf-8", "replace"))
            try:
                return await LineReader(descriptor).line()
            finally:
                os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)


@contextmanager
def without_echo(descriptor: int) -> Iterator[None]:
    """What is typed at that terminal is not shown, for the length of the block."""
    import termios

    before = termios.tcgetattr(descriptor)
    silent = termios.tcgetattr(descriptor)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, silent)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
