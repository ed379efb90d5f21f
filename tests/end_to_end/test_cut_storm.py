"""End-to-end tests: a short storm of cuts, with clients of all kinds, and that its judge bites.

For a long one: `python -m tests.end_to_end.cut_storm --minutes 10`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .cut_storm import hold
from .serve_driver import serving
from .storm_books import Books, Piece

STORM_S = 6.0


def test_clients_of_all_kinds_lose_nothing_in_a_storm_and_run_nothing_twice(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-sessions", "20") as service:
        held = hold(service, tmp_path, STORM_S, seed=20261125)

    assert held.faults == []
    assert held.executions > 20, held.summary
    assert held.cuts > 20, held.summary


def books_of_one(piece: Piece) -> Books:
    books = Books()
    books.ask(piece)
    return books


PIECE = Piece("trio0.0.1", "trio0.0", lines=3, pause_s=0, ending="value")
WHOLE = {"count": 1, "stdout": PIECE.prints, "omitted_bytes": 0}


def test_a_storm_in_which_all_went_well_has_no_faults() -> None:
    books = books_of_one(PIECE)
    books.told(PIECE, **WHOLE)

    assert books.close(ran=[PIECE.name]) == []
    assert (books.asked, books.outcomes, books.sessions, books.lines) == (1, 1, 1, 3)


@pytest.mark.parametrize(
    ("told", "ran", "fault"),
    [
        ([WHOLE], 2, "it ran 2 times"),
        ([WHOLE], 0, "it ran 0 times"),
        ([WHOLE, WHOLE], 1, "it had 2 outcomes"),
        ([{**WHOLE, "stdout": PIECE.prints[:-1]}], 1, "of 36 characters 35 came"),
        ([{**WHOLE, "stdout": 2 * PIECE.prints}], 1, "of 36 characters 72 came"),
        ([{**WHOLE, "stdout": PIECE.prints.replace("1\n", "0\n")}], 1, "came as"),
        ([{**WHOLE, "omitted_bytes": 1}], 1, "1 bytes were omitted"),
        ([{**WHOLE, "count": 2}], 1, "its counter went [2], for 1 executions"),
        ([{**WHOLE, "count": "KeyError"}], 1, "it came to 'KeyError'"),
    ],
)
def test_what_does_not_fit_is_a_fault(told: list[dict[str, object]], ran: int, fault: str) -> None:
    books = books_of_one(PIECE)
    for outcome in told:
        books.told(PIECE, **outcome)  # type: ignore[arg-type]

    assert any(fault in each for each in books.close(ran=[PIECE.name] * ran))


def test_an_execution_without_an_outcome_is_a_fault() -> None:
    books = books_of_one(PIECE)
    books.failed(PIECE, "TimeoutError()")

    assert "trio0.0.1: no outcome: TimeoutError()" in books.close(ran=[PIECE.name])


def test_what_ran_without_being_asked_for_is_a_fault() -> None:
    books = books_of_one(PIECE)
    books.told(PIECE, **WHOLE)

    assert books.close(ran=[PIECE.name, "another"]) == ["ran without being asked for: ['another']"]
