"""The desk for snapshots: how one is taken, kept, found again and dropped, whatever comes between.

Owns the way through the actors that have a part in it: the session that is copied, the spawner of
its process, the keeper of snapshots, the pool. Must not know what a session is used for.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from io import FileIO
from typing import Any

import attrs
import trio

from actors import Address, Answer, Gone, NoReply, Outcome, Reply, ask, open_reply, reply_to
from pyrepl3.client.requests import SessionRequests
from pyrepl3.client.transactions import transaction_refused
from pyrepl3.config import Limits
from pyrepl3.errors import (
    ConfigInvalid,
    PyreplError,
    SnapshotNotFound,
    SnapshotUnavailable,
    WorkerSpawnFailed,
)
from pyrepl3.messages import AddTemplate, PoolMessage, Query, RetireTemplate
from pyrepl3.pool import refusals
from pyrepl3.snapshots.snapshot_messages import (
    DropSnapshot,
    KeepSnapshot,
    ListSnapshots,
    SnapshotInfo,
    SnapshotsMessage,
)
from pyrepl3.transport.copied_zygote import CopiedZygote
from pyrepl3.transport.spawning import Spare, SpawnerMessage

DROP_S = 5.0
"""For notices to actors that wait for nothing but their mailboxes: far more than it takes."""
NAME_CHARACTERS = 300
"""Room for one that a client chose, behind the client's own."""


@attrs.frozen
class Kept:
    """A snapshot that sessions can be opened from."""

    template: str
    """What the pool calls it."""
    info: SnapshotInfo
    limits: Limits
    """Of the sessions that are opened from it."""


@attrs.define(eq=False)
class Copying:
    """A copy of a session that was asked for. Whoever has it waits for it, whatever comes."""

    requests: SessionRequests
    _answer: Answer[Mapping[str, Any]]
    control: socket.socket
    """By which the copy is to be spoken to; closed where there will be none."""
    until_spared: FileIO
    """The session goes on when this is closed."""

    async def wait(self) -> Mapping[str, Any]:
        """What the worker answers. When this raises, nothing of it is left."""
        try:
            told = await self._answer.wait()
        except NoReply as error:
            raise self.requests.lost() from error
        except BaseException:
            self._answer.abandon(lambda _: self.control.close())
            raise
        if told["type"] == "failed":
            raise transaction_refused(told["name"], told["value"])
        return told


