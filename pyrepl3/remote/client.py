"""A service as a program uses it from elsewhere: opens sessions, finds them again.

Owns the link's lifetime and the names by which sessions are found. Must not know what is done
in a session.
"""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, Self

import anyio
import attrs
from anyio.abc import TaskGroup

from pyrepl3.config import DEFAULT_TEMPLATE, Limits, check_timeout
from pyrepl3.errors import PyreplError
from pyrepl3.remote.addresses import find_address, find_token
from pyrepl3.remote.link import Link
from pyrepl3.remote.link_state import Message
from pyrepl3.remote.session import RemoteSession, SessionFacts
from pyrepl3.telemetry.traceparent import current_traceparent

REQUEST_TIMEOUT_S = 60.0
RECONNECT_TIMEOUT_S = 120.0
CLOSE_S = 10.0
ACQUIRE_S = 600.0
"""An answer to `open_session` may take the service's acquire_timeout_s, which is not known here."""


_LAST = ("session_died", "session_closed")


class Client:
    """A connection to a service that is made again when it is lost.

    async with pyrepl3.Client() as client:
        async with client.session() as session:
            execution = await session.run("6 * 7")

    For programs of trio and of asyncio. ``url``: where the service is; without it PYREPL3_URL, or
    this machine. ``token`` or ``token_file``; without them PYREPL3_TOKEN_FILE, or the file of
    this user's `pyrepl3 serve`. ``request_timeout_s``: how long an answer may take (an execution
    has its own ``timeout_s``). ``reconnect_timeout_s``: how long the service may be out of reach
    before who waits is told so. ``ssl_context``: for a certificate of one's own.
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
    ) -> None:
        check_timeout("request_timeout_s", request_timeout_s)
        check_timeout("reconnect_timeout_s", reconnect_timeout_s)
        self._request_timeout_s = request_timeout_s
        self._link = Link(
            find_address(url), find_token(token, token_file), ssl_context, reconnect_timeout_s
        )
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<pyrepl3.Client {self._link.address}>"

    async def __aenter__(self) -> Self:
        """Connect. Raises ServiceUnreachable, Unauthorized and the like."""
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(_tasks())
            await self._tasks.start(self._link.run)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Disconnect. Sessions that were attached to go on on the service."""
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        await self._stack.__aexit__(None, None, None)  # noqa: ASYNC102  # all in it is cancelled

    @asynccontextmanager
    async def session(
        self,
        template: str = DEFAULT_TEMPLATE,
        *,
        name: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        acquire_timeout_s: float | None = None,
        idle_timeout_s: float | None = None,
        on_disconnect: Literal["continue", "interrupt"] = "continue",
    ) -> AsyncGenerator[RemoteSession]:
        """A new session for the length of the block; it is closed afterwards.

        Raises PoolExhausted, PoolDegraded, WorkerSpawnFailed, RateLimited, ConfigInvalid.
        """
        async with self.open(
            template,
            name=name,
            cwd=cwd,
            env=env,
            limits=limits,
            acquire_timeout_s=acquire_timeout_s,
            idle_timeout_s=idle_timeout_s,
            on_disconnect=on_disconnect,
        ) as session:
            try:
                yield session
            finally:
                with anyio.move_on_after(CLOSE_S, shield=True):
                    await _close(session)

    @asynccontextmanager
    async def open(
        self,
        template: str = DEFAULT_TEMPLATE,
        *,
        name: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        acquire_timeout_s: float | None = None,
        idle_timeout_s: float | None = None,
        on_disconnect: Literal["continue", "interrupt"] = "continue",
    ) -> AsyncGenerator[RemoteSession]:
        """As `session`, but it goes on on the service afterwards: `attach` finds it again."""
        check_timeout("acquire_timeout_s", acquire_timeout_s)
        # By its name a second request finds the session of a first one whose answer was lost.
        named = name if name is not None else f"client-{secrets.token_hex(8)}"
        wishes: dict[str, Any] = {
            "template": template,
            "name": named,
            "env": dict(env or {}),
            "on_disconnect": on_disconnect,
            "acquire_timeout_s": acquire_timeout_s,
            "idle_timeout_s": idle_timeout_s,
        }
        if cwd is not None:
            wishes["cwd"] = os.fspath(cwd)
        if limits is not None:
            wishes["limits"] = attrs.asdict(limits)
        traceparent = current_traceparent()
        if traceparent is not None:
            wishes["traceparent"] = traceparent
        answer = await self._link.ask(
            "open_session", wishes, timeout_s=ACQUIRE_S, has_own_name=name is None
        )
        async with self._followed(_facts(answer, name, template)) as session:
            yield session

    @asynccontextmanager
    async def attach(self, session: str) -> AsyncGenerator[RemoteSession]:
        """The session of that id or name, opened before, by whatever client of this principal.

        It goes on afterwards. Raises SessionNotFound.
        """
        answer = await self._ask("attach", {"session": session})
        async with self._followed(_facts(answer, session, DEFAULT_TEMPLATE)) as found:
            yield found

    async def list_sessions(self) -> list[Mapping[str, Any]]:
        """This principal's sessions, as docs/protocol.md has them."""
        return list((await self._ask("list_sessions", {}))["sessions"])

    async def events(
        self, session: str, *, since: int = 0, until: int | None = None
    ) -> AsyncGenerator[Mapping[str, Any]]:
        """All events of that session from behind ``since`` on, as docs/protocol.md has them.

        They end with the event ``until``, or with the session. Not beside `attach` to the same
        one: events come once a client. Raises SessionNotFound, ServiceUnreachable.
        """
        answer = await self._ask("attach", {"session": session, "since": since})
        id = answer["session"]
        try:
            if until is not None and until <= since:
                return
            async for message in self._link.inbox(id):
                yield message
                if message.get("seq", 0) == until or message["type"] in _LAST:
                    return
            raise self._link.failure
        finally:
            self._link.unfollow(id)

    # --- the link -------------------------------------------------------------------------------

    @asynccontextmanager
    async def _followed(self, facts: SessionFacts) -> AsyncGenerator[RemoteSession]:
        prefix = secrets.token_hex(6)
        session = RemoteSession(facts, self._link, prefix, self._request_timeout_s)
        try:
            async with _tasks() as tasks:
                tasks.start_soon(session.read, self._link.inbox(facts.id))
                try:
                    yield session
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            self._link.unfollow(facts.id)

    async def _ask(self, kind: str, fields: Mapping[str, Any]) -> Message:
        return await self._link.ask(kind, fields, timeout_s=self._request_timeout_s)


async def _close(session: RemoteSession) -> None:
    try:
        await session.close()
    except PyreplError:
        return  # it is out of reach, and idle_timeout_s ends it there


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
