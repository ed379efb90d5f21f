"""Reads a recording: from the lines of a file to the runs that the specs can judge.

Owns the format, as `pyrepl3/recording.py` writes it. Must not know what any action means: a line
that is well formed and wrong is for TLC to find.

A run is what one specification judges by itself: the life of one pool, or of one session. Each
begins with its `Open`. A service that restarted its tree has several pools in one recording, and
its sessions' names begin anew with each.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

import attrs

from pyrepl3.conformance.event_shapes import complaint
from pyrepl3.conformance.vocabulary import OPEN, POOL
from pyrepl3.recording import FORMAT_VERSION

LINE_BYTES = 2**20
"""No event comes near; what has longer lines is something else."""


class RecordingInvalid(Exception):
    """Raised by what is no recording, or one that was damaged: nothing can be said of it."""

    def __init__(self, *, what: str, why: str, how: str) -> None:
        super().__init__(what, why, how)
        self.what = what
        self.why = why
        self.how = how

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.how}"


@attrs.frozen
class Recorded:
    """One event, and the line of the file that tells of it, counted from 1."""

    line: int
    fields: Mapping[str, Any]

    @property
    def action(self) -> str:
        """Its name, here and in the spec."""
        action: str = self.fields["action"]
        return action


@attrs.define
class Run:
    """The life of one pool or session, as far as it was recorded."""

    path: str
    name: str
    """Of a session: its id; of a pool: "pool"."""
    events: list[Recorded] = attrs.field(factory=list)
    whole: bool = True
    """Whether its recording was read to the end that the service gave it: where that was cut, a
    run may end between an action and its effects."""


@attrs.define
class Contents:
    """All that a recording tells."""

    path: str
    header: Mapping[str, Any]
    pools: list[Run] = attrs.field(factory=list)
    sessions: list[Run] = attrs.field(factory=list)
    remarks: list[str] = attrs.field(factory=list)
    """What its reader should know: that its end is missing."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """All of both kinds."""
        return (*self.pools, *self.sessions)

    @property
    def events(self) -> int:
        """How many there are."""
        return sum(len(run.events) for run in self.runs)


def read_recording(path: str, *, at_most: int | None = None) -> Contents:
    """The recording in that file, or the first ``at_most`` events of it.

    Raises RecordingInvalid, also when it cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _unreadable(path, "it is not a regular file")
            return _Reader(path).read(file, at_most)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _open_at_once(path: str, flags: int) -> int:
    # A pipe that nobody writes into would be waited for.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _unreadable(path: str, why: str) -> RecordingInvalid:
    return RecordingInvalid(
        what=f"{path} cannot be read",
        why=why,
        how="Name the file that Config.record_trace or --record-trace named",
    )


class _NamedTwice(Exception):
    """Raised for an object of JSON with two values of one name, of which one would be lost."""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise _NamedTwice(next(name for name in names if names.count(name) > 1))
    return fields


@attrs.define
class _Reader:
    """One pass over a file, which keeps the events and nothing else of it."""

    path: str
    _line: int = 0
    _cut: bool = False
    _ended: bool = False
    """Whether the line that ends a recording was read."""
    _events_read: int = 0

    def read(self, file: BinaryIO, at_most: int | None) -> Contents:
        lines = self._objects(file)
        contents = Contents(self.path, self._header(next(lines, None)))
        events = self._events(lines)
        self._sort(contents, islice(events, at_most))
        rest_follows = at_most is not None and next(events, None) is not None
        contents.remarks.extend([] if rest_follows else self._remarks())
        for run in contents.runs:
            run.whole = self._ended and not rest_follows
        return contents

    def _objects(self, file: BinaryIO) -> Iterator[Mapping[str, Any]]:
        while text := file.readline(LINE_BYTES):
            self._line += 1
            whole = text.endswith(b"\n")
            if not whole and len(text) == LINE_BYTES:
                raise self._invalid("it is longer than any event")
            try:
                line = json.loads(text, object_pairs_hook=_once_each)
            except _NamedTwice as error:
                raise self._invalid(f"it has {str(error)!r} twice") from error
            except ValueError as error:
                if whole or self._line == 1 or self._ended:
                    raise self._invalid("it is not JSON") from error
                self._cut = True
                return
            except RecursionError as error:
                raise self._invalid("it is nested more deeply than any event") from error
            if not isinstance(line, dict):
                raise self._invalid("it is not an object")
            yield line

    def _header(self, line: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if line is None:
            raise self._refused("it is empty")
        if line.get("trace") != "pyrepl3":
            raise self._refused('its first line is not {"trace":"pyrepl3",...}')
        if line.get("version") != FORMAT_VERSION:
            raise RecordingInvalid(
                what=f"{self.path} cannot be checked",
                why=f"its format is version {line.get('version')!r}, and this is {FORMAT_VERSION}",
                how=f"Check it with the PyREPL3 that made it: {line.get('pyrepl3', 'unknown')}",
            )
        return line

    def _events(self, lines: Iterable[Mapping[str, Any]]) -> Iterator[Recorded]:
        for line in lines:
            if self._ended:
                raise self._invalid("it comes after the line that ends the recording")
            if line.get("trace") == "end":
                self._end(line.get("events"))
                continue
            self._events_read += 1
            yield Recorded(self._line, line)

    def _end(self, said: object) -> None:
        self._ended = True
        # True is an int too.
        if type(said) is not int:
            raise self._invalid("it ends the recording, and does not say of how many events")
        if said != self._events_read:
            raise self._invalid(f"it speaks of {said} events, and there are {self._events_read}")

    def _sort(self, contents: Contents, events: Iterable[Recorded]) -> None:
        """Put each event into its run."""
        sessions: dict[str, Run] = {}
        for event in events:
            match event.fields:
                case {"of": "pool", "action": str(action)}:
                    self._check_form(event)
                    if action == OPEN:
                        contents.pools.append(Run(self.path, POOL))
                    if not contents.pools:
                        raise self._invalid("it is of a pool that was not opened", event.line)
                    contents.pools[-1].events.append(event)
                case {"of": "session", "session": str(name), "action": str(action)}:
                    self._check_form(event)
                    if action == OPEN:
                        sessions[name] = Run(self.path, name)
                        contents.sessions.append(sessions[name])
                    if name not in sessions:
                        why = f"it is of the session {name}, which was not opened"
                        raise self._invalid(why, event.line)
                    sessions[name].events.append(event)
                case _:
                    raise self._invalid("it is no event of a pool or a session", event.line)

    def _check_form(self, event: Recorded) -> None:
        if (why := complaint(event.fields)) is not None:
            raise self._invalid(why, event.line)

    def _remarks(self) -> Iterator[str]:
        if self._cut:
            yield f"line {self._line} is cut off, and was left out"
        if not self._ended:
            yield "its end is missing: the service was killed, still runs, or could not write"

    def _invalid(self, why: str, line: int | None = None) -> RecordingInvalid:
        return RecordingInvalid(
            what=f"{self.path}, line {line or self._line}, is not as a recording has it",
            why=why,
            how="Make the recording again, and do not edit it",
        )

    def _refused(self, why: str) -> RecordingInvalid:
        return RecordingInvalid(
            what=f"{self.path} is not a recording",
            why=why,
            how="Make one with Config(record_trace=...) or pyrepl3 --record-trace FILE",
        )
