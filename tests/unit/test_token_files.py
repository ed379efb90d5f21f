"""Unit tests: tokens in files, made, read and refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pyrepl3.endpoint.access import Principal
from pyrepl3.endpoint.token_files import (
    OWNER,
    default_path,
    parse,
    read,
    read_descriptor,
    read_or_make,
)
from pyrepl3.errors import ConfigInvalid

TOKEN = "t" * 43
OTHER = "o" * 43


def test_a_new_token_is_made_once_and_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = default_path()
    before = os.umask(0)
    try:
        pairs, made = read_or_make()
    finally:
        os.umask(before)
    ((token, principal),) = pairs

    assert (made, principal, len(token)) == (True, OWNER, 43)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_or_make() == read_or_make(path) == (pairs, False)
    assert read(path) == pairs


def test_the_directory_of_a_file_that_somebody_named_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "slip" / "token"
    with pytest.raises(ConfigInvalid) as caught:
        read_or_make(path)

    assert caught.value.why == f"there is no directory {tmp_path / 'slip'}"
    assert caught.value.how == "Make its directory, or name another file"
    assert list(tmp_path.iterdir()) == []


def test_two_files_have_two_tokens(tmp_path: Path) -> None:
    assert read_or_make(tmp_path / "a") != read_or_make(tmp_path / "b")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o606])
def test_a_file_that_others_can_use_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(mode)

    with pytest.raises(ConfigInvalid, match=f"its mode is {mode:o}"):
        read_or_make(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path, why in ((tmp_path, "regular"), (pipe, "regular"), (tmp_path / "none", "No such")):
        with pytest.raises(ConfigInvalid, match=why):
            read(path)
    with pytest.raises(ConfigInvalid, match="Not a directory"):
        read_or_make(Path("/dev/null/token"))


def test_a_descriptor_may_be_a_pipe() -> None:
    readable, writable = os.pipe()
    os.write(writable, TOKEN.encode() + b"\n")
    os.close(writable)

    assert read_descriptor(readable) == [(TOKEN, OWNER)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(readable)


def test_several_principals_have_tokens_roles_and_quotas() -> None:
    text = f"""
        [principals.ada]
        token = "{TOKEN}"
        role = "admin"
        [principals.bob]
        token = "{OTHER}"
        max_sessions = 3
        max_connections = 5
    """

    assert parse(text) == [
        (TOKEN, Principal(name="ada", role="admin")),
        (OTHER, Principal(name="bob", max_sessions=3, max_connections=5)),
    ]


def test_a_token_in_base64_is_no_toml() -> None:
    assert parse("A" * 42 + "==\n") == [("A" * 42 + "==", OWNER)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "fewer than 32"),
        ("short", "fewer than 32"),
        ("é" * 40, "no single word"),
        ("a " * 40, "no single word"),
        ("a = b", "not TOML"),
        ("a = 1", "no \\[principals.NAME\\]"),
        ("principals = 1", "no \\[principals.NAME\\]"),
        ("[principals]\na = 1", "has no token"),
        ("[principals.a]\nrole = 'user'", "has no token"),
        (f"[principals.a]\ntoken = '{TOKEN}'\nrole = 'king'", "the role 'king'"),
        (f"[principals.a]\ntoken = '{TOKEN}'\nmax_sessions = 0", "max_sessions = 0"),
        (f"[principals.a]\ntoken = '{TOKEN}'\nmax_sessions = true", "max_sessions = True"),
        (f"[principals.a]\ntoken = '{TOKEN}'\nmax_connections = -1", "max_connections = -1"),
        (f"[principals.a]\ntoken = '{TOKEN}'\nquota = 1", "a 'quota', which means nothing"),
        ("[principals.a]\ntoken = 'short'", "fewer than 32"),
        (
            f"[principals.a]\ntoken = '{TOKEN}'\n[principals.b]\ntoken = '{TOKEN}'",
            "the same token",
        ),
    ],
)
def test_what_holds_no_tokens_is_refused_and_not_repeated(text: str, why: str) -> None:
    with pytest.raises(ConfigInvalid, match=why) as caught:
        parse(text)

    assert TOKEN not in str(caught.value)


def test_the_users_token_is_where_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_path() == Path("/state/pyrepl3/token")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_path() == Path("/home/ada/.local/state/pyrepl3/token")
