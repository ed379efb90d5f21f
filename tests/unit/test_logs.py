"""Unit tests: the log of a process goes where it should, and holds up nobody."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyrepl3.telemetry.logs import LineHandler, logging_to
from pyrepl3.telemetry.notes import note

SOON_S = 5.0
PIPE_BYTES = 4096


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def eventually(reached: object) -> None:
    deadline = time.monotonic() + SOON_S
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("pyrepl3.test", logging.INFO, "file", 1, text, None, None)


def test_lines_are_json_at_the_level_that_was_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file, logging_to("json", "info", descriptor=file.fileno()):
        logging.getLogger("pyrepl3.a").info("one")
        logging.getLogger("pyrepl3.a").debug("no")
        logging.getLogger("actors.child").info("two")
        logging.getLogger("library").info("what came over the wire")
        logging.getLogger("library").warning("three")

    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(each["logger"], each["event"]) for each in told] == [
        ("pyrepl3.a", "one"),
        ("actors.child", "two"),
        ("library", "three"),
    ]


def test_debug_does_not_let_libraries_tell_what_comes_over_the_wire(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file, logging_to("console", "debug", descriptor=file.fileno()):
        logging.getLogger("trio-websocket").debug("Authorization: Bearer token")
        logging.getLogger("pyrepl3.a").debug("one")

    (line,) = log.read_text().splitlines()
    assert line.endswith("debug    one")


def test_afterwards_logging_is_as_it_was(tmp_path: Path) -> None:
    root, ours = logging.getLogger(), logging.getLogger("pyrepl3")
    before = (list(root.handlers), ours.level)
    with (
        (tmp_path / "log").open("wb") as file,
        logging_to("json", "error", descriptor=file.fileno()),
    ):
        assert (len(root.handlers), ours.level) == (len(before[0]) + 1, logging.ERROR)

    assert (list(root.handlers), ours.level) == before


def test_a_reader_that_does_not_read_holds_up_nobody_and_is_told_what_it_missed() -> None:
    with pipe() as (reader, writer):
        handler = LineHandler(writer, most_lines=10)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger = logging.getLogger("pyrepl3.telemetry")
        logger.addHandler(handler)
        try:
            began_at = time.monotonic()
            for number in range(1000):
                handler.handle(record(f"{number:04} " + "x" * 200))
            assert time.monotonic() - began_at < SOON_S
            text = ""
            while "last" not in text:
                text += os.read(reader, 65536).decode()
                handler.handle(record("last"))
        finally:
            logger.removeHandler(handler)
            handler.close()

    lines = text.splitlines()
    told = [line.partition("lines=")[2] for line in lines if line.startswith("log lines dropped")]
    kept = sum("xxx" in line for line in lines)
    assert lines[0].startswith("0000 ")
    assert kept < 1000
    assert sum(map(int, told)) >= 1000 - kept  # and some of the last ones


def test_who_closes_it_waits_for_what_can_be_written_and_no_longer() -> None:
    with pipe() as (_, writer):
        handler = LineHandler(writer, most_lines=2)
        for _ in range(100):
            handler.handle(record("x" * 2000))
        began_at = time.monotonic()
        handler.close()
        assert time.monotonic() - began_at < SOON_S


def test_a_descriptor_that_was_made_nonblocking_is_waited_for() -> None:
    with pipe() as (reader, writer):
        os.set_blocking(writer, False)
        handler = LineHandler(writer)
        for number in range(100):
            handler.handle(record(f"{number} " + "x" * 200))
        data = b""
        while data.count(b"\n") < 100:
            data += os.read(reader, 65536)
        handler.close()

    assert [int(line.split()[0]) for line in data.splitlines()] == list(range(100))


def test_a_reader_that_has_gone_ends_the_log_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    handler = LineHandler(writer, most_lines=5)
    for _ in range(100):
        handler.handle(record("x"))
        time.sleep(0)  # the thread's turn
    handler.close()
    os.close(writer)

    assert not handler._thread.is_alive()


def test_of_what_cannot_be_formatted_its_place_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file, logging_to("json", descriptor=file.fileno()):
        (handler,) = (each for each in logging.getLogger().handlers if type(each) is LineHandler)
        broken = record("a %d")
        broken.args = ("secret",)
        handler.handle(broken)
        note(logging.getLogger("pyrepl3.a"), logging.INFO, "c", d=object)

    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["event"], first["of"], first["line"]) == (
        "log line not formed",
        "pyrepl3.test",
        1,
    )
    assert second["d"] == "<class 'object'>"
    assert "secret" not in log.read_text()
