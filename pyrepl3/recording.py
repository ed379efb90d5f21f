"""A recording of what the service does: one NDJSON file a supervisor, for `pyrepl3 spec check`.

Owns the file: opened before the service does anything, written in batches, closed on every way
out. Must not know what an event means. A recording holds ids and numbers, never code or output.

What is lost of its end, by a kill or a full disk, leaves a beginning; and a beginning of a
behaviour of the spec is a behaviour of the spec. The last line tells a whole recording from that.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import attrs

from pyrepl3 import __version__
from pyrepl3.config import Config
from pyrepl3.errors import ConfigInvalid

FORMAT_VERSION = 1
"""Of the lines. A reader refuses one that it does not know."""
BUFFER_BYTES = 64 * 2**10
"""Some 800 events: few enough to lose with a killed service, and a write costs each next to
nothing."""
OWNER_ONLY = 0o600
FIRST_BYTES = b'{"trace":"pyrepl3"'
"""What each recording begins with; a file that begins otherwise is somebody's, and is kept."""

Sink = Callable[[Mapping[str, object]], None]
"""What takes an event; `Recording.write` is one."""

logger = logging.getLogger("pyrepl3.recording")

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False).encode


@attrs.define(eq=False)
class Recording:
    """An open file that takes events, until it is closed or cannot be written.

    It is of the process that opened it: in a fork of that it takes nothing, and writes nothing.
    """

    path: str
    _descriptor: int | None
    _process: int = attrs.field(factory=os.getpid, init=False)
    _lines: list[str] = attrs.field(factory=list, init=False)
    _buffered: int = attrs.field(default=0, init=False)
    _events: int = attrs.field(default=0, init=False)

    def write(self, event: Mapping[str, object]) -> None:
        """Take one event.

        Never raises into the actor that tells of it: the recording ends where it has no room (see
        `flush`), or the event no JSON.
        """
        if not self._is_open():
            return
        try:
            self._take(event)
        except (TypeError, ValueError) as error:
            self.flush()
            self._give_up(str(error))
            return
        self._events += 1
        if self._buffered >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what was taken to the system.

        Where that fails, the recording ends there and the log says so: the service goes on.
        """
        if not self._is_open():
            return
        data = "".join(self._lines).encode("ascii")
        self._lines.clear()
        self._buffered = 0
        try:
            while data and self._descriptor is not None:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self._give_up(_reason(error))

    def close(self) -> None:
        """Write what is left and the last line; after that it takes nothing."""
        if not self._is_open():
            return
        self._take({"trace": "end", "events": self._events})
        self.flush()
        self._release()

    def _is_open(self) -> bool:
        """Whether it takes events here. A fork has the descriptor and the lines too: not for it."""
        if self._descriptor is not None and os.getpid() != self._process:
            descriptor, self._descriptor = self._descriptor, None
            self._lines.clear()
            os.close(descriptor)
        return self._descriptor is not None

    def _take(self, line: Mapping[str, object]) -> None:
        text = _encode(line) + "\n"
        self._lines.append(text)
        self._buffered += len(text)

    def _give_up(self, why: str) -> None:
        if self._descriptor is None:
            return
        self._release()
        logger.warning(
            "the recording %s ends here, and the service goes on without one: %s",
            self.path,
            why,
        )

    def _release(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        # Closing alone would leave the file locked for as long as a fork has it open.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        try:
            os.close(descriptor)
        except OSError as error:
            # A file system over a network tells only now that it could not keep what was written.
            logger.warning("the recording %s may lack its end: %s", self.path, _reason(error))


@contextmanager
def open_recording(path: str, config: Config) -> Iterator[Recording]:
    """A new recording for the length of the block, its first line written.

    Raises ConfigInvalid when there cannot be a file, or it is not ours to overwrite.
    """
    recording = Recording(path, _open_file(path))
    try:
        recording._take(_header(config))
        recording.flush()
        yield recording
    finally:
        recording.close()


def _header(config: Config) -> dict[str, object]:
    return {
        "trace": "pyrepl3",
        "version": FORMAT_VERSION,
        "pyrepl3": __version__,
        "templates": list(config.templates),
        "min_idle": config.pool.min_idle,
        "max_sessions": config.pool.max_sessions,
        "breaker_failures": config.pool.breaker_failures,
    }


def _open_file(path: str) -> int:
    """Our descriptor of an empty file, locked: two services in one file would be neither's."""
    # A link is followed: the system itself guards against those that others lay out in /tmp.
    # Without O_NONBLOCK, a pipe that nobody reads would stop the event loop here.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, OWNER_ONLY)
    except OSError as error:
        raise _no_file(path, _reason(error), _remedy(path, error)) from error
    try:
        _make_ours(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make_ours(path: str, descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise _no_file(path, "it is not a regular file", "Name a file")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        how = "Give each supervisor a file of its own"
        raise _no_file(path, "another supervisor records into it", how) from error
    first = os.pread(descriptor, len(FIRST_BYTES), 0)
    # One that was cut in its first line, by a kill or a full disk, is ours too.
    if not FIRST_BYTES.startswith(first):
        how = "Name another file, or remove this one"
        raise _no_file(path, "it holds something that is not a recording", how)
    os.ftruncate(descriptor, 0)
    os.fchmod(descriptor, OWNER_ONLY)  # also of one that was there, with another mode


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _remedy(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"Make the directory {os.path.dirname(os.path.abspath(path))} first"
    return "Name a file in a directory that you may write to"


def _no_file(path: str, why: str, how: str) -> ConfigInvalid:
    return ConfigInvalid(
        what=f"Config.record_trace={path!r} cannot be recorded into",
        why=why,
        how=how,
        details={"field": "Config.record_trace", "value": repr(path)},
    )
