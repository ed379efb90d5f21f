"""Unit tests: each execution's id runs once, and is remembered as long as it can be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyrepl3.errors import ExecutionNotFound, IdConflict
from pyrepl3.hosting import executions
from pyrepl3.hosting.executions import Executions
from pyrepl3.wire.client_requests import Execute


def request(execution: str = "e", code: str = "1", **fields: Any) -> Execute:
    return Execute(id=1, session="s", execution=execution, code=code, **fields)


def test_a_new_id_is_new_and_then_known() -> None:
    known = Executions()
    assert known.find(request()) is None
    record = known.accept(request(), since=5)

    assert known.find(request()) is record
    assert (record.since, record.ended) == (5, False)


def test_the_same_asked_by_another_request_is_the_same() -> None:
    known = Executions()
    record = known.accept(request(), since=0)

    assert known.find(Execute(id="other", session="name", execution="e", code="1")) is record


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "2"},
        {"timeout_s": 1.0},
        {"filename": "f"},
        {"silent": True},
        {"transaction_policy": "rollback_always"},
        {"guard": True},
        {"guard": "auto"},
        {"allow_copy": True},
        {"report_namespace": True},
    ],
)
@pytest.mark.parametrize("ended", [False, True])
def test_another_request_under_a_used_id_is_a_conflict(fields: dict[str, Any], ended: bool) -> None:
    known = Executions()
    record = known.accept(request(), since=0)
    if ended:
        known.end(record, seq=1)

    with pytest.raises(IdConflict):
        known.find(request(**fields))


def test_what_ended_is_forgotten_with_its_outcome_whatever_still_runs() -> None:
    known = Executions()
    known.accept(request("long"), since=0)
    for seq, execution in enumerate("abc", 1):
        known.end(known.accept(request(execution), since=0), seq=seq)
    known.forget_before(3)

    assert [known.get(execution) is None for execution in ("long", *"abc")] == [
        False,
        True,
        True,
        False,
    ]


def test_what_may_have_run_and_been_forgotten_does_not_run_again() -> None:
    known = Executions()
    for seq, execution in enumerate("abc", 1):
        known.end(known.accept(request(execution), since=0), seq=seq)
    known.forget_before(3)

    for since in (0, 1):
        with pytest.raises(ExecutionNotFound):
            known.find(request("a", again_since=since))
    # It was sent after all that is forgotten: had it run, it would be known.
    assert known.find(request("d", again_since=2)) is None
    assert known.find(request("a")) is None
    assert known.find(request("c", again_since=0)) is not None


def test_of_very_many_that_ended_the_last_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executions, "REMEMBERED", 2)
    known = Executions()
    for seq, execution in enumerate("abc", 1):
        known.end(known.accept(request(execution), since=0), seq=seq)
    known.forget_before(0)

    assert known.get("a") is None
    assert known.get("b") is not None


class Histories(RuleBasedStateMachine):
    """Against sets of ids."""

    def __init__(self) -> None:
        super().__init__()
        self.known = Executions()
        self.under_way: list[str] = []
        self.ended: dict[str, int] = {}
        self.seq = 0

    @rule(execution=st.sampled_from("abcdef"))
    def ask(self, execution: str) -> None:
        record = self.known.find(request(execution))
        assert (record is None) == (execution not in {*self.under_way, *self.ended})
        if record is None:
            self.known.accept(request(execution), since=self.seq)
            self.under_way.append(execution)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        execution = data.draw(st.sampled_from(self.under_way))
        self.seq += 1
        record = self.known.get(execution)
        assert record is not None
        self.known.end(record, seq=self.seq)
        self.under_way.remove(execution)
        self.ended[execution] = self.seq

    @rule(back=st.integers(0, 4))
    def forget(self, back: int) -> None:
        self.known.forget_before(self.seq - back)
        self.ended = {name: seq for name, seq in self.ended.items() if seq >= self.seq - back}

    @invariant()
    def they_are_in_order(self) -> None:
        assert [record.execution for record in self.known.under_way] == self.under_way
        assert len(self.known) == len(self.under_way)


TestHistories = Histories.TestCase
