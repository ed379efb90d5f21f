"""What happens in a session, as clients are told over the network: events as maps, and back.

Owns the field names of every event (protocol.md 2), for both ends. Must not know bytes. A map is
complete but for its ``session`` and ``seq``, which are the journal's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from pyrepl3.effects import report_from, report_map, uncovered_from, uncovered_maps
from pyrepl3.events import (
    Display,
    Error,
    Event,
    Gap,
    HistoryTrimmed,
    InputRequested,
    Output,
    Result,
    Started,
    Usage,
    dropped_entries,
)

TERMINAL = frozenset({"result", "error"})
"""Each execution has one of these, as its last event."""

_TYPES: Mapping[type[Any], str] = {
    Started: "started",
    Output: "output",
    Display: "display",
    Gap: "output_gap",
    InputRequested: "input",
    HistoryTrimmed: "history_trimmed",
    Result: "result",
    Error: "error",
}
_CLASSES: Mapping[str, type[Any]] = {name: kind for kind, name in _TYPES.items()}
_FIELDS: Mapping[type[Any], tuple[str, ...]] = {
    kind: tuple(field.name for field in attrs.fields(kind) if not field.name.startswith("_"))
    for kind in _TYPES
}

_NAMES = ("lost_since", "by_reference")
"""Fields that are tuples here, and lists on the wire."""


def as_map(event: Event) -> dict[str, Any]:
    """The message that tells of it. Shares what is in it with the event."""
    kind = type(event)
    message: dict[str, Any] = {"type": _TYPES[kind]}
    for name in _FIELDS[kind]:
        message[name] = getattr(event, name)
    if kind is Result:
        usage = message["usage"]
        message["usage"] = {
            "cpu_s": usage.cpu_s,
            "max_rss_bytes": usage.max_rss_bytes,
            "history_bytes": usage.history_bytes,
        }
    elif kind is HistoryTrimmed:
        message["dropped"] = [attrs.asdict(each) for each in message["dropped"]]
    if kind is Result or kind is Error:
        _tell_effects(message)
    return message


def _tell_effects(message: dict[str, Any]) -> None:
    """Each of the two reports as a map; where there is none, its field is left out."""
    report, uncovered = message.pop("namespace"), message.pop("uncovered")
    if report is not None:
        message["namespace"] = report_map(report)
    if uncovered is not None:
        message["uncovered"] = uncovered_maps(uncovered)


Respond = Callable[[str, str | None], Awaitable[None]]
"""Sends the line for the input of that id."""


def from_map(message: Mapping[str, Any], respond: Respond) -> Event | None:
    """The event that a message tells of; None: it is of something else.

    ``respond`` is where an `InputRequested` sends its answer. Fields that are not known are left
    out. Raises KeyError for a field that is missing.
    """
    kind = _CLASSES.get(message["type"])
    if kind is None:
        return None
    fields = {name: message[name] for name in _FIELDS[kind] if name in message}
    if kind is Result:
        usage = fields["usage"]
        fields["usage"] = Usage(
            usage["cpu_s"], usage["max_rss_bytes"], usage.get("history_bytes", 0)
        )
    if kind is HistoryTrimmed:
        fields["dropped"] = dropped_entries(fields["dropped"])
    if kind is Result or kind is Error:
        fields["namespace"] = report_from(message.get("namespace"))
        fields["uncovered"] = uncovered_from(message.get("uncovered"))
    for name in _NAMES:
        if fields.get(name) is not None:
            fields[name] = tuple(fields[name])
    if kind is InputRequested:
        number = fields["input"]

        async def send(data: str | None) -> None:
            await respond(number, data)

        fields["send"] = send
    event: Event = kind(**fields)
    return event
