"""What the lines of a recording have to agree in that no spec looks at.

A spec judges the life of one pool, or of one session. What a pool says of a session and what that
session says of itself is for this module, and so are the numbers that TLA+ has no use for. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from pyrepl3.conformance.recordings import Contents, Recorded
from pyrepl3.conformance.verdicts import Inconsistency
from pyrepl3.conformance.vocabulary import OPEN, OPEN_FIELDS, POOL

_ASKED = ("Execute", "Query")
_JOB_IS_OVER = ("Ended", "Broke", "Drop")
_SESSION_IS_OVER = ("StartFailed", "SessionEnded")


def inconsistency(contents: Contents) -> Inconsistency | None:
    """The first line of a recording that does not agree with those before it; None: all do."""
    reader = _Reader(contents.header, has_pool=bool(contents.pools))
    events = sorted(
        (event for run in contents.runs for event in run.events), key=lambda event: event.line
    )
    for event in events:
        for why in reader.complaints(event):
            return Inconsistency(
                path=contents.path, line=event.line, event=dict(event.fields), why=why
            )
    return None


@attrs.define
class _Session:
    """A session, as its pool and itself have told so far."""

    opened: bool = False
    over: bool = False
    asked: bool = False
    """Whether anything was accepted that may have changed its state."""
    executions: dict[str, int] = attrs.field(factory=dict)
    """The ids of those that it has, and the numbers of their jobs."""
    interrupts: int = 0


@attrs.define
class _Reader:
    header: Mapping[str, Any]
    has_pool: bool
    """Without one, sessions are all that was recorded: nothing is asked of a pool then."""
    _sessions: dict[str, _Session] = attrs.field(factory=dict)

    def complaints(self, event: Recorded) -> Iterator[str]:
        """What is wrong with this line; then it is taken note of."""
        if event.fields["of"] == POOL:
            yield from self._of_pool(event.action, event.fields)
        else:
            yield from self._of_session(event.action, event.fields)

    def _of_pool(self, action: str, fields: Mapping[str, Any]) -> Iterator[str]:
        if action == OPEN:
            # After a restart its sessions' names begin anew.
            self._sessions.clear()
            for name in OPEN_FIELDS[POOL]:
                if fields[name] != self.header.get(name):
                    said = self.header.get(name)
                    yield f"the first line has {name} {said!r}, and here it is {fields[name]!r}"
        elif action == "Start":
            self._sessions.setdefault(fields["session"], _Session())
        elif (known := self._sessions.get(fields.get("session", ""))) is not None:
            if action == "TakeBack" and known.asked:
                yield f"{fields['session']} was used, and must not be handed out again"
            if action in _SESSION_IS_OVER:
                known.over = True

    def _of_session(self, action: str, fields: Mapping[str, Any]) -> Iterator[str]:
        name = fields["session"]
        if name not in self._sessions:
            if self.has_pool:
                yield f"no pool has started {name}"
            self._sessions[name] = _Session()
        known = self._sessions[name]
        if action == OPEN:
            if known.opened and self.has_pool:
                yield f"{name} was opened before, and a pool starts a session once"
            self._sessions[name] = known = _Session(opened=True, over=known.over)
        if known.over:
            yield f"the pool has heard of the end of {name}"
        yield from self._of_requests(known, action, fields)

    def _of_requests(
        self, known: _Session, action: str, fields: Mapping[str, Any]
    ) -> Iterator[str]:
        if action in _ASKED:
            known.asked = True
        if action == "Execute":
            if fields["execution"] in known.executions:
                yield f"the session has an execution {fields['execution']!r} already"
            known.executions[fields["execution"]] = fields["job"]
        elif action in _JOB_IS_OVER:
            over = [id for id, job in known.executions.items() if job == fields["job"]]
            for execution in over:
                del known.executions[execution]
        elif action == "Died":
            known.executions.clear()
        elif action == "Interrupt":
            known.interrupts += 1
            if fields["reply"] != known.interrupts:
                yield f"this is interrupt {known.interrupts} of the session, and says another"
