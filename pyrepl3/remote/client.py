"""A service as a program uses it from elsewhere: opens sessions, finds them again.

Owns the link's lifetime and the names by which sessions are found. Must not know what is done
in a session.
"""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Literal, Self

import anyio
import attrs
from anyio.abc import TaskGroup

from pyrepl3.config import (
    DEFAULT_TEMPLATE,
    Guard,
    Limits,
    TransactionPolicy,
    check_protection,
    check_report,
    check_timeout,
)
from pyrepl3.errors import PyreplError
from pyrepl3.remote.addresses import find_address, find_token
from pyrepl3.remote.branches import snapshot_of
from pyrepl3.remote.followers import OnEvent
from pyrepl3.remote.inbox import Inbox
from pyrepl3.remote.link import Link
from pyrepl3.remote.link_state import LAST, Message
from pyrepl3.remote.session import RemoteSession, SessionFacts, finite
from pyrepl3.remote.told_errors import as_error
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo
from pyrepl3.telemetry.traceparent import current_traceparent

REQUEST_TIMEOUT_S = 60.0
RECONNECT_TIMEOUT_S = 120.0
CLOSE_S = 10.0
DRAIN_S = 2.0
"""For the service to hear the last of a client that leaves."""
ACQUIRE_S = 600.0
"""An answer to `open_session` may take the service's acquire_timeout_s, which is not known here."""


