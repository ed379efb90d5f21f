"""Unit tests: what no spec looks at in a recording is looked at all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrepl3.conformance.consistency import inconsistency
from pyrepl3.conformance.recordings import read_recording
from pyrepl3.conformance.verdicts import Inconsistency

Line = dict[str, object]

NUMBERS = {"templates": ["python"], "min_idle": 0, "max_sessions": 2, "breaker_failures": 3}


def pool(action: str, **fields: object) -> Line:
    counted = {"live": 0, "waiting": 0} if action != "Open" else {}
    return {"of": "pool", "action": action, **fields, **counted}


def session(name: str, action: str, **fields: object) -> Line:
    return {"of": "session", "session": name, "action": action, **fields}


def opens(name: str) -> list[Line]:
    return [
        pool("Start", session=name, template="python"),
        session(name, "Open", queued=16, handed_at_most=8),
    ]


def execute(name: str, job: int, execution: str) -> Line:
    asked = {"reads": False, "timed": False, "protected": False}
    return session(name, "Execute", job=job, execution=execution, **asked)


def interrupt(name: str, reply: int) -> Line:
    return session(name, "Interrupt", execution=None, reply=reply, patient=False)


POOL_OPENS = pool("Open", **NUMBERS)
ENDS = pool("SessionEnded", session="s1")


def read(tmp_path: Path, *lines: Line) -> Inconsistency | None:
    path = tmp_path / "trace"
    header = {"trace": "pyrepl3", "version": 1, "pyrepl3": "0", **NUMBERS}
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *lines)))
    return inconsistency(read_recording(str(path)))


def test_what_agrees_is_accepted(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        POOL_OPENS,
        *opens("s1"),
        execute("s1", 1, "a"),
        interrupt("s1", 1),
        session("s1", "Ended", job=1, rolled_back=False, open=False),
        execute("s1", 2, "a"),
        session("s1", "Drop", job=2),
        execute("s1", 3, "a"),
        *opens("s2"),
        interrupt("s2", 1),
        pool("TakeBack", session="s2", waiter=1),
        session("s1", "Died"),
        execute("s1", 4, "a"),
        interrupt("s1", 2),
        ENDS,
        # After a restart of the tree names and numbers begin anew.
        POOL_OPENS,
        *opens("s1"),
        execute("s1", 1, "a"),
        interrupt("s1", 1),
    )

    assert found is None


def test_of_sessions_alone_no_pool_is_asked(tmp_path: Path) -> None:
    opened = session("s1", "Open", queued=16, handed_at_most=8)

    assert read(tmp_path, opened, execute("s1", 1, "a"), opened, execute("s1", 1, "a")) is None


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        (
            [pool("Open", **{**NUMBERS, "max_sessions": 3})],
            2,
            "the first line has max_sessions 2, and here it is 3",
        ),
        (
            [POOL_OPENS, session("s1", "Open", queued=16, handed_at_most=8)],
            3,
            "no pool has started s1",
        ),
        (
            [POOL_OPENS, *opens("s1"), session("s1", "Open", queued=16, handed_at_most=8)],
            5,
            "s1 was opened before, and a pool starts a session once",
        ),
        (
            [POOL_OPENS, *opens("s1"), ENDS, execute("s1", 1, "a")],
            6,
            "the pool has heard of the end of s1",
        ),
        (
            [
                POOL_OPENS,
                *opens("s1"),
                session("s1", "Query", job=1, timed=False),
                pool("TakeBack", session="s1", waiter=1),
            ],
            6,
            "s1 was used, and must not be handed out again",
        ),
        (
            [POOL_OPENS, *opens("s1"), execute("s1", 1, "a"), execute("s1", 2, "a")],
            6,
            "the session has an execution 'a' already",
        ),
        (
            [POOL_OPENS, *opens("s1"), interrupt("s1", 0)],
            5,
            "this is interrupt 1 of the session, and says another",
        ),
        (
            [POOL_OPENS, *opens("s1"), interrupt("s1", 1), interrupt("s1", 1)],
            6,
            "this is interrupt 2 of the session, and says another",
        ),
    ],
)
def test_what_does_not_agree_is_told_with_its_line(
    lines: list[Line], line: int, why: str, tmp_path: Path
) -> None:
    found = read(tmp_path, *lines)

    assert found is not None
    assert (found.line, found.why) == (line, why)
    assert found.event == lines[line - 2]
