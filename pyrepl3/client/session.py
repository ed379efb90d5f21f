"""A session as a program uses it: run code, follow it, answer it, interrupt it.

Owns what one caller may do with one leased session. Must not know processes, nor the pool
beyond the way to a second session when the first died before it was used.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from pyrepl3.client.editing import Completeness, Completion, Inspection, at_cursor
from pyrepl3.client.event_stream import EventStream
from pyrepl3.client.execution import Execution, id_of
from pyrepl3.client.handlers import Handlers, OnDisplay, OnInput, OnOutput
from pyrepl3.client.history import History
from pyrepl3.client.history_requests import HistoryRequests
from pyrepl3.client.leased import LeasedSession, Renew, file_name
from pyrepl3.client.requests import SessionRequests
from pyrepl3.client.settings import SessionSettings
from pyrepl3.config import HISTORY_BYTES, Guard, TransactionPolicy, check_timeout
from pyrepl3.errors import InternalError
from pyrepl3.events import DroppedEntry, InterruptOutcome
from pyrepl3.messages import EventChannel, Execute, Interrupt, Lease, QueryKind
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo
from pyrepl3.telemetry.observing import Observers


class Branch(Protocol):
    """A session that was forked from another, in its caller's hands."""

    session: Session

    async def close(self) -> None:
        """Give it back."""


class Branching(Protocol):
    """What can be made of a session as a whole, by who has leased it.

    `begin_fork` and `begin_snapshot` are for who asks by messages: what they return waits for the
    outcome, and is to be called in any case.
    """

    async def begin_fork(self, count: int) -> Callable[[], Awaitable[Sequence[Branch]]]:
        """Behind all that was sent before; the branches are the caller's, to be closed."""

    async def begin_snapshot(self, name: str) -> Callable[[], Awaitable[SnapshotInfo]]:
        """Behind all that was sent before."""

    async def fork(self, count: int) -> list[Session]:
        """As `Session.fork`."""

    async def snapshot(self, name: str) -> SnapshotInfo:
        """As `Session.snapshot`."""

    async def close(self) -> None:
        """As `Session.close`."""


