"""A hosted session's branches and snapshots: what is asked is passed on in order, once each.

Owns the way from a request to the leased session, to the host that takes the branches in, and back
to all who wait for it. Must not know which requests are the same (`keyed_requests.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs
import trio

from actors import Gone
from pyrepl3.client.session import Branch, Session
from pyrepl3.errors import IdConflict, PyreplError
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosting_messages import Fork, KeepSnapshot, Opened
from pyrepl3.hosting.keyed_requests import KeyedRequests, Requested
from pyrepl3.hosting.snapshot_names import shown, stored

Adopt = Callable[[Sequence[Branch], Sequence[str]], Awaitable[Sequence[Opened]]]
"""Has them hosted, under these names."""


@attrs.define(eq=False)
class HostedBranches:
    """Those of one session. ``adopt`` and ``counted`` are the host's: the latter counts so many
    more sessions of its principal, and raises RateLimited where that is too many, as
    ``check_snapshots`` does where it keeps as many as it may."""

    principal: str
    session: Session
    last_seq: Callable[[], int]
    rest: Callable[[], None]
    adopt: Adopt
    counted: Callable[[int | None, int], AbstractContextManager[None]]
    check_snapshots: Callable[[int | None], Awaitable[None]]
    _requests: KeyedRequests

    async def ask(
        self, message: Fork | KeepSnapshot, work: trio.Nursery, *, is_draining: bool
    ) -> None:
        """Behind the executions that were sent before it."""
        try:
            requested = self._find(message)
            if requested is None and is_draining:
                raise refusals.service_ending()
        except PyreplError as error:
            message.reply.fail(error)
            return
        if requested is not None:
            requested.tell(message.reply)
            return
        kind, about = _about(message)
        requested = self._requests.accept(kind, message.key, to=about)
        requested.tell(message.reply)
        self.rest()
        try:
            finish = await self._begin(message)
        except PyreplError as error:
            self._answer(requested, error, None)
        else:
            work.start_soon(self._finish, requested, finish)

    def refuse(self, message: Fork | KeepSnapshot, standing: str) -> None:
        """What was answered under a key is answered again, also by a session that has ended."""
        try:
            requested = self._find(message)
        except PyreplError as error:
            message.reply.fail(error)
            return
        if requested is None:
            message.reply.fail(refusals.session_over(standing))
        else:
            requested.tell(message.reply)

    def _find(self, message: Fork | KeepSnapshot) -> Requested | None:
        kind, about = _about(message)
        return self._requests.find(kind, message.key, message.again_since, to=about)

    async def _begin(self, message: Fork | KeepSnapshot) -> Callable[[], Awaitable[Any]]:
        if isinstance(message, KeepSnapshot):
            name = message.name
            await self.check_snapshots(message.at_most)
            kept = await self.session.branching.begin_snapshot(stored(self.principal, name))

            async def keep() -> Any:
                try:
                    return shown(self.principal, await kept())
                except IdConflict:
                    # Which names it as the supervisor keeps it.
                    raise refusals.snapshot_name_taken(name) from None

            return keep
        if len(message.names) > message.count:
            raise refusals.more_names_than_branches(len(message.names), message.count)
        with self.counted(message.at_most, message.count):
            begun = await self.session.branching.begin_fork(message.count)

        async def fork() -> Any:
            with self.counted(message.at_most, message.count):
                return await self.adopt(await begun(), message.names)

        return fork

    async def _finish(self, requested: Requested, finish: Callable[[], Awaitable[Any]]) -> None:
        try:
            answer = await finish()
        except PyreplError as error:
            self._answer(requested, error, None)
        except Gone:
            self._answer(requested, refusals.service_ending(), None)
        except BaseException:
            self._answer(requested, refusals.session_over("gone"), None)
            raise
        else:
            self._answer(requested, None, answer)

    def _answer(self, requested: Requested, refusal: PyreplError | None, answer: Any) -> None:
        self._requests.answered(requested, refusal, seq=self.last_seq(), answer=answer)
        self.rest()


def _about(message: Fork | KeepSnapshot) -> tuple[Any, str]:
    if isinstance(message, KeepSnapshot):
        return "snapshot", message.name
    return "fork", " ".join([str(message.count), *message.names])
