"""What code did that no snapshot covers: files, sockets, child processes, threads.

Owns two ways to see it. An audit hook notes what Python's own functions are asked for as it
happens, as a file that was written and closed again leaves no other trace. And descriptors,
children and threads are compared before and after, which shows also what C code did, as far as it
is still there. Must not know what a snapshot is, nor when one is taken.

A hook can never be removed, and is called for each audit event of the process from then on (0.1
microseconds; `open`, `import`, `id` raise one): it is installed with the first snapshot, so that
sessions without any pay nothing.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from os import fsdecode
from os.path import normpath
from posix import dup, fstat, getcwd, getpid, listdir, readlink, stat
from stat import S_ISREG, S_ISSOCK
from types import FunctionType
from typing import Any

from .descriptors import CONFIGURATION
from .interrupts import Interrupts
from .last_notes import LastNotes
from .looks import read
from .values import cut, encodable, true_name

MOST_ENTRIES = 50
"""What more there is, is counted in one last entry of the kind ``more``."""
DETAIL_CHARACTERS = 300
_SEEN_AT_MOST = 1000
"""Different entries of one execution that are told apart, so that a loop costs no memory."""

_register_at_fork = os.register_at_fork

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NO_FILES = ("/dev/", "/proc/", "/sys/")
_CACHE = "__pycache__"

Entry = tuple[str, str]
"""What kind it is of, and which one, in words."""
Message = dict[str, Any]


class Watch:
    """Sees what the code of one process does, from `begin` to `end`."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.is_watching = False
        self.last_notes = LastNotes()
        """For who comes after a crash."""
        self._interrupts = interrupts
        self._is_installed = False
        self._noted: dict[Entry, None] = {}
        self._unnoted = 0
        self._before: _Standing | None = None

    def begin(self) -> None:
        """Code is about to run that may be undone."""
        if not self._is_installed:
            self._is_installed = True
            sys.addaudithook(_hook_of(self, self._interrupts))
            _register_at_fork(after_in_child=self._leave)
        self._noted.clear()
        self._unnoted = 0
        self.last_notes.clear()
        self._before = _Standing.now()
        self.is_watching = True

    def end(self) -> list[Message]:
        """It has run: what of that no snapshot undoes, each once."""
        self.is_watching = False
        self.last_notes.clear()
        told = list(self._noted)
        before, now = self._before, _Standing.now()
        if before is not None and now is not None:
            written = {detail for kind, detail in told if kind == "file_written"}
            seen = now.files_since(before, _identities(written)) + now.others_since(before)
            told += [each for each in map(_shown, seen) if each not in self._noted]
        more = self._unnoted + len(told) - MOST_ENTRIES
        del told[MOST_ENTRIES:]
        if more > 0:
            told.append(("more", str(more)))
        return [{"kind": kind, "detail": what} for kind, what in told]

    def _leave(self) -> None:
        """This is a child of the user's: what it does is no more told than what a program does."""
        self.is_watching = False

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """That is about to be done."""
        try:
            noted = _NOTES[event](*arguments)
        except Exception:
            # Odd arguments, which the function that was called is to refuse; never the hook.
            return
        entry = None if noted is None else _shown(noted)
        if entry is None or entry in self._noted:
            return
        if len(self._noted) < _SEEN_AT_MOST:
            self._noted[entry] = None
            self.last_notes.add(*entry)
        else:
            self._unnoted += 1


def _shown(entry: Entry) -> Entry:
    """With a detail that can be told on every way."""
    kind, detail = entry
    return kind, encodable(cut(detail, DETAIL_CHARACTERS)).replace("\0", "@")


def _hook_of(watch: Watch, interrupts: Interrupts) -> Callable[[str, tuple[Any, ...]], None]:
    """The audit hook. Its frame has no builtins of the runtime: a signal that strikes in it is the
    interrupted code's, as it is called from anywhere, a hundred times in a loop of the user's."""
    notes = _NOTES

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in notes and watch.is_watching:
            watch.note(event, arguments)
            if interrupts.pending:
                interrupts.deliver()

    return FunctionType(hook.__code__, {"__builtins__": {}}, "hook", None, hook.__closure__)


# --- what the audit events say --------------------------------------------------------------------


