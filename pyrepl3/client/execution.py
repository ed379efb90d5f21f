"""What came of one execution, as one object.

Pure: collects events. Must not know where they come from. An outcome never raises by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from pyrepl3.effects import NamespaceReport, Uncovered
from pyrepl3.errors import ExecutionFailed
from pyrepl3.events import (
    Display,
    DroppedEntry,
    Error,
    Event,
    Gap,
    HistoryTrimmed,
    MimeBundle,
    Output,
    Result,
    State,
    Stream,
    Usage,
)


@attrs.frozen
class RichResult:
    """One thing that was shown: the last expression's value, or what `display()` was given.

    ``data`` maps MIME types to text (binary data in base64).
    """

    data: MimeBundle
    metadata: Mapping[str, Any]
    is_value: bool = False
    """Whether it is the value of the last expression."""
    display_id: str | None = None

    @property
    def text(self) -> str | None:
        """Its plain text."""
        text = self.data.get("text/plain")
        return text if isinstance(text, str) else None


def id_of(execution: str | Execution | None) -> str | None:
    """The id of an execution, for whoever gives that or the execution itself. Raises TypeError."""
    if isinstance(execution, Execution):
        return execution.id
    if not isinstance(execution, str | None):
        raise TypeError(f"an execution's id is a str, not a {type(execution).__name__}")
    return execution


REPR_CHARACTERS = 200
"""Of each stream, in what `repr` shows."""


@attrs.define(eq=False, repr=False)
class Logs:
    """What was printed, in two strings."""

    _pieces: dict[Stream, list[str]] = attrs.field(factory=lambda: {"stdout": [], "stderr": []})

    def __repr__(self) -> str:
        return f"Logs(stdout={_shortened(self.stdout)}, stderr={_shortened(self.stderr)})"

    def add(self, stream: Stream, text: str) -> None:
        """One more piece."""
        self._pieces[stream].append(text)

    @property
    def stdout(self) -> str:
        """All of standard output."""
        return self._joined("stdout")

    @property
    def stderr(self) -> str:
        """All of standard error."""
        return self._joined("stderr")

    def _joined(self, stream: Stream) -> str:
        pieces = self._pieces[stream]
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0] if pieces else ""


def _shortened(text: str) -> str:
    left_out = len(text) - REPR_CHARACTERS
    return repr(text) if left_out <= 0 else f"{text[:REPR_CHARACTERS]!r} and {left_out} more"


@attrs.define(eq=False)
class Execution:
    """An execution from its acceptance to its end."""

    id: str
    results: list[RichResult] = attrs.field(factory=list)
    logs: Logs = attrs.field(factory=Logs)
    error: Error | None = None
    """None when the code ran to its end; otherwise ``name``, ``value``, ``traceback`` (a list of
    str), ``code`` (None for an exception of the code's own), ``state``, ``exit_status``."""
    value: Any = None
    """The last expression's value where it is JSON-safe, else None."""
    text: str | None = None
    """Its repr, or None when the last statement has no value."""
    execution_count: int | None = None
    duration_s: float | None = None
    usage: Usage | None = None
    omitted_bytes: int = 0
    """Output that a limit left out; 0 when it is complete."""
    history_dropped: list[DroppedEntry] = attrs.field(factory=list)
    """What can no more be undone as it gave way to this one; it may be among them itself."""
    state: State = "kept"
    """What became of the session's variables: of a dry run they are ``rolled_back``."""
    namespace: NamespaceReport | None = None
    """What it did to the session's names, where that was asked for."""
    uncovered: tuple[Uncovered, ...] | None = None
    """What no roll back undoes of it: files, connections, processes, threads, as far as they were
    seen. None: no snapshot was open, or it is not known."""
    lost_since: tuple[str, ...] = ()
    """Executions before it that were told as kept, and that a crash has undone: see `Error`."""
    by_reference: tuple[str, ...] | None = None
    """None, but where the variables were copied instead of the process: then the names of those
    that could not be, which nothing undoes."""

    def add(self, event: Event) -> bool:
        """Take in one event. True when it was the last."""
        if isinstance(event, Result):
            self.value = event.value
            if event.has_value:
                self.text = event.repr
                self.results.append(RichResult(event.data, event.metadata, is_value=True))
            self.usage = event.usage
            self.state = event.state
        elif isinstance(event, Output):
            self.logs.add(event.stream, event.data)
            return False
        elif isinstance(event, Error):
            self.error = event
            self.state = event.state
        elif isinstance(event, Display):
            self._display(event)
            return False
        elif isinstance(event, Gap):
            self.omitted_bytes += event.bytes
            return False
        elif isinstance(event, HistoryTrimmed):
            self.history_dropped.extend(event.dropped)
            return False
        else:
            return False
        self.lost_since, self.by_reference = event.lost_since, event.by_reference
        self.execution_count = event.execution_count
        self.duration_s = event.duration_s
        self.namespace = event.namespace
        self.uncovered = event.uncovered
        return True

    def raise_for_error(self) -> None:
        """Raise ExecutionFailed when it did not run to its end, with its traceback."""
        if self.error is not None:
            raise ExecutionFailed(self.error)

    def _display(self, event: Display) -> None:
        shown = RichResult(event.data, event.metadata, display_id=event.display_id)
        if event.update:
            for index, result in enumerate(self.results):
                if event.display_id is not None and result.display_id == event.display_id:
                    self.results[index] = shown
            return
        self.results.append(shown)
