"""Unit tests: what a worker leaves on its control page for who comes after a crash."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.effects import Uncovered
from pyrepl3.transport.process import CONTROL_PAGE_BYTES, NOTES_BYTES, NOTES_OFFSET
from pyrepl3.wire.worker_reports import read_notes
from pyrepl3.worker.last_notes import END_WORD, LastNotes


class Page:
    """A control page, and what the service finds there."""

    def __init__(self) -> None:
        self.content = bytearray(CONTROL_PAGE_BYTES)
        self.notes = LastNotes()
        self.notes.attach(memoryview(self.content).cast("Q"))

    def read(self) -> tuple[Uncovered, ...]:
        return read_notes(bytes(self.content[NOTES_OFFSET : NOTES_OFFSET + NOTES_BYTES]))


def test_what_was_noted_is_found_until_it_is_cleared() -> None:
    page = Page()
    page.notes.add("file_written", "/a")
    page.notes.add("socket_connected", "[::1]:80")
    found = page.read()
    page.notes.clear()
    page.notes.add("file_removed", "/b")

    assert found == (Uncovered("file_written", "/a"), Uncovered("socket_connected", "[::1]:80"))
    assert page.read() == (Uncovered("file_removed", "/b"),)


@given(
    st.lists(
        st.text(
            st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
            min_size=1,
            max_size=400,
        ),
        max_size=80,
    )
)
def test_all_are_told_or_counted_and_nothing_else_is_written(details: list[str]) -> None:
    page = Page()
    for detail in details:
        page.notes.add("file_written", detail)

    told = page.read()
    more = [int(each.detail) for each in told if each.kind == "more"]
    names = [each.detail for each in told if each.kind != "more"]

    assert names == details[: len(names)]
    assert len(names) + sum(more) == len(details)
    around = page.content[:NOTES_OFFSET] + page.content[NOTES_OFFSET + NOTES_BYTES :]
    assert not any(around)


@given(st.binary(max_size=NOTES_BYTES) | st.lists(st.sampled_from(
    [b"file_written", b"more", b"\t", b"\0", b"/a", b"\xff", b"other"])).map(b"".join)
)  # fmt: skip
def test_whatever_is_there_is_read_or_left_out(notes: bytes) -> None:
    assert all(each.detail and each.kind != "other" for each in read_notes(notes))


def test_a_worker_without_a_page_leaves_nothing() -> None:
    notes = LastNotes()
    notes.add("file_written", "/a")
    notes.attach([0] * (END_WORD - 1))
    notes.clear()
    notes.add("file_written", "/a")
