"""The host: opens sessions for clients, finds them again, and forgets those that have ended.

Owns the life of each, from its request until nobody can read it any more. Waits for nothing but its
mailbox; each session has a task. Must not know what runs in one.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from itertools import zip_longest

import attrs
import trio

from actors import Address, Inbox, Reply, ask, close_mailbox, open_mailbox
from pyrepl3.client.session import Branch, Session
from pyrepl3.client.snapshot_desk import Kept, SnapshotDesk
from pyrepl3.config import Config, Limits
from pyrepl3.errors import PyreplError, SnapshotNotFound
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosted_session import HostedSession
from pyrepl3.hosting.hosted_snapshots import HostedSnapshots
from pyrepl3.hosting.hosting_messages import (
    DrainHost,
    DropSnapshot,
    Find,
    HostBranches,
    HostMessage,
    ListHosted,
    ListSnapshots,
    Opened,
    OpenHosted,
)
from pyrepl3.hosting.register import Register
from pyrepl3.journal.journals import Journals, open_journals
from pyrepl3.telemetry.figures import HostStatistics
from pyrepl3.telemetry.notes import bound
from pyrepl3.telemetry.observing import Observers
from pyrepl3.telemetry.traceparent import called_from
from pyrepl3.wire import client_requests as wire

logger = logging.getLogger("pyrepl3.hosting")

HOST_MAILBOX = 64
"""Connections that may ask at once without waiting for each other."""
ID_BYTES = 12
"""Of chance in a session's id: it cannot be guessed, and is read over the telephone once."""
OUTCOMES_S = 30.0
"""For executions to be told, once their session was given back: far more than it takes."""

LeaseSession = Callable[..., AbstractAsyncContextManager[Session]]
"""`Supervisor.session`."""