def _path(named: Any) -> str:
    """The absolute path. Raises TypeError for what has none: a descriptor, say."""
    kind = type(named)
    if kind is bytes:
        named = fsdecode(named)
    elif kind is not str:
        pathlib = sys.modules.get("pathlib")
        if pathlib is None or kind not in (pathlib.PosixPath, pathlib.Path):
            raise TypeError(true_name(kind))
        named = str(named)
    path = named if named[:1] == "/" else f"{getcwd()}/{named}"
    return normpath(path)


def _file(kind: str, path: str) -> Entry | None:
    if path.startswith(_NO_FILES) or _CACHE in path:
        return None
    return kind, path


def _opened(path: Any, mode: Any, flags: Any) -> Entry | None:
    # io.open says both; os.open has no mode.
    writes = flags & _WRITING if type(flags) is int else any(each in mode for each in "wax+")
    return _file("file_written", _path(path)) if writes else None


def _one_path(kind: str) -> Callable[..., Entry | None]:
    return lambda path, *_: _file(kind, _path(path))


def _renamed(source: Any, target: Any, *_: Any) -> Entry | None:
    source, target = _path(source), _path(target)
    return None if _CACHE in target else ("file_renamed", f"{source} -> {target}")


def _linked(_: Any, target: Any, *__: Any) -> Entry | None:
    return _file("file_linked", _path(target))


def _database(name: Any) -> Entry | None:
    if name in (":memory:", "", b":memory:", b""):
        return None
    return "database_opened", _path(name)


def _address(address: Any) -> str:
    if type(address) is tuple and len(address) >= 2:
        host, port = address[:2]
        host = fsdecode(host) if type(host) is bytes else host
        if type(host) is not str or type(port) is not int:
            raise TypeError("no address")
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    text = fsdecode(address) if type(address) is bytes else address
    if type(text) is not str or not text:
        raise TypeError("no address")
    return text


def _connected(_: Any, address: Any) -> Entry:
    return "socket_connected", _address(address)


def _sent(_: Any, address: Any, *__: Any) -> Entry | None:
    return None if address is None else ("datagram_sent", _address(address))


def _command(words: Any) -> str:
    if type(words) is bytes:
        return fsdecode(words)
    if type(words) is str:
        return words
    if type(words) in (list, tuple):
        return " ".join(_command(each) for each in words[:20])
    return _path(words)


def _process(executable: Any, arguments: Any = None, *_: Any) -> Entry:
    return "process_started", _command(executable if arguments is None else arguments)


def _forked(*_: Any) -> Entry:
    return "process_started", "a fork of this one"


def _signalled(pid: Any, number: Any) -> Entry | None:
    if number == 0 or pid in (0, getpid()):
        return None
    return "signal_sent", f"{int(number)} to {int(pid)}"


_NOTES: dict[str, Callable[..., Entry | None]] = {
    "open": _opened,
    "os.truncate": _one_path("file_written"),
    "os.remove": _one_path("file_removed"),
    "os.rename": _renamed,
    "os.link": _linked,
    "os.symlink": _linked,
    "os.mkdir": _one_path("directory_made"),
    "os.rmdir": _one_path("directory_removed"),
    "os.chmod": _one_path("file_changed"),
    "os.chown": _one_path("file_changed"),
    "os.utime": _one_path("file_changed"),
    "sqlite3.connect": _database,
    "socket.connect": _connected,
    "socket.sendto": _sent,
    "socket.sendmsg": _sent,
    "subprocess.Popen": _process,
    "os.system": _process,
    "os.posix_spawn": _process,
    "os.fork": _forked,
    "os.forkpty": _forked,
    "os.kill": _signalled,
    "os.killpg": _signalled,
}


# --- what stands before and after -----------------------------------------------------------------


class _Standing:
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
    def now(cls) -> "_Standing | None":
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

    def files_since(self, before: "_Standing", told: frozenset[tuple[int, int]]) -> list[Entry]:
        """Files that have grown, and that C code has opened. ``told``: those that are known."""
        found = []
        for which, (descriptor, state) in self.files.items():
            earlier = before.files.get(which)
            if which not in told and (earlier is None or earlier[1] != state):
                path = _link_of(descriptor)
                # One that has no name, or none any more, ends with the process.
                if path[:1] == "/" and not path.endswith(" (deleted)"):
                    entry = _file("file_written", path)
                    found += [] if entry is None else [entry]
        return found

    def others_since(self, before: "_Standing") -> list[Entry]:
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


def _identities(paths: set[str]) -> frozenset[tuple[int, int]]:
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
        return _address(end.getpeername())
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