class Session:
    """A stateful session in a process of its own, leased to one caller.

    Made by ``supervisor.session()``. Executions of one session run in order; requests may come
    from several tasks.
    """

    def __init__(
        self,
        lease: Lease,
        settings: SessionSettings,
        renew: Renew,
        observers: Observers | None = None,
        *,
        template: str | None = None,
        branching: Branching | None = None,
    ) -> None:
        self.id = lease.session
        """The session's id; it stays when a first process that died unused is replaced."""
        self.template = template or lease.template
        """Of the configuration; where it was forked from a snapshot, that of the original."""
        self._branching = branching
        self._way = LeasedSession(
            SessionRequests(lease), settings, renew, observers, self.id, self.template
        )
        self._numbers = itertools.count(1)
        self.transactions = self._way.transactions
        """For who asks by messages: `begin`, `commit` and `rollback` are for all others."""
        self.history_requests = HistoryRequests(
            self._way.send_query, lambda: self._way.requests.lost(), self._way.returned
        )
        """For who asks by messages: `undo` and the like are for all others."""

    @property
    def pid(self) -> int:
        """The process that it was leased with, for people and logs. What is rolled back goes on in
        another one, as `os.getpid()` tells in it."""
        return self._way.requests.lease.pid

    @property
    def lease(self) -> Lease:
        """What the pool gave: whether it was warm, and how long it took."""
        return self._way.requests.lease

    @property
    def touched(self) -> bool:
        """Whether anything was ever asked of it, or changed in it."""
        return self._way.is_altered or not self._way.is_untouched

    def __repr__(self) -> str:
        return f"<pyrepl3.Session {self.id} template={self.template!r} pid={self.pid}>"

    # --- running code -------------------------------------------------------------------------

    async def run(
        self,
        code: str,
        *,
        timeout_s: float | None = None,
        on_input: OnInput | None = None,
        on_output: OnOutput | None = None,
        on_display: OnDisplay | None = None,
        filename: str | None = None,
        silent: bool = False,
        transaction_policy: TransactionPolicy | None = None,
        guard: Guard | None = None,
        allow_copy: bool | None = None,
        report_namespace: bool | None = None,
    ) -> Execution:
        """Run code and wait for its end; what came of it, good or bad, is the `Execution`.

        ``timeout_s``: its deadline from when it starts; None for the limit of the configuration,
        ``math.inf`` for none. ``on_input(prompt)`` answers `input()`, with None or EOFError for
        the end of the input; without it `input()` raises EOFError in the code. ``on_output`` and
        ``on_display`` get the events while it runs. All of them may be plain or async; while one
        waits, the code's output waits. ``silent``: no value, no `_`, not counted.

        ``transaction_policy``: what becomes of the variables: ``commit_always`` keeps them,
        ``rollback_on_failure`` undoes what failed, ``rollback_always`` is a dry run, ``explicit``
        leaves it to the transaction. ``guard``: a crash is undone, and the session goes on;
        ``"auto"``: back to the last snapshot that was cheap, and ``lost_since`` of its `Error`
        names what came since. ``allow_copy``: where the process cannot be copied, its variables
        are, for the policy. None: the session's own; `docs/snapshots.md` tells what is undone, and
        what is not. ``report_namespace``: `Execution.namespace` tells which names it added, changed
        and removed.

        When cancelled, the code is interrupted. Raises CodeTooLarge, QueueFull or SessionLost
        when nothing of it ran, ConfigInvalid for an impossible option.
        """
        execution = Execution(f"{self.id}.{next(self._numbers)}")
        handlers = Handlers(on_input, on_output, on_display)
        handled = handlers.there_are
        await self.transactions.settle()
        protection = self.transactions.protection(transaction_policy, guard, allow_copy)
        within = self.transactions.current
        observed = self._way.observe(execution.id)
        events, event = await self._way.begin(
            execution.id,
            code,
            observed,
            timeout_s=timeout_s,
            filename=filename,
            silent=silent,
            allow_input=on_input is not None,
            wants_started=observed is not None,
            report_namespace=self._way.settings.reports(report_namespace),
            **protection,
        )
        with events:
            try:
                while not execution.add(event):
                    if handled:
                        await handlers.react(event)
                    event = await self._way.next_event(events, observed, within)
            except BaseException:
                if observed is not None:
                    observed.left()
                await self._way.requests.abandon(execution.id)  # noqa: ASYNC102  # shielded and bounded inside
                raise
        return execution

    @asynccontextmanager
    async def stream(
        self,
        code: str,
        *,
        timeout_s: float | None = None,
        allow_input: bool = True,
        filename: str | None = None,
        silent: bool = False,
        transaction_policy: TransactionPolicy | None = None,
        guard: Guard | None = None,
        allow_copy: bool | None = None,
        report_namespace: bool | None = None,
    ) -> AsyncGenerator[EventStream]:
        """Run code and follow its events: `Started` first, one `Result` or `Error` last.

        A slow reader slows the code. Leaving the block before the last event interrupts it.
        Arguments and errors as of `run`; the errors come on entry.
        """
        execution = f"{self.id}.{next(self._numbers)}"
        observed = self._way.observe(execution)
        await self.transactions.settle()
        protection = self.transactions.protection(transaction_policy, guard, allow_copy)
        within = self.transactions.current
        events, first = await self._way.begin(
            execution,
            code,
            observed,
            timeout_s=timeout_s,
            filename=filename,
            silent=silent,
            allow_input=allow_input,
            wants_started=True,
            report_namespace=self._way.settings.reports(report_namespace),
            **protection,
        )
        stream = EventStream(first, lambda: self._way.next_event(events, observed, within))
        with events:
            try:
                yield stream
            finally:
                if not stream.ended:
                    if observed is not None:
                        observed.left()
                    await self._way.requests.abandon(execution)  # noqa: ASYNC102  # shielded and bounded inside

    async def send(
        self,
        execution: str,
        code: str,
        events: EventChannel,
        *,
        timeout_s: float | None = None,
        allow_input: bool = True,
        filename: str | None = None,
        silent: bool = False,
        transaction_policy: TransactionPolicy | None = None,
        guard: Guard | None = None,
        allow_copy: bool | None = None,
        report_namespace: bool | None = None,
        traceparent: str | None = None,
    ) -> None:
        """Send code under an id of the caller's, and do not wait for what comes of it.

        Executions run in the order in which they were sent. ``events`` is told of this one:
        `Started` first, one `Result` or `Error` last, or `Refused` alone. No observer hears of it
        but by the caller. Raises CodeTooLarge, SessionLost, ConfigInvalid; then it is told nothing.
        """
        self._way.check(code, timeout_s)
        name = None if filename is None else file_name(filename)
        await self.transactions.settle()
        protection = self.transactions.protection(transaction_policy, guard, allow_copy)
        self._way.is_untouched = False
        await self._way.requests.execute(
            Execute(
                execution,
                code,
                events,
                timeout_s=timeout_s,
                allow_input=allow_input,
                filename=name,
                silent=silent,
                report_namespace=self._way.settings.reports(report_namespace),
                **protection,
                traceparent=traceparent,
            )
        )

    async def abandon(self, execution: str) -> None:
        """Nobody waits for that execution any more: what waits is dropped, what runs interrupted.

        Not to be cancelled: bounded.
        """
        await self._way.requests.abandon(execution)

    async def wait_ended(self) -> str:
        """Wait until its process has ended, and say why it did. Once a session."""
        return await self._way.requests.wait_ended()

    async def interrupt(
        self, execution: str | Execution | None = None, *, grace_s: float | None = None
    ) -> InterruptOutcome:
        """Interrupt what runs, or the execution of that id, and wait for what came of it.

        The ladder: SIGINT; after ``grace_s`` (default: the configuration's) the stack is dumped
        for the report, and the process is killed. A second call may shorten the grace. Raises
        ExecutionNotFound, SessionLost, ConfigInvalid.
        """
        execution = id_of(execution)
        check_timeout("grace_s", grace_s)
        return await self._way.requests.ask(lambda reply: Interrupt(execution, grace_s, reply))

    # --- transactions -------------------------------------------------------------------------

    async def begin(self) -> None:
        """From here on all that runs is one transaction, until `commit` or `rollback`.

        A crash in it goes back to here as well. When cancelled, none is left open. Raises
        TransactionActive, SnapshotUnavailable, SessionLost.
        """
        await self.transactions.begin()

    async def commit(self) -> None:
        """What was run since `begin` stays. Raises NoTransaction, SessionLost."""
        await self.transactions.end("commit")

    async def rollback(self) -> None:
        """What was run since `begin` is undone. Raises NoTransaction, SessionLost."""
        await self.transactions.end("rollback")

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Begin, and commit at the end of the block; rolled back where the block raises.

        Raises as `begin` and `commit` do.
        """
        return self.transactions.block()

    # --- history ------------------------------------------------------------------------------

    async def keep_history(
        self, count: int, *, most_bytes: int = HISTORY_BYTES
    ) -> Sequence[DroppedEntry]:
        """From now on up to ``count`` executions can be undone, at most 63; 0 ends that.

        Each costs a snapshot, and the memory that the next ones change; where that is more than
        ``most_bytes`` together, the oldest give way: the event `HistoryTrimmed` tells it. A crash
        is rolled back meanwhile. Returns what gives way to the new bounds.
        """
        return await self.history_requests.keep(count, most_bytes)

    async def history(self) -> History:
        """What can be undone, and what of it was undone and can be redone. Raises SessionLost."""
        return await self.history_requests.tell()

    async def undo(self, *, to: str | Execution | None = None) -> str:
        """Undo the last execution, or all that came after the execution ``to``.

        Returns the id of the first that is undone. When cancelled, it may be undone all the same.
        Raises ExecutionNotFound where the history does not go back so far, TransactionActive,
        SessionLost.
        """
        await self.transactions.settle()
        return await self.history_requests.undo(id_of(to))

    async def redo(self) -> str:
        """Have the execution back that was undone last, until something new is executed.

        Returns its id. When cancelled, it may be back all the same. Raises ExecutionNotFound where
        there is nothing to redo, TransactionActive, SessionLost.
        """
        await self.transactions.settle()
        return await self.history_requests.redo()

    # --- branches -----------------------------------------------------------------------------

    async def fork(self, count: int) -> list[Session]:
        """``count`` new sessions with this one's state, each in a process of its own: all or none.

        They are given back with this one, or by `close`. Random numbers are their own, open files
        are read on from where they are; what else they share with this one `docs/snapshots.md`
        tells. Raises SnapshotUnavailable, TransactionActive, PoolExhausted, SessionLost,
        ConfigInvalid.
        """
        await self.transactions.settle()
        return await self.branching.fork(count)

    async def snapshot(self, name: str) -> SnapshotInfo:
        """Keep this session's state: `supervisor.session(from_snapshot=name)` opens others with it.

        It outlives this session, up to `supervisor.drop_snapshot`. Raises SnapshotUnavailable,
        TransactionActive, IdConflict where the name is taken, SessionLost, ConfigInvalid.
        """
        await self.transactions.settle()
        return await self.branching.snapshot(name)

    async def close(self) -> None:
        """Give it back before its block, or that of the session it was forked from, ends.

        Its branches go with it. Not to be cancelled: bounded.
        """
        await self.branching.close()

    @property
    def requests(self) -> SessionRequests:
        """The way to its actor, for who copies it: it counts as used from now on."""
        self._way.is_untouched = False
        return self._way.requests

    @property
    def branching(self) -> Branching:
        """For who asks by messages: `fork` and `snapshot` are for all others."""
        if self._branching is None:
            raise TypeError("only a session that a supervisor has leased can be forked")
        return self._branching

    # --- for editors --------------------------------------------------------------------------

    async def complete(self, code: str, cursor_pos: int | None = None) -> Completion:
        """What could stand at the cursor (its position in characters; None is the end)."""
        return Completion.of(await self._query("complete", at_cursor(code, cursor_pos)))

    async def inspect(self, code: str, cursor_pos: int | None = None) -> Inspection:
        """What is known of the name at the cursor."""
        return Inspection.of(await self._query("inspect", at_cursor(code, cursor_pos)))

    async def is_complete(self, code: str) -> Completeness:
        """Whether the code can run as it is, or wants more lines."""
        return Completeness.of(await self._query("is_complete", {"code": code}))

    # --- the way to the session's actor ---------------------------------------------------------

    def end(self) -> None:
        """The lease is over: every request raises SessionLost from now on."""
        self._way.end()

    async def open(self) -> None:
        """Apply this session's settings; on another process where the first had died idle.

        Raises ConfigInvalid, SessionLost.
        """
        await self._way.open()

    async def _query(self, kind: QueryKind, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        self._way.check(fields["code"], None)
        answer = await self._way.query(kind, fields)
        if answer["type"] == "failed":
            raise InternalError(
                what="the question has no answer",
                why=f"{answer['name']}: {answer['value']}",
                how="Ask again; report it where it comes again",
            )
        return answer
