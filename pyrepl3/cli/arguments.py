"""The command line, understood: from a list of words to what is wanted.

Pure. Like python's own, options end where the program's own arguments begin, so `argparse` (and
the time that its import takes) is not used. Must not run anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from pyrepl3.cli.remote_arguments import (
    CONNECTS,
    Connect,
    Copy,
    RemoteCommand,
    ShowConsole,
    ShowSessionHelp,
    parse_connect,
    parse_console,
    parse_copy,
    parse_exec,
    parse_session,
)
from pyrepl3.cli.usage import UsageError, value_of, whole_number

if TYPE_CHECKING:
    from pyrepl3.telemetry.logs import LogFormat, LogLevel

STANDARD_INPUT = "-"
COMMANDS = ("run", "serve", "session", "exec", "cp", "console", "doctor", "spec", "help")
RECORD = "--record-trace"
SERVE = "pyrepl3 serve [--host HOST] [--port PORT] [--token-file FILE]; --help shows all"
SPEC_CHECK = "pyrepl3 spec check TRACE... [--json] [--min-coverage PERCENT] [--keep DIR]"


@attrs.frozen
class ShowHelp:
    """``--help``."""


@attrs.frozen
class ShowVersion:
    """``--version``."""


@attrs.frozen(kw_only=True)
class _Runs:
    """What runs code, and may record what the service does for it."""

    record_trace: str | None = None


@attrs.frozen
class Interact(_Runs):
    """No arguments: a REPL on a terminal; otherwise what comes in is a program."""


@attrs.frozen
class RunCode(_Runs):
    """``-c CODE``."""

    code: str
    arguments: tuple[str, ...]


@attrs.frozen
class RunInput(_Runs):
    """``-``: the program is the standard input."""

    arguments: tuple[str, ...]


@attrs.frozen
class RunFile(_Runs):
    """``run FILE``."""

    path: str
    arguments: tuple[str, ...]


@attrs.frozen
class Doctor:
    """``doctor``."""

    as_json: bool


@attrs.frozen
class ShowServeHelp:
    """``serve --help``."""


@attrs.frozen(kw_only=True)
class Serve(_Runs):
    """``serve``. None, and an empty tuple: the configuration's default."""

    host: str | None = None
    port: int | None = None
    token_file: str | None = None
    token_fd: int | None = None
    """A descriptor to read the tokens from instead."""
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure_bind: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    min_idle: int | None = None
    max_sessions: int | None = None
    log_format: LogFormat | None = None
    log_level: LogLevel = "info"


@attrs.frozen
class ShowSpecHelp:
    """``spec --help``."""


@attrs.frozen(kw_only=True)
class SpecCheck:
    """``spec check TRACE...``."""

    recordings: tuple[str, ...]
    as_json: bool = False
    min_coverage: float | None = None
    """In percent."""
    keep: str | None = None
    """A directory for what TLC was given."""


Run = Interact | RunCode | RunInput | RunFile
Command = (
    ShowHelp
    | ShowVersion
    | Run
    | Serve
    | ShowServeHelp
    | RemoteCommand
    | ShowConsole
    | Connect
    | Copy
    | ShowSessionHelp
    | Doctor
    | ShowSpecHelp
    | SpecCheck
)


def parse(words: Sequence[str]) -> Command:
    """What the words after the command's name ask for.

    Raises UsageError.
    """
    record_trace, rest = _recording(words)
    command = _command(rest)
    if record_trace is None:
        return command
    if not isinstance(command, Run | Serve) or command.record_trace is not None:
        raise UsageError(f"{RECORD} cannot be given here", f"pyrepl3 {RECORD} FILE run script.py")
    return attrs.evolve(command, record_trace=record_trace)


