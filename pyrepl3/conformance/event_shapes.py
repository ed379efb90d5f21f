"""Whether one event has the form that the recorders give it: a known action, and its fields.

Pure. Must not know what an action means, nor what came before it: an event that is well formed and
wrong is for TLC to find.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pyrepl3.conformance.vocabulary import (
    COUNTED,
    NUMBERS,
    OPEN,
    OPEN_FIELDS,
    OPTIONAL,
    POOL,
    POOL_FIELDS,
    SESSION,
    SESSION_FIELDS,
    TRUTHS,
    UNCOUNTED,
)

_OF_ALL = {POOL: ("of", "action"), SESSION: ("of", "action", "session")}


def complaint(event: Mapping[str, Any]) -> str | None:
    """What is wrong with the form of an event of a pool or a session; None: nothing."""
    of, action = event["of"], event["action"]
    if action == OPEN:
        names = OPEN_FIELDS[of]
    else:
        known = POOL_FIELDS if of == POOL else SESSION_FIELDS
        if action not in known:
            return f"{reprlib.repr(action)} is no action of a {of}"
        names = known[action]
        if of == POOL and action not in UNCOUNTED:
            names = (*names, *COUNTED)
    return next(_wrong(event, names), None)


def _wrong(event: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if name not in event:
            yield f"it has no {name!r}"
            continue
        value = event[name]
        kind, fits = _form(name)
        if not fits(value) and not (value is None and name in OPTIONAL):
            yield f"its {name!r} is {reprlib.repr(value)}, and should be {kind}"
    for name in sorted(event.keys() - {*names, *_OF_ALL[event["of"]]}):
        yield f"it has a {reprlib.repr(name)}, and no {event['action']} has that"


def _form(name: str) -> tuple[str, Callable[[object], bool]]:
    if name in TRUTHS:
        return "true or false", lambda value: isinstance(value, bool)
    if name in NUMBERS:
        return "a whole number from 0", _is_count
    if name == "templates":
        return (
            "a list of names",
            lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
        )
    return "a text", lambda value: isinstance(value, str)


def _is_count(value: object) -> bool:
    # True is an int too. TLC has numbers of 32 bits.
    return type(value) is int and 0 <= value < 2**31
