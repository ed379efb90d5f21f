"""What Python's audit events say of things that no snapshot covers.

Pure, but for where a relative path is: events in, short entries out. Must not know when they are
asked for.
"""

import os
import sys
from collections.abc import Callable
from os import fsdecode
from os.path import normpath
from posix import getcwd, getpid, readlink
from typing import Any

from .values import true_name

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NO_FILES = ("/dev/", "/proc/", "/sys/")
_CACHE = "__pycache__"

Entry = tuple[str, str]
"""What kind it is of, and which one, in words."""


_HERE = -1
"""Instead of a directory's descriptor: the working directory."""


def _path(named: Any, directory: int = _HERE) -> str:
    """The absolute path. Raises TypeError for what has none: a descriptor, say."""
    name = _text(named)
    if name[:1] == "/":
        return normpath(name)
    if type(directory) is not int:
        raise TypeError("no descriptor")
    base = getcwd() if directory == _HERE else readlink(f"/proc/self/fd/{directory}")
    return normpath(f"{base}/{name}")


def _text(named: Any) -> str:
    kind = type(named)
    if kind is str:
        return str(named)
    if kind is bytes:
        return fsdecode(named)
    pathlib = sys.modules.get("pathlib")
    if pathlib is None or kind is not pathlib.PosixPath:
        raise TypeError(true_name(kind))
    return str(named)


def file_entry(kind: str, path: str) -> Entry | None:
    if path.startswith(_NO_FILES) or _CACHE in path:
        return None
    return kind, path


def _opened(path: Any, mode: Any, flags: Any) -> Entry | None:
    # io.open says both; os.open has no mode.
    if type(flags) is int:
        writes = bool(flags & _WRITING)
    else:
        writes = type(mode) is str and any(each in mode for each in "wax+")
    return file_entry("file_written", _path(path)) if writes else None


def _path_in(kind: str) -> Callable[..., Entry | None]:
    """Of an event whose last argument is the descriptor of the path's directory."""
    return lambda path, *others: file_entry(kind, _path(path, others[-1]))


def _truncated(path: Any, _: Any) -> Entry | None:
    return file_entry("file_written", _path(path))


def _renamed(source: Any, target: Any, of_source: int, of_target: int) -> Entry | None:
    before, after = _path(source, of_source), _path(target, of_target)
    return None if _CACHE in after else ("file_renamed", f"{before} -> {after}")


def _linked(_: Any, target: Any, *directories: int) -> Entry | None:
    return file_entry("file_linked", _path(target, directories[-1]))


def _database(name: Any) -> Entry | None:
    if _text(name) in (":memory:", ""):
        return None
    return "database_opened", _path(name)


def address_text(address: Any) -> str:
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
    return "socket_connected", address_text(address)


def _sent(_: Any, address: Any, *__: Any) -> Entry | None:
    return None if address is None else ("datagram_sent", address_text(address))


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
    if type(pid) is not int or type(number) is not int:
        raise TypeError("no signal")
    if number == 0 or pid in (0, getpid()):
        return None
    return "signal_sent", f"{number} to {pid}"


NOTES: dict[str, Callable[..., Entry | None]] = {
    "open": _opened,
    "os.truncate": _truncated,
    "os.remove": _path_in("file_removed"),
    "os.rename": _renamed,
    "os.link": _linked,
    "os.symlink": _linked,
    "os.mkdir": _path_in("directory_made"),
    "os.rmdir": _path_in("directory_removed"),
    "os.chmod": _path_in("file_changed"),
    "os.chown": _path_in("file_changed"),
    "os.utime": _path_in("file_changed"),
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
"""By the event that is noted: it gets that event's arguments, and may raise anything."""
