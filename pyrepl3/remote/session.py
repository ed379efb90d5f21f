"""A session on a service, as a program uses it: the same as one of its own supervisor.

Owns which event belongs to which execution. Must not know connections: the link outlives them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import attrs
from anyio.abc import TaskGroup

from pyrepl3.client.editing import Completeness, Completion, Inspection, at_cursor
from pyrepl3.client.execution import Execution
from pyrepl3.client.handlers import Handlers, OnDisplay, OnInput, OnOutput
from pyrepl3.config import TransactionPolicy, check_protection, check_report, check_timeout
from pyrepl3.errors import (
    Code,
    ExecutionNotFound,
    InternalError,
    PyreplError,
    ServiceUnreachable,
    SessionLost,
    SessionNotFound,
)
from pyrepl3.events import Error, Event, Gap, InterruptOutcome, Result
from pyrepl3.remote.event_stream import EventStream
from pyrepl3.remote.inbox import Inbox
from pyrepl3.remote.link import Link
from pyrepl3.remote.link_state import LAST, Message
from pyrepl3.remote.told_errors import NOT_KNOWN_ANY_MORE, as_error
from pyrepl3.remote.transactions import RemoteTransactions, TransactionKind
from pyrepl3.telemetry.traceparent import current_traceparent
from pyrepl3.wire.client_events import from_map

ABANDON_S = 5.0
"""For a request to interrupt what nobody waits for any more."""
NO_DEADLINE_S = 1e9
"""What an infinite ``timeout_s`` is in JSON, which has no infinity: thirty years."""
OnEvent = Callable[[Event], object]


@attrs.frozen(kw_only=True)
class SessionFacts:
    """What a service tells of a session that was opened or attached to."""

    id: str
    name: str | None
    template: str
    pid: int | None
    warm: bool
    wait_s: float


class RemoteSession:
    """Made by ``client.session()`` or ``client.attach()``.

    Executions of one session run in order; requests may come from several tasks. What runs goes
    on when the connection is lost, and `run` returns its one outcome all the same.
    """

    def __init__(
        self,
        facts: SessionFacts,
        link: Link,
        prefix: str,
        timeout_s: float,
        on_event: OnEvent | None = None,
    ) -> None:
        self.id = facts.id
        self.name = facts.name
        self.template = facts.template
        self.pid = facts.pid
        """The process on the service's machine, for people and logs; None: it was not told."""
        self.facts = facts
        self._link = link
        self._prefix = prefix
        self._request_timeout_s = timeout_s
        self._numbers = itertools.count(1)
        self._followers: dict[str, EventStream] = {}
        self._end: PyreplError | None = None
        self._has_ended = anyio.Event()
        self._on_event = on_event
        self._transactions = RemoteTransactions(
            ask=self._transact,
            post=lambda kind, key: link.post(kind, {"session": self.id, "key": key}),
            is_reachable=lambda: link.is_connected or self._end is not None,
            prefix=prefix,
        )

    def __repr__(self) -> str:
        return f"<pyrepl3.RemoteSession {self.id} template={self.template!r}>"

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

        As of a session of one's own (`Session.run`). Raises CodeTooLarge, QueueFull, SessionLost
        or ConfigInvalid when nothing of it ran; ServiceUnreachable when the service was out of
        reach for too long, and its outcome is not known.
        """
        handlers = Handlers(on_input, on_output, on_display)
        async with self.stream(
            code,
            timeout_s=timeout_s,
            allow_input=on_input is not None,
            filename=filename,
            silent=silent,
            transaction_policy=transaction_policy,
            guard=guard,
            report_namespace=report_namespace,
        ) as events:
            execution: Execution | None = None
            async for event in events:
                if execution is None:
                    execution = Execution(event.execution)
                execution.add(event)
                await handlers.react(event)
        assert execution is not None
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

        Leaving the block before the last event interrupts it. Arguments and errors as of `run`;
        those of a request that is not taken come on entry.
        """
        check_timeout("timeout_s", timeout_s)
        check_protection(transaction_policy, guard)
        check_report(report_namespace)
        if not isinstance(code, str):
            raise TypeError(f"code is a str, not a {type(code).__name__}")
        id = f"{self._prefix}.{next(self._numbers)}"
        fields: dict[str, Any] = {
            "execution": id,
            "code": code,
            "timeout_s": finite(timeout_s),
            "allow_input": allow_input,
            "filename": None if filename is None else os.fsdecode(filename),
            "silent": bool(silent),
            "transaction_policy": transaction_policy,
            "guard": guard,
            "report_namespace": report_namespace,
        }
        traceparent = current_traceparent()
        if traceparent is not None:
            fields["traceparent"] = traceparent
        stream = self._followers[id] = EventStream(id, self._lost)
        try:
            await self._send(id, fields)
            try:
                yield stream
            finally:
                if not stream.ended and self._end is None:
                    await self._abandon(id)  # noqa: ASYNC102  # shielded and bounded inside
        finally:
            self._followers.pop(id, None)
            stream.cut()  # for who goes on reading, in another task perhaps

    async def interrupt(
        self, execution: str | None = None, *, grace_s: float | None = None
    ) -> InterruptOutcome:
        """Interrupt what runs, or the execution of that id, and wait for what came of it.

        As of a session of one's own. Raises ExecutionNotFound, SessionLost, ConfigInvalid.
        """
        if not isinstance(execution, str | None):
            raise TypeError(f"an execution's id is a str, not a {type(execution).__name__}")
        check_timeout("grace_s", grace_s)
        fields = {"execution": execution, "grace_s": finite(grace_s)}
        told = await self._ask("interrupt", fields, timeout_s=math.inf)
        return InterruptOutcome(told["state"], told["by"])

    # --- transactions -------------------------------------------------------------------------

    async def begin(self) -> None:
        """From here on all that runs is one transaction, until `commit` or `rollback`.

        A crash in it goes back to here as well; so does the service, some time after all clients
        have left. When cancelled, none is left open. Raises TransactionActive,
        SnapshotUnavailable, SessionLost.
        """
        await self._transactions.begin()

    async def commit(self) -> None:
        """What was run since `begin` stays. Raises NoTransaction, SessionLost."""
        await self._transactions.end("commit")

    async def rollback(self) -> None:
        """What was run since `begin` is undone. Raises NoTransaction, SessionLost."""
        await self._transactions.end("rollback")

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Begin, and commit at the end of the block; rolled back where the block raises.

        Raises as `begin` and `commit` do.
        """
        return self._transactions.block()

    async def leave_transaction(self) -> None:
        """Roll it back, if it is still there, for who has nobody to tell. Bounded."""
        await self._transactions.leave()

    async def _transact(self, kind: TransactionKind, key: str) -> None:
        """It waits for what runs, so its time is not a request's."""
        await self._ask(kind, {"key": key}, timeout_s=math.inf, is_for_good=kind != "begin")

    # --- for editors --------------------------------------------------------------------------

    async def complete(self, code: str, cursor_pos: int | None = None) -> Completion:
        """What could stand at the cursor (its position in characters; None is the end)."""
        return Completion.of(await self._ask("complete", at_cursor(code, cursor_pos)))

    async def inspect(self, code: str, cursor_pos: int | None = None) -> Inspection:
        """What is known of the name at the cursor."""
        return Inspection.of(await self._ask("inspect", at_cursor(code, cursor_pos)))

    async def is_complete(self, code: str) -> Completeness:
        """Whether the code can run as it is, or wants more lines."""
        return Completeness.of(await self._ask("is_complete", {"code": code}))

    # --- its part of the link -------------------------------------------------------------------

    async def close(self) -> None:
        """End it on the service, and what runs in it."""
        try:
            await self._ask("close_session", {}, is_for_good=True)
        except SessionLost:
            return  # it had ended before

    async def wait_ended(self) -> PyreplError:
        """Until it has ended, or its service is out of reach for good; what there is to say."""
        await self._has_ended.wait()
        return self._lost()

    async def read(self, inbox: Inbox) -> None:
        """Pass events on to whoever follows them, until there are no more."""
        async with anyio.create_task_group() as group:
            await inbox.pass_on(lambda message: self._take(message, group))
            group.cancel_scope.cancel()
        self._over(self._link.failure)

    def _take(self, message: Message, group: TaskGroup) -> None:
        kind = message["type"]
        if kind == "refused":
            # A new connection could not attach to it: it is no more.
            error = as_error(message)
            self._over(
                _gone(NOT_KNOWN_ANY_MORE if isinstance(error, SessionNotFound) else error.why)
            )
        elif kind in LAST:
            self._over(_gone(str(message.get("cause") or f"it is {message.get('reason')}")))
        elif kind == "gap":
            # Of whose events some are lost is not known: of all that were under way, perhaps.
            if self._on_event is not None:
                self._on_event(Gap("", message["bytes"]))
            for id in list(self._followers):
                self._tell(id, Gap(id, message["bytes"]))
                group.start_soon(self._find_out, id, message["to_seq"])
        else:
            self._tell_of(message)

    def _tell_of(self, message: Message) -> None:
        try:
            event = from_map(message, self._respond)
        except (KeyError, TypeError) as error:
            self._over(_not_understood(message["type"], error))
        else:
            if event is not None:
                if self._on_event is not None:
                    self._on_event(event)
                self._tell(event.execution, event)

    async def _find_out(self, execution: str, to_seq: int) -> None:
        """Whether its end is still to come. If it was lost in a gap, up to that event, its outcome
        is not known any more; not to be sent again, lest it ran a second time."""
        try:
            told = await self._ask("get_execution", {"execution": execution}, timeout_s=math.inf)
        except ExecutionNotFound:
            self._tell(execution, _forgotten(execution))
        except PyreplError:
            return  # the session or the link is no more, which is told to all
        else:
            if told["state"] == "ended" and told["last_seq"] <= to_seq:
                self._tell(execution, _forgotten(execution))

    def _tell(self, execution: str, event: Event) -> None:
        stream = self._followers.get(execution)
        if stream is None:
            return
        if isinstance(event, Result | Error):
            del self._followers[execution]
        stream.put(event)

    def _over(self, error: PyreplError) -> None:
        """Nothing more comes of it; the first reason counts."""
        if self._end is None:
            self._end = error
        self._has_ended.set()
        while self._followers:
            self._followers.popitem()[1].cut()

    def _lost(self) -> PyreplError:
        return self._end or self._link.failure

    async def _ask(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        is_for_good: bool = False,
    ) -> Message:
        if self._end is not None:
            raise self._end
        within_s = self._request_timeout_s if timeout_s is None else timeout_s
        named = {"session": self.id, **fields}
        try:
            return await self._link.ask(kind, named, timeout_s=within_s, is_for_good=is_for_good)
        except SessionNotFound as error:
            # There was one: the service was started again, or has forgotten it.
            gone = _gone(NOT_KNOWN_ANY_MORE)
            self._over(gone)
            raise gone from error

    async def _respond(self, number: str, data: str | None) -> None:
        await self._ask("input_response", {"input": number, "data": data})

    async def _send(self, execution: str, fields: Mapping[str, Any]) -> None:
        """Have it run. Where nobody waits any more for whether it was taken, it is interrupted."""
        try:
            await self._ask("execute", fields)
        except ExecutionNotFound:
            # It was sent twice, and the service cannot say any more whether it ran the first time.
            self._tell(execution, _forgotten(execution))
        except ServiceUnreachable:
            # It may be taken all the same, once it is in reach.
            await self._abandon(execution)  # noqa: ASYNC120  # shielded and bounded inside
            raise
        except PyreplError:
            raise
        except BaseException:
            await self._abandon(execution)  # noqa: ASYNC102  # shielded and bounded inside
            raise

    async def _abandon(self, execution: str) -> None:
        """Interrupt what nobody waits for any more: on the next connection, if there is none now.

        Not to be cancelled: bounded.
        """
        if not self._link.is_connected and self._end is None:
            self._link.post("interrupt", {"session": self.id, "execution": execution})
            return
        with anyio.move_on_after(ABANDON_S, shield=True):
            try:
                await self._ask("interrupt", {"execution": execution}, is_for_good=True)
            except PyreplError:
                return  # it has ended, or nobody can say


def _forgotten(execution: str) -> Error:
    return Error(
        execution=execution,
        name="OutcomeForgotten",
        value="it is over or never ran, and its outcome is forgotten: the service had no room for "
        "all events until they were fetched",
        traceback=[],
        code=Code.OUTPUT_GAP,
        state="unknown",
    )


def _not_understood(kind: str, error: Exception) -> PyreplError:
    return InternalError(
        what="an event of the session could not be understood",
        why=f"the service sent one of the type {kind!r} that is not as it has to be: {error!r}",
        how="Use a client and a service of the same version",
    )


def _gone(why: str) -> SessionLost:
    return SessionLost(
        what="the session is gone",
        why=why,
        how="Open a new session; its variables start empty",
    )


def finite(seconds: float | None) -> float | None:
    """The same, as JSON can say it."""
    return NO_DEADLINE_S if seconds == math.inf else seconds