@attrs.define(eq=False)
class SnapshotDesk:
    """One service's."""

    pool: Callable[[], Address[PoolMessage]]
    keeper: Callable[[], Address[SnapshotsMessage]]
    spawner_of: Callable[[str], Address[SpawnerMessage]]
    """By a session's template, or by what the pool calls the snapshot that it is of."""
    lineage_of: Callable[[str], Sequence[str]]
    """Of a snapshot: what its own process came from, and so on."""
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    async def ask_to_copy(self, requests: SessionRequests) -> Copying:
        """Have the session's process copied behind all that was sent to it before.

        What is returned is to be kept by `keep`. Raises SessionLost, SnapshotUnavailable.
        """
        reply: Reply[Mapping[str, Any]]
        answer: Answer[Mapping[str, Any]]
        reply, answer = open_reply()
        try:
            control = _Control.open()
        except OSError as error:
            raise SnapshotUnavailable(
                what="no snapshot was taken",
                why=f"the service has too many descriptors open: {error.strerror}",
                how="Close sessions, or raise the system's limit on them",
            ) from error
        query = Query(
            "branch", {}, reply_to(lambda outcome: control.told(outcome, reply)), control.passed
        )
        try:
            await requests.tell(query)
        except BaseException:
            control.until_spared.close()
            query.reply.close()  # nobody else has it
            raise
        return Copying(requests, answer, control.ours, control.until_spared)

    async def keep(
        self, copying: Copying, *, name: str | None, origin: str, limits: Limits
    ) -> Kept:
        """Wait for a session's copy, and keep it.

        ``origin`` is the template of it, ``limits`` are those of the sessions to come. When
        cancelled, nothing is kept. Raises SessionLost, SnapshotUnavailable, TransactionActive,
        IdConflict, ShuttingDown.
        """
        requests = copying.requests
        zygote = await self._copy(copying)
        template = f"{origin}@{name or requests.lease.session}.{next(self._numbers)}"
        try:
            info: SnapshotInfo = await ask(
                self.keeper(),
                lambda reply: KeepSnapshot(
                    template,
                    name,
                    (requests.lease.template, *self.lineage_of(requests.lease.template)),
                    requests.lease.session,
                    limits,
                    zygote,
                    reply,
                ),
            )
            await ask(self.pool(), lambda reply: AddTemplate(template, reply))
        except Gone as error:
            zygote.discard()
            raise refusals.shutting_down() from error
        except BaseException:
            zygote.discard()
            await self.drop(template)  # noqa: ASYNC102  # shielded and bounded inside
            raise
        return Kept(template, info, limits)

    async def find(self, name: str) -> Kept:
        """The kept one of that name. Raises SnapshotNotFound, ShuttingDown."""
        found = await self.list()
        for kept in found:
            if kept.info.name == name:
                return kept
        known = ", ".join(repr(kept.info.name) for kept in found) or "none"
        raise SnapshotNotFound(
            what=f"there is no snapshot {name!r}",
            why=f"those that are kept: {known}",
            how="Keep one with `session.snapshot(name)`; it lives as long as the supervisor",
            details={"name": name},
        )

    async def keeps(self, template: str) -> bool:
        """Whether there is still that one; else the pool forgets it, too."""
        found = any(kept.template == template for kept in await self.list())
        if not found:
            await self.drop(template)
        return found

    async def list(self) -> list[Kept]:
        """Those with a name, the oldest first. Raises ShuttingDown."""
        try:
            found = await ask(self.keeper(), ListSnapshots)
        except Gone as error:
            raise refusals.shutting_down() from error
        return [Kept(template, *told) for template, told in found.items()]

    async def drop(self, template: str) -> None:
        """Nobody opens sessions from it any more; it ends with the last that there are.

        Not to be cancelled: bounded.
        """
        reply: Reply[None]
        emptied: Answer[None]
        reply, emptied = open_reply()
        with (
            trio.CancelScope(deadline=trio.current_time() + DROP_S, shield=True),
            # The service has ended, and its snapshots with it.
            suppress(trio.BrokenResourceError, trio.ClosedResourceError, Gone),
        ):
            await self.pool().send(RetireTemplate(template, reply))
            await ask(self.keeper(), lambda taken: DropSnapshot(template, emptied, taken))

    # --- the copy -------------------------------------------------------------------------------

    async def _copy(self, copying: Copying) -> CopiedZygote:
        """A copy of the session's process, which is the caller's."""
        with copying.until_spared:
            return await self._spared(copying)

    async def _spared(self, copying: Copying) -> CopiedZygote:
        requests, control = copying.requests, copying.control
        told = await copying.wait()
        worker, copy = told["worker"], told["pid"]
        try:
            pidfd = await self._spare(requests.lease.template, worker, copy)
            try:
                # When its own zygote has ended, it comes to the one that this one came from.
                for zygote in self.lineage_of(requests.lease.template):
                    with suppress(WorkerSpawnFailed, Gone):  # it has ended, or ends
                        os.close(await self._spare(zygote, worker, copy))
            except BaseException:
                os.close(pidfd)
                raise
        except (Gone, PyreplError) as error:
            control.close()
            raise _copy_lost(requests) from error
        except BaseException:
            control.close()
            raise
        return CopiedZygote(copy, pidfd, control)

    async def _spare(self, template: str, worker: int, copy: int) -> int:
        return await ask(
            self.spawner_of(template),
            lambda reply: Spare(worker, copy, reply),
            on_abandoned=os.close,
        )


@attrs.define(eq=False)
class _Control:
    """The two ends of the socket by which a copy is to be spoken to, and what else it needs."""

    ours: socket.socket
    theirs: socket.socket
    service: int
    spared: int
    until_spared: FileIO

    @classmethod
    def open(cls) -> _Control:
        """Raises OSError."""
        with ExitStack() as opened:
            service = os.pidfd_open(os.getpid())
            opened.callback(os.close, service)
            spared, until_spared = os.pipe2(os.O_CLOEXEC)
            opened.callback(os.close, spared)
            file = FileIO(until_spared, "w")
            opened.callback(file.close)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.pop_all()
        return cls(ours, theirs, service, spared, file)

    @property
    def passed(self) -> tuple[int, int, int]:
        return self.theirs.fileno(), self.service, self.spared

    def told(self, outcome: Outcome[Mapping[str, Any]], reply: Reply[Mapping[str, Any]]) -> None:
        """The worker has answered, or never will: what was passed is not needed any more."""
        self.theirs.close()
        os.close(self.service)
        os.close(self.spared)
        taken = False
        try:
            told = outcome.unwrap()
        except NoReply:
            reply.close()
        except PyreplError as error:
            reply.fail(error)
        else:
            taken = reply.answer(told) and told["type"] != "failed"
        if not taken:
            self.ours.close()


def _copy_lost(requests: SessionRequests) -> PyreplError:
    """Of a session that has ended since, or only of its copy."""
    if requests.has_ended:
        return requests.lost()
    return SnapshotUnavailable(
        what="no snapshot was taken",
        why="the copy of the session ended before it was kept",
        how="Try again",
    )


def check_name(name: object) -> None:
    """Of a snapshot. Raises ConfigInvalid."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS or not name.isprintable():
        raise ConfigInvalid(
            what=f"a snapshot cannot be called {name!r:.100}",
            why=f"a name is 1 to {NAME_CHARACTERS} characters that can be printed",
            how="Choose another one",
        )
