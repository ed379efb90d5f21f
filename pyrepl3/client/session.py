"""A session as a program uses it: run code, follow it, answer it, interrupt it.

Owns what one caller may do with one leased session. Must not know processes, nor the pool
beyond the way to a second session when the first died before it was used.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import trio

from pyrepl3.client.editing import Completeness, Completion, Inspection, at_cursor
from pyrepl3.client.event_stream import EventStream
from pyrepl3.client.execution import Execution
from pyrepl3.client.handlers import Handlers, OnDisplay, OnInput, OnOutput
from pyrepl3.client.history import HISTORY_BYTES, History
from pyrepl3.client.requests import SessionRequests
from pyrepl3.client.settings import SessionSettings
from pyrepl3.client.transactions import Transactions, transaction_refused
from pyrepl3.config import TransactionPolicy, check_timeout
from pyrepl3.errors import ConfigInvalid, PyreplError, SessionLost
from pyrepl3.events import Error, Event, InterruptOutcome
from pyrepl3.messages import (
    EventChannel,
    EventReceiver,
    Execute,
    Interrupt,
    Lease,
    Query,
    QueryKind,
    Refused,
    open_events,
)
from pyrepl3.session import refusals
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo
from pyrepl3.telemetry.observing import ObservedExecution, Observers
from pyrepl3.telemetry.traceparent import current_traceparent

Renew = Callable[[], Awaitable[Lease]]


class Branching(Protocol):
    """What can be made of a session as a whole, by who has leased it."""

    async def fork(self, count: int) -> list[Session]:
        """As `Session.fork`."""

    async def snapshot(self, name: str) -> SnapshotInfo:
        """As `Session.snapshot`."""

    async def close(self) -> None:
        """As `Session.close`."""


ATTEMPTS = 4
"""Processes to try for a request of which nothing ran. One cause (their zygote's end, say) kills
several, and until the pool has heard of each, a millisecond later, it hands them out."""

FILENAME_CHARACTERS = 4096
"""PATH_MAX of Linux."""


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
        self._settings = settings
        self._renew = renew
        self._observers = observers
        self._requests = SessionRequests(lease)
        self._untouched = True
        self._altered = False
        self._numbers = itertools.count(1)
        self.transactions = Transactions(
            self._send_query, lambda: self._requests.lost(), settings.policy, settings.guard
        )
        """For who asks by messages: `begin`, `commit` and `rollback` are for all others."""

    @property
    def pid(self) -> int:
        """The process that it was leased with, for people and logs. What is rolled back goes on in
        another one, as `os.getpid()` tells in it."""
        return self._requests.lease.pid

    @property
    def lease(self) -> Lease:
        """What the pool gave: whether it was warm, and how long it took."""
        return self._requests.lease

    @property
    def touched(self) -> bool:
        """Whether anything was ever asked of it, or changed in it."""
        return self._altered or not self._untouched

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
        guard: bool | None = None,
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
        leaves it to the transaction. ``guard``: a crash is undone, and the session goes on. None:
        the session's own; `docs/snapshots.md` tells what is undone, and what is not.
        ``report_namespace``: `Execution.namespace` tells which names it added, changed and removed.

        When cancelled, the code is interrupted. Raises CodeTooLarge, QueueFull or SessionLost
        when nothing of it ran, ConfigInvalid for an impossible option.
        """
        execution = Execution(f"{self.id}.{next(self._numbers)}")
        handlers = Handlers(on_input, on_output, on_display)
        handled = handlers.there_are
        policy, guard = self.transactions.protection(transaction_policy, guard)
        within = self.transactions.current
        observed = self._observe(execution.id)
        events, event = await self._begin(
            execution.id,
            code,
            observed,
            timeout_s=timeout_s,
            filename=filename,
            silent=silent,
            allow_input=on_input is not None,
            wants_started=observed is not None,
            transaction_policy=policy,
            guard=guard,
            report_namespace=self._settings.reports(report_namespace),
        )
        with events:
            try:
                while not execution.add(event):
                    if handled:
                        await handlers.react(event)
                    event = await self._next_event(events, observed, within)
            except BaseException:
                if observed is not None:
                    observed.left()
                await self._requests.abandon(execution.id)  # noqa: ASYNC102  # shielded and bounded inside
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
        guard: bool | None = None,
        report_namespace: bool | None = None,
    ) -> AsyncGenerator[EventStream]:
        """Run code and follow its events: `Started` first, one `Result` or `Error` last.

        A slow reader slows the code. Leaving the block before the last event interrupts it.
        Arguments and errors as of `run`; the errors come on entry.
        """
        execution = f"{self.id}.{next(self._numbers)}"
        observed = self._observe(execution)
        policy, guard = self.transactions.protection(transaction_policy, guard)
        within = self.transactions.current
        events, first = await self._begin(
            execution,
            code,
            observed,
            timeout_s=timeout_s,
            filename=filename,
            silent=silent,
            allow_input=allow_input,
            wants_started=True,
            transaction_policy=policy,
            guard=guard,
            report_namespace=self._settings.reports(report_namespace),
        )
        stream = EventStream(first, lambda: self._next_event(events, observed, within))
        with events:
            try:
                yield stream
            finally:
                if not stream.ended:
                    if observed is not None:
                        observed.left()
                    await self._requests.abandon(execution)  # noqa: ASYNC102  # shielded and bounded inside

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
        guard: bool | None = None,
        report_namespace: bool | None = None,
        traceparent: str | None = None,
    ) -> None:
        """Send code under an id of the caller's, and do not wait for what comes of it.

        Executions run in the order in which they were sent. ``events`` is told of this one:
        `Started` first, one `Result` or `Error` last, or `Refused` alone. No observer hears of it
        but by the caller. Raises CodeTooLarge, SessionLost, ConfigInvalid; then it is told nothing.
        """
        self._check(code, timeout_s)
        name = None if filename is None else _file_name(filename)
        policy, guard = self.transactions.protection(transaction_policy, guard)
        self._untouched = False
        await self._requests.execute(
            Execute(
                execution,
                code,
                events,
                timeout_s=timeout_s,
                allow_input=allow_input,
                filename=name,
                silent=silent,
                transaction_policy=policy,
                guard=guard,
                report_namespace=self._settings.reports(report_namespace),
                traceparent=traceparent,
            )
        )

    async def abandon(self, execution: str) -> None:
        """Nobody waits for that execution any more: what waits is dropped, what runs interrupted.

        Not to be cancelled: bounded.
        """
        await self._requests.abandon(execution)

    async def wait_ended(self) -> str:
        """Wait until its process has ended, and say why it did. Once a session."""
        return await self._requests.wait_ended()

    async def interrupt(
        self, execution: str | None = None, *, grace_s: float | None = None
    ) -> InterruptOutcome:
        """Interrupt what runs, or the execution of that id, and wait for what came of it.

        The ladder: SIGINT; after ``grace_s`` (default: the configuration's) the stack is dumped
        for the report, and the process is killed. A second call may shorten the grace. Raises
        ExecutionNotFound, SessionLost, ConfigInvalid.
        """
        if not isinstance(execution, str | None):
            raise TypeError(f"an execution's id is a str, not a {type(execution).__name__}")
        check_timeout("grace_s", grace_s)
        return await self._requests.ask(lambda reply: Interrupt(execution, grace_s, reply))

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

    async def keep_history(self, count: int, *, most_bytes: int = HISTORY_BYTES) -> None:
        """From now on up to ``count`` executions can be undone, at most 63; 0 ends that.

        Each costs a snapshot, and the memory that the next ones change; where that is more than
        ``most_bytes`` together, the oldest give way. A crash is rolled back meanwhile.
        """
        if type(count) is not int or type(most_bytes) is not int or count < 0 or most_bytes < 0:
            raise ConfigInvalid(
                what=f"a history of {count!r} executions in {most_bytes!r} bytes cannot be kept",
                why="both are whole numbers, and not negative",
                how="Give 10, say; 0 for none",
            )
        await self._transact("keep_history", {"count": count, "bytes": most_bytes})

    async def history(self) -> History:
        """What can be undone, the oldest first."""
        return History.of(await self._transact("history"))

    async def undo(self, *, to: str | None = None) -> str:
        """Undo the last execution, or all that came after the execution ``to``.

        Returns the id of the first that is undone. Raises ExecutionNotFound where the history does
        not go back so far, TransactionActive, SessionLost.
        """
        answer = await self._transact("undo", {"to": to})
        return str(answer["execution"])

    # --- branches -----------------------------------------------------------------------------

    async def fork(self, count: int) -> list[Session]:
        """``count`` new sessions with this one's state, each in a process of its own: all or none.

        They are given back with this one, or by `close`. Random numbers are their own, open files
        are read on from where they are; what else they share with this one `docs/snapshots.md`
        tells. Raises SnapshotUnavailable, TransactionActive, PoolExhausted, SessionLost,
        ConfigInvalid.
        """
        return await self._branches().fork(count)

    async def snapshot(self, name: str) -> SnapshotInfo:
        """Keep this session's state: `supervisor.session(from_snapshot=name)` opens others with it.

        It outlives this session, up to `supervisor.drop_snapshot`. Raises SnapshotUnavailable,
        TransactionActive, IdConflict where the name is taken, SessionLost, ConfigInvalid.
        """
        return await self._branches().snapshot(name)

    async def close(self) -> None:
        """Give it back before its block, or that of the session it was forked from, ends.

        Its branches go with it. Not to be cancelled: bounded.
        """
        await self._branches().close()

    @property
    def requests(self) -> SessionRequests:
        """The way to its actor, for who copies it: it counts as used from now on."""
        self._untouched = False
        return self._requests

    def _branches(self) -> Branching:
        if self._branching is None:
            raise TypeError("only a session that a supervisor has leased can be forked")
        return self._branching

    async def _transact(
        self, kind: QueryKind, fields: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        self._untouched = False
        answer = await self._ask_query(kind, fields or {})
        if answer["type"] == "failed":
            raise transaction_refused(answer["name"], answer["value"])
        return answer

    async def _send_query(self, query: Query) -> None:
        self._untouched = False
        await self._requests.tell(query)

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
        self._untouched = False
        self._requests.end()

    async def open(self) -> None:
        """Apply this session's settings; on another process where the first had died idle.

        Raises ConfigInvalid, SessionLost.
        """
        attempts = ATTEMPTS
        while True:
            try:
                await self._configure()
                return
            except SessionLost:
                attempts -= 1
                if not attempts:
                    raise
            self._requests = SessionRequests(await self._renew())

    async def _configure(self) -> None:
        """Apply the settings that this session has beyond its template's.

        Raises ConfigInvalid.
        """
        fields = self._settings.worker_fields()
        if fields is not None:
            self._altered = True
            self._settings.check_answer(await self._ask_query("configure", fields))
        narrowed = self._settings.narrowed()
        if narrowed is not None:
            self._altered = True
            await self._requests.tell(narrowed)

    async def _query(self, kind: Any, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        self._check(fields["code"], None)
        self._untouched = False
        return await self._ask_query(kind, fields)

    async def _ask_query(self, kind: Any, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self._requests.ask(lambda reply: Query(kind, fields, reply))

    def _observe(self, execution: str) -> ObservedExecution | None:
        if not self._observers:
            return None
        return self._observers.execution(
            session=self.id,
            execution=execution,
            template=self.template,
            traceparent=current_traceparent(),
        )

    async def _begin(
        self, execution: str, code: str, observed: ObservedExecution | None, **options: Any
    ) -> tuple[EventReceiver, Event]:
        """Send the request and wait for its first event; who observes it hears of a refusal."""
        traced = current_traceparent() if observed is None else observed.traceparent
        options["traceparent"] = traced
        try:
            return await self._send_and_wait(execution, code, observed, **options)
        except BaseException as error:
            if observed is not None:
                observed.refused(error)
            raise

    async def _send_and_wait(
        self,
        execution: str,
        code: str,
        observed: ObservedExecution | None,
        *,
        timeout_s: float | None,
        **options: Any,
    ) -> tuple[EventReceiver, Event]:
        """Where the process had died before anything was asked of it, on another one instead:
        nothing can have run.
        """
        self._check(code, timeout_s)
        if options["filename"] is not None:
            options["filename"] = _file_name(options["filename"])
        options["silent"] = bool(options["silent"])
        attempts = ATTEMPTS if self._untouched else 1
        within = self.transactions.current
        self._untouched = False
        while True:
            send, events = open_events()
            try:
                await self._requests.execute(
                    Execute(execution, code, send, timeout_s=timeout_s, **options)
                )
                return events, await self._next_event(events, observed, within)
            except PyreplError as error:
                events.close()
                attempts -= 1
                # The channel's end, unlike a refusal, does not say that nothing ran.
                refused = not isinstance(error.__cause__, trio.EndOfChannel)
                if not (isinstance(error, SessionLost) and refused and attempts):
                    raise
            except BaseException:
                events.close()
                await self._requests.abandon(execution)  # noqa: ASYNC102  # shielded and bounded inside
                raise
            await self._start_over()

    def _check(self, code: str, timeout_s: float | None) -> None:
        if not isinstance(code, str):
            raise TypeError(f"code is a str, not a {type(code).__name__}")
        limit = self._settings.limits.code_bytes
        if len(code) * 4 > limit:
            size_bytes = len(code.encode("utf-8", "surrogatepass"))
            if size_bytes > limit:
                raise refusals.code_too_large(size_bytes, limit)
        if timeout_s is not None:
            check_timeout("timeout_s", timeout_s)

    async def _start_over(self) -> None:
        self._requests = SessionRequests(await self._renew())
        await self.open()

    async def _next_event(
        self,
        events: EventReceiver,
        observed: ObservedExecution | None = None,
        within: int | None = None,
    ) -> Event:
        """The next event of an execution, which was sent ``within`` that transaction.

        Raises what it was refused with, SessionLost when its end cannot be told.
        """
        try:
            try:
                event = events.receive_nowait()
            except trio.WouldBlock:
                event = await events.receive()
        except trio.EndOfChannel as error:
            lost = self._requests.lost()
            if observed is not None:
                observed.left(lost)
            raise lost from error
        if isinstance(event, Refused):
            raise event.error
        if within is not None and isinstance(event, Error) and event.state == "rolled_back":
            self.transactions.rolled_back(within)
        if observed is not None:
            observed.see(event)
        return event


def _file_name(filename: Any) -> str:
    """What goes into a frame in any case. Raises TypeError, ConfigInvalid."""
    name = os.fsdecode(filename)
    if len(name) > FILENAME_CHARACTERS:
        raise ConfigInvalid(
            what=f"the filename has {len(name)} characters",
            why=f"the limit is {FILENAME_CHARACTERS}, as of a path",
            how="Give a shorter one",
            details={"characters": len(name), "limit": FILENAME_CHARACTERS},
        )
    return name
