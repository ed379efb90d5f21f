"""Unit tests: which session is meant by an id or a name, and how one ended."""

from __future__ import annotations

import pytest

from pyrepl3.cli.named_sessions import describe_end, find_named


def _session(id: str, name: str | None, standing: str = "open") -> dict[str, str | None]:
    return {"session": id, "name": name, "standing": standing}


def test_of_those_of_one_name_the_open_one_is_meant() -> None:
    old, new = _session("1", "mine", "died"), _session("2", "mine")

    assert find_named([old, new], "mine") is new
    assert find_named([new, old], "mine") is new


def test_where_none_of_a_name_is_open_the_latest_is_meant() -> None:
    old, new = _session("1", "mine", "died"), _session("2", "mine", "closed")

    assert find_named([old, new, _session("3", None)], "mine") is new


def test_an_id_means_its_session_whatever_others_are_called() -> None:
    old, called_so = _session("1", "mine", "died"), _session("2", "1")

    assert find_named([called_so, old], "1") is old


def test_a_name_that_none_has_means_none() -> None:
    assert find_named([_session("1", None), _session("2", "two")], "mine") is None
    assert find_named([], "mine") is None


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        ("closed", "it was closed"),
        ("died", "its process has ended"),
        ("expired", "for its idle_timeout_s"),
        ("of a later version", "the service ended it"),
    ],
)
def test_an_end_is_told_in_a_sentence(standing: str, told: str) -> None:
    assert describe_end(standing).endswith(told)