def _recording(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The file to record into, where the words begin with one, and the words after it."""
    if not words or words[0].partition("=")[0] != RECORD:
        return None, list(words)
    path, rest = value_of(RECORD, words, f"pyrepl3 {RECORD} FILE run script.py")
    return path, rest


def _command(words: list[str]) -> Command:
    if not words:
        return Interact()
    first, *rest = words
    if first in ("-h", "--help", "help"):
        return ShowHelp()
    if first in ("-V", "--version"):
        return ShowVersion()
    if first.partition("=")[0] in CONNECTS:
        return parse_connect(words)
    if first == "-c":
        return _code(rest)
    if first.startswith("-c") and not first.startswith("--"):
        # As python: the code may follow without a space.
        return RunCode(first[2:], tuple(rest))
    if first == STANDARD_INPUT:
        return RunInput(tuple(rest))
    if first == "run":
        return _file(rest)
    if first == "serve":
        return _serve(rest)
    if first == "session":
        return parse_session(rest)
    if first == "exec":
        return parse_exec(rest)
    if first == "console":
        return parse_console(rest)
    if first == "cp":
        return parse_copy(rest)
    if first == "doctor":
        return _doctor(rest)
    if first == "spec":
        return _spec(rest)
    if first.partition("=")[0] == RECORD:
        raise UsageError(f"{RECORD} is there twice", "one file takes all that is recorded")
    raise _unknown(first)


def _code(rest: list[str]) -> RunCode:
    if not rest:
        raise UsageError("-c needs the code to run", "pyrepl3 -c 'print(6 * 7)'")
    return RunCode(rest[0], tuple(rest[1:]))


def _file(words: list[str]) -> Command:
    record_trace, rest = _recording(words)
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
        return RunInput(tuple(arguments), record_trace=record_trace)
    return RunFile(path, tuple(arguments), record_trace=record_trace)


_SERVE_TEXTS = {
    "--host": "host",
    "--token-file": "token_file",
    "--tls-cert": "tls_cert",
    "--tls-key": "tls_key",
    RECORD: "record_trace",
}
_SERVE_NUMBERS = {
    "--port": "port",
    "--token-fd": "token_fd",
    "--min-idle": "min_idle",
    "--max-sessions": "max_sessions",
}
_SERVE_CHOICES: dict[str, tuple[str, ...]] = {
    "--log-format": ("console", "json"),
    "--log-level": ("debug", "info", "warning", "error"),
}
_SERVE_LISTS = {"--allow-host": "allowed_hosts", "--allow-origin": "allowed_origins"}


def _serve(rest: list[str]) -> Command:
    options: dict[str, Any] = {}
    while rest:
        word = rest[0]
        option = word.partition("=")[0]
        if word in ("-h", "--help"):
            return ShowServeHelp()
        if word == "--insecure-bind":
            options["insecure_bind"], rest = True, rest[1:]
        elif option in _SERVE_TEXTS:
            options[_SERVE_TEXTS[option]], rest = value_of(option, rest, SERVE)
        elif option in _SERVE_NUMBERS:
            value, rest = value_of(option, rest, SERVE)
            options[_SERVE_NUMBERS[option]] = whole_number(option, value, SERVE)
        elif option in _SERVE_CHOICES:
            value, rest = value_of(option, rest, SERVE)
            options[option[2:].replace("-", "_")] = _choice(option, value)
        elif option in _SERVE_LISTS:
            value, rest = value_of(option, rest, SERVE)
            name = _SERVE_LISTS[option]
            options[name] = (*options.get(name, ()), value)
        else:
            raise _unknown_to_serve(word)
    if "token_file" in options and "token_fd" in options:
        raise UsageError("--token-file and --token-fd are both there", "give one of them")
    return Serve(**options)


def _choice(option: str, value: str) -> str:
    choices = _SERVE_CHOICES[option]
    if value not in choices:
        raise UsageError(f"{option} cannot be {value!r}", f"it is one of {', '.join(choices)}")
    return value


def _unknown_to_serve(word: str) -> UsageError:
    if word.partition("=")[0] == "--token":
        # Any user of the machine can read the arguments of every process.
        return UsageError(
            "a token is never an argument, where others could read it",
            "put it into a file that you alone can read: pyrepl3 serve --token-file FILE",
        )
    return UsageError(f"serve does not know {word}", SERVE)


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


def _spec(words: list[str]) -> Command:
    if not words:
        raise UsageError("spec needs what to do", SPEC_CHECK)
    first, *rest = words
    if first in ("-h", "--help", "help"):
        return ShowSpecHelp()
    if first != "check":
        raise UsageError(f"spec does not know {first!r}", SPEC_CHECK)
    return _spec_check(rest)


def _spec_check(rest: list[str]) -> Command:
    recordings: list[str] = []
    options: dict[str, Any] = {}
    while rest:
        word = rest[0]
        option = word.partition("=")[0]
        if word in ("-h", "--help"):
            return ShowSpecHelp()
        if word == "--":
            recordings.extend(rest[1:])
            break
        if word == "--json":
            options["as_json"], rest = True, rest[1:]
        elif option == "--min-coverage":
            value, rest = value_of(option, rest, SPEC_CHECK)
            options["min_coverage"] = _percent(value)
        elif option == "--keep":
            options["keep"], rest = value_of(option, rest, SPEC_CHECK)
        elif word.startswith("-"):
            raise UsageError(f"spec check does not know {word}", SPEC_CHECK)
        else:
            recordings.append(word)
            rest = rest[1:]
    if not recordings:
        raise UsageError("spec check needs a recording", SPEC_CHECK)
    return SpecCheck(recordings=tuple(recordings), **options)


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise UsageError(f"--min-coverage is a percentage, and {text!r} is none", SPEC_CHECK)
    return value


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
