"""Unit tests: what one process of a session leaves to the next, on the control page."""

from __future__ import annotations

import mmap
from typing import Any

import pytest

from pyrepl3.config import HISTORY_EXECUTIONS
from pyrepl3.transport.process import CONTROL_PAGE_BYTES
from pyrepl3.worker.handover import KEPT, MOST_KEPT, PAGE_BYTES, RECORDED, SURVIVOR, Handover


@pytest.fixture
def words() -> Any:
    return memoryview(mmap.mmap(-1, PAGE_BYTES)).cast("Q")


@pytest.fixture
def handover(words: Any) -> Handover:
    made = Handover()
    made.attach(words)
    return made


def test_the_service_makes_a_page_of_that_size() -> None:
    assert CONTROL_PAGE_BYTES == PAGE_BYTES


def test_it_names_all_of_a_history_and_the_one_that_takes_over() -> None:
    assert HISTORY_EXECUTIONS + 1 == MOST_KEPT


def test_the_last_record_is_read_by_another(handover: Handover, words: Any) -> None:
    other = Handover()
    other.attach(words)
    assert other.read_record() is None
    for number in range(3):
        handover.write_record({"past": [number]})

        assert other.read_record() == {"past": [number]}


def test_one_that_was_not_finished_does_not_count(handover: Handover, words: Any) -> None:
    """Whoever wrote it was killed before it had said so."""
    handover.write_record({"number": 1})
    handover.write_record({"number": 2})
    words[RECORDED] -= 1

    assert handover.read_record() == {"number": 1}


def test_what_was_written_over_is_refused(handover: Handover, words: Any) -> None:
    handover.write_record({"number": 1})
    memoryview(words).cast("B")[8192:] = b"\xff" * (PAGE_BYTES - 8192)

    with pytest.raises(ValueError, match="extra data"):
        handover.read_record()


def test_fewer_that_are_kept_end_where_the_list_does(handover: Handover, words: Any) -> None:
    handover.name_survivor(7)
    handover.name_kept([1, 2, 3])
    handover.name_kept([4])

    assert words[SURVIVOR] == 7
    assert list(words[KEPT : KEPT + 2]) == [4, 0]


def test_without_a_page_nothing_is_noted() -> None:
    handover = Handover()
    handover.attach([0, 0])
    handover.note_begun(1)
    handover.note_count(1)
    handover.write_record({})

    assert not handover.is_possible
