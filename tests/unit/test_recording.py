"""Unit tests: the file that a recording is written into, and what may go wrong with it."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyrepl3 import __version__
from pyrepl3.config import Config, PoolConfig, Template
from pyrepl3.errors import ConfigInvalid
from pyrepl3.recording import BUFFER_BYTES, FIRST_BYTES, open_recording

EVENT = {"of": "pool", "action": "Release", "session": "s1"}


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_recording_begins_with_the_pools_settings_and_ends_with_a_count(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    config = Config(
        pool=PoolConfig(min_idle=1, max_sessions=7, breaker_failures=4),
        templates={"b": Template(), "a": Template()},
    )
    with open_recording(str(path), config) as recording:
        recording.write(EVENT)
        recording.write({**EVENT, "session": "s2"})

    first, *events, last = lines_of(path)
    assert first == {
        "trace": "pyrepl3",
        "version": 1,
        "pyrepl3": __version__,
        "templates": ["b", "a"],
        "min_idle": 1,
        "max_sessions": 7,
        "breaker_failures": 4,
    }
    assert events == [EVENT, {**EVENT, "session": "s2"}]
    assert last == {"trace": "end", "events": 2}


def test_only_its_owner_may_read_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with open_recording(str(path), Config()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_events_are_written_when_the_buffer_is_full_and_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with open_recording(str(path), Config()) as recording:
        recording.write(EVENT)
        assert len(lines_of(path)) == 1
        recording.flush()
        assert len(lines_of(path)) == 2
        for _ in range(BUFFER_BYTES // 40):
            recording.write(EVENT)
        assert path.stat().st_size > BUFFER_BYTES


def test_a_recording_is_closed_whatever_ends_its_block(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    before = os.listdir("/proc/self/fd")

    class Odd(BaseException):
        pass

    def fail() -> None:
        with open_recording(str(path), Config()) as recording:
            recording.write(EVENT)
            raise Odd

    with pytest.raises(Odd):
        fail()

    assert lines_of(path)[1:] == [EVENT, {"trace": "end", "events": 1}]
    assert os.listdir("/proc/self/fd") == before


def test_a_closed_recording_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with open_recording(str(path), Config()) as recording:
        pass
    before = path.read_bytes()
    recording.write(EVENT)
    recording.close()

    assert path.read_bytes() == before


def test_an_older_recording_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with open_recording(str(path), Config()) as recording:
        recording.write(EVENT)
    with open_recording(str(path), Config()):
        pass

    assert lines_of(path)[1:] == [{"trace": "end", "events": 0}]


@pytest.mark.parametrize("cut", range(len(FIRST_BYTES)))
def test_one_that_was_cut_in_its_first_line_is_overwritten(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(FIRST_BYTES[:cut])
    with open_recording(str(path), Config()):
        pass

    assert lines_of(path)[-1] == {"trace": "end", "events": 0}


def test_one_that_others_could_read_is_its_owners_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with open_recording(str(path), Config()):
        pass
    path.chmod(0o666)
    with open_recording(str(path), Config()):
        pass

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_followed(tmp_path: Path) -> None:
    link, path = tmp_path / "link", tmp_path / "trace"
    link.symlink_to(path)
    with open_recording(str(link), Config()):
        pass

    assert lines_of(path)


# --- no file ------------------------------------------------------------------------------------


def assert_refused(path: Path, why: str, how: str) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigInvalid) as caught, open_recording(str(path), Config()):
        pass

    assert str(path) in caught.value.what
    assert why in caught.value.why
    assert how in caught.value.how
    assert os.listdir("/proc/self/fd") == before


def test_the_directory_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "none" / "trace"
    assert_refused(path, "No such file or directory", f"Make the directory {path.parent}")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert_refused(tmp_path, "Is a directory", "Name a file")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert_refused(path, "not a regular file", "Name a file")


def test_a_file_with_something_else_in_it_is_kept(tmp_path: Path) -> None:
    """A slip of the hand names a script: `pyrepl3 --record-trace script.py`."""
    path = tmp_path / "script.py"
    path.write_text("print(1)\n")
    assert_refused(path, "not a recording", "another file")

    assert path.read_text() == "print(1)\n"


def test_two_supervisors_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with open_recording(str(path), Config()) as recording:
        assert_refused(path, "another supervisor", "a file of its own")
        recording.write(EVENT)

    assert len(lines_of(path)) == 3


# --- a disk that is full ------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """What is written beyond that fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_the_recording_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trace"
    before = os.listdir("/proc/self/fd")
    with (
        caplog.at_level(logging.DEBUG, "pyrepl3"),
        open_recording(str(path), Config()) as recording,
    ):
        with files_of_at_most(1000):
            for _ in range(5 * BUFFER_BYTES // 40):
                recording.write(EVENT)
        recording.write(EVENT)

    first, *events = path.read_text().splitlines()
    assert json.loads(first)["trace"] == "pyrepl3"
    assert set(events[:-1]) == {json.dumps(EVENT, separators=(",", ":"))}
    assert path.stat().st_size <= 1000
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "File too large" in caplog.text
    assert str(path) in caplog.text
    assert os.listdir("/proc/self/fd") == before


# --- an event that is no JSON -------------------------------------------------------------------


def test_what_a_file_system_tells_only_at_the_end_is_logged_and_not_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    close = os.close

    def close_late(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with open_recording(str(tmp_path / "trace"), Config()) as recording:
        recording.write(EVENT)
        monkeypatch.setattr(os, "close", close_late)
        recording.close()
        monkeypatch.undo()

    assert "may lack its end: Input/output error" in caplog.text


@pytest.mark.parametrize(("value", "why"), [(b"s1", "bytes"), (float("nan"), "float")])
def test_an_event_that_is_no_json_ends_the_recording_and_nothing_else(
    value: object, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trace"
    before = os.listdir("/proc/self/fd")
    with open_recording(str(path), Config()) as recording:
        recording.write(EVENT)
        recording.write({**EVENT, "session": value})
        recording.write(EVENT)

    assert lines_of(path)[1:] == [EVENT]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert why in caplog.text
    assert os.listdir("/proc/self/fd") == before


# --- a fork of the program ----------------------------------------------------------------------


@pytest.mark.parametrize("way_out", ["write", "flush", "close"])
def test_a_fork_of_the_program_leaves_the_recording_alone(way_out: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with open_recording(str(path), Config()) as recording:
        recording.write(EVENT)
        child = os.fork()
        if not child:
            closed = -1
            try:
                before = len(os.listdir("/proc/self/fd"))
                for _ in range(BUFFER_BYTES // 40):
                    recording.write(EVENT) if way_out == "write" else getattr(recording, way_out)()
                recording.close()
                closed = before - len(os.listdir("/proc/self/fd"))
            finally:
                os._exit(closed)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 1
        recording.write(EVENT)

    assert lines_of(path)[1:] == [EVENT, EVENT, {"trace": "end", "events": 2}]


def test_a_fork_that_lives_on_does_not_keep_the_file_locked(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    reads, writes = os.pipe()
    try:
        with open_recording(str(path), Config()):
            child = os.fork()
            if not child:
                os.close(writes)
                os.read(reads, 1)
                os._exit(0)
        with open_recording(str(path), Config()) as recording:
            recording.write(EVENT)
    finally:
        os.close(writes)
        os.close(reads)
        os.waitpid(child, 0)

    assert lines_of(path)[1:] == [EVENT, {"trace": "end", "events": 1}]
