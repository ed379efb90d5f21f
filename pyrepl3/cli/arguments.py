"""The command line, understood: from a list of words to what is wanted.

Pure. Like python's own, options end where the program's own arguments begin, so `argparse` (and
the time that its import takes) is not used. Must not run anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

STANDARD_INPUT = "-"
COMMANDS = ("run", "doctor", "help")


class UsageError(Exception):
    """The command line cannot be understood; ``what`` is wrong, and ``how`` it could be right."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(what, how)
        self.what = what
        self.how = how


@attrs.frozen
class ShowHelp:
    """``--help``."""


@attrs.frozen
class ShowVersion:
    """``--version``."""


@attrs.frozen
class Interact:
    """No arguments: a REPL on a terminal; otherwise what comes in is a program."""


@attrs.frozen
class RunCode:
    """``-c CODE``."""

    code: str
    arguments: tuple[str, ...]


@attrs.frozen
class RunInput:
    """``-``: the program is the standard input."""

    arguments: tuple[str, ...]


@attrs.frozen
class RunFile:
    """``run FILE``."""

    path: str
    arguments: tuple[str, ...]


@attrs.frozen
class Doctor:
    """``doctor``."""

    as_json: bool


Command = ShowHelp | ShowVersion | Interact | RunCode | RunInput | RunFile | Doctor


def parse(words: Sequence[str]) -> Command:
    """What the words after the command's name ask for.

    Raises UsageError.
    """
    if not words:
        return Interact()
    first, *rest = words
    if first in ("-h", "--help", "help"):
        return ShowHelp()
    if first in ("-V", "--version"):
        return ShowVersion()
    if first == "-c":
        return _code(rest)
    if first.startswith("-c") and not first.startswith("--"):
        # As python: the code may follow without a space.
        return RunCode(first[2:], tuple(rest))
    if first == STANDARD_INPUT:
        return RunInput(tuple(rest))
    if first == "run":
        return _file(rest)
    if first == "doctor":
        return _doctor(rest)
    raise _unknown(first)


def _code(rest: list[str]) -> RunCode:
    if not rest:
        raise UsageError("-c needs the code to run", "pyrepl3 -c 'print(6 * 7)'")
    return RunCode(rest[0], tuple(rest[1:]))


def _file(rest: list[str]) -> Command:
    if rest and rest[0] in ("-h", "--help"):
        return ShowHelp()
    if rest and rest[0] == "--":
        rest = rest[1:]
    elif rest and rest[0].startswith("-") and rest[0] != STANDARD_INPUT:
        raise UsageError(
            f"run takes a file, and {rest[0]} looks like an option",
            f"pyrepl3 run FILE {rest[0]} gives it to the script; "
            f"pyrepl3 run -- {rest[0]} runs a file of that name",
        )
    if not rest:
        raise UsageError("run needs the file to run", "pyrepl3 run script.py [ARGUMENT...]")
    path, *arguments = rest
    if path == STANDARD_INPUT:
        return RunInput(tuple(arguments))
    return RunFile(path, tuple(arguments))


def _doctor(rest: list[str]) -> Command:
    as_json = False
    for word in rest:
        if word == "--json":
            as_json = True
        elif word in ("-h", "--help"):
            return ShowHelp()
        else:
            raise UsageError(f"doctor does not know {word}", "pyrepl3 doctor [--json]")
    return Doctor(as_json)


def _unknown(word: str) -> UsageError:
    if word.startswith("-"):
        return UsageError(f"there is no option {word}", "pyrepl3 --help shows what there is")
    if word.endswith(".py") or "/" in word:
        return UsageError(f"there is no command {word!r}", f"to run a file: pyrepl3 run {word}")
    import difflib

    close = difflib.get_close_matches(word, COMMANDS, n=1)
    if close:
        return UsageError(f"there is no command {word!r}", f"did you mean: pyrepl3 {close[0]}")
    return UsageError(
        f"there is no command {word!r}",
        f"the commands are: {', '.join(COMMANDS)}; to run a file: pyrepl3 run {word}",
    )
