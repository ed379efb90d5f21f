"""Unit tests: what begins and ends a transaction is carried out once, however often it comes."""

from __future__ import annotations

import pytest

from actors import Answer, Reply, open_reply
from pyrepl3.errors import IdConflict, NoTransaction, TransactionActive
from pyrepl3.hosting import transactions
from pyrepl3.hosting.transactions import Requested, TransactionRequests


def waiting(requested: Requested) -> Answer[None]:
    reply: Reply[None]
    answer: Answer[None]
    reply, answer = open_reply()
    requested.tell(reply)
    return answer


def test_a_key_is_one_request_while_it_is_under_way_and_afterwards() -> None:
    known = TransactionRequests()
    assert known.find("begin", "k", None) is None
    requested = known.accept("begin", "k")
    assert (known.find("begin", "k", 0), len(known)) == (requested, 1)
    known.answered(requested, None, seq=0)

    assert (known.find("begin", "k", 0), len(known)) == (requested, 0)


def test_without_a_key_each_request_is_a_new_one() -> None:
    known = TransactionRequests()
    known.accept("commit", None)

    assert known.find("commit", None, None) is None


async def test_all_who_wait_are_told_what_it_came_to_and_who_asks_later_too() -> None:
    known = TransactionRequests()
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
    known = TransactionRequests()
    known.accept("begin", "k")

    with pytest.raises(IdConflict):
        known.find("commit", "k", None)


def test_one_that_may_be_forgotten_is_refused_and_not_carried_out_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions, "REMEMBERED", 2)
    known = TransactionRequests()
    for seq, key in enumerate("abc", 5):
        known.answered(known.accept("commit", key), None, seq=seq)

    with pytest.raises(NoTransaction):
        known.find("commit", "a", 5)
    assert known.find("commit", "new", 6) is None
    assert known.find("commit", "b", 5) is not None
    assert known.find("commit", "a", None) is None  # not said to come again
