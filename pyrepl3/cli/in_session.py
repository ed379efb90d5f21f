"""What happens in a session around a program: before it `prepare`, after it `finish`.

The command sends this file's text to its session and runs it there, silently; it is the mechanism
by which a session looks to a script as python does. Imports the standard library alone.

Streams: what is no terminal (a file, a pipe) is handed to the session as a descriptor, so bytes,
seeking, broken pipes and child processes behave as under python. A terminal stays with the
command, which has the job control; the session's own streams go there.
"""

import atexit
import builtins
import gc
import io
import os
import socket
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

STREAMS = ("stdin", "stdout", "stderr")
MAIN = vars(sys.modules["__main__"])
FLUSH_FAILED = 120
"""Python's exit status when its standard output could not be written to the end."""


class TerminalInput(io.TextIOWrapper):
    """A terminal that the command reads for us, line by line. ``input()`` prompts as python's."""

    def isatty(self) -> bool:
        return True


def prepare(
    *,
    argv: Sequence[str] | None,
    path_entry: str,
    environment: Sequence[str],
    file: str | None = None,
    terminals: Sequence[str] = (),
    rendezvous: str | None = None,
    handed: Sequence[str] = (),
    formats: Mapping[str, tuple[str, str]] | None = None,
    own_getpass: bool = False,
) -> None:
    """Make the session what python makes of itself before a program begins.

    ``argv``: None for a prompt, which keeps the session's own streams.
    """
    # Found again whatever a program does to sys.modules.
    builtins._pyrepl3_finish = finish  # type: ignore[attr-defined]
    _reduce_environment(environment)
    sys.path[0:1] = [path_entry]
    if argv is None or formats is None:
        return
    sys.argv = list(argv)
    _prepare_main(file)
    # Plots are the program's own business here, as under python.
    sys.meta_path[:] = [each for each in sys.meta_path if not _is_of_session(each)]
    if rendezvous is not None:
        _take_descriptors(rendezvous, handed, formats)
    for name in terminals:
        if name in handed:
            continue
        if name == "stdin":
            raw = sys.stdin.buffer.raw  # type: ignore[union-attr]
            sys.stdin = sys.__stdin__ = TerminalInput(  # type: ignore[misc]
                io.BufferedReader(raw), encoding="utf-8", errors=formats[name][1]
            )
        else:
            stream = getattr(sys, name)
            stream.reconfigure(errors=formats[name][1])
            stream.isatty = lambda: True
    if own_getpass:
        import getpass

        getpass.getpass = getpass.unix_getpass  # type: ignore[attr-defined,unused-ignore]


def finish(report: str) -> None:
    """What python does after a program's last line. ``report``: the traceback, if it failed.

    Raises SystemExit with python's status when the output could not be flushed.
    """
    if report:
        _tell(sys.last_value, report)
    _guarded(threading, threading._shutdown)  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    _flush()
    for name in [each for each in MAIN if each != "__builtins__"]:
        MAIN.pop(name, None)
    sys.last_value = sys.last_traceback = None
    sys.last_exc = None  # type: ignore[attr-defined,unused-ignore]
    gc.collect()
    _flush()


def _reduce_environment(names: Sequence[str]) -> None:
    """Exactly the caller's variables: sessions have some more, against thread pools."""
    for name in set(os.environ).difference(names):
        del os.environ[name]


def _prepare_main(file: str | None) -> None:
    if file is None:
        MAIN["__loader__"] = sys.__loader__
        return
    from importlib.machinery import SourceFileLoader

    MAIN["__loader__"] = SourceFileLoader("__main__", file)
    MAIN["__file__"] = file
    MAIN["__cached__"] = None


def _is_of_session(finder: object) -> bool:
    return type(finder).__module__.startswith("_pyrepl3")


def _take_descriptors(
    rendezvous: str, handed: Sequence[str], formats: Mapping[str, tuple[str, str]]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect("\0" + rendezvous)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, len(STREAMS))
    for name, descriptor in zip(handed, descriptors, strict=True):
        number = STREAMS.index(name)
        os.dup2(descriptor, number)
        os.close(descriptor)
        stream = _open_stream(name, number, *formats[name])
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _open_stream(name: str, number: int, encoding: str, errors: str) -> io.TextIOWrapper:
    """As python opens it, but that output goes out line by line also where it is a file."""
    raw = io.FileIO(number, "rb" if name == "stdin" else "wb", closefd=False)
    raw.name = f"<{name}>"
    if name == "stdin":
        stdin = io.TextIOWrapper(io.BufferedReader(raw), encoding, errors)
        stdin.mode = "r"  # type: ignore[misc]
        return stdin
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    binary: Any = raw if unbuffered else io.BufferedWriter(raw)
    stream = io.TextIOWrapper(
        binary, encoding, errors, line_buffering=True, write_through=unbuffered
    )
    stream.mode = "w"  # type: ignore[misc]
    return stream


def _tell(error: BaseException | None, report: str) -> None:
    """Report what ended the program, by its own ``sys.excepthook`` if it has one."""
    if isinstance(error, SystemExit):
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
        return
    _flush_quietly(sys.stdout)
    if sys.excepthook is sys.__excepthook__ or error is None:
        sys.stderr.write(report)
        return
    try:
        sys.excepthook(type(error), error, sys.last_traceback)
    except (Exception, KeyboardInterrupt, SystemExit) as failure:
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(failure), failure, failure.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.stderr.write(report)


def _guarded(origin: object, step: Any) -> None:
    """As python ends: an exception of one step is told, and the next step runs."""
    try:
        step()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        text = "".join(traceback.format_exception(type(error), error, frames))
        sys.stderr.write(f"Exception ignored in: {origin!r}\n{text}")


def _flush() -> None:
    if not _flush_quietly(sys.stdout):
        _stop_writing()
    _flush_quietly(sys.stderr)


def _flush_quietly(stream: Any) -> bool:
    try:
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()
    except Exception as error:
        if stream is sys.stdout:
            origin = f"Exception ignored in: {stream!r}\n{type(error).__name__}: {error}\n"
            sys.stderr.write(origin)
        return False
    return True


def _stop_writing() -> NoReturn:
    """What is left in the buffer can never be written: let it go without a second report."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    raise SystemExit(FLUSH_FAILED)
