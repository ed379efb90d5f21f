"""A session on a service, as a program uses it: the same as one of its own supervisor.

Owns what is asked of it. Must not know connections: the link outlives them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import attrs

from pyrepl3.client.editing import Completeness, Completion, Inspection, at_cursor
from pyrepl3.client.execution import Execution, id_of
from pyrepl3.client.handlers import Handlers, OnDisplay, OnInput, OnOutput
from pyrepl3.client.history import History
from pyrepl3.config import (
    HISTORY_BYTES,
    Guard,
    TransactionPolicy,
    check_protection,
    check_report,
    check_timeout,
)
from pyrepl3.errors import (
    ExecutionNotFound,
    PyreplError,
    ServiceUnreachable,
    SessionLost,
    SessionNotFound,
)
from pyrepl3.events import DroppedEntry, InterruptOutcome
from pyrepl3.messages import HistoryKind
from pyrepl3.remote.branches import BranchKind, Follow, RemoteBranches
from pyrepl3.remote.endings import forgotten, gone
from pyrepl3.remote.event_stream import EventStream
from pyrepl3.remote.followers import Followers, OnEvent
from pyrepl3.remote.history import RemoteHistory
from pyrepl3.remote.inbox import Inbox
from pyrepl3.remote.link import Link
from pyrepl3.remote.link_state import Message
from pyrepl3.remote.told_errors import NOT_KNOWN_ANY_MORE
from pyrepl3.remote.transactions import RemoteTransactions, TransactionKind
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo
from pyrepl3.telemetry.traceparent import current_traceparent

ABANDON_S = 5.0
"""For a request to interrupt what nobody waits for any more."""
NO_DEADLINE_S = 1e9
"""What an infinite ``timeout_s`` is in JSON, which has no infinity: thirty years."""


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
        *,
        follow: Follow,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], object],
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
        self._followers = Followers(link, self._find, self._respond, on_event)
        self.transactions = RemoteTransactions(
            ask=self._transact,
            post=lambda kind, asked: link.post(kind, {"session": self.id, **asked}),
            is_reachable=lambda: link.is_connected or self._followers.end is not None,
            prefix=prefix,
        )
        self._history = RemoteHistory(self._ask_history, prefix)
        self._branches = RemoteBranches(
            self._ask_for_good,
            follow,
            start,
            lambda branch: link.post("close_session", {"session": branch}),
            prefix,
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
        guard: Guard | None = None,
        allow_copy: bool | None = None,
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
            allow_copy=allow_copy,
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
        guard: Guard | None = None,
        allow_copy: bool | None = None,
        report_namespace: bool | None = None,
    ) -> AsyncGenerator[EventStream]:
        """Run code and follow its events: `Started` first, one `Result` or `Error` last.

        Leaving the block before the last event interrupts it. Arguments and errors as of `run`;
        those of a request that is not taken come on entry.
        """
        check_timeout("timeout_s", timeout_s)
        check_protection(transaction_policy, guard, allow_copy)
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
            "allow_copy": allow_copy,
            "report_namespace": report_namespace,
        }
        traceparent = current_traceparent()
        if traceparent is not None:
            fields["traceparent"] = traceparent
        await self.transactions.settle()
        stream = self._followers.follow(id)
        try:
            await self._send(id, fields)
            try:
                yield stream
            finally:
                if not stream.ended and self._followers.end is None:
                    await self._abandon(id)  # noqa: ASYNC102  # shielded and bounded inside
        finally:
            self._followers.leave(id)
            stream.cut()  # for who goes on reading, in another task perhaps

    async def interrupt(
        self, execution: str | Execution | None = None, *, grace_s: float | None = None
    ) -> InterruptOutcome:
        """Interrupt what runs, or the execution of that id, and wait for what came of it.

        As of a session of one's own. Raises ExecutionNotFound, SessionLost, ConfigInvalid.
        """
        execution = id_of(execution)
        check_timeout("grace_s", grace_s)
        fields = {"execution": execution, "grace_s": finite(grace_s)}
        told = await self._ask("interrupt", fields, timeout_s=math.inf)
        return InterruptOutcome(told["state"], told["by"], told.get("execution"))

    # --- transactions -------------------------------------------------------------------------

    async def begin(self) -> None:
        """From here on all that runs is one transaction, until `commit` or `rollback`.

        A crash in it goes back to here as well; so does the service, some time after all clients
        have left. When cancelled, none is left open. Raises TransactionActive,
        SnapshotUnavailable, SessionLost.
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

    async def _transact(self, kind: TransactionKind, asked: Mapping[str, str]) -> None:
        """It waits for what runs, so its time is not a request's."""
        await self._ask(kind, asked, timeout_s=math.inf, is_for_good=True)

    # --- history ------------------------------------------------------------------------------

    async def keep_history(
        self, count: int, *, most_bytes: int = HISTORY_BYTES
    ) -> Sequence[DroppedEntry]:
        """From now on up to ``count`` executions can be undone, at most 63; 0 ends that.

        As of a session of one's own. Raises ConfigInvalid, SessionLost.
        """
        return await self._history.keep(count, most_bytes)

    async def history(self) -> History:
        """What can be undone, and what of it was undone and can be redone. Raises SessionLost."""
        return await self._history.tell()

    async def undo(self, *, to: str | Execution | None = None) -> str:
        """Undo the last execution, or all that came after the execution ``to``.

        Returns the id of the first that is undone. When cancelled, it may be undone all the same.
        Raises ExecutionNotFound, TransactionActive, SessionLost.
        """
        await self.transactions.settle()
        return await self._history.retrace("undo", {"to": id_of(to)})

    async def redo(self) -> str:
        """Have the execution back that was undone last, until something new is executed.

        Returns its id. Raises ExecutionNotFound, TransactionActive, SessionLost.
        """
        await self.transactions.settle()
        return await self._history.retrace("redo", {})

    # --- branches -----------------------------------------------------------------------------

    async def fork(self, count: int, *, names: Sequence[str] = ()) -> list[RemoteSession]:
        """``count`` new sessions of the service with this one's state, all or none.

        They are closed with this one where it is, by `close` or at the end of `client.session()`;
        ``names``: of the first of them. Raises as `Session.fork`, RateLimited, IdConflict.
        """
        await self.transactions.settle()
        return await self._branches.fork(count, names)

    async def snapshot(self, name: str) -> SnapshotInfo:
        """Keep this session's state on the service: `client.session(from_snapshot=name)` opens
        others with it, up to `client.drop_snapshot`. Raises as `Session.snapshot`."""
        await self.transactions.settle()
        return await self._branches.snapshot(name)

    async def close_branches(self) -> None:
        """End those that were forked from it here, and not closed since."""
        await self._branches.close_all()

    async def _ask_for_good(self, kind: BranchKind, fields: Mapping[str, Any]) -> Message:
        """It waits for what runs."""
        return await self._ask(kind, fields, timeout_s=math.inf, is_for_good=True)

    async def _ask_history(self, kind: HistoryKind, fields: Mapping[str, Any]) -> Message:
        """It waits for what runs, as what is about transactions does."""
        return await self._ask(kind, fields, timeout_s=math.inf, is_for_good=kind != "history")

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
        """End it on the service, what runs in it, and what was forked from it here."""
        await self._branches.close_all()
        try:
            await self._ask("close_session", {}, is_for_good=True)
        except SessionLost:
            return  # it had ended before

    async def wait_ended(self) -> PyreplError:
        """Until it has ended, or its service is out of reach for good; what there is to say."""
        await self._followers.has_ended.wait()
        return self._followers.lost()

    async def read(self, inbox: Inbox) -> None:
        """Pass events on to whoever follows them, until there are no more."""
        await self._followers.read(inbox)

    async def _ask(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        is_for_good: bool = False,
    ) -> Message:
        if self._followers.end is not None:
            raise self._followers.end
        within_s = self._request_timeout_s if timeout_s is None else timeout_s
        named = {"session": self.id, **fields}
        try:
            return await self._link.ask(kind, named, timeout_s=within_s, is_for_good=is_for_good)
        except SessionNotFound as error:
            # There was one: the service was started again, or has forgotten it.
            lost = gone(NOT_KNOWN_ANY_MORE)
            self._followers.over(lost)
            raise lost from error

    async def _find(self, execution: str) -> Message:
        return await self._ask("get_execution", {"execution": execution}, timeout_s=math.inf)

    async def _respond(self, number: str, data: str | None) -> None:
        await self._ask("input_response", {"input": number, "data": data})

    async def _send(self, execution: str, fields: Mapping[str, Any]) -> None:
        """Have it run. Where nobody waits any more for whether it was taken, it is interrupted."""
        try:
            await self._ask("execute", fields)
        except ExecutionNotFound:
            # It was sent twice, and the service cannot say any more whether it ran the first time.
            self._followers.tell(execution, forgotten(execution))
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
        if not self._link.is_connected and self._followers.end is None:
            self._link.post("interrupt", {"session": self.id, "execution": execution})
            return
        with anyio.move_on_after(ABANDON_S, shield=True):
            try:
                await self._ask("interrupt", {"execution": execution}, is_for_good=True)
            except PyreplError:
                return  # it has ended, or nobody can say


def finite(seconds: float | None) -> float | None:
    """The same, as JSON can say it."""
    return NO_DEADLINE_S if seconds == math.inf else seconds
