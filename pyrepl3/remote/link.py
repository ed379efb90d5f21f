"""A client's link to its service: connects, and connects again, so that nobody above notices.

Owns the connection of the moment and who waits for what. What is sent again is decided in
`link_state.py`. Must not know what a request does.
"""

from __future__ import annotations

import math
import random
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import attrs
from anyio.abc import TaskStatus

from pyrepl3.errors import PyreplError, ServiceUnreachable
from pyrepl3.remote.addresses import ServiceAddress
from pyrepl3.remote.answers import is_understood
from pyrepl3.remote.connection import Connect, Connection
from pyrepl3.remote.inbox import Inbox
from pyrepl3.remote.link_state import FOLLOWS, Answered, LinkState, Message, Told, ToSend
from pyrepl3.remote.told_errors import (
    as_error,
    not_heard,
    not_understood,
    too_large,
    unreachable,
    unspoken,
)
from pyrepl3.remote.web_socket import Disconnected, first_of, open_web_socket
from pyrepl3.wire.client_codec import encode_request

VERSION = 1
"""Of the protocol."""
CONNECT_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
"""Between attempts to connect again; each is twice the last, less up to a half by chance."""
SILENCE_S = 45.0
"""The service pings every 20 s; whoever hears nothing for so long has no connection."""


@attrs.define(eq=False)
class _Waiter:
    """Who waits for one answer."""

    event: anyio.Event = attrs.field(factory=anyio.Event)
    message: Message | None = None
    inbox: Inbox | None = None
    """Of a request behind whose answer events come: where they come."""
    error: PyreplError | None = None


