"""Files below one directory: read, written, listed, removed; nothing outside of it.

Owns the way to a file: part by part from the directory's descriptor, through no symbolic link, as
what runs in a session may have put one anywhere. Everything here blocks, and is called in threads.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from pyrepl3.errors import BadMessage, NotFound, PyreplError, StorageFull, StorageIo
from pyrepl3.rest.answers import Directory, DirectoryEntry, StoredFile

CHUNK_BYTES = 256 * 2**10
"""At a time: one turn of a thread, and all of a file that is in memory."""
PART_BYTES = 255
_UP = frozenset({"", ".", ".."})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(path: str) -> list[str]:
    """The names on the way to it. Raises BadMessage."""
    parts = path.strip("/").split("/") if path.strip("/") else []
    for part in parts:
        if part in _UP or "\0" in part or len(os.fsencode(part)) > PART_BYTES:
            raise BadMessage(
                what=f"{path[:200]!r} is no path below the session's directory",
                why="its parts are names: none is empty, '.' or '..'",
                how="Name a file as DIRECTORY/NAME",
                details={"path": path[:200]},
            )
    return parts


@attrs.define(eq=False)
class OpenFile:
    """A file that is being read: of ``size_bytes``, with that checksum."""

    descriptor: int
    size_bytes: int
    sha256: bytes

    def read(self, offset: int) -> bytes:
        """The next piece of it; what was added behind its end since it was opened is left out."""
        return os.pread(self.descriptor, min(CHUNK_BYTES, self.size_bytes - offset), offset)

    def close(self) -> None:
        """To be called once."""
        os.close(self.descriptor)


def look(root: str, path: str) -> OpenFile | Directory:
    """What is there. Raises NotFound, BadMessage, StorageIo."""
    parts = parts_of(path)
    with _folder(root, parts[:-1], path) as folder, _told(path):
        if not parts:
            return _listed(folder, path)
        descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
        try:
            state = os.fstat(descriptor)
            if stat.S_ISDIR(state.st_mode):
                return _listed(descriptor, path, close=True)
            if not stat.S_ISREG(state.st_mode):
                raise _no_file(path, "it is neither a file nor a directory")
            return _digested(descriptor)
        except BaseException:
            os.close(descriptor)
            raise


def remove(root: str, path: str) -> None:
    """A file, or an empty directory. Raises NotFound, BadMessage, StorageIo."""
    parts = parts_of(path)
    if not parts:
        raise _no_file(path, "it is the session's own directory")
    with _folder(root, parts[:-1], path) as folder, _told(path):
        state = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(state.st_mode):
            os.rmdir(parts[-1], dir_fd=folder)
        else:
            os.unlink(parts[-1], dir_fd=folder)


@attrs.define(eq=False)
class Upload:
    """A file that is being written, under another name until it is whole."""

    path: str
    folder: int
    name: str
    temporary: str
    descriptor: int
    size_bytes: int = 0
    _digest: hashlib._Hash = attrs.field(factory=hashlib.sha256)

    def write(self, data: bytes) -> None:
        """More of it. Raises StorageFull, StorageIo."""
        with _told(self.path):
            view = memoryview(data)
            while view:
                view = view[os.write(self.descriptor, view) :]
        self._digest.update(data)
        self.size_bytes += len(data)

    @property
    def sha256(self) -> bytes:
        """Of what was written so far."""
        return self._digest.digest()

    def finish(self) -> StoredFile:
        """Give it its name, in one step: whoever reads has the old file or the new one, whole."""
        with _told(self.path):
            with _ignoring(FileNotFoundError):
                mode = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False).st_mode
                if stat.S_ISREG(mode):
                    os.fchmod(self.descriptor, stat.S_IMODE(mode))
            os.replace(self.temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        self.temporary = ""
        return StoredFile(path=self.path, bytes=self.size_bytes, sha256=self.sha256.hex())

    def close(self) -> None:
        """Whatever came of it; what is not finished is gone."""
        try:
            if self.temporary:
                with _ignoring(FileNotFoundError):
                    os.unlink(self.temporary, dir_fd=self.folder)
        finally:
            os.close(self.descriptor)
            os.close(self.folder)


def begin_upload(root: str, path: str) -> Upload:
    """Directories on the way are made. Raises NotFound, BadMessage, StorageFull, StorageIo."""
    parts = parts_of(path)
    if not parts:
        raise _no_file(path, "it is the session's own directory")
    with _folder(root, parts[:-1], path, make=True) as folder, _told(path):
        kept = os.dup(folder)
        try:
            temporary = f".{secrets.token_hex(12)}.part"
            descriptor = os.open(temporary, _NEW, 0o666, dir_fd=kept)
        except BaseException:
            os.close(kept)
            raise
    return Upload("/".join(parts), kept, parts[-1], temporary, descriptor)


# --- the way there ------------------------------------------------------------------------------


@contextmanager
def _folder(root: str, parts: list[str], path: str, *, make: bool = False) -> Iterator[int]:
    with _told(path):
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            with _told(path):
                if make:
                    with _ignoring(FileExistsError):
                        os.mkdir(part, dir_fd=folder)
                deeper = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = deeper
        yield folder
    finally:
        os.close(folder)


def _listed(folder: int, path: str, *, close: bool = False) -> Directory:
    entries = []
    for name in sorted(os.listdir(folder)):
        try:
            state = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue  # removed meanwhile
        is_file, is_folder = stat.S_ISREG(state.st_mode), stat.S_ISDIR(state.st_mode)
        entries.append(
            DirectoryEntry(
                name=name,
                kind="file" if is_file else "directory" if is_folder else "other",
                bytes=state.st_size if is_file else None,
                modified_at=state.st_mtime,
            )
        )
    if close:
        os.close(folder)
    return Directory(path="/".join(parts_of(path)), entries=entries)


def _digested(descriptor: int) -> OpenFile:
    digest, size_bytes = hashlib.sha256(), 0
    while data := os.pread(descriptor, CHUNK_BYTES, size_bytes):
        digest.update(data)
        size_bytes += len(data)
    return OpenFile(descriptor, size_bytes, digest.digest())


@contextmanager
def _ignoring(kind: type[OSError]) -> Iterator[None]:
    try:
        yield
    except kind:
        return


@contextmanager
def _told(path: str) -> Iterator[None]:
    """The system's errors, in this project's words."""
    try:
        yield
    except OSError as error:
        raise _in_words(path, error) from error


def _in_words(path: str, error: OSError) -> PyreplError:
    path = path.strip("/")  # as its client has it, who named it below the session's directory
    why = error.strerror or str(error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            why = "something on the way to it is no directory; symbolic links are not followed"
        return _no_file(path, why)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFull(
            what=f"{path[:200]!r} was not written",
            why=why,
            how="Make room where the session's directory is; what was there before is unchanged",
            details={"path": path[:200]},
        )
    if error.errno in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENAMETOOLONG):
        return BadMessage(
            what=f"that cannot be done with {path[:200]!r}",
            why=why,
            how="Name a file, or a directory that is empty",
            details={"path": path[:200]},
        )
    return StorageIo(
        what=f"the disk failed at {path[:200]!r}",
        why=why,
        how="See to the permissions, and to the disk",
        details={"path": path[:200], "errno": errno.errorcode.get(error.errno or 0, "")},
    )


def _no_file(path: str, why: str) -> PyreplError:
    path = path.strip("/")
    return NotFound(
        what=f"there is no file {path[:200]!r}",
        why=why,
        how="List the directory: GET /v1/sessions/SESSION/files",
        details={"path": path[:200]},
    )
