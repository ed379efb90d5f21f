"""The programs that the command runs, read as python reads them.

Owns where the source comes from, and what python would set up for each kind (argv, path, file
name). Must not know sessions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import attrs

from pyrepl3.cli.descriptors import read_all


class ProgramUnreadable(Exception):
    """The program cannot be read: what python would say, and the exit status it would have."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@attrs.frozen
class Program:
    """Source, and what a script finds in ``sys`` and ``__main__``."""

    code: str
    filename: str
    argv: tuple[str, ...]
    path_entry: str
    """What is first in ``sys.path``."""
    file: str | None = None
    """``__file__``; None where python sets none."""


def from_code(code: str, arguments: Sequence[str]) -> Program:
    """The program of ``-c``."""
    return Program(code, "<string>", ("-c", *arguments), "")


def from_standard_input(argv: Sequence[str]) -> Program:
    """The program that is the standard input, read to its end.

    Raises ProgramUnreadable.
    """
    source = _decode(read_all(), "<stdin>")
    return Program(source, "<stdin>", tuple(argv), "")


def from_file(path: str, arguments: Sequence[str]) -> Program:
    """The program in a file.

    Raises ProgramUnreadable.
    """
    if os.path.isdir(path):
        full = os.path.abspath(path)
        raise ProgramUnreadable(f"pyrepl3: can't find '__main__' module in '{full}'", 1)
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        full = os.path.abspath(path)
        raise ProgramUnreadable(
            f"pyrepl3: can't open file '{full}': [Errno {error.errno}] {error.strerror}", 2
        ) from error
    # As python: __file__ is absolute, argv[0] is what was typed.
    name = os.path.join(os.getcwd(), path)
    folder = os.path.dirname(os.path.realpath(path))
    return Program(_decode(source, name), name, (path, *arguments), folder, file=name)


def _decode(source: bytes, filename: str) -> str:
    """The text of a source, by its BOM or its coding line, else UTF-8."""
    head = b"\n".join(source.split(b"\n", 2)[:2])
    if source.startswith(b"\xef\xbb\xbf") or b"coding" in head:
        # Not imported for the usual source: it takes as long as the code that it is to run.
        import tokenize

        try:
            encoding, _ = tokenize.detect_encoding(iter(source.splitlines(True)).__next__)
            return source.decode(encoding)
        except (SyntaxError, UnicodeDecodeError):
            raise _malformed(source, filename) from None
    try:
        return source.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed(source, filename) from None


def _malformed(source: bytes, filename: str) -> ProgramUnreadable:
    """Ask the compiler, which knows what to say of such bytes."""
    import traceback

    try:
        compile(source, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        lines = traceback.format_exception_only(error)
        return ProgramUnreadable("".join(lines).rstrip("\n"), 1)
    return ProgramUnreadable(f"pyrepl3: {filename} is no text: {sys.getdefaultencoding()}", 1)
