"""``pyrepl3 cp SRC DST``: a file into a session's directory, or out of it, over REST.

Owns the local end: a file that is there when it is whole, or a standard stream; its checksum, and
the progress that a terminal is shown. Blocks, and needs no event loop. Must not know what the
service does with a file.
"""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from typing import BinaryIO

import attrs

from pyrepl3.cli import descriptors
from pyrepl3.cli.copy_requests import FileRequests, Receiving
from pyrepl3.cli.descriptors import STDERR, STDIN
from pyrepl3.cli.remote_arguments import STANDARD_STREAM, Copy, Place
from pyrepl3.cli.statuses import FAILED, INTERRUPTED
from pyrepl3.errors import StorageIo
from pyrepl3.remote.addresses import find_address, find_token

CHUNK_BYTES = 256 * 2**10
SHOW_EVERY_S = 0.2


def run(command: Copy) -> int:
    """Do it; the exit status. Raises PyreplError."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is half written is removed
    address = find_address(command.url)
    requests = FileRequests(address, find_token(None, command.token_file))
    try:
        if command.target.session is None:
            return _download(requests, command.source, command.target.path)
        return _upload(requests, command.source.path, command.target)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # the service's are PyreplErrors by now
        named = f"{error.filename}: " if error.filename else ""
        descriptors.say(f"pyrepl3 cp: {named}{error.strerror or error}\n")
        return FAILED
    finally:
        requests.close()


# --- up -----------------------------------------------------------------------------------------


def _upload(requests: FileRequests, source: str, target: Place) -> int:
    path = target.path
    if source == STANDARD_STREAM:
        return _send(requests, STDIN, "standard input", Place(target.session, path))
    if not path or path.endswith("/"):
        path += os.path.basename(source)
    return _send(requests, source, source, Place(target.session, path))


def _send(requests: FileRequests, source: str | int, named: str, target: Place) -> int:
    """A file with its checksum before it; what can be read once only, with none."""
    assert target.session is not None
    # Unbuffered: a loop in C would read on when Ctrl-C has come.
    with open(source, "rb", buffering=0, closefd=source != STDIN) as file:
        state = os.fstat(file.fileno())
        digest, size_bytes, told = hashlib.sha256(), None, None
        if stat.S_ISREG(state.st_mode) and source != STDIN:
            digest, size_bytes = hashlib.file_digest(file, "sha256"), state.st_size
            told = digest.digest()
            file.seek(0)
        with Progress(named, size_bytes) as progress:
            watch = (progress.add,) if told else (progress.add, digest.update)
            stored = requests.put(
                target.session,
                target.path,
                _pieces(file, watch),
                size_bytes=size_bytes,
                sha256=told,
            )
    _check(stored, digest.digest(), f"{target.session}:{target.path}")
    return 0


def _pieces(file: FileIO, watch: Sequence[Callable[[bytes], object]]) -> Iterator[bytes]:
    while data := file.read(CHUNK_BYTES):
        for each in watch:
            each(data)
        yield data


# --- down ---------------------------------------------------------------------------------------


def _download(requests: FileRequests, source: Place, target: str) -> int:
    assert source.session is not None
    named = f"{source.session}:{source.path}"
    with requests.get(source.session, source.path) as receiving:
        if target == STANDARD_STREAM:
            _receive(receiving, sys.stdout.buffer, named)
            sys.stdout.buffer.flush()
            return 0
        if os.path.isdir(target):
            target = os.path.join(target, os.path.basename(source.path))
        with _whole_file(target) as file:
            _receive(receiving, file, named)
    return 0


def _receive(receiving: Receiving, file: BinaryIO, named: str) -> None:
    digest = hashlib.sha256()
    with Progress(named, receiving.size_bytes) as progress:
        for data in receiving.pieces(CHUNK_BYTES):
            digest.update(data)
            progress.add(data)
            file.write(data)
    _check(receiving.sha256, digest.digest(), named)


@contextmanager
def _whole_file(path: str) -> Iterator[BinaryIO]:
    """Written under another name beside it, and there in one step when the block has ended."""
    descriptor, temporary = tempfile.mkstemp(
        prefix=".", suffix=".part", dir=os.path.dirname(path) or "."
    )
    try:
        with open(descriptor, "wb") as file:
            yield file
            os.fchmod(file.fileno(), _mode_of(path))
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _mode_of(path: str) -> int:
    """That of the file that is there; of a new one, what the user's mask leaves."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(path).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _check(told: bytes | None, sha256: bytes, named: str) -> None:
    if told is not None and told != sha256:
        raise StorageIo(
            what=f"{named} was not copied as it is",
            why="its checksum is another one at the other end",
            how="Copy it again",
            details={"sha256": sha256.hex(), "other": told.hex()},
        )


# --- progress -----------------------------------------------------------------------------------


@attrs.define(eq=False)
class Progress:
    """How far it is, for who watches a terminal; gone when it has ended."""

    named: str
    size_bytes: int | None
    _done_bytes: int = attrs.field(default=0, init=False)
    _shown_at: float = attrs.field(default=0.0, init=False)
    _is_shown: bool = attrs.field(default=False, init=False)

    def __enter__(self) -> Progress:
        self._shown_at = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            descriptors.say("\r\x1b[K")

    def add(self, data: bytes) -> None:
        """So much more is done."""
        self._done_bytes += len(data)
        now = time.monotonic()
        if now - self._shown_at >= SHOW_EVERY_S and descriptors.is_terminal(STDERR):
            self._shown_at, self._is_shown = now, True
            descriptors.say(f"\r\x1b[K{describe(self.named, self._done_bytes, self.size_bytes)}")


def describe(named: str, done_bytes: int, size_bytes: int | None) -> str:
    """One line of progress."""
    done = f"{done_bytes / 2**20:.1f}"
    if not size_bytes:
        return f"{named[-40:]}  {done} MiB"
    share = min(100, 100 * done_bytes // size_bytes)
    return f"{named[-40:]}  {done} of {size_bytes / 2**20:.1f} MiB  {share} %"