@attrs.define(eq=False)
class Host:
    """One mailbox, and a task for each hosted session."""

    config: Config
    lease_session: LeaseSession
    desk: SnapshotDesk
    """The supervisor's, for snapshots."""
    observers: Observers = attrs.field(factory=Observers)
    _journals: Journals | None = attrs.field(default=None, init=False)
    _register: Register = attrs.field(factory=Register, init=False)
    _snapshots: HostedSnapshots = attrs.field(init=False)
    _kept: OrderedDict[str, trio.CancelScope] = attrs.field(factory=OrderedDict, init=False)
    """Sessions that have ended and can still be read, the longest ended first."""
    _address: Address[HostMessage] = attrs.field(init=False)
    _is_drained: bool = attrs.field(default=False, init=False)
    _drainers: list[Reply[None]] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._snapshots = HostedSnapshots(self.desk)

    async def run(
        self, *, task_status: trio.TaskStatus[Address[HostMessage]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled: then all sessions are closed. The started value is the address."""
        address: Address[HostMessage]
        inbox: Inbox[HostMessage]
        address, inbox = open_mailbox(HOST_MAILBOX)
        try:
            with open_journals(self.config.hosting.journal) as journals:
                self._journals = journals
                async with trio.open_nursery() as nursery:
                    self._address = address
                    task_status.started(address)
                    await self._serve(inbox, nursery, journals)
        finally:
            close_mailbox(inbox, lambda message: message.reply.close())
            for reply in self._drainers:
                reply.close()

    def statistics(self) -> HostStatistics:
        """The figures as they are now."""
        infos = [hosted.info() for hosted in self._register]
        journals = self._journals
        return HostStatistics(
            sessions_open=sum(info.standing == "open" for info in infos),
            sessions_ended=sum(info.standing != "open" for info in infos),
            executions_running=sum(info.running is not None for info in infos),
            executions_queued=sum(info.queued for info in infos),
            history_bytes=sum(hosted.history_bytes for hosted in self._register),
            attachments=sum(info.attached for info in infos),
            journal_memory_bytes=0 if journals is None else journals.memory_bytes,
            journal_disk_bytes=0 if journals is None else journals.disk_bytes,
            is_draining=self._is_drained,
        )

    async def _serve(
        self, inbox: Inbox[HostMessage], nursery: trio.Nursery, journals: Journals
    ) -> None:
        async for message in inbox:
            if isinstance(message, OpenHosted):
                nursery.start_soon(self._host, message, journals)
            elif isinstance(message, Find):
                self._find(message)
            elif isinstance(message, DrainHost):
                self._drain(message)
            elif isinstance(message, ListSnapshots):
                nursery.start_soon(self._snapshots.list, message)
            elif isinstance(message, DropSnapshot):
                nursery.start_soon(self._snapshots.drop, message)
            elif isinstance(message, HostBranches):
                self._take_in(message, journals, nursery)
            else:
                self._list(message)

    def _find(self, message: Find) -> None:
        hosted = self._register.find(message.principal, message.session)
        if hosted is None:
            message.reply.fail(refusals.session_not_found(message.session))
        else:
            message.reply.answer(_opened(hosted))

    def _list(self, message: ListHosted) -> None:
        message.reply.answer([hosted.info() for hosted in self._register.of(message.principal)])

    def _drain(self, message: DrainHost) -> None:
        self._is_drained = True
        self._drainers.append(message.reply)
        for hosted in self._register:
            hosted.drain()
        self._tell_if_drained()

    def _tell_if_drained(self) -> None:
        if self._is_drained and all(hosted.is_over for hosted in self._register):
            while self._drainers:
                self._drainers.pop().answer(None)

    # --- one session ----------------------------------------------------------------------------

    async def _host(self, message: OpenHosted, journals: Journals) -> None:
        """One session, from its request until nobody can read it any more."""
        async with AsyncExitStack() as stack:
            with message.reply as reply:
                try:
                    hosted = await self._open(message, journals, stack)
                except PyreplError as error:
                    reply.fail(error)
                    return
                except Exception:
                    logger.exception("a session could not be opened; the others go on")
                    reply.fail(refusals.not_opened())
                    return
                if not reply.answer(_opened(hosted)):
                    return  # who asked has gone, and nobody else knows of it
            await self._live_apart(hosted, stack)

    async def _live_apart(self, hosted: HostedSession, stack: AsyncExitStack) -> None:
        """The border at which the failures of one stop that leave nobody to tell its end."""
        with bound(session=hosted.id, principal=hosted.principal):
            try:
                await self._live(hosted, stack)
            except* Exception:
                logger.exception("session %s failed for good; the others go on", hosted.id)

    async def _live(self, hosted: HostedSession, stack: AsyncExitStack) -> None:
        """From when its client knows of it. ``stack`` gives the session back."""
        with self._register.entered(hosted):
            hosted.opened()
            if self._is_drained:
                hosted.drain()
            try:
                async with trio.open_nursery() as keeping:
                    # By a task of ours: a disk that is slow must not hold up who tells an event.
                    keeping.start_soon(hosted.journal.keep_bounds)
                    await self._serve_session(hosted, stack)
                    hosted.ended()
                    self._tell_if_drained()
                    await self._keep(hosted)
                    keeping.cancel_scope.cancel()
            finally:
                hosted.close_mailbox()
                hosted.cut_off()
        await hosted.journal.discard()

    async def _serve_session(self, hosted: HostedSession, stack: AsyncExitStack) -> None:
        """Until it is given back, and the border at which its failures stop: it has died then."""
        try:
            async with trio.open_nursery() as work:
                await hosted.run(work)
                await stack.aclose()
                # What was under way is being told, now that the session is given back.
                work.cancel_scope.deadline = trio.current_time() + OUTCOMES_S
                await hosted.wait_told()
        except* Exception:
            logger.exception("session %s failed; the others go on", hosted.id)
            hosted.failed()
        await stack.aclose()

    # --- branches -----------------------------------------------------------------------------

    def _take_in(self, message: HostBranches, journals: Journals, nursery: trio.Nursery) -> None:
        """Each gets a journal, a place in the register, and a task that closes it at the end."""
        parent = self._register.by_id(message.parent)
        refusal = self._why_not(parent, message)
        if parent is None or refusal is not None:
            message.reply.fail(refusal or refusals.session_over("gone"))
            return
        taken = [
            self._hosted(
                attrs.evolve(parent.request, name=name, history=None),
                branch.session,
                parent.principal,
                parent.limits,
                journals,
                parent.directory,
            )
            for branch, name in zip_longest(message.branches, message.names)
        ]
        is_wanted = message.reply.answer([_opened(hosted) for hosted in taken])
        for hosted, branch in zip(taken, message.branches, strict=True):
            nursery.start_soon(self._live_as_branch, hosted, branch, is_wanted)

    def _why_not(self, parent: HostedSession | None, message: HostBranches) -> PyreplError | None:
        if parent is None or self._is_drained:
            return refusals.service_ending() if self._is_drained else None
        for name in message.names:
            is_taken = self._register.is_taken(parent.principal, name)
            if is_taken or message.names.count(name) > 1:
                return refusals.name_taken(name)
        return None

    async def _live_as_branch(self, hosted: HostedSession, branch: Branch, is_wanted: bool) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(branch.close)
            if is_wanted:
                await self._live_apart(hosted, stack)

    async def _adopt(
        self, parent: str, branches: Sequence[Branch], names: Sequence[str]
    ) -> Sequence[Opened]:
        """Has them hosted, or closes them. Raises IdConflict, SessionLost, ShuttingDown, Gone."""
        try:
            opened: Sequence[Opened] = await ask(
                self._address, lambda reply: HostBranches(parent, branches, names, reply)
            )
        except BaseException:
            for branch in branches:
                await branch.close()  # noqa: ASYNC102  # shielded and bounded inside
            raise
        return opened

    # --- a new session ----------------------------------------------------------------------------

    async def _open(
        self, message: OpenHosted, journals: Journals, stack: AsyncExitStack
    ) -> HostedSession:
        """Raises what an acquisition raises, RateLimited, IdConflict, ConfigInvalid."""
        if self._is_drained:
            raise refusals.service_ending()
        request = message.request
        kept: Kept | None = None
        if request.from_snapshot is not None:
            kept = await self._snapshots.find(message.principal, request.from_snapshot)
            request = attrs.evolve(request, template=kept.info.template)
        limits = self._limits(request, None if kept is None else kept.limits)
        await self._register.wait_settled(message.principal, request.name)
        with (
            self._register.counted(message.principal, message.at_most, 1),
            self._register.reserved(message.principal, request.name),
            called_from(request.traceparent),
        ):
            leased = self.lease_session(
                request.template,
                from_snapshot=None if kept is None else kept.info.name,
                cwd=request.cwd,
                env=request.env,
                limits=limits,
                acquire_timeout_s=request.acquire_timeout_s,
                transaction_policy=request.transaction_policy,
                guard=request.guard,
                allow_copy=request.allow_copy,
                report_namespace=request.report_namespace,
            )
            try:
                session = await stack.enter_async_context(leased)
            except SnapshotNotFound:
                # Dropped meanwhile; what the supervisor says of it names those of all principals.
                raise refusals.snapshot_not_found(request.from_snapshot or "") from None
            if request.history is not None:
                bounds = request.history
                await session.keep_history(bounds.count, most_bytes=bounds.most_bytes)
        directory = self._directory(request, kept)
        return self._hosted(request, session, message.principal, limits, journals, directory)

    def _hosted(
        self,
        request: wire.OpenSession,
        session: Session,
        principal: str,
        limits: Limits,
        journals: Journals,
        directory: str,
    ) -> HostedSession:
        id_ = secrets.token_hex(ID_BYTES)
        return HostedSession(
            id=id_,
            principal=principal,
            request=request,
            session=session,
            limits=limits,
            journal=journals.open(),
            idle_timeout_s=request.idle_timeout_s or self.config.hosting.idle_timeout_s,
            transaction_idle_s=self.config.hosting.transaction_idle_s,
            directory=directory,
            observers=self.observers,
            adopt=partial(self._adopt, id_),
            counted=partial(self._register.counted, principal),
            check_snapshots=partial(self._snapshots.check_room, principal),
        )

    async def _keep(self, hosted: HostedSession) -> None:
        """Until it was kept for long enough, or there are too many."""
        with trio.move_on_after(self.config.hosting.retention_s) as scope:
            self._kept[hosted.id] = scope
            if len(self._kept) > self.config.hosting.max_ended:
                next(iter(self._kept.values())).cancel()
            try:
                await hosted.serve_ended()
            finally:
                del self._kept[hosted.id]

    def _directory(self, request: wire.OpenSession, kept: Kept | None) -> str:
        """Where its process starts: of a template without one, where the service was started; of a
        snapshot, where the session started that it is of, if that can still be read."""
        if kept is not None and request.cwd is None:
            for hosted in self._register:
                if hosted.session.id == kept.info.session:
                    return hosted.directory
        return os.path.abspath(request.cwd or self.config.template(request.template).cwd or ".")

    def _limits(self, request: wire.OpenSession, base: Limits | None) -> Limits:
        """Those of ``base``, or the template's, but for what the client wants otherwise.

        Raises ConfigInvalid.
        """
        wishes = {
            name: wish for name, wish in attrs.asdict(request.limits).items() if wish is not None
        }
        return attrs.evolve(base or self.config.limits_of(request.template), **wishes)


def _opened(hosted: HostedSession) -> Opened:
    lease = hosted.session.lease
    return Opened(
        session=hosted.id,
        template=hosted.request.template,
        journal=hosted.journal,
        address=hosted.address,
        directory=hosted.directory,
        pid=lease.pid,
        warm=lease.warm,
        wait_s=lease.wait_s,
    )
