"""Unit tests: an execution's events as the one answer of a request that waits for its end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.errors import Code
from pyrepl3.rest import outcomes
from pyrepl3.rest.outcomes import Fold, forgotten

RESULT = {"type": "result", "execution": "e", "seq": 9, "value": 42}


def output(text: str, stream: str = "stdout", execution: str = "e") -> dict[str, Any]:
    return {"type": "output", "execution": execution, "stream": stream, "data": text}


def folded(*events: dict[str, Any]) -> dict[str, Any]:
    fold = Fold("e")
    for event in (*events, RESULT):
        fold.add(event)
    return fold.answer()


pieces = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(max_size=20)))


@given(pieces)
def test_what_was_printed_is_the_same_whatever_the_pieces(pieces: list[tuple[str, str]]) -> None:
    logs = folded(*(output(text, stream) for stream, text in pieces))["logs"]

    assert logs == {
        "stdout": "".join(text for stream, text in pieces if stream == "stdout"),
        "stderr": "".join(text for stream, text in pieces if stream == "stderr"),
        "truncated": False,
    }


@given(pieces, st.integers(0, 60))
def test_what_is_over_the_bound_is_cut_off_and_told(
    pieces: list[tuple[str, str]], room: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcomes, "LOG_CHARACTERS", room)
        logs = folded(*(output(text, stream) for stream, text in pieces))["logs"]
    whole = {
        name: "".join(text for stream, text in pieces if stream == name)
        for name in ("stdout", "stderr")
    }

    assert {name: logs[name] for name in whole} == {n: text[:room] for n, text in whole.items()}
    assert logs["truncated"] == any(len(text) > room for text in whole.values())


def test_other_executions_are_passed_over() -> None:
    fold = Fold("e")
    fold.add({"type": "session_closed", "reason": "closed"})
    fold.add(output("other", execution="f"))
    fold.add({**RESULT, "execution": "f"})
    assert fold.terminal is None
    fold.add(RESULT)

    assert fold.answer()["value"] == 42
    assert fold.answer()["logs"]["stdout"] == ""


def test_displays_are_kept_in_order_and_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "DISPLAYS", 2)
    shown = [
        {"type": "display", "execution": "e", "seq": n, "data": {"text/plain": str(n)}}
        for n in range(3)
    ]
    answer = folded(*shown)

    assert answer["displays"] == [{"data": {"text/plain": "0"}}, {"data": {"text/plain": "1"}}]
    assert answer["logs"]["truncated"]
    assert not folded(*shown[:2])["logs"]["truncated"]


def test_what_is_missing_is_told() -> None:
    assert folded({"type": "output_gap", "execution": "e", "bytes": 5})["logs"]["truncated"]
    fold = Fold("e")
    fold.miss()
    fold.add(forgotten("s", "e", 7))

    assert fold.answer()["logs"]["truncated"]
    assert (fold.answer()["code"], fold.answer()["seq"]) == (Code.OUTPUT_GAP, 7)
