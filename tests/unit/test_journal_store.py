"""Unit tests: the journals' database, on a real disk that may be full."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from pyrepl3.journal.journal_state import Entry
from pyrepl3.journal.journal_store import JournalStore, StoreFailed


@pytest.fixture
def store(tmp_path: Path) -> JournalStore:
    return JournalStore.open(str(tmp_path))


def entries(*seqs: int, size: int = 10) -> list[Entry]:
    return [Entry(seq, bytes([seq]) * size) for seq in seqs]


def test_what_was_written_is_read_in_parts(store: JournalStore) -> None:
    store.write(1, entries(1, 2, 3))
    store.write(1, entries(4))

    assert store.read(1, first=1, at_most_bytes=1000) == entries(1, 2, 3, 4)
    assert store.read(1, first=2, at_most_bytes=25) == entries(2, 3)
    assert store.read(1, first=2, at_most_bytes=0) == entries(2)
    assert store.read(1, first=5, at_most_bytes=10) == []


def test_journals_are_apart(store: JournalStore) -> None:
    store.write(1, entries(1, 2))
    store.write(2, entries(1))
    store.remove(1)

    assert store.read(1, first=0, at_most_bytes=1000) == []
    assert store.read(2, first=0, at_most_bytes=1000) == entries(1)


def test_the_old_ones_alone_are_removed(store: JournalStore) -> None:
    store.write(1, entries(1, 2, 3))
    store.remove(1, before=3)

    assert store.read(1, first=0, at_most_bytes=1000) == entries(3)


def test_its_file_has_no_name(store: JournalStore, tmp_path: Path) -> None:
    store.write(1, entries(1, size=10_000_000))

    assert list(tmp_path.iterdir()) == []
    assert store.read(1, first=1, at_most_bytes=0) == entries(1, size=10_000_000)


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="No such file"):
        JournalStore.open(str(tmp_path / "none"))


def test_a_write_that_fails_leaves_nothing_of_itself_and_all_before_it(tmp_path: Path) -> None:
    """The disk has no room for more: a limit on files stands for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = JournalStore.open(str(tmp_path))
    store.write(1, entries(1))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
        with pytest.raises(StoreFailed):
            store.write(1, entries(2, 3, 4, size=8 * 2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    assert store.read(1, first=0, at_most_bytes=2**30) == entries(1)
    store.write(1, entries(2))
    assert store.read(1, first=0, at_most_bytes=2**30) == entries(1, 2)


def test_its_descriptor_goes_with_it(tmp_path: Path) -> None:
    def in_folder() -> list[str]:
        links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        targets = [os.readlink(link) for link in links if link.is_symlink()]
        return [target for target in targets if target.startswith(str(tmp_path))]

    store = JournalStore.open(str(tmp_path))
    assert in_folder()
    store.close()

    assert in_folder() == []
