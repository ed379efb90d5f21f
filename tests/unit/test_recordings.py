"""Unit tests: a recording, read: what is in it, and what is none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.conformance.recordings import Contents, RecordingInvalid, Run, read_recording

HEADER = {"trace": "pyrepl3", "version": 1, "pyrepl3": "0.1.0"}
Line = Mapping[str, Any]


OPENS = {
    "pool": {"templates": ["a"], "min_idle": 0, "max_sessions": 1, "breaker_failures": 3},
    "session": {"queued": 1, "handed_at_most": 2},
}


def pool(action: str, **fields: object) -> Line:
    more = OPENS["pool"] if action == "Open" else {"live": 0, "waiting": 0}
    return {"of": "pool", "action": action, **more, **fields}


def session(name: str, action: str, **fields: object) -> Line:
    more = OPENS["session"] if action == "Open" else {}
    return {"of": "session", "session": name, "action": action, **more, **fields}


def start(name: str = "s1") -> Line:
    return pool("Start", session=name, template="a")


def written(path: Path, lines: list[Line], *, end: bool = True, tail: str = "") -> str:
    if end:
        lines = [*lines, {"trace": "end", "events": len(lines) - 1}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace"


def shape(runs: list[Run]) -> list[tuple[str, list[tuple[int, str]]]]:
    return [(run.name, [(event.line, event.action) for event in run.events]) for run in runs]


def test_events_come_with_their_lines_pools_and_sessions_apart(file: Path) -> None:
    lines = [
        HEADER,
        pool("Open"),
        start("s1"),
        session("s1", "Open"),
        start("s2"),
        session("s2", "Open"),
        session("s1", "Hand", job=1),
    ]
    contents = read_recording(written(file, lines))

    assert contents.header == HEADER
    assert shape(contents.pools) == [("pool", [(2, "Open"), (3, "Start"), (5, "Start")])]
    assert shape(contents.sessions) == [
        ("s1", [(4, "Open"), (7, "Hand")]),
        ("s2", [(6, "Open")]),
    ]
    assert contents.pools[0].events[1].fields == start("s1")
    assert (contents.events, contents.remarks) == (6, [])


def test_a_restarted_tree_has_a_new_pool_and_its_sessions_names_begin_anew(file: Path) -> None:
    once = [pool("Open"), session("s1", "Open"), session("s1", "Died")]
    contents = read_recording(written(file, [HEADER, *once, *once]))

    assert shape(contents.pools) == [("pool", [(2, "Open")]), ("pool", [(5, "Open")])]
    assert shape(contents.sessions) == [
        ("s1", [(3, "Open"), (4, "Died")]),
        ("s1", [(6, "Open"), (7, "Died")]),
    ]


# --- the end of it ------------------------------------------------------------------------------


def test_a_recording_of_a_killed_service_is_a_beginning(file: Path) -> None:
    path = written(file, [HEADER, pool("Open")], end=False)
    contents = read_recording(path)

    assert contents.events == 1
    assert [remark[:18] for remark in contents.remarks] == ["its end is missing"]


def test_a_cut_last_line_is_left_out_and_said(file: Path) -> None:
    path = written(file, [HEADER, pool("Open")], end=False, tail='{"of":"po')
    contents = read_recording(path)

    assert contents.events == 1
    assert contents.remarks[0] == "line 3 is cut off, and was left out"


def test_a_last_line_that_misses_its_end_alone_is_taken(file: Path) -> None:
    path = written(file, [HEADER, pool("Open")], end=False, tail=json.dumps(pool("ShutDown")))

    assert read_recording(path).events == 2


@pytest.mark.parametrize("said", [0, 5])
def test_lines_that_were_lost_or_added_are_told_by_the_last(file: Path, said: int) -> None:
    lines = [HEADER, pool("Open"), {"trace": "end", "events": said}]
    path = written(file, lines, end=False)
    assert_invalid(path, "line 3", f"it speaks of {said} events, and there are 1")


@pytest.mark.parametrize("said", [{}, {"events": None}, {"events": "1"}, {"events": True}])
def test_a_last_line_says_how_many_events_there_were(file: Path, said: Line) -> None:
    path = written(file, [HEADER, pool("Open"), {"trace": "end", **said}], end=False)
    assert_invalid(path, "line 3", "does not say of how many")


def test_the_first_events_alone_may_be_read(file: Path) -> None:
    lines = [HEADER, pool("Open"), *[start()] * 10]

    assert read_recording(written(file, lines), at_most=4).events == 4
    assert read_recording(written(file, lines), at_most=4).remarks == []
    assert read_recording(written(file, lines), at_most=11).events == 11
    assert read_recording(written(file, lines), at_most=11).remarks == []


@given(cut=st.integers(min_value=0))
def test_every_beginning_of_a_recording_can_be_read_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut"
    lines = [HEADER, pool("Open"), start(), session("s1", "Open"), session("s1", "Hand", job=1)]
    data = Path(written(path, lines)).read_bytes()
    beginning = data[: cut % (len(data) + 1)]
    path.write_bytes(beginning)
    try:
        contents: Contents | None = read_recording(str(path))
    except RecordingInvalid:
        contents = None

    ends = [sum(map(len, data.split(b"\n")[: n + 1])) + n for n in range(len(lines))]
    whole = [end for end in ends if end <= len(beginning)]
    assert len(whole) - 1 == (-1 if contents is None else contents.events)


# --- what is none -------------------------------------------------------------------------------


def assert_invalid(path: str, what: str, why: str) -> None:
    with pytest.raises(RecordingInvalid) as caught:
        read_recording(path)

    assert path in caught.value.what
    assert what in caught.value.what
    assert why in caught.value.why
    assert caught.value.how


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("", "is not a recording", "empty"),
        ("print(1)\n", "line 1", "not JSON"),
        ("\x00\xff", "line 1", "not JSON"),
        ("{}\n", "is not a recording", "first line"),
        ("[]\n", "line 1", "not an object"),
        ('{"trace":"pyrepl3","version":2,"pyrepl3":"9"}\n', "cannot be checked", "version 2"),
    ],
)
def test_what_does_not_begin_like_one_is_refused(
    file: Path, text: str, what: str, why: str
) -> None:
    file.write_text(text, "latin-1")
    assert_invalid(str(file), what, why)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("not json", "not JSON"),
        ("", "not JSON"),
        ("[1]", "not an object"),
        ("1", "not an object"),
        ("{}", "no event of a pool or a session"),
        ('{"of":"pool"}', "no event"),
        ('{"of":"pool","action":1}', "no event"),
        ('{"of":"pool","action":"Open","action":"ShutDown"}', "has 'action' twice"),
        ('{"of":"session","action":"Open"}', "no event"),
        ('{"of":"nobody","action":"Open"}', "no event"),
        ('{"of":"session","session":"s9","action":"Died"}', "s9, which was not opened"),
        ('{"of":' + "[" * 100_000 + "]" * 100_000 + "}", "nested more deeply"),
        ('{"of":"pool","action":"' + "x" * 2**20 + '"}', "longer than any event"),
    ],
)
def test_a_line_that_is_no_event_is_named(file: Path, line: str, why: str) -> None:
    before, behind = [HEADER, pool("Open")], pool("ShutDown")
    file.write_text("\n".join([*map(json.dumps, before), line, json.dumps(behind), ""]))
    assert_invalid(str(file), "line 3", why)


def test_events_of_a_pool_that_was_not_opened_are_refused(file: Path) -> None:
    path = written(file, [HEADER, start()])
    assert_invalid(path, "line 2", "not opened")


def test_nothing_comes_after_the_end(file: Path) -> None:
    path = written(file, [HEADER, {"trace": "end", "events": 0}, pool("Open")], end=False)
    assert_invalid(path, "line 3", "after the line that ends")


def test_nothing_that_is_cut_off_comes_after_the_end(file: Path) -> None:
    assert_invalid(written(file, [HEADER, pool("Open")], tail='{"of":"po'), "line 4", "not JSON")


def test_a_file_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    assert_invalid(str(tmp_path / "none"), "cannot be read", "No such file")
    assert_invalid(str(tmp_path), "cannot be read", "Is a directory")
    assert_invalid("/dev/null", "cannot be read", "not a regular file")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert_invalid(str(path), "cannot be read", "not a regular file")
