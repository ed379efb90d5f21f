"""The register of hosted sessions: which there are, whose they are, and what they are called.

Owns the rules of that: a principal's session looks to all others like one that does not exist, an
open session has its name alone, and a principal has no more sessions than it may. Must not know how
a session is opened, nor what runs in it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio

from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosted_session import HostedSession


@attrs.define(eq=False)
class Register:
    """Those of one host, the one that was opened first at the beginning."""

    _sessions: OrderedDict[str, HostedSession] = attrs.field(factory=OrderedDict, init=False)
    _opening: Counter[str] = attrs.field(factory=Counter, init=False)
    """Of each principal how many sessions it is getting."""
    _names: dict[tuple[str, str], trio.Event] = attrs.field(factory=dict, init=False)
    """Principals and the names of sessions that they are getting; set when that is settled."""

    @contextmanager
    def entered(self, hosted: HostedSession) -> Iterator[None]:
        """It can be found."""
        self._sessions[hosted.id] = hosted
        try:
            yield
        finally:
            del self._sessions[hosted.id]

    def __iter__(self) -> Iterator[HostedSession]:
        return iter(self._sessions.values())

    def of(self, principal: str) -> Iterator[HostedSession]:
        """All of that principal's."""
        return (hosted for hosted in self._sessions.values() if hosted.principal == principal)

    def by_id(self, session: str) -> HostedSession | None:
        """Whosever it is."""
        return self._sessions.get(session)

    def find(self, principal: str, session: str) -> HostedSession | None:
        """By id, or by the name that its principal gave it: the latest, if several had it."""
        hosted = self._sessions.get(session)
        if hosted is not None and hosted.principal == principal:
            return hosted
        for hosted in reversed(self._sessions.values()):
            if hosted.request.name == session and hosted.principal == principal:
                return hosted
        return None

    def is_taken(self, principal: str, name: str) -> bool:
        """Whether an open session of that principal has this name, or gets it just now."""
        hosted = self.find(principal, name)
        is_open = hosted is not None and hosted.standing == "open"
        return is_open or (principal, name) in self._names

    @contextmanager
    def counted(self, principal: str, at_most: int | None, count: int) -> Iterator[None]:
        """So many more for this principal, also before they are there. Raises RateLimited."""
        if at_most is not None and self._open_of(principal) + count > at_most:
            raise refusals.too_many_sessions(at_most)
        self._opening[principal] += count
        try:
            yield
        finally:
            self._opening[principal] -= count
            if not self._opening[principal]:
                del self._opening[principal]

    def _open_of(self, principal: str) -> int:
        return self._opening[principal] + sum(
            hosted.standing == "open" for hosted in self.of(principal)
        )

    async def wait_settled(self, principal: str, name: str | None) -> None:
        """Until nobody is getting a session of that name.

        Whether it comes to be is not known before: who asked for it may have gone, and asks again
        on another connection. Refused, it would look for a session that there never was.
        """
        while name is not None and (principal, name) in self._names:
            await self._names[principal, name].wait()

    @contextmanager
    def reserved(self, principal: str, name: str | None) -> Iterator[None]:
        """Nobody else gets a session of that name meanwhile. Raises IdConflict.

        From `wait_settled` to here, and from here to the session's place in the register, nobody
        else runs.
        """
        if name is None:
            yield
            return
        hosted = self.find(principal, name)
        if hosted is not None and hosted.standing == "open":
            raise refusals.name_taken(name)
        settled = self._names[principal, name] = trio.Event()
        try:
            yield
        finally:
            del self._names[principal, name]
            settled.set()
