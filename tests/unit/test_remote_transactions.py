"""Unit tests: what a client asks of a transaction that it leaves."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest
import trio
import trio.testing

from pyrepl3.errors import NoTransaction, PyreplError, QueueFull
from pyrepl3.remote.transactions import ROLLBACK_S, RemoteTransactions, TransactionKind


@attrs.define
class Service:
    """Answers each request with the next of its answers; None: it is done."""

    answers: list[PyreplError | None]
    is_reachable: bool = True
    is_silent: bool = False
    heard: list[tuple[str, str | None]] = attrs.field(factory=list)
    posted: list[tuple[str, str | None]] = attrs.field(factory=list)

    async def ask(self, kind: TransactionKind, asked: Mapping[str, str]) -> None:
        self.heard.append((kind, asked.get("of")))
        if self.is_silent:
            await trio.sleep_forever()
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        await trio.lowlevel.checkpoint()

    def post(self, kind: TransactionKind, asked: Mapping[str, str]) -> None:
        self.posted.append((kind, asked.get("of")))

    def transactions(self) -> RemoteTransactions:
        return RemoteTransactions(self.ask, self.post, lambda: self.is_reachable, "s")


def full() -> QueueFull:
    return QueueFull(what="no room", why="too many wait", how="Wait")


def none_open() -> NoTransaction:
    return NoTransaction(what="none", why="it is over", how="Begin one")


async def test_where_there_is_no_room_it_comes_before_whatever_is_asked_next() -> None:
    service = Service([None, full(), full()])
    transactions = service.transactions()
    with pytest.raises(ValueError, match="left"):
        async with transactions.block():
            raise ValueError("left")
    assert service.heard == [("begin", None), ("rollback", "s.t1")]
    with pytest.raises(QueueFull):
        await transactions.settle()
    await transactions.end("commit")
    await transactions.settle()

    assert service.heard[2:] == [("rollback", "s.t1"), ("rollback", "s.t1"), ("commit", None)]


async def test_a_block_that_cannot_be_committed_is_rolled_back() -> None:
    service = Service([None, full(), full()])
    transactions = service.transactions()
    with pytest.raises(QueueFull):
        async with transactions.block():
            pass
    await transactions.settle()

    assert service.heard[1:] == [("commit", "s.t1")] + [("rollback", "s.t1")] * 2


async def test_an_answer_is_waited_for_with_a_bound(autojump_clock: trio.testing.MockClock) -> None:
    service = Service([], is_silent=True)
    started = trio.current_time()
    await service.transactions().leave("k")

    assert trio.current_time() - started == pytest.approx(ROLLBACK_S)


async def test_what_is_over_is_left_without_a_word() -> None:
    service = Service([none_open()])
    await service.transactions().leave("k")

    assert service.heard == [("rollback", "k")]


async def test_a_service_out_of_reach_hears_it_later() -> None:
    service = Service([], is_reachable=False)
    await service.transactions().leave("k")

    assert (service.heard, service.posted) == ([], [("rollback", "k")])
