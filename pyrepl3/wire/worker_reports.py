"""What a worker may say of an execution beside its value: the two fields that may be left out.

Owns their form, and that of what a dead one has left. Pure. Must not know messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from pyrepl3.effects import Uncovered, UncoveredKind

_LISTS = ("added", "changed", "removed")
_UNCOVERED_KINDS = frozenset(get_args(UncoveredKind))


def complaint(message: Mapping[str, Any]) -> str | None:
    """What is wrong with ``namespace`` and ``uncovered`` of a terminal message; None: nothing."""
    report, uncovered = message.get("namespace"), message.get("uncovered")
    if report is not None and not _is_report(report):
        return "a report of names that is not as it has to be"
    if uncovered is not None and not _is_uncovered(uncovered):
        return "what is not covered, not as it has to be"
    return None


def read_notes(notes: bytes) -> tuple[Uncovered, ...]:
    """What a worker has left of itself on its control page: ``kind TAB detail NUL``, up to a NUL.

    What is not as it has to be is left out: user code may have written there.
    """
    found = []
    for entry in notes.partition(b"\0\0")[0].split(b"\0"):
        kind, _, detail = entry.decode("utf-8", "replace").partition("\t")
        if kind in _UNCOVERED_KINDS and detail:
            found.append(Uncovered(cast("UncoveredKind", kind), detail))
    return tuple(found)


def _is_report(report: object) -> bool:
    return (
        isinstance(report, dict)
        and _is_count(report.get("omitted"))
        and type(report.get("is_undone")) is bool
        and all(
            isinstance(report.get(name), list) and all(map(_is_entry, report[name]))
            for name in _LISTS
        )
    )


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("type"), str)
        and "size_bytes" in entry
        and (entry["size_bytes"] is None or _is_count(entry["size_bytes"]))
        and type(entry.get("is_modified", False)) is bool
    )


def _is_uncovered(uncovered: object) -> bool:
    return isinstance(uncovered, list) and all(
        isinstance(each, dict)
        and isinstance(each.get("kind"), str)
        and each["kind"] in _UNCOVERED_KINDS
        and isinstance(each.get("detail"), str)
        for each in uncovered
    )


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
