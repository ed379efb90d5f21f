"""The command line of what speaks to a service: `session …`, `exec …`, `cp …`, `console`.

Pure. Must not know what becomes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from pyrepl3.cli.usage import UsageError, value_of, whole_number
from pyrepl3.config import POLICIES, Guard, TransactionPolicy

SESSION_START = "pyrepl3 session "
SESSION = (
    f"{SESSION_START}create [--name NAME] [--template TEMPLATE] [--from-snapshot NAME] | "
    "ls [--json] | info SESSION | attach SESSION | "
    "logs SESSION [--since SEQ] [--follow] | interrupt SESSION | "
    "history SESSION [--keep N] [--json] | "
    "undo SESSION [--to EXECUTION] | redo SESSION | fork SESSION [--count N] | "
    "snapshot SESSION --name NAME | snapshots [--json] | drop --name NAME | close SESSION"
)
EXEC = "pyrepl3 exec SESSION -c CODE"
CONSOLE = "pyrepl3 console [--open]"
CONNECT = "pyrepl3 --connect URL [--session NAME] [--token-file FILE]"
COPY = "pyrepl3 cp FILE SESSION:PATH, or pyrepl3 cp SESSION:PATH FILE"
STANDARD_STREAM = "-"


@attrs.frozen
class ShowSessionHelp:
    """``session --help``, ``exec --help``."""


@attrs.frozen(kw_only=True)
class Remote:
    """What speaks to a service. None: as the environment says, or this user's own."""

    url: str | None = None
    token_file: str | None = None


@attrs.frozen(kw_only=True)
class SessionCreate(Remote):
    """``session create``."""

    name: str | None = None
    template: str | None = None
    from_snapshot: str | None = None


@attrs.frozen(kw_only=True)
class SessionList(Remote):
    """``session ls``."""

    as_json: bool = False


@attrs.frozen(kw_only=True)
class SessionInfo(Remote):
    """``session info SESSION``."""

    session: str


@attrs.frozen(kw_only=True)
class SessionAttach(Remote):
    """``session attach SESSION``."""

    session: str


@attrs.frozen(kw_only=True)
class SessionLogs(Remote):
    """``session logs SESSION``; ``since``: from behind that event on."""

    session: str
    since: int = 0
    follow: bool = False


@attrs.frozen(kw_only=True)
class SessionInterrupt(Remote):
    """``session interrupt SESSION``."""

    session: str


@attrs.frozen(kw_only=True)
class SessionHistory(Remote):
    """``session history SESSION``; ``keep``: how many executions can be undone from here on."""

    session: str
    keep: int | None = None
    as_json: bool = False


@attrs.frozen(kw_only=True)
class SessionUndo(Remote):
    """``session undo SESSION``; ``to``: all is undone that came after that execution."""

    session: str
    to: str | None = None


@attrs.frozen(kw_only=True)
class SessionRedo(Remote):
    """``session redo SESSION``."""

    session: str


@attrs.frozen(kw_only=True)
class SessionFork(Remote):
    """``session fork SESSION``; ``count``: how many."""

    session: str
    count: int = 1


@attrs.frozen(kw_only=True)
class SessionSnapshot(Remote):
    """``session snapshot SESSION --name NAME``."""

    session: str
    name: str


@attrs.frozen(kw_only=True)
class SnapshotList(Remote):
    """``session snapshots``."""

    as_json: bool = False


@attrs.frozen(kw_only=True)
class SnapshotDrop(Remote):
    """``session drop --name NAME``."""

    name: str


@attrs.frozen(kw_only=True)
class SessionClose(Remote):
    """``session close SESSION``."""

    session: str


@attrs.frozen(kw_only=True)
class Exec(Remote):
    """``exec SESSION -c CODE``; None: the code is the standard input."""

    session: str
    code: str | None
    policy: TransactionPolicy | None = None
    guard: Guard | None = None
    """None: as its session has it."""
    allow_copy: bool = False
    report: bool = False


