"""Unit tests: which addresses a client takes, and that a secret in one is not told."""

from __future__ import annotations

import pytest

from pyrepl3.errors import ConfigInvalid
from pyrepl3.remote.addresses import DEFAULT_URL, URL_VARIABLE, find_address


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
