"""What a line of the log says: an event in a few fixed words, and fields beside it.

Owns `note`, for whoever has something to log, and `bound`, which gives the ids of what a task does
to everything that is logged in it. Must not know formats, nor where lines go: a program that
embeds the service has handlers of its own, which get the fields as text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any

_BOUND: ContextVar[Mapping[str, Any]] = ContextVar("pyrepl3_bound", default={})  # noqa: B039  # never changed


class Note:
    """The message of a log record. As text, for handlers that know nothing of it:
    ``execution ended session=… outcome=ok``."""

    __slots__ = ("event", "fields")

    def __init__(self, event: str, fields: Mapping[str, Any]) -> None:
        self.event = event
        self.fields = fields

    def __str__(self) -> str:
        return " ".join([self.event, *(f"{name}={value}" for name, value in self.fields.items())])


class bound:  # used as a function is; a generator would cost three times as much
    """Whatever this task, and those that it starts, log during the block has these fields."""

    __slots__ = ("_ids", "_token")

    def __init__(self, **ids: Any) -> None:
        self._ids = ids
        self._token: Token[Mapping[str, Any]]

    def __enter__(self) -> None:
        self._token = _BOUND.set({**_BOUND.get(), **self._ids})

    def __exit__(self, *error: object) -> None:
        _BOUND.reset(self._token)


def bound_fields() -> Mapping[str, Any]:
    """Those of the task that asks."""
    return _BOUND.get()


def note(logger: logging.Logger, level: int, event: str, **fields: Any) -> None:
    """Log an event with its fields; those that are None are left out.

    Never code, what it printed, or a token: what is given here is told to whoever reads logs.
    """
    if logger.isEnabledFor(level):
        told = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, Note(event, told))
