"""The files, sockets, children and threads of this process at one moment, to be compared.

Owns how each is found and named. Must not know why.
"""

import os
import sys
from importlib import import_module
from os import fsdecode
from posix import dup, fstat, listdir, readlink, stat
from stat import S_ISREG, S_ISSOCK

from .audit_notes import Entry, address_text, file_entry
from .descriptors import CONFIGURATION
from .looks import read


class Standing:
    """The files, sockets, children and threads of this process at one moment."""

    def __init__(
        self,
        files: dict[tuple[int, int], tuple[int, tuple[int, int]]],
        sockets: dict[tuple[int, int], int],
        children: frozenset[int],
        threads: frozenset[int],
    ) -> None:
        self.files = files
        """Those that are open for writing, by device and inode: a descriptor, length and time."""
        self.sockets = sockets
        self.children = children
        self.threads = threads

    @classmethod
    def now(cls) -> "Standing | None":
        """None: there is no descriptor left to look with."""
        files, sockets = {}, {}
        try:
            descriptors, tasks = listdir("/proc/self/fd"), listdir("/proc/self/task")
        except OSError:
            return None
        for descriptor in map(int, descriptors):
            if descriptor <= CONFIGURATION:
                continue
            try:
                status = fstat(descriptor)
                is_file = S_ISREG(status.st_mode) and _is_writable(descriptor)
            except OSError:
                continue  # of the listing itself, closed by now
            which = (status.st_dev, status.st_ino)
            if is_file:
                files[which] = (descriptor, (status.st_size, status.st_mtime_ns))
            elif S_ISSOCK(status.st_mode):
                sockets[which] = descriptor
        threads = frozenset(map(int, tasks))
        return cls(files, sockets, _children(threads), threads)

    def files_since(self, before: "Standing", told: frozenset[tuple[int, int]]) -> list[Entry]:
        """Files that have grown, and that C code has opened. ``told``: those that are known."""
        found = []
        for which, (descriptor, state) in self.files.items():
            earlier = before.files.get(which)
            if which not in told and (earlier is None or earlier[1] != state):
                path = _link_of(descriptor)
                # One that has no name, or none any more, ends with the process.
                if path[:1] == "/" and not path.endswith(" (deleted)"):
                    entry = file_entry("file_written", path)
                    found += [] if entry is None else [entry]
        return found

    def others_since(self, before: "Standing") -> list[Entry]:
        """Connections, children and threads that were not there."""
        sockets = [self.sockets[which] for which in self.sockets if which not in before.sockets]
        children = sorted(self.children - before.children)
        threads = sorted(self.threads - before.threads)
        return [
            *(("socket_connected", peer) for peer in map(_peer_of, sockets) if peer is not None),
            *(("process_running", _described(pid)) for pid in children),
            *(("thread_running", _thread_name(thread)) for thread in threads),
        ]


def _is_writable(descriptor: int) -> bool:
    with open(f"/proc/self/fdinfo/{descriptor}", "rb", buffering=0) as file:
        flags = file.read(200).partition(b"flags:")[2].split(None, 1)[0]
    return bool(int(flags, 8) & os.O_ACCMODE)


def identities_of(paths: set[str]) -> frozenset[tuple[int, int]]:
    found = set()
    for path in paths:
        try:
            status = stat(path)
        except (OSError, ValueError):
            continue  # it has been removed again
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _link_of(descriptor: int) -> str:
    try:
        return readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def _peer_of(descriptor: int) -> str | None:
    """Whom it is connected to; None: nobody, or another end in this same process."""
    try:
        return _peer_address(descriptor)
    except (OSError, TypeError, ImportError):
        return None


def _peer_address(descriptor: int) -> str:
    # Loaded with the first of them: most sessions have none.
    end = import_module("_socket").socket(fileno=dup(descriptor))
    try:
        return address_text(end.getpeername())
    finally:
        end.close()


def _children(threads: frozenset[int]) -> frozenset[int]:
    found: set[int] = set()
    for thread in threads:
        found.update(map(int, _contents(f"/proc/self/task/{thread}/children").split()))
    return frozenset(found)


def _described(pid: int) -> str:
    words = _contents(f"/proc/{pid}/cmdline").rstrip(b"\0").split(b"\0")
    # One that is just becoming a program has its name before its arguments.
    command = " ".join(map(fsdecode, words)) or fsdecode(_contents(f"/proc/{pid}/comm").strip())
    return f"pid {pid}: {command}"


def _thread_name(thread: int) -> str:
    """As Python has it; of C code's the one that the kernel has."""
    threading = sys.modules.get("threading")
    known = getattr(threading, "_active", None)
    for each in list(known.values()) if type(known) is dict else ():
        try:
            attributes = read(each, "__dict__")
        except TypeError:
            continue
        name = attributes.get("_name")
        if attributes.get("_native_id") == thread and type(name) is str:
            return name
    return fsdecode(_contents(f"/proc/self/task/{thread}/comm").strip()) + " (C code)"


def _contents(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(4096)
    except OSError:
        return b""  # it has ended, or this kernel does not tell
