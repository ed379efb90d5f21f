"""Where `pyrepl3 serve` logs to, and how: the standard library's logging, set up for a process.

Owns the handler and its thread. The service must not wait for whoever reads its log: lines go
through a bounded queue, and what has no room in it is dropped and counted. A program that embeds
the service sets up logging itself, and this module is not for it.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pyrepl3.telemetry.log_lines import ConsoleFormatter, JsonFormatter
from pyrepl3.telemetry.notes import note

logger = logging.getLogger("pyrepl3.telemetry")

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

OURS = ("pyrepl3", "actors")
"""The level is theirs. Libraries are heard from warnings on: what they debug with is whatever
comes over the wire, tokens too."""

STDOUT, STDERR = 1, 2
LINES = 10_000
"""That may wait for their reader: some MB, and a minute of a busy service."""
TOGETHER_S = 0.05
"""How long the first line waits for others: each wake-up of the thread that writes costs the event
loop more than the line does, as both want the interpreter."""
CLOSE_S = 1.0
"""For those that still wait, at the end."""


@contextmanager
def logging_to(
    format: LogFormat | None, level: LogLevel = "info", *, descriptor: int | None = None
) -> Iterator[None]:
    """Log during the block; afterwards logging is as it was.

    On a terminal the format is ``console`` by default, otherwise ``json``: where no person looks
    on, lines are collected, and what collects them should not have to parse sentences. Console
    lines go to the standard error, between what is said to people; JSON goes to the standard
    output, where there is nothing else.
    """
    is_terminal = _is_terminal(STDERR)
    chosen = format or ("console" if is_terminal else "json")
    if descriptor is None:
        descriptor = STDERR if chosen == "console" else STDOUT
    handler = LineHandler(descriptor)
    if chosen == "console":
        is_coloured = is_terminal and not os.environ.get("NO_COLOR")
        handler.setFormatter(ConsoleFormatter(is_coloured=is_coloured))
    else:
        handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in OURS}
    root.addHandler(handler)
    try:
        for name in OURS:
            logging.getLogger(name).setLevel(level.upper())
        yield
    finally:
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        root.removeHandler(handler)
        handler.close()


class LineHandler(logging.Handler):
    """Writes lines to a descriptor, from a thread of its own."""

    def __init__(self, descriptor: int, *, most_lines: int = LINES) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._most_lines = most_lines
        self._lines: deque[bytes] = deque()
        self._something = threading.Event()
        self._closing = threading.Event()
        self._dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="pyrepl3 log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have it written, or count it as dropped."""
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        except Exception:
            # Its arguments are not shown, as the standard library would: they may be anything.
            note(logger, logging.ERROR, "log line not formed", of=record.name, line=record.lineno)
            return
        if self._dropped:
            self._tell_dropped()
        if len(self._lines) >= self._most_lines:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._something.is_set():
            self._something.set()

    def close(self) -> None:
        """Wait, bounded, until all is written."""
        self._closing.set()
        self._something.set()
        self._thread.join(CLOSE_S)
        super().close()

    def _tell_dropped(self) -> None:
        if len(self._lines) < self._most_lines:
            dropped, self._dropped = self._dropped, 0
            note(logger, logging.WARNING, "log lines dropped", lines=dropped)

    def _write_all(self) -> None:
        is_broken = False
        while True:
            self._something.wait()
            is_last = self._closing.wait(TOGETHER_S)
            # Before the lines are taken: one that comes meanwhile is taken now, or sets it again.
            self._something.clear()
            # As many as there are now: a flood is held to its bound, and the rest is dropped.
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if lines and not is_broken:
                is_broken = not self._write(b"".join(lines))
            if is_last:
                return

    def _write(self, data: bytes) -> bool:
        """False when nobody will ever read it: the service goes on without its log."""
        try:
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:
                    # Somebody who shares the descriptor has made it so.
                    select.select([], [self._descriptor], [])
        except OSError:
            return False
        return True


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
