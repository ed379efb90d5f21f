"""Unit tests: files below one directory, and nothing outside of it."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyrepl3.errors import BadMessage, NotFound, StorageFull, StorageIo
from pyrepl3.rest import files
from pyrepl3.rest.answers import Directory


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A directory; at the end no descriptor is open that was not before."""
    folder = tmp_path / "root"
    folder.mkdir()
    before = set(os.listdir("/proc/self/fd"))
    yield folder
    assert set(os.listdir("/proc/self/fd")) <= before


def write(root: Path, path: str, data: bytes) -> None:
    upload = files.begin_upload(str(root), path)
    try:
        upload.write(data)
        upload.finish()
    finally:
        upload.close()


def read(root: Path, path: str) -> bytes:
    found = files.look(str(root), path)
    assert isinstance(found, files.OpenFile)
    data = b""
    while more := found.read(len(data)):
        data += more
    found.close()
    assert (found.size_bytes, found.sha256) == (len(data), hashlib.sha256(data).digest())
    return data


BAD_PATHS = [
    "..",
    "a/..",
    "../a",
    "a/../b",
    ".",
    "a/.",
    "a//b",
    "a\0b",
    "a/" + "x" * 256,
    "é" * 128,
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_leads_elsewhere_is_none(root: Path, path: str) -> None:
    for use in (files.look, files.remove, files.begin_upload):
        with pytest.raises(BadMessage):
            use(str(root), path)
    assert os.listdir(root) == []


@pytest.mark.parametrize("path", ["", "/", "///"])
def test_the_directory_itself_is_listed_and_neither_written_nor_removed(
    root: Path, path: str
) -> None:
    assert files.look(str(root), path) == Directory(path="", entries=[])
    for use in (files.remove, files.begin_upload):
        with pytest.raises(NotFound):
            use(str(root), path)


@pytest.mark.parametrize(
    "path", ["a", "/a", "a/b/c", "...", "a b", "-", "x" * 255, "é" * 127, os.fsdecode(b"\xff"), "~"]
)
@pytest.mark.parametrize("size", [0, 1, files.CHUNK_BYTES, files.CHUNK_BYTES + 1])
def test_what_is_written_is_read(root: Path, path: str, size: int) -> None:
    data = os.urandom(size)
    write(root, path, data)

    assert read(root, path) == data
    assert (root / path.strip("/")).read_bytes() == data


def test_links_are_followed_nowhere(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("outside")
    for name, target in (("way", outside), ("end", outside / "file"), ("loop", "loop")):
        (root / name).symlink_to(target)
    (root / "inside").mkdir()
    (root / "inside" / "back").symlink_to("..")

    for path in ("way/file", "way", "end", "loop", "loop/a", "inside/back/end", "inside/back"):
        with pytest.raises(NotFound):
            files.look(str(root), path)
    for path in ("way/file", "loop/a", "inside/back/x"):
        with pytest.raises(NotFound):
            files.remove(str(root), path)
        with pytest.raises(NotFound):
            files.begin_upload(str(root), path)
    files.remove(str(root), "way")  # the link
    write(root, "end", b"in its place")

    assert os.listdir(outside) == ["file"]
    assert (outside / "file").read_text() == "outside"
    assert read(root, "end") == b"in its place"


def test_what_is_no_file_is_not_read(root: Path) -> None:
    """Nor does anybody wait for the other end of a pipe."""
    os.mkfifo(root / "fifo")
    for path in ("fifo", "none", "fifo/a"):
        with pytest.raises(NotFound):
            files.look(str(root), path)
    listed = files.look(str(root), "")
    assert isinstance(listed, Directory)
    assert [(each.name, each.kind, each.bytes) for each in listed.entries] == [
        ("fifo", "other", None)
    ]


def test_a_directory_is_listed_by_name(root: Path) -> None:
    for name in ("b", "a", os.fsdecode(b"\xff")):
        (root / name).write_text(name * 2, errors="surrogateescape")
    (root / "c").mkdir()
    (root / "d").symlink_to("a")
    listed = files.look(str(root), "")
    assert isinstance(listed, Directory)

    assert [(each.name, each.kind, each.bytes) for each in listed.entries] == [
        ("a", "file", 2),
        ("b", "file", 2),
        ("c", "directory", None),
        ("d", "other", None),
        ("\udcff", "file", 2),
    ]
    assert files.look(str(root), "c/") == Directory(path="c", entries=[])


def test_only_files_and_empty_directories_are_removed(root: Path) -> None:
    write(root, "a/b", b"")
    with pytest.raises(BadMessage):
        files.remove(str(root), "a")
    files.remove(str(root), "a/b")
    files.remove(str(root), "a")
    with pytest.raises(NotFound):
        files.remove(str(root), "a")
    assert os.listdir(root) == []


def test_a_file_keeps_its_mode_and_its_readers_what_they_opened(root: Path) -> None:
    write(root, "run.sh", b"old")
    (root / "run.sh").chmod(0o750)
    found = files.look(str(root), "run.sh")
    assert isinstance(found, files.OpenFile)
    write(root, "run.sh", b"new!")

    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o750
    assert found.read(0) == b"old"
    found.close()
    assert read(root, "run.sh") == b"new!"


def test_until_it_is_whole_the_old_file_is_there_and_afterwards_nothing_else(root: Path) -> None:
    write(root, "a", b"old")
    upload = files.begin_upload(str(root), "a")
    upload.write(b"half")
    assert read(root, "a") == b"old"
    assert len(os.listdir(root)) == 2
    upload.close()
    assert (os.listdir(root), read(root, "a")) == (["a"], b"old")


def test_a_directory_is_not_replaced_by_a_file(root: Path) -> None:
    (root / "a").mkdir()
    upload = files.begin_upload(str(root), "a")
    with pytest.raises(BadMessage):
        upload.finish()
    upload.close()
    (root / "file").write_text("kept")
    with pytest.raises(NotFound):
        files.begin_upload(str(root), "file/below")

    assert sorted(os.listdir(root)) == ["a", "file"]


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """What the system says then is what it says of a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_is_told_and_leaves_what_was_there(root: Path) -> None:
    write(root, "a", b"old")
    upload = files.begin_upload(str(root), "a")
    with files_no_larger_than(1000):
        upload.write(b"x" * 600)
        with pytest.raises(StorageFull):
            upload.write(b"x" * 600)
    upload.close()

    assert (os.listdir(root), read(root, "a")) == (["a"], b"old")


def test_a_directory_that_is_gone_or_may_not_be_used_is_told_so(root: Path) -> None:
    with pytest.raises(NotFound):
        files.look(str(root / "none"), "a")
    with pytest.raises(StorageIo) as caught:
        files.remove("/proc/self", "status")
    assert caught.value.details["errno"] in ("EACCES", "EPERM")  # also to root


@pytest.mark.parametrize("path", ["nope", "/nope", "nope/"])
def test_a_file_that_is_not_there_is_told_as_its_client_named_it(tmp_path: Path, path: str) -> None:
    with pytest.raises(NotFound) as caught:
        files.look(str(tmp_path), path)

    assert caught.value.what == "there is no file 'nope'"
    assert caught.value.details == {"path": "nope"}
