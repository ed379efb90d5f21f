"""The executions of one hosted session: each id runs once, and is remembered with its events.

Pure: decides what a request is to this session: new, the same as before, or another under a used
id. Must not know trio, nor how anything runs.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Literal

import attrs

from pyrepl3.errors import ExecutionNotFound, IdConflict, PyreplError
from pyrepl3.wire.client_requests import Execute

REMEMBERED = 10_000
"""Ended executions, beside what the journal's bounds say: a flood of tiny ones is not kept."""


@attrs.define(eq=False)
class Record:
    """One execution, from its acceptance on."""

    execution: str
    digest: bytes
    since: int
    """The event before its first one."""
    transaction: int | None = None
    """The number of the transaction that it was sent in."""
    started: bool = False
    last_seq: int | None = None
    """The number of its terminal event, once there is one."""

    @property
    def ended(self) -> bool:
        """Whether it has its one outcome."""
        return self.last_seq is not None

    @property
    def state(self) -> Literal["queued", "running", "ended"]:
        """How it stands."""
        if self.ended:
            return "ended"
        return "running" if self.started else "queued"


@attrs.define(eq=False)
class Executions:
    """Those under way, and those that ended as long as their outcome can be read."""

    _under_way: dict[str, Record] = attrs.field(factory=dict)
    """In the order in which they run."""
    _ended: OrderedDict[str, Record] = attrs.field(factory=OrderedDict)
    """In the order in which they ended."""
    _forgotten_to: int = 0
    """The latest terminal event of one that is not remembered any more."""

    def find(self, request: Execute) -> Record | None:
        """The execution that this request asks for again; None: it is new.

        Raises IdConflict when that id was used for another request, ExecutionNotFound when it may
        have been used for this one, and be forgotten.
        """
        record = self.get(request.execution)
        if record is not None and record.digest != digest_of(request):
            raise _conflict(request.execution)
        again_since = request.again_since
        # It was sent after that event: had it ended since, so would its last one have come after.
        if record is None and again_since is not None and again_since < self._forgotten_to:
            raise _forgotten(request.execution)
        return record

    def get(self, execution: str) -> Record | None:
        """That execution, if it is remembered."""
        return self._under_way.get(execution) or self._ended.get(execution)

    def accept(self, request: Execute, *, since: int, transaction: int | None = None) -> Record:
        """A new execution, in that transaction; its events will come behind ``since``."""
        record = Record(request.execution, digest_of(request), since, transaction)
        self._under_way[record.execution] = record
        return record

    def withdraw(self, record: Record) -> None:
        """It was not taken after all, and may be sent again under its id."""
        del self._under_way[record.execution]

    def end(self, record: Record, *, seq: int) -> None:
        """Its terminal event has that number."""
        record.last_seq = seq
        del self._under_way[record.execution]
        self._ended[record.execution] = record

    def forget_before(self, oldest_seq: int) -> None:
        """Events before that one cannot be read any more, so neither can their executions."""
        while self._ended:
            record = next(iter(self._ended.values()))
            assert record.last_seq is not None
            if record.last_seq >= oldest_seq and len(self._ended) <= REMEMBERED:
                return
            del self._ended[record.execution]
            self._forgotten_to = record.last_seq

    @property
    def under_way(self) -> list[Record]:
        """What runs, and what waits behind it."""
        return list(self._under_way.values())

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)


def digest_of(request: Execute) -> bytes:
    """What makes two requests with one execution's id the same: all but who asks, and when, and
    whether whoever asks can answer its `input()`."""
    parts = (
        request.code,
        request.timeout_s,
        request.transaction_policy,
        request.guard,
        request.allow_copy,
        request.report_namespace,
        request.filename,
        request.silent,
    )
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _forgotten(execution: str) -> PyreplError:
    return ExecutionNotFound(
        what=f"it is not known whether {execution} ran",
        why="what ended since it was first sent is forgotten in part",
        how="Find out from what it does; send it under another id to run it now",
        details={"execution": execution},
    )


def _conflict(execution: str) -> PyreplError:
    return IdConflict(
        what=f"the id {execution} is that of another execution",
        why="it was sent before, with another code or other options",
        how="Give each execution an id of its own; the same one only to send the same again",
        details={"execution": execution},
    )
