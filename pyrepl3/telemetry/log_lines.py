"""A log record as a line: for people, or as JSON for what collects logs.

Pure: a record in, text out. Whatever is in a record, a line is one line; a traceback alone, which
only failures of the service itself have, is more for people. Must not know where lines go.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyrepl3.telemetry.notes import Note, bound_fields

IDS = ("request", "session", "execution", "principal", "peer")
"""Come first, in this order."""
EVENT_CHARACTERS = 4096
"""Of a message that was not ours: a library may put anything into it."""
EVENT_WIDTH = 20

_COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
_PLAIN = "\033[0m"


class JsonFormatter(logging.Formatter):
    """One JSON object: ``time`` (UTC, ISO 8601), ``level``, ``logger``, ``event``, ids, fields."""

    def format(self, record: logging.LogRecord) -> str:
        event, fields = _told(record)
        told = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            **fields,
        }
        trace = _traceback(self, record)
        if trace:
            told["traceback"] = trace
        return json.dumps(told, default=str)


class ConsoleFormatter(logging.Formatter):
    """``16:45:01.123 info     execution ended      session=… outcome=ok``, in UTC as JSON is."""

    def __init__(self, *, is_coloured: bool = False) -> None:
        super().__init__()
        self._is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        event, fields = _told(record)
        time = _time(record).isoformat(timespec="milliseconds")[11:23]
        words = [f"{name}={_word(value)}" for name, value in fields.items()]
        level = f"{record.levelname.lower():8}"
        if self._is_coloured and record.levelname in _COLOURS:
            level = f"{_COLOURS[record.levelname]}{level}{_PLAIN}"
        line = " ".join([time, level, f"{_one_line(event):{EVENT_WIDTH}}", *words]).rstrip()
        trace = _traceback(self, record)
        return f"{line}\n{trace}" if trace else line


def _told(record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """The event, and its fields with those of its task: ids first."""
    own: Mapping[str, Any] = {}
    if isinstance(record.msg, Note):
        event, own = record.msg.event, record.msg.fields
    else:
        event = record.getMessage()[:EVENT_CHARACTERS]
    fields = {**bound_fields(), **own}
    ids = {name: fields.pop(name) for name in IDS if name in fields}
    return event, {**ids, **fields}


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _word(value: Any) -> str:
    """As it is, or quoted where it has spaces or anything that a terminal would act on."""
    text = str(value)
    return text if text.isprintable() and " " not in text and text else _quoted(text)


def _one_line(text: str) -> str:
    return text if text.isprintable() else _quoted(text)[1:-1]


def _quoted(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")