@attrs.define(eq=False)
class Link:
    """One at a time is run, by its client."""

    address: ServiceAddress
    token: str = attrs.field(repr=False)
    context: ssl.SSLContext | None
    reconnect_timeout_s: float
    """How long the service may be out of reach before everyone who waits is told so."""
    connect: Connect = open_web_socket
    on_connection: Callable[[bool], object] = attrs.field(default=lambda _: None)
    """Told when the connection is lost, and when there is one again."""
    _state: LinkState = attrs.field(factory=LinkState, init=False)
    _waiters: dict[int, _Waiter] = attrs.field(factory=dict, init=False)
    _outbox: deque[tuple[int, bytes]] = attrs.field(factory=deque, init=False)
    """Ids and messages, to be sent on the connection that there is."""
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _change: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _inboxes: dict[str, list[Inbox]] = attrs.field(factory=dict, init=False)
    """Of each session everybody here who follows it."""
    _heard_at: float = attrs.field(default=-math.inf, init=False)
    _scope: anyio.CancelScope | None = attrs.field(default=None, init=False)
    _was_let_in: bool = attrs.field(default=False, init=False)
    """Whether there was a connection ever: a service that is there may be waited for."""
    _connection: Connection | None = attrs.field(default=None, init=False)
    """The one that there is now."""
    _message_bytes: float = attrs.field(default=math.inf, init=False)
    """The largest message that the service takes."""
    _give_up_at: float = attrs.field(default=math.inf, init=False)
    """Set while there is no connection that was there before."""
    _pause_s: float = attrs.field(default=FIRST_PAUSE_S, init=False)
    _failure: PyreplError | None = attrs.field(default=None, init=False)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Started with the first connection, which is not tried twice; then until it is stopped.

        Once started it is not cancelled from outside: whoever is, says goodbye over it, and then
        its client stops it. Raises what the first connection was refused for, and
        ServiceUnreachable.
        """
        is_started = False

        def started() -> None:
            nonlocal is_started
            if not is_started:
                is_started = scope.shield = True
                task_status.started()

        try:
            with anyio.CancelScope() as scope:
                self._scope = scope
                while True:
                    try:
                        await self._connect_once(started)
                    except (Disconnected, PyreplError) as error:
                        if not is_started and (
                            isinstance(error, PyreplError) or not self._was_let_in
                        ):
                            raise self._given_up(error) from error
                        self._judge(error)
                    again_at = anyio.current_time() + self._pause_s * random.uniform(0.5, 1.0)
                    await anyio.sleep_until(min(again_at, self._give_up_at))
                    self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        except PyreplError as error:
            self._fail(error)
            if not is_started:
                raise
        finally:
            self._fail(unreachable(str(self.address), "the client was closed"))

    def stop(self) -> None:
        """End `run`."""
        if self._scope is not None:
            self._scope.cancel()

    async def drain(self) -> None:
        """Until the service has heard what nobody waits for: sessions to be closed, mostly."""
        while self.is_connected and any(id not in self._waiters for id in self._state.owed):
            self._change = anyio.Event()
            await self._change.wait()

    async def ask(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        timeout_s: float = math.inf,
        is_for_good: bool = False,
    ) -> Message:
        """The answer to a request, over as many connections as it takes.

        ``is_for_good``: it is to be heard also where nobody waits for its answer any more. Raises
        what it was refused with, ServiceUnreachable, and BadMessage or CodeTooLarge for what cannot
        be sent.
        """
        message, _ = await self._ask(kind, fields, timeout_s, is_for_good=is_for_good)
        return message

    def post(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Ask, for good, and do not wait for an answer."""
        self._send(self._state.ask(kind, fields))

    async def follow(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        timeout_s: float = math.inf,
        has_own_name: bool = False,
    ) -> tuple[Message, Inbox]:
        """As `ask`, for a session whose events come behind the answer; `unfollow` ends that."""
        message, inbox = await self._ask(kind, fields, timeout_s, has_own_name=has_own_name)
        assert inbox is not None
        return message, inbox

    async def _ask(
        self,
        kind: str,
        fields: Mapping[str, Any],
        timeout_s: float,
        *,
        has_own_name: bool = False,
        is_for_good: bool = False,
    ) -> tuple[Message, Inbox | None]:
        if self._failure is not None:
            raise self._failure
        message = self._state.ask(kind, fields, has_own_name=has_own_name)
        id = message["id"]
        try:
            self._send(message)
        except PyreplError:
            self._state.drop(id)
            raise
        waiter = self._waiters[id] = _Waiter()
        try:
            with anyio.move_on_after(None if timeout_s == math.inf else timeout_s):
                await waiter.event.wait()
            if not waiter.event.is_set():
                why = f"it has not answered within {timeout_s:g} s"
                raise unreachable(str(self.address), why)
        except BaseException:
            self._give_back(kind, waiter)
            if not is_for_good:
                self._state.forget(id)
            raise
        finally:
            del self._waiters[id]
        if waiter.error is not None:
            raise waiter.error
        assert waiter.message is not None
        if waiter.message["type"] == "refused":
            raise as_error(waiter.message)
        if not is_understood(kind, waiter.message):
            self._give_back(kind, waiter)
            raise not_understood(f"an answer to {kind}", waiter.message["type"])
        return waiter.message, waiter.inbox

    def _give_back(self, kind: str, waiter: _Waiter) -> None:
        """What came for somebody who was cancelled in that very moment, or cannot use it."""
        if waiter.message is None or waiter.inbox is None:
            return
        session = waiter.message["session"]
        self.unfollow(session, waiter.inbox)
        if kind == "open_session":
            self.post("close_session", {"session": session})

    def unfollow(self, session: str, inbox: Inbox) -> None:
        """Nobody reads that inbox any more."""
        inboxes = self._inboxes.get(session, [])
        if inbox in inboxes:
            inboxes.remove(inbox)
        inbox.close()
        if not inboxes and self._inboxes.pop(session, None) is not None:
            detach = self._state.unfollow(session)
            if detach is not None and self.is_connected:
                self._send(detach)

    # --- one connection -------------------------------------------------------------------------

    async def _connect_once(self, started: Callable[[], None]) -> None:
        """One connection, until it is lost. Raises Disconnected, or what it was refused for."""
        with anyio.CancelScope(deadline=self._give_up_at) as scope:
            async with self.connect(
                self.address, self.token, context=self.context, within_s=CONNECT_S
            ) as connection:
                self._was_let_in = True
                messages = await self._first_messages(connection)
                self._welcome(messages.pop(0))
                self._give_up_at, self._pause_s = math.inf, FIRST_PAUSE_S
                scope.deadline = math.inf
                started()
                await self._talk(connection, messages)
        if scope.cancelled_caught:
            raise Disconnected("it does not answer")

    async def _first_messages(self, connection: Connection) -> list[dict[str, Any]]:
        """Raises Disconnected."""
        with anyio.move_on_after(CONNECT_S):
            return await connection.receive()
        raise Disconnected("it does not answer")

    def _welcome(self, message: Message) -> None:
        """Raises Disconnected, UnsupportedVersion."""
        if message["type"] != "welcome":
            raise Disconnected(f"it began with {message['type']!r}", is_for_good=True)
        if message.get("version") != VERSION:
            raise unspoken(message.get("version"), VERSION)
        limits = message.get("limits")
        limit = limits.get("message_bytes") if isinstance(limits, Mapping) else None
        self._message_bytes = limit if isinstance(limit, int) else math.inf

    def _judge(self, error: Disconnected | PyreplError) -> None:
        """Go on, after a connection was lost or not made. Raises PyreplError: there is no use."""
        now = anyio.current_time()
        if self._give_up_at == math.inf:
            self._give_up_at = now + self.reconnect_timeout_s
        hopeless = error.is_for_good if isinstance(error, Disconnected) else not error.retryable
        if hopeless or now >= self._give_up_at:
            raise self._given_up(error) from error

    def _given_up(self, error: Disconnected | PyreplError) -> PyreplError:
        if isinstance(error, Disconnected):
            return unreachable(str(self.address), str(error), error.how)
        return error

    async def _talk(self, connection: Connection, messages: list[dict[str, Any]]) -> None:
        """Until it is lost. Raises Disconnected."""
        self._outbox.clear()
        resumption = self._state.reconnected()
        self._connection = connection
        self.on_connection(True)
        for message in resumption.messages:
            try:
                self._send(message)
            except PyreplError as error:
                self._state.drop(message["id"])
                self._settle(message["id"], error=error)
        for id in resumption.unanswerable:
            self._settle(id, error=not_heard(str(self.address)))
        try:
            async with anyio.create_task_group() as group:
                self._heard_at = anyio.current_time()
                group.start_soon(self._write, connection)
                group.start_soon(self._watch)
                await self._read(connection, messages)
        except* Disconnected as lost:
            raise first_of(lost) from None
        finally:
            self._connection = None
            self._change.set()
            self.on_connection(False)
            await connection.close()  # noqa: ASYNC102  # shielded and bounded inside

    async def _write(self, connection: Connection) -> None:
        while True:
            if connection.has_rest:
                await connection.flush()
            while self._outbox:
                id, data = self._outbox.popleft()
                self._state.sent(id)
                await connection.send(data)
            self._wake = anyio.Event()
            await self._wake.wait()

    async def _read(self, connection: Connection, messages: list[dict[str, Any]]) -> None:
        while True:
            self._heard_at = anyio.current_time()
            for message in messages:
                try:
                    self._take(message)
                except (KeyError, TypeError) as error:
                    raise Disconnected(f"it sent what is no message: {error!r}") from error
            messages = await connection.receive()

    async def _watch(self) -> None:
        """Until nothing was heard for too long: a deadline for each message would cost more than
        the message. Raises Disconnected."""
        while (left_s := self._heard_at + SILENCE_S - anyio.current_time()) > 0:  # noqa: ASYNC110
            await anyio.sleep(left_s)
        raise Disconnected(f"nothing was heard for {SILENCE_S:g} s")

    def _take(self, message: Message) -> None:
        meaning = self._state.take(message)
        if isinstance(meaning, Answered):
            self._settle(meaning.id, message=message)
        elif isinstance(meaning, Told):
            for inbox in list(self._inboxes.get(meaning.session, ())):
                inbox.put(meaning.message)
        elif isinstance(meaning, ToSend):
            self._send(meaning.message)
        self._change.set()

    def _settle(
        self, id: int, *, message: Message | None = None, error: PyreplError | None = None
    ) -> None:
        waiter = self._waiters.get(id)
        if waiter is None:
            return
        if message is not None and message["type"] in FOLLOWS:
            # Now: its events may come before who asked has a turn.
            waiter.inbox = self._open_inbox(message["session"])
        waiter.message, waiter.error = message, error
        waiter.event.set()

    def _send(self, message: Message) -> None:
        """Have it sent, now or on the next connection.

        Raises BadMessage, or CodeTooLarge, for what cannot be.
        """
        data = encode_request(message)
        if len(data) > self._message_bytes:
            raise too_large(message["type"], len(data), int(self._message_bytes))
        if self._connection is None:
            return
        if not self._outbox and self._connection.send_nowait(data):
            self._state.sent(message["id"])
            if not self._connection.has_rest:
                return
        else:
            self._outbox.append((message["id"], data))
        self._wake.set()

    def _open_inbox(self, session: str) -> Inbox:
        inbox = Inbox()
        self._inboxes.setdefault(session, []).append(inbox)
        return inbox

    def _fail(self, error: PyreplError) -> None:
        if self._failure is None:
            self._failure = error
        for waiter in self._waiters.values():
            if not waiter.event.is_set():  # what has come counts
                waiter.error = self._failure
            waiter.event.set()
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.close()
        self._change.set()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    @property
    def failure(self) -> PyreplError:
        """Why there is no link any more."""
        return self._failure or ServiceUnreachable(
            what="the session's events end here", why="it was let go of", how="Attach again"
        )
