"""Unit tests: a log record as a line, whatever is in it."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.telemetry.log_lines import ConsoleFormatter, JsonFormatter
from pyrepl3.telemetry.notes import Note, bound, note

WHEN = 1_795_625_446.2164


def record(message: object = "said", *args: object, **settings: Any) -> logging.LogRecord:
    made = logging.LogRecord("pyrepl3.test", logging.INFO, "file", 1, message, args, None)  # type: ignore[arg-type]
    made.created = WHEN
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter().format(made)
    assert "\n" not in line
    return dict(json.loads(line))


def console(made: logging.LogRecord) -> str:
    return ConsoleFormatter().format(made)


def test_a_note_is_an_object_with_its_fields() -> None:
    made = record(Note("execution ended", {"outcome": "ok", "session": "s", "duration_s": 0.5}))

    assert list(as_json(made).items()) == [
        ("time", "2026-11-25T16:50:46.216Z"),
        ("level", "info"),
        ("logger", "pyrepl3.test"),
        ("event", "execution ended"),
        ("session", "s"),
        ("outcome", "ok"),
        ("duration_s", 0.5),
    ]
    assert console(made) == (
        "16:50:46.216 info     execution ended      session=s outcome=ok duration_s=0.5"
    )


def test_a_message_of_a_library_is_the_event() -> None:
    assert as_json(record("a %s of %d", "b", 3))["event"] == "a b of 3"
    assert console(record("x")) == "16:50:46.216 info     x"


def test_for_other_handlers_a_note_is_text() -> None:
    assert record(Note("session died", {"cause": "SIGKILL"})).getMessage() == (
        "session died cause=SIGKILL"
    )


async def test_ids_that_are_bound_are_in_every_line_of_the_task_and_its_children() -> None:
    lines: list[dict[str, Any]] = []

    async def child() -> None:
        await trio.lowlevel.checkpoint()
        lines.append(as_json(record("said")))

    async with trio.open_nursery() as nursery:
        with bound(session="s", principal="ada"):
            with bound(execution="e"):
                nursery.start_soon(child)
            lines.append(as_json(record(Note("x", {"session": "own"}))))
        lines.append(as_json(record("said")))

    bare, own, of_child = (dict(list(line.items())[4:]) for line in (lines[1], lines[0], lines[2]))
    assert bare == {}
    assert own == {"session": "own", "principal": "ada"}
    assert of_child == {"session": "s", "execution": "e", "principal": "ada"}


def test_a_failure_of_ours_has_its_traceback_in_the_same_object() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        made = record("child crashed", exc_info=sys.exc_info())

    assert as_json(made)["traceback"].endswith("ValueError: a\nb")
    assert console(made).splitlines()[0] == "16:50:46.216 info     child crashed"
    assert "traceback" not in as_json(record("said"))


VALUES = st.text() | st.integers() | st.binary() | st.just("\x7f")


@given(st.text(), st.dictionaries(st.sampled_from(["code", "cause", "peer"]), VALUES))
def test_whatever_is_told_a_line_is_one_line(event: str, fields: dict[str, Any]) -> None:
    made = record(Note(event, fields))

    assert as_json(made)["event"] == event
    assert console(made).isprintable()


def test_nobody_can_forge_a_line_or_a_field() -> None:
    made = record(Note("x\n16:50:46.216 info     y", {"id": "a b=c", "other": "\x1b[2J", "no": ""}))

    assert console(made) == (
        '16:50:46.216 info     x\\n16:50:46.216 info     y id="a b=c" other="\\u001b[2J" no=""'
    )


def test_fields_that_are_none_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("pyrepl3.test")
    with caplog.at_level(logging.INFO, "pyrepl3.test"):
        note(logger, logging.INFO, "x", a=1, b=None)
        note(logger, logging.DEBUG, "y", a=1)

    assert [str(each.msg) for each in caplog.records] == ["x a=1"]
