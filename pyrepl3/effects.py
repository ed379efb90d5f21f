"""What an execution did beside its value: to the session's names, and to the world outside.

Owns the two reports that a `Result` or an `Error` may carry, and their form as maps, which is the
same on every link. Pure. Must not know how either is found out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

UncoveredKind = Literal[
    "file_written",
    "file_removed",
    "file_renamed",
    "file_linked",
    "file_changed",
    "directory_made",
    "directory_removed",
    "database_opened",
    "socket_connected",
    "datagram_sent",
    "signal_sent",
    "process_started",
    "process_running",
    "thread_running",
    "more",
]


@attrs.frozen
class NameEntry:
    """One name of the session, and what it holds; of a removed one, what it held.

    ``size_bytes``: its own, of an array or a data frame with its data; None where only code of the
    user's could tell. ``is_modified``: of a changed one, that it is still the same object, of which
    the content or the size has changed.
    """

    name: str
    type: str
    size_bytes: int | None
    is_modified: bool = False


@attrs.frozen
class NamespaceReport:
    """What an execution did to the session's names; those that begin with ``_`` are left out."""

    added: tuple[NameEntry, ...] = attrs.field(factory=tuple)
    changed: tuple[NameEntry, ...] = attrs.field(factory=tuple)
    removed: tuple[NameEntry, ...] = attrs.field(factory=tuple)
    omitted: int = 0
    """How many there are beyond a hundred of each."""
    is_undone: bool = False
    """Whether it was rolled back: all names are as they were before, and this tells what was
    undone."""

    def __bool__(self) -> bool:
        """Whether it tells of anything."""
        return bool(self.added or self.changed or self.removed)


@attrs.frozen
class Uncovered:
    """One thing that code did, and that no roll back undoes.

    ``detail`` names it: an absolute path, an address, a command, the name of a thread; of ``more``
    the number of those that are not told.
    """

    kind: UncoveredKind
    detail: str


def report_from(message: Mapping[str, Any] | None) -> NamespaceReport | None:
    """The report that a map tells of. Raises KeyError."""
    if message is None:
        return None
    return NamespaceReport(
        added=tuple(map(_entry_from, message["added"])),
        changed=tuple(map(_entry_from, message["changed"])),
        removed=tuple(map(_entry_from, message["removed"])),
        omitted=message["omitted"],
        is_undone=message["is_undone"],
    )


def _entry_from(entry: Mapping[str, Any]) -> NameEntry:
    return NameEntry(
        entry["name"], entry["type"], entry["size_bytes"], entry.get("is_modified", False)
    )


def uncovered_from(message: Sequence[Mapping[str, Any]] | None) -> tuple[Uncovered, ...] | None:
    """What a list of maps tells of. Raises KeyError."""
    if message is None:
        return None
    return tuple(Uncovered(each["kind"], each["detail"]) for each in message)


def report_map(report: NamespaceReport) -> dict[str, Any]:
    """The map that tells of it."""
    return attrs.asdict(report)


def uncovered_maps(uncovered: Sequence[Uncovered]) -> list[dict[str, str]]:
    """The list of maps that tells of it."""
    return [{"kind": each.kind, "detail": each.detail} for each in uncovered]
