"""Unit tests: the command line of what speaks to a service, from words to what is wanted."""

from __future__ import annotations

import pytest

from pyrepl3.cli.arguments import Command, parse
from pyrepl3.cli.remote_arguments import (
    Connect,
    Copy,
    Exec,
    Place,
    SessionAttach,
    SessionClose,
    SessionCreate,
    SessionHistory,
    SessionInfo,
    SessionInterrupt,
    SessionList,
    SessionLogs,
    SessionRedo,
    SessionUndo,
    ShowConsole,
    ShowSessionHelp,
)
from pyrepl3.cli.usage import UsageError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("session --help", ShowSessionHelp()),
        ("session ls -h", ShowSessionHelp()),
        ("exec --help", ShowSessionHelp()),
        ("console", ShowConsole()),
        ("console --open --connect u", ShowConsole(opens=True, url="u")),
        ("console --token-file=t", ShowConsole(token_file="t")),
        ("console -h", ShowSessionHelp()),
        ("session create", SessionCreate()),
        ("session create --name a --template=b", SessionCreate(name="a", template="b")),
        ("session ls --json", SessionList(as_json=True)),
        ("session list", SessionList()),
        ("session ls --connect u --token-file=t", SessionList(url="u", token_file="t")),
        ("session info s", SessionInfo(session="s")),
        ("session attach s --connect=u", SessionAttach(session="s", url="u")),
        ("--connect u", Connect(url="u")),
        ("--connect=u --session a", Connect(url="u", session_named="a")),
        ("--session a --token-file t", Connect(session_named="a", token_file="t")),
        ("--connect u --help", ShowSessionHelp()),
        ("session logs s -f", SessionLogs(session="s", follow=True)),
        ("session logs --since 7 s", SessionLogs(session="s", since=7)),
        ("session interrupt s", SessionInterrupt(session="s")),
        ("session history s", SessionHistory(session="s")),
        ("session history s --keep 5 --json", SessionHistory(session="s", keep=5, as_json=True)),
        ("session undo s", SessionUndo(session="s")),
        ("session undo --to e1 s", SessionUndo(session="s", to="e1")),
        ("session redo s", SessionRedo(session="s")),
        ("session close s", SessionClose(session="s")),
        ("exec s -c 1+1", Exec(session="s", code="1+1")),
        ("exec s -", Exec(session="s", code=None)),
        ("exec s -c 1 --guard", Exec(session="s", code="1", guard=True)),
        ("exec s -c 1 --report", Exec(session="s", code="1", report=True)),
        ("exec s -c 1 --guard=auto", Exec(session="s", code="1", guard="auto")),
        ("exec s -c 1 --allow-copy", Exec(session="s", code="1", allow_copy=True)),
        (
            "exec s -c 1 --policy rollback_always",
            Exec(session="s", code="1", policy="rollback_always"),
        ),
        ("exec s -c 1 --connect u", Exec(session="s", code="1", url="u")),
        ("exec -c -c s --token-file=t", Exec(session="s", code="-c", token_file="t")),
        ("exec s -c 1 --help", ShowSessionHelp()),
        ("exec --connect=u s -c -h", Exec(session="s", code="-h", url="u")),
        ("cp --help", ShowSessionHelp()),
        ("cp a s:b", Copy(source=Place(None, "a"), target=Place("s", "b"))),
        ("cp s:a/b .", Copy(source=Place("s", "a/b"), target=Place(None, "."))),
        ("cp a s:", Copy(source=Place(None, "a"), target=Place("s", ""))),
        ("cp ./a:b s:c:d", Copy(source=Place(None, "./a:b"), target=Place("s", "c:d"))),
        ("cp - s:a --connect u", Copy(source=Place(None, "-"), target=Place("s", "a"), url="u")),
        ("cp s:a -", Copy(source=Place("s", "a"), target=Place(None, "-"))),
    ],
)
def test_words_are_understood(words: str, expected: Command) -> None:
    assert parse(words.split()) == expected


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("session", "session needs what to do"),
        ("session fly", "session does not know 'fly'"),
        ("session info", "session info needs a session"),
        ("session info a b", "session info does not know 'b'"),
        ("session ls a", "session ls does not know 'a'"),
        ("session ls --name a", "session ls does not know --name"),
        ("session logs a --since x", "--since takes a whole number"),
        ("session ls --connect", "--connect needs a value"),
        ("console me", "console does not know 'me'"),
        ("console --json", "console does not know --json"),
        ("session ls --open", "session ls does not know --open"),
        ("session attach", "session attach needs a session"),
        ("session info --session a", "session info does not know --session"),
        ("--connect", "--connect needs a value"),
        ("--connect u run", "the prompt of a session does not know 'run'"),
        ("--connect u -c 1", "the prompt of a session does not know -c"),
        ("--token-file t", "which service, or which session?"),
        ("exec", "exec needs the code to run"),
        ("exec a", "exec needs the code to run"),
        ("exec -c 1", "exec needs one session"),
        ("exec a b -c 1", "exec needs one session"),
        ("exec a -c", "-c needs the code to run"),
        ("exec a -c 1 b", "exec needs one session"),
        ("exec a -c 1 --fast", "exec does not know --fast"),
        ("exec a -c 1 -c 2", "exec takes -c once"),
        ("exec a - -c 1", "exec needs one session"),
        ("exec a --fast -c 1", "exec does not know --fast"),
        ("cp", "cp needs a source and a target"),
        ("cp a", "cp needs a source and a target"),
        ("cp a s:b c", "cp needs a source and a target"),
        ("cp a b", "neither is in one"),
        ("cp s:a t:b", "each is in one"),
        ("cp :a b", "neither is in one"),
        ("cp s: b", "cp needs to know which file"),
        ("cp s:/ b", "cp needs to know which file"),
        ("cp - s:", "cp needs a name for the standard input"),
        ("cp - s:a/", "cp needs a name for the standard input"),
        ("cp -r a s:b", "cp does not know -r"),
    ],
)
def test_what_is_not_understood_says_how_it_could_be(words: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert what in caught.value.what
    assert caught.value.how.startswith("pyrepl3 ")