class Client:
    """A connection to a service that is made again when it is lost.

    async with pyrepl3.Client() as client:
        async with client.session() as session:
            execution = await session.run("6 * 7")

    For programs of trio and of asyncio. ``url``: where the service is; without it PYREPL3_URL, or
    this machine. ``token`` or ``token_file``; without them PYREPL3_TOKEN_FILE, or the file of
    this user's `pyrepl3 serve`. ``request_timeout_s``: how long an answer may take (an execution
    has its own ``timeout_s``). ``reconnect_timeout_s``: how long the service may be out of reach
    before who waits is told so. ``ssl_context``: for a certificate that is not of a public
    authority; SSL_CERT_FILE serves, too. ``on_connection`` is told True when there is a connection,
    False when it is lost.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        token_file: str | os.PathLike[str] | None = None,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        reconnect_timeout_s: float = RECONNECT_TIMEOUT_S,
        ssl_context: ssl.SSLContext | None = None,
        on_connection: Callable[[bool], object] | None = None,
    ) -> None:
        check_timeout("request_timeout_s", request_timeout_s)
        check_timeout("reconnect_timeout_s", reconnect_timeout_s)
        self._request_timeout_s = request_timeout_s
        self._link = Link(
            find_address(url), find_token(token, token_file), ssl_context, reconnect_timeout_s
        )
        if on_connection is not None:
            self._link.on_connection = on_connection
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup
        """There is one while it is connected."""
        self._was_entered = False

    def __repr__(self) -> str:
        return f"<pyrepl3.Client {self._link.address}>"

    async def __aenter__(self) -> Self:
        """Connect. Raises ServiceUnreachable, Unauthorized and the like."""
        if self._was_entered:
            raise RuntimeError("a Client connects once: make another one")
        self._was_entered = True
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(_tasks())
            stack.callback(self._link.stop)
            await tasks.start(self._link.run)
            self._tasks = tasks
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Disconnect. Sessions that were attached to go on on the service."""
        try:
            with anyio.move_on_after(DRAIN_S, shield=True):
                await self._link.drain()
        finally:
            await self._stack.__aexit__(None, None, None)  # noqa: ASYNC102  # all in it is stopped

    @asynccontextmanager
    async def session(
        self,
        template: str = DEFAULT_TEMPLATE,
        *,
        from_snapshot: str | None = None,
        name: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        acquire_timeout_s: float | None = None,
        idle_timeout_s: float | None = None,
        on_disconnect: Literal["continue", "interrupt"] = "continue",
        transaction_policy: TransactionPolicy | None = None,
        guard: Guard | None = None,
        allow_copy: bool | None = None,
        report_namespace: bool | None = None,
    ) -> AsyncGenerator[RemoteSession]:
        """A new session for the length of the block; it is closed afterwards.

        ``from_snapshot``: one that was kept, in place of a template. ``transaction_policy``,
        ``guard``, ``allow_copy`` and ``report_namespace`` are its executions', where they name
        none; None: its template's. Raises PoolExhausted, PoolDegraded, WorkerSpawnFailed,
        SnapshotNotFound, RateLimited, ConfigInvalid.
        """
        wishes = _wishes(
            template,
            from_snapshot=from_snapshot,
            cwd=cwd,
            env=env,
            limits=limits,
            acquire_timeout_s=acquire_timeout_s,
            idle_timeout_s=idle_timeout_s,
            on_disconnect=on_disconnect,
            transaction_policy=transaction_policy,
            guard=guard,
            allow_copy=allow_copy,
            report_namespace=report_namespace,
        )
        async with self._opened(wishes, name, is_closed=True) as session:
            yield session

    @asynccontextmanager
    async def open(
        self,
        template: str = DEFAULT_TEMPLATE,
        *,
        from_snapshot: str | None = None,
        name: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        acquire_timeout_s: float | None = None,
        idle_timeout_s: float | None = None,
        on_disconnect: Literal["continue", "interrupt"] = "continue",
        transaction_policy: TransactionPolicy | None = None,
        guard: Guard | None = None,
        allow_copy: bool | None = None,
        report_namespace: bool | None = None,
    ) -> AsyncGenerator[RemoteSession]:
        """As `session`, but it goes on on the service afterwards: `attach` finds it again."""
        wishes = _wishes(
            template,
            from_snapshot=from_snapshot,
            cwd=cwd,
            env=env,
            limits=limits,
            acquire_timeout_s=acquire_timeout_s,
            idle_timeout_s=idle_timeout_s,
            on_disconnect=on_disconnect,
            transaction_policy=transaction_policy,
            guard=guard,
            allow_copy=allow_copy,
            report_namespace=report_namespace,
        )
        async with self._opened(wishes, name, is_closed=False) as session:
            yield session

    @asynccontextmanager
    async def attach(
        self, session: str, *, since: int | None = None, on_event: OnEvent | None = None
    ) -> AsyncGenerator[RemoteSession]:
        """The session of that id or name, opened before, by whatever client of this principal.

        It goes on afterwards. ``on_event`` is called with all that is executed there, whoever has
        it run: what is to come, or what came behind the event ``since``. Raises SessionNotFound.
        """
        answer, inbox = await self._there.follow(
            "attach", {"session": session, "since": since}, timeout_s=self._request_timeout_s
        )
        facts = _facts(answer, session, DEFAULT_TEMPLATE)
        async with self._followed(facts, inbox, on_event) as found:
            yield found

    async def list_sessions(self) -> list[Mapping[str, Any]]:
        """This principal's sessions, as docs/protocol.md has them."""
        return list((await self._ask("list_sessions", {}))["sessions"])

    async def snapshots(self) -> list[SnapshotInfo]:
        """Those that this principal has kept, the oldest first."""
        told = await self._ask("list_snapshots", {})
        return [snapshot_of(each) for each in told["snapshots"]]

    async def drop_snapshot(self, name: str) -> None:
        """Nobody opens sessions from it any more; those that there are go on.

        Raises SnapshotNotFound.
        """
        await self._ask("drop_snapshot", {"name": name})

    async def get_execution(self, session: str, execution: str) -> Mapping[str, Any]:
        """How an execution stands, as docs/protocol.md has it.

        Raises ExecutionNotFound, SessionNotFound.
        """
        return await self._ask("get_execution", {"session": session, "execution": execution})

    async def events(
        self, session: str, *, since: int = 0, until: int | None = None
    ) -> AsyncGenerator[Mapping[str, Any]]:
        """All events of that session from behind ``since`` on, as docs/protocol.md has them.

        They end with the event ``until``, or with the session. Not beside `attach` to the same
        one by the same client: events come once a connection, and those before it do not come.
        Raises SessionNotFound, ServiceUnreachable.
        """
        answer, inbox = await self._there.follow(
            "attach", {"session": session, "since": since}, timeout_s=self._request_timeout_s
        )
        try:
            if until is not None and until <= since:
                return
            async for message in inbox:
                if message["type"] == "refused":  # a new connection did not find it
                    raise as_error(message)
                yield message
                seq = message.get("seq", message.get("to_seq", 0))
                if message["type"] in LAST or (until is not None and seq >= until):
                    return
            raise self._link.failure
        finally:
            self._link.unfollow(answer["session"], inbox)

    # --- the link -------------------------------------------------------------------------------

    @property
    def _there(self) -> Link:
        """The link. Raises RuntimeError where it was never connected."""
        if not self._was_entered:
            raise RuntimeError("a Client is connected in an `async with` block")
        return self._link

    @asynccontextmanager
    async def _opened(
        self, wishes: Mapping[str, Any], name: str | None, *, is_closed: bool
    ) -> AsyncGenerator[RemoteSession]:
        # By its name a second request finds the session of a first one whose answer was lost.
        named = name if name is not None else f"client-{secrets.token_hex(8)}"
        answer, inbox = await self._there.follow(
            "open_session",
            {**wishes, "name": named},
            timeout_s=max(ACQUIRE_S, (wishes["acquire_timeout_s"] or 0) + self._request_timeout_s),
            has_own_name=name is None,
        )
        is_kept = False
        try:
            async with self._followed(_facts(answer, name, wishes["template"]), inbox) as session:
                is_kept = not is_closed
                try:
                    yield session
                finally:
                    if is_closed:
                        await self._close_branches(session)  # noqa: ASYNC102  # shielded, bounded
        finally:
            if not is_kept:
                within_s = CLOSE_S if self._link.is_connected else DRAIN_S
                with anyio.move_on_after(within_s, shield=True):
                    await self._close(answer["session"])

    async def _close_branches(self, session: RemoteSession) -> None:
        within_s = CLOSE_S if self._link.is_connected else DRAIN_S
        with anyio.move_on_after(within_s, shield=True), suppress(PyreplError):
            # Out of reach: idle_timeout_s ends them there.
            await session.close_branches()

    async def _follow_branch(self, fields: Mapping[str, Any]) -> RemoteSession:
        """A session that a fork has opened, for as long as this client is connected."""
        answer, inbox = await self._there.follow(
            "attach",
            {"session": fields["session"], "since": 0},
            timeout_s=self._request_timeout_s,
        )
        facts = _facts({**fields, **answer}, fields["name"], fields["template"])
        session = self._session(facts)
        self._tasks.start_soon(self._read_branch, session, inbox)
        return session

    async def _read_branch(self, session: RemoteSession, inbox: Inbox) -> None:
        try:
            await session.read(inbox)
        finally:
            self._link.unfollow(session.id, inbox)

    async def _close(self, session: str) -> None:
        try:
            await self._link.ask("close_session", {"session": session}, is_for_good=True)
        except PyreplError:
            return  # it has ended; or it is out of reach, and idle_timeout_s ends it there

    @asynccontextmanager
    async def _followed(
        self, facts: SessionFacts, inbox: Inbox, on_event: OnEvent | None = None
    ) -> AsyncGenerator[RemoteSession]:
        session = self._session(facts, on_event)
        try:
            async with _tasks() as tasks:
                tasks.start_soon(session.read, inbox)
                try:
                    yield session
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            self._link.unfollow(facts.id, inbox)

    def _session(self, facts: SessionFacts, on_event: OnEvent | None = None) -> RemoteSession:
        return RemoteSession(
            facts,
            self._link,
            secrets.token_hex(6),
            self._request_timeout_s,
            on_event,
            follow=self._follow_branch,
            start=lambda work: self._tasks.start_soon(work),
        )

    async def _ask(self, kind: str, fields: Mapping[str, Any]) -> Message:
        return await self._there.ask(kind, fields, timeout_s=self._request_timeout_s)


