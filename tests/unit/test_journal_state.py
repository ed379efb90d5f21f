"""Unit tests: what a journal keeps, where, and what it says of what it forgot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyrepl3.config import JournalConfig
from pyrepl3.journal.journal_state import Budget, Entry, JournalState, Stretch


def journal(
    memory: int = 100, disk: int = 1000, *, total_memory: int = 10_000, total_disk: int = 10_000
) -> JournalState:
    config = JournalConfig(
        memory_bytes=memory,
        total_memory_bytes=total_memory,
        least_memory_bytes=10,
        disk_bytes=disk,
        total_disk_bytes=total_disk,
    )
    return JournalState(Budget(config))


def fill(state: JournalState, *sizes: int) -> list[Entry]:
    return [state.append(lambda seq, size=size: bytes([seq % 256]) * size) for size in sizes]


def seqs(entries: list[Entry]) -> list[int]:
    return [entry.seq for entry in entries]


def test_events_are_numbered_from_one_and_know_their_number() -> None:
    state = journal()
    entry = state.append(lambda seq: b"%d" % seq)

    assert (entry.seq, entry.body) == (1, b"1")
    assert (state.oldest_seq, state.last_seq) == (1, 1)


def test_an_empty_journal_has_nothing_and_lacks_nothing() -> None:
    state = journal()

    assert (state.oldest_seq, state.last_seq) == (1, 0)
    assert state.in_memory(0, at_most_bytes=100) == []
    assert not state.on_disk(0)
    assert state.gap_after(0) is None
    assert state.surplus() == []


@pytest.mark.parametrize(
    ("since", "at_most_bytes", "expected"),
    [(0, 1000, [1, 2, 3]), (1, 1000, [2, 3]), (3, 1000, []), (9, 1000, []), (0, 1, [1]),
     (0, 25, [1, 2]), (1, 0, [2])],
)  # fmt: skip
def test_a_reader_gets_what_is_behind_its_place_in_parts(
    since: int, at_most_bytes: int, expected: list[int]
) -> None:
    state = journal()
    fill(state, 10, 15, 20)

    assert seqs(state.in_memory(since, at_most_bytes=at_most_bytes)) == expected


def test_over_its_bound_the_older_half_goes_to_disk() -> None:
    state = journal(memory=100)
    fill(state, *[20] * 5)
    assert state.surplus() == []
    fill(state, 20)
    surplus = state.surplus()

    assert seqs(surplus) == [1, 2, 3, 4]
    # Until it is written it can be read as before.
    assert seqs(state.in_memory(0, at_most_bytes=1000)) == [1, 2, 3, 4, 5, 6]
    assert state.written(surplus) == 1
    assert (state.memory_bytes, state.disk_bytes) == (40, 80)
    assert state.on_disk(0)
    assert state.on_disk(3)
    assert not state.on_disk(4)
    assert state.in_memory(3, at_most_bytes=1000) == []
    assert seqs(state.in_memory(4, at_most_bytes=1000)) == [5, 6]


def test_what_the_disk_has_no_room_for_is_forgotten_and_told_as_a_gap() -> None:
    state = journal(memory=10, disk=50)
    for _ in range(3):
        fill(state, 20)
        keep_from = state.written(state.surplus())

    assert keep_from == 2
    assert state.gap_after(0) == Stretch(1, 1, 20)
    assert state.gap_after(1) is None


def test_without_a_disk_what_goes_out_of_memory_is_forgotten() -> None:
    state = journal(memory=10, disk=0)
    fill(state, 20, 20)
    surplus = state.surplus()

    assert state.written(surplus) == state.last_seq + 1
    assert state.gap_after(0) == Stretch(1, 2, 40)


def test_what_could_not_be_written_is_forgotten_with_all_before_it() -> None:
    state = journal(memory=30)
    fill(state, 20, 20)
    state.written(state.surplus())
    assert state.on_disk(0)
    fill(state, 20, 20)
    state.lost(state.surplus())

    assert state.gap_after(0) == Stretch(1, state.oldest_seq - 1, 20 * (state.oldest_seq - 1))
    assert state.disk_bytes == 0
    assert state.oldest_seq == state.memory_from


def test_when_all_journals_are_over_their_bound_each_keeps_less() -> None:
    budget = Budget(JournalConfig(memory_bytes=100, total_memory_bytes=120, least_memory_bytes=10))
    one, other = JournalState(budget), JournalState(budget)
    fill(one, 70)
    assert one.surplus() == []
    fill(other, 70)

    assert seqs(one.surplus()) == [1]
    one.written(one.surplus())
    assert other.surplus() == []


def test_a_discarded_journal_frees_what_it_held() -> None:
    state = journal(memory=30)
    fill(state, 20, 20)
    state.written(state.surplus())
    state.discard()

    assert (state.budget.memory_bytes, state.budget.disk_bytes) == (0, 0)


@given(st.lists(st.integers(0, 40), min_size=600, max_size=700))
def test_of_many_forgotten_stretches_the_old_ones_are_told_as_one(sizes: list[int]) -> None:
    state = journal(memory=1, disk=0)
    for size in sizes:
        fill(state, size + 2)
        state.written(state.surplus())

    assert state.gap_after(0) == Stretch(1, len(sizes), sum(sizes) + 2 * len(sizes))


class Journals(RuleBasedStateMachine):
    """Against a list of all that was ever appended."""

    def __init__(self) -> None:
        super().__init__()
        self.state = journal(memory=60, disk=120)
        self.all: list[bytes] = []
        self.disk: dict[int, bytes] = {}
        self.writing: list[Entry] = []

    @rule(size=st.integers(0, 50))
    def append(self, size: int) -> None:
        self.all.append(b"x" * size)
        self.state.append(lambda _: self.all[-1])

    @precondition(lambda self: not self.writing)
    @rule()
    def begin_to_write(self) -> None:
        self.writing = self.state.surplus()

    @precondition(lambda self: self.writing)
    @rule()
    def have_written(self) -> None:
        self.disk.update({entry.seq: entry.body for entry in self.writing})
        keep_from = self.state.written(self.writing)
        self.disk = {seq: body for seq, body in self.disk.items() if seq >= keep_from}
        self.writing = []

    @precondition(lambda self: self.writing)
    @rule()
    def fail_to_write(self) -> None:
        self.state.lost(self.writing)
        self.disk, self.writing = {}, []

    @rule(data=st.data(), at_most=st.integers(0, 100))
    def read_to_the_end(self, data: st.DataObject, at_most: int) -> None:
        since = data.draw(st.integers(0, len(self.all) + 1))
        expected = list(enumerate(self.all, 1))[since:]
        gap = self.state.gap_after(since)
        if gap is not None:
            assert gap.first == since + 1
            left_out = self.all[gap.first - 1 : gap.last]
            assert gap.bytes >= sum(map(len, left_out))
            expected, since = expected[len(left_out) :], gap.last
        read: list[tuple[int, bytes]] = []
        while self.state.on_disk(since):
            since += 1
            read.append((since, self.disk[since]))
        while entries := self.state.in_memory(since, at_most_bytes=at_most):
            read.extend((entry.seq, entry.body) for entry in entries)
            since = entries[-1].seq

        assert read == expected

    @invariant()
    def it_counts_right(self) -> None:
        in_memory = self.all[self.state.memory_from - 1 :]
        assert self.state.memory_bytes == sum(map(len, in_memory))
        assert self.state.disk_bytes == sum(map(len, self.disk.values())) <= 120
        assert self.state.budget.memory_bytes == self.state.memory_bytes
        assert self.state.budget.disk_bytes == self.state.disk_bytes


TestJournals = Journals.TestCase
