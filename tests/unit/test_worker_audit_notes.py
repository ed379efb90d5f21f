"""Unit tests: what audit events say, whatever their arguments are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrepl3.effects import UncoveredKind
from pyrepl3.worker.audit_notes import NOTES

NOTED: list[tuple[str, tuple[Any, ...], tuple[str, str] | None]] = [
    ("open", ("/a/../b", "w", 0o1101), ("file_written", "/b")),
    ("open", (b"/a", "rb", 0), None),
    ("open", (Path("/a"), None, os.O_RDWR), ("file_written", "/a")),
    ("open", ("/a", "x", None), ("file_written", "/a")),
    ("open", ("/dev/null", "w", 0o1101), None),
    ("open", ("/a/__pycache__/b.pyc.1", None, 0o1101), None),
    ("os.truncate", ("/a", 5), ("file_written", "/a")),
    ("os.remove", ("/a", -1), ("file_removed", "/a")),
    ("os.rename", ("/a", "/b", -1, -1), ("file_renamed", "/a -> /b")),
    ("os.rename", ("/a", "/__pycache__/b", -1, -1), None),
    ("os.link", ("/a", "/b", -1, -1), ("file_linked", "/b")),
    ("os.symlink", ("a", "/b", -1), ("file_linked", "/b")),
    ("os.mkdir", ("/a", 0o777, -1), ("directory_made", "/a")),
    ("os.chmod", ("/a", 0o777, -1), ("file_changed", "/a")),
    ("sqlite3.connect", (":memory:",), None),
    ("sqlite3.connect", ("/a",), ("database_opened", "/a")),
    ("socket.connect", (None, ("::1", 80, 0, 0)), ("socket_connected", "[::1]:80")),
    ("socket.connect", (None, ("h", 80)), ("socket_connected", "h:80")),
    ("socket.connect", (None, "/run/s"), ("socket_connected", "/run/s")),
    ("socket.sendto", (None, ("h", 80)), ("datagram_sent", "h:80")),
    ("socket.sendmsg", (None, None), None),
    ("subprocess.Popen", ("/a", ["a", b"b"], None, None), ("process_started", "a b")),
    ("subprocess.Popen", ("/bin/sh", "a b", None, None), ("process_started", "a b")),
    ("os.system", (b"a b",), ("process_started", "a b")),
    ("os.posix_spawn", ("/a", ("a", "b"), {}), ("process_started", "a b")),
    ("os.fork", (), ("process_started", "a fork of this one")),
    ("os.kill", (1, 15), ("signal_sent", "15 to 1")),
    ("os.kill", (1, 0), None),
    ("os.kill", (os.getpid(), 9), None),
]


@pytest.mark.parametrize(("event", "arguments", "expected"), NOTED)
def test_an_event_is_put_into_words(
    event: str, arguments: tuple[Any, ...], expected: tuple[str, str] | None
) -> None:
    entry = NOTES[event](*arguments)

    assert entry == expected
    assert entry is None or entry[0] in get_args(UncoveredKind)


def test_a_path_is_made_whole_from_where_it_was_named(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        removed = NOTES["os.remove"]("a", directory)
    finally:
        os.close(directory)

    assert removed == ("file_removed", f"{tmp_path}/a")
    assert NOTES["os.remove"]("a", -1) == ("file_removed", f"{Path.cwd()}/a")


class Path2:
    """Somebody's own path, whose code is not run."""

    def __fspath__(self) -> str:
        raise AssertionError("code of the user's was run")

    __str__ = __int__ = __index__ = __bool__ = __fspath__  # type: ignore[assignment]
    __hash__ = __eq__ = __contains__ = __fspath__  # type: ignore[assignment]


ARGUMENTS = st.lists(
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.builds(Path2)
    | st.tuples(st.text(max_size=5), st.integers())
    | st.lists(st.text(max_size=5), max_size=2),
    max_size=5,
)


@settings(max_examples=1000)
@given(st.sampled_from(sorted(NOTES)), ARGUMENTS)
def test_odd_arguments_give_an_entry_or_an_error_and_run_nothing(
    event: str, arguments: list[Any]
) -> None:
    try:
        entry = NOTES[event](*arguments)
    except AssertionError:
        raise
    except Exception:
        return  # it is caught, and nothing noted
    assert entry is None or all(isinstance(part, str) for part in entry)