@attrs.frozen(kw_only=True)
class ShowConsole(Remote):
    """``console``; ``opens``: in the browser of this machine."""

    opens: bool = False


@attrs.frozen(kw_only=True)
class Connect(Remote):
    """``--connect URL``: a prompt. ``session_named``: by its id or name; None: a new one."""

    session_named: str | None = None


@attrs.frozen
class Place:
    """A file: of this machine, or of a session. `-`: a standard stream."""

    session: str | None
    path: str


@attrs.frozen(kw_only=True)
class Copy(Remote):
    """``cp SRC DST``; one of them is in a session."""

    source: Place
    target: Place


RemoteCommand = (
    SessionCreate
    | SessionList
    | SessionInfo
    | SessionAttach
    | SessionLogs
    | SessionInterrupt
    | SessionHistory
    | SessionUndo
    | SessionRedo
    | SessionFork
    | SessionSnapshot
    | SnapshotList
    | SnapshotDrop
    | SessionClose
    | Exec
)

_TEXTS = {
    "--connect": "url",
    "--token-file": "token_file",
    "--name": "name",
    "--template": "template",
    "--session": "session_named",
    "--policy": "policy",
    "--to": "to",
    "--from-snapshot": "from_snapshot",
}
_FLAGS = {
    "--json": "as_json",
    "--follow": "follow",
    "-f": "follow",
    "--open": "opens",
    "--guard": "guard",
    "--report": "report",
    "--allow-copy": "allow_copy",
}
_CHOICES = {"--guard=auto": ("guard", "auto")}
"""Flags that may say more."""
_NUMBERS = {"--since": "since", "--keep": "keep", "--count": "count"}
_KINDS: dict[str, type[Any]] = {
    "create": SessionCreate,
    "ls": SessionList,
    "info": SessionInfo,
    "attach": SessionAttach,
    "logs": SessionLogs,
    "interrupt": SessionInterrupt,
    "history": SessionHistory,
    "undo": SessionUndo,
    "redo": SessionRedo,
    "fork": SessionFork,
    "snapshot": SessionSnapshot,
    "snapshots": SnapshotList,
    "drop": SnapshotDrop,
    "close": SessionClose,
}


def parse_session(words: Sequence[str]) -> RemoteCommand | ShowSessionHelp:
    """What follows ``session``. Raises UsageError."""
    if not words:
        raise UsageError("session needs what to do", SESSION)
    action, *rest = words
    if action in ("-h", "--help", "help"):
        return ShowSessionHelp()
    kind = _KINDS.get({"list": "ls"}.get(action, action))
    if kind is None:
        raise UsageError(f"session does not know {action!r}", SESSION)
    usage = _usage_of(action)
    options, names = _options(rest, kind, f"session {action}", usage)
    if options is None:
        return ShowSessionHelp()
    wants_session = "session" in attrs.fields_dict(kind)
    if len(names) != wants_session:
        told = "needs a session" if wants_session and not names else f"does not know {names[-1]!r}"
        raise UsageError(f"session {action} {told}", usage)
    if wants_session:
        options["session"] = names[0]
    if kind in (SessionSnapshot, SnapshotDrop) and "name" not in options:
        raise UsageError(f"session {action} needs --name NAME", usage)
    command: RemoteCommand = kind(**options)
    return command


def _usage_of(action: str) -> str:
    for each in SESSION.removeprefix(SESSION_START).split(" | "):
        if each.split()[0] == action:
            return SESSION_START + each
    return SESSION


CONNECTS = ("--connect", "--session", "--token-file")
"""Words of which the first one may be, for a prompt at a service."""


def parse_connect(words: Sequence[str]) -> Connect | ShowSessionHelp:
    """``--connect URL`` and what follows. Raises UsageError."""
    options, names = _options(words, Connect, "the prompt of a session", CONNECT)
    if options is None:
        return ShowSessionHelp()
    if names:
        raise UsageError(
            f"the prompt of a session does not know {names[0]!r}",
            f"{CONNECT}; to run code: pyrepl3 exec SESSION -c CODE",
        )
    if "url" not in options and "session_named" not in options:
        raise UsageError("which service, or which session?", CONNECT)
    return Connect(**options)