def _wishes(
    template: str,
    *,
    from_snapshot: str | None,
    cwd: str | os.PathLike[str] | None,
    env: Mapping[str, str] | None,
    limits: Limits | None,
    acquire_timeout_s: float | None,
    idle_timeout_s: float | None,
    on_disconnect: Literal["continue", "interrupt"],
    transaction_policy: TransactionPolicy | None,
    guard: Guard | None,
    allow_copy: bool | None,
    report_namespace: bool | None,
) -> dict[str, Any]:
    """The fields of an `open_session`. Raises ConfigInvalid."""
    check_timeout("acquire_timeout_s", acquire_timeout_s)
    check_timeout("idle_timeout_s", idle_timeout_s)
    check_protection(transaction_policy, guard, allow_copy)
    check_report(report_namespace)
    wishes: dict[str, Any] = {
        "template": template,
        "from_snapshot": from_snapshot,
        "env": dict(env or {}),
        "on_disconnect": on_disconnect,
        "acquire_timeout_s": finite(acquire_timeout_s),
        "idle_timeout_s": finite(idle_timeout_s),
        "transaction_policy": transaction_policy,
        "guard": guard,
        "allow_copy": allow_copy,
        "report_namespace": report_namespace,
    }
    if cwd is not None:
        wishes["cwd"] = os.fspath(cwd)
    if limits is not None:
        wishes["limits"] = attrs.asdict(limits)
    traceparent = current_traceparent()
    if traceparent is not None:
        wishes["traceparent"] = traceparent
    return wishes


def _facts(answer: Message, name: str | None, template: str) -> SessionFacts:
    return SessionFacts(
        id=answer["session"],
        name=name,
        template=answer.get("template", template),
        pid=answer.get("pid"),
        warm=answer.get("warm", False),
        wait_s=answer.get("wait_s", 0.0),
    )


@asynccontextmanager
async def _tasks() -> AsyncGenerator[TaskGroup]:
    """A task group that lets the one error of its body through as it is."""
    body: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            try:
                yield group
            except BaseException as error:
                body = error
                raise
    except BaseExceptionGroup as group_of:
        if body is not None and group_of.exceptions == (body,):
            raise body from body.__cause__
        raise
