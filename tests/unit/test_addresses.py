"""Unit tests: which addresses and tokens a client takes, and that a secret in one is not told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrepl3.errors import ConfigInvalid
from pyrepl3.remote.addresses import (
    DEFAULT_URL,
    TOKEN_FILE_VARIABLE,
    URL_VARIABLE,
    find_address,
    find_token,
)

TOKEN = "t" * 43


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://host", "http://host"),
        ("ws://host:8765/", "http://host:8765"),
        ("wss://host/v1/ws", "https://host"),
        ("https://host:443/pool/", "https://host/pool"),
        ("https://host/pool/v1/ws/", "https://host/pool"),
        ("http://[::1]:8765", "http://[::1]:8765"),
        ("HTTP://Host:80", "http://host"),
        ("http://host/a%20b", "http://host/a%20b"),
    ],
)
def test_a_service_may_be_named_in_any_of_these_ways(url: str, address: str) -> None:
    assert str(find_address(url)) == address


@pytest.mark.parametrize(
    "url",
    [
        *("", "host", "host:8765", "http://", "ftp://host", "http://host:x", "http://host:99999"),
        *("http://host:0", "http://host/a b", "http://host/é", "http://host/\x7f", "http://a\x00b"),
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        find_address(url)


@pytest.mark.parametrize(
    "url",
    [
        *("http://user:s3cret@host", "http://s3cret@host", "user:s3cret@host:80"),
        *("http://user:s3/cret@host", "http://user:s3cret", "ftp://user:s3cret@host"),
        *("http://host?token=s3cret", "http://host/#s3cret", "host?s3cret", "s3cret@host"),
    ],
)
def test_what_may_be_a_secret_in_one_is_not_told(url: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        find_address(url)

    assert "s3" not in str(caught.value)


def test_without_an_address_it_is_that_of_the_environment_or_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(URL_VARIABLE, "https://example.org/pool")
    assert str(find_address(None)) == "https://example.org/pool"
    monkeypatch.setenv(URL_VARIABLE, "")
    assert str(find_address(None)) == DEFAULT_URL
    monkeypatch.delenv(URL_VARIABLE)
    assert str(find_address(None)) == DEFAULT_URL


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "my token"
    path.touch(0o600)
    path.write_text(TOKEN + "\n")
    return path


def test_a_token_is_that_of_the_argument_or_of_a_file(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(token_file))

    assert find_token("given", None) == "given"
    assert find_token(None, token_file) == TOKEN
    assert find_token(None, None) == TOKEN


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o606])
def test_a_token_that_others_can_read_is_not_used(
    mode: int, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_file.chmod(mode)
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(token_file))
    for named in (token_file, None):
        with pytest.raises(ConfigInvalid, match=f"its mode is {mode:o}") as caught:
            find_token(None, named)

        assert caught.value.how == f"chmod 600 '{token_file}'"
        assert TOKEN not in str(caught.value)


def test_a_token_may_come_by_a_pipe() -> None:
    """As from `--token-file <(command)`."""
    readable, writable = os.pipe()
    os.write(writable, TOKEN.encode())
    os.close(writable)
    try:
        assert find_token(None, f"/dev/fd/{readable}") == TOKEN
    finally:
        os.close(readable)