def parse_exec(words: Sequence[str]) -> Exec | ShowSessionHelp:
    """What follows ``exec``. Raises UsageError."""
    rest, code = list(words), None
    if "-c" in rest:
        # One word, which may look like an option; what is behind it are options again.
        at = rest.index("-c")
        if len(rest) == at + 1:
            raise UsageError("-c needs the code to run", EXEC)
        code = rest.pop(at + 1)
        rest.pop(at)
        if "-c" in rest:
            raise UsageError("exec takes -c once", EXEC)
    options, names = _options(rest, Exec, "exec", EXEC)
    if options is None:
        return ShowSessionHelp()
    if options.get("policy") not in (None, *POLICIES):
        raise UsageError(f"--policy is one of {', '.join(POLICIES)}", EXEC)
    if code is None and names[1:] == ["-"]:
        names.pop()
    elif code is None:
        raise UsageError("exec needs the code to run", f"{EXEC}, or pyrepl3 exec SESSION - <FILE")
    if names[1:] == ["auto"]:
        raise UsageError("--guard stands alone, or says more in one word", "--guard=auto")
    if len(names) != 1:
        raise UsageError("exec needs one session, and code has no arguments here", EXEC)
    return Exec(session=names[0], code=code, **options)


def parse_console(words: Sequence[str]) -> ShowConsole | ShowSessionHelp:
    """What follows ``console``. Raises UsageError."""
    options, names = _options(words, ShowConsole, "console", CONSOLE)
    if options is None:
        return ShowSessionHelp()
    if names:
        raise UsageError(f"console does not know {names[0]!r}", CONSOLE)
    return ShowConsole(**options)


def parse_copy(words: Sequence[str]) -> Copy | ShowSessionHelp:
    """What follows ``cp``. Raises UsageError."""
    options, names = _options(words, Copy, "cp", COPY)
    if options is None:
        return ShowSessionHelp()
    if len(names) != 2:
        raise UsageError("cp needs a source and a target", COPY)
    source, target = map(_place, names)
    if (source.session is None) == (target.session is None):
        number = "neither" if source.session is None else "each"
        raise UsageError(f"cp copies into or out of a session, and {number} is in one", COPY)
    if source.session is not None and source.path.strip("/") == "":
        raise UsageError("cp needs to know which file", COPY)
    is_nameless = not target.path or target.path.endswith("/")
    if source == Place(None, STANDARD_STREAM) and is_nameless:
        raise UsageError("cp needs a name for the standard input", COPY)
    return Copy(source=source, target=target, **options)


def _place(word: str) -> Place:
    """As scp has it: what is before a colon is no directory."""
    session, colon, path = word.partition(":")
    if not colon or not session or "/" in session:
        return Place(None, word)
    return Place(session, path)


def _options(
    words: Sequence[str], kind: type[Any], command: str, how: str
) -> tuple[dict[str, Any] | None, list[str]]:
    """The options that this command has, and what is none; None where help is asked for."""
    known = attrs.fields_dict(kind)
    options: dict[str, Any] = {}
    names: list[str] = []
    rest = list(words)
    while rest:
        word = rest[0]
        option = word.partition("=")[0]
        if word in ("-h", "--help"):
            return None, names
        if _FLAGS.get(word) in known:
            options[_FLAGS[word]], rest = True, rest[1:]
        elif word in _CHOICES and _CHOICES[word][0] in known:
            name, choice = _CHOICES[word]
            options[name], rest = choice, rest[1:]
        elif _TEXTS.get(option) in known:
            options[_TEXTS[option]], rest = value_of(option, rest, how)
        elif _NUMBERS.get(option) in known:
            value, rest = value_of(option, rest, how)
            options[_NUMBERS[option]] = whole_number(option, value, how)
        elif word.startswith("-") and word != "-":
            raise UsageError(f"{command} does not know {word}", how)
        else:
            names.append(word)
            rest = rest[1:]
    return options, names
