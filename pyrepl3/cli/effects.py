"""What an execution did beside its value, in lines for a terminal.

Pure: reports in, text out. Must not know where it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyrepl3.effects import NameEntry, NamespaceReport, Uncovered

MOST_LINES = 10
"""Of what is not undone: a program that writes a hundred files is told in a screen."""

_UNCOVERED = {
    "file_written": "{} was written",
    "file_removed": "{} was removed",
    "file_renamed": "{} was renamed",
    "file_linked": "{} was made a link",
    "file_changed": "{} has other attributes",
    "directory_made": "{} was made",
    "directory_removed": "{} was removed",
    "database_opened": "{} was opened as a database",
    "socket_connected": "{} was connected to",
    "datagram_sent": "{} was sent a datagram",
    "signal_sent": "signal {} was sent",
    "process_started": "{} was started",
    "more": "{} more",
}
_ENDED = {"process_running": "process {}", "thread_running": "thread {}"}
"""What a roll back ends, as it ends the process that has it."""


def names_told(report: NamespaceReport | None) -> str:
    """A line for each name; "" where there is no report, or nothing in it."""
    if not report:
        return ""
    lines = [
        *(f"+ {_entry(each)}" for each in report.added),
        *(f"~ {_entry(each)}{', modified' * each.is_modified}" for each in report.changed),
        *(f"- {_entry(each)}" for each in report.removed),
    ]
    if report.omitted:
        lines.append(f"{report.omitted} more")
    undone = "undone: " if report.is_undone else ""
    return "".join(f"[{undone}{line}]\n" for line in lines)


def _entry(entry: NameEntry) -> str:
    size = "" if entry.size_bytes is None else f", {entry.size_bytes} bytes"
    return f"{entry.name}: {entry.type}{size}"


def not_undone(uncovered: Sequence[Uncovered] | None) -> str:
    """A line for each thing; "" where there is none, or where that is not known."""
    shown = list(uncovered or ())
    lines = [_left(each) for each in shown[:MOST_LINES]]
    if len(shown) > MOST_LINES:
        lines.append(f"not undone: {len(shown) - MOST_LINES} more")
    return "".join(f"[{line}]\n" for line in lines)


def _left(uncovered: Uncovered) -> str:
    if uncovered.kind in _ENDED:
        return "ended with it: " + _ENDED[uncovered.kind].format(uncovered.detail)
    return "not undone: " + _UNCOVERED[uncovered.kind].format(uncovered.detail)
