"""Unit tests: what begins and ends a transaction is carried out once, however often it comes."""

from __future__ import annotations

from typing import Any

import pytest

from actors import Answer, Reply, open_reply
from pyrepl3.errors import ExecutionNotFound, IdConflict, NoTransaction, TransactionActive
from pyrepl3.hosting import keyed_requests
from pyrepl3.hosting.keyed_requests import KeyedKind, KeyedRequests, Requested


def waiting(requested: Requested) -> Answer[Any]:
    reply: Reply[Any]
    answer: Answer[Any]
    reply, answer = open_reply()
    requested.tell(reply)
    return answer


def test_a_key_is_one_request_while_it_is_under_way_and_afterwards() -> None:
    known = KeyedRequests()
    assert known.find("begin", "k", None) is None
    requested = known.accept("begin", "k")
    assert (known.find("begin", "k", 0), len(known)) == (requested, 1)
    known.answered(requested, None, seq=0)

    assert (known.find("begin", "k", 0), len(known)) == (requested, 0)


def test_without_a_key_each_request_is_a_new_one() -> None:
    known = KeyedRequests()
    known.accept("commit", None)

    assert known.find("commit", None, None) is None


async def test_all_who_wait_are_told_what_it_came_to_and_who_asks_later_too() -> None:
    known = KeyedRequests()
    done, refused = known.accept("begin", "a"), known.accept("begin", "b")
    answers = [waiting(done), waiting(done)]
    failures = [waiting(refused)]
    error = TransactionActive(what="", why="", how="")
    known.answered(done, None, seq=3)
    known.answered(refused, error, seq=3)
    answers.append(waiting(done))
    failures.append(waiting(refused))

    for answer in answers:
        answer.take_nowait()
    for answer in failures:
        with pytest.raises(TransactionActive):
            answer.take_nowait()


def test_a_key_of_a_request_of_another_kind_is_a_conflict() -> None:
    known = KeyedRequests()
    known.accept("begin", "k")

    with pytest.raises(IdConflict):
        known.find("commit", "k", None)


async def test_an_undo_is_answered_with_what_it_named_and_is_another_one_to_elsewhere() -> None:
    known = KeyedRequests()
    requested = known.accept("undo", "k", to="e1")
    answer = waiting(requested)
    known.answered(requested, None, seq=1, answer="e2")

    assert answer.take_nowait() == "e2"
    assert known.find("undo", "k", None, to="e1") is requested
    others: list[tuple[KeyedKind, str | None]] = [("undo", None), ("undo", "e3"), ("redo", None)]
    for kind, to in others:
        with pytest.raises(IdConflict):
            known.find(kind, "k", None, to=to)


def test_one_that_may_be_forgotten_is_refused_and_not_carried_out_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keyed_requests, "REMEMBERED", 2)
    known = KeyedRequests()
    for seq, key in enumerate("abc", 5):
        known.answered(known.accept("commit", key), None, seq=seq)

    with pytest.raises(NoTransaction):
        known.find("commit", "a", 5)
    with pytest.raises(ExecutionNotFound):
        known.find("undo", "a", 5)
    assert known.find("commit", "new", 6) is None
    assert known.find("commit", "b", 5) is not None
    assert known.find("commit", "a", None) is None  # not said to come again
