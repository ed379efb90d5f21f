"""A client's link to its service: connects, and connects again, so that nobody above notices.

Owns the connection of the moment and who waits for what. What is sent again is decided in
`link_state.py`. Must not know what a request does.
"""

from __future__ import annotations

import math
import random
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any

import anyio
import attrs
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from pyrepl3.errors import PyreplError, ServiceUnreachable
from pyrepl3.remote.addresses import ServiceAddress
from pyrepl3.remote.link_state import Answered, LinkState, Message, Told, ToSend
from pyrepl3.remote.told_errors import as_error, unreachable
from pyrepl3.remote.web_socket import Disconnected, WebSocket, open_web_socket

CONNECT_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
"""Between attempts to connect again; each is twice the last, less up to a half by chance."""
SILENCE_S = 45.0
"""The service pings every 20 s; whoever hears nothing for so long has no connection."""

Inbox = MemoryObjectReceiveStream[Message]


@attrs.define(eq=False)
class _Waiter:
    """Who waits for one answer."""

    event: anyio.Event = attrs.field(factory=anyio.Event)
    message: Message | None = None
    error: PyreplError | None = None


@attrs.define(eq=False)
class Link:
    """One at a time is run, by its client."""

    address: ServiceAddress
    token: str = attrs.field(repr=False)
    context: ssl.SSLContext | None
    reconnect_timeout_s: float
    """How long the service may be out of reach before everyone who waits is told so."""
    _state: LinkState = attrs.field(factory=LinkState, init=False)
    _waiters: dict[int, _Waiter] = attrs.field(factory=dict, init=False)
    _outbox: deque[Message] = attrs.field(factory=deque, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _inboxes: dict[str, tuple[MemoryObjectSendStream[Message], Inbox]] = attrs.field(
        factory=dict, init=False
    )
    _heard_at: float = attrs.field(default=-math.inf, init=False)
    _failure: PyreplError | None = attrs.field(default=None, init=False)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Started with the first connection, which is not tried twice; then until cancelled.

        Raises what the first one was refused for, and ServiceUnreachable.
        """
        lost_at: float | None = None
        pause_s = FIRST_PAUSE_S
        is_started = False
        try:
            while True:
                try:
                    async with open_web_socket(
                        self.address, self.token, context=self.context, within_s=CONNECT_S
                    ) as socket:
                        if not is_started:
                            task_status.started()
                        is_started, lost_at, pause_s = True, None, FIRST_PAUSE_S
                        await self._talk(socket)
                except Disconnected as error:
                    now = anyio.current_time()
                    lost_at = now if lost_at is None else lost_at
                    if not is_started or now - lost_at >= self.reconnect_timeout_s:
                        raise unreachable(str(self.address), str(error)) from error
                except PyreplError as error:
                    if not is_started or not error.retryable:
                        raise
                await anyio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        except PyreplError as error:
            self._fail(error)
            if not is_started:
                raise
        finally:
            self._fail(unreachable(str(self.address), "the client was closed"))

    async def ask(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        timeout_s: float = math.inf,
        has_own_name: bool = False,
    ) -> Message:
        """The answer to a request, over as many connections as it takes.

        Raises what it was refused with, and ServiceUnreachable.
        """
        if self._failure is not None:
            raise self._failure
        message = self._state.ask(kind, fields, has_own_name=has_own_name)
        id = message["id"]
        waiter = self._waiters[id] = _Waiter()
        self._send(message)
        try:
            with anyio.fail_after(None if timeout_s == math.inf else timeout_s):
                await waiter.event.wait()
        except TimeoutError:
            why = f"it has not answered within {timeout_s:g} s"
            raise unreachable(str(self.address), why) from None
        except BaseException:
            self._give_back(waiter.message)
            raise
        finally:
            del self._waiters[id]
            self._state.forget(id)
        if waiter.error is not None:
            raise waiter.error
        assert waiter.message is not None
        if waiter.message["type"] == "refused":
            raise as_error(waiter.message)
        return waiter.message

    def _give_back(self, answer: Message | None) -> None:
        """A session that was opened in the very moment in which who asked was cancelled."""
        if answer is not None and answer["type"] == "session_opened":
            self.unfollow(answer["session"])
            self._send(self._state.ask("close_session", {"session": answer["session"]}))

    def inbox(self, session: str) -> Inbox:
        """Where the events of a session come that was opened or attached to."""
        return self._channel(session)[1]

    def unfollow(self, session: str) -> None:
        """Nobody reads that session's events any more."""
        self._state.unfollow(session)
        channel = self._inboxes.pop(session, None)
        if channel is not None:
            channel[0].close()
            channel[1].close()

    # --- one connection -------------------------------------------------------------------------

    async def _talk(self, socket: WebSocket) -> None:
        """Until it is lost. Raises Disconnected."""
        self._outbox.clear()
        self._outbox.extend(self._state.reconnected())
        try:
            async with anyio.create_task_group() as group:
                self._heard_at = anyio.current_time()
                group.start_soon(self._write, socket)
                group.start_soon(self._watch)
                await self._read(socket)
        except* Disconnected as lost:
            raise _first(lost) from None
        finally:
            await socket.close()  # noqa: ASYNC102  # shielded and bounded inside

    async def _write(self, socket: WebSocket) -> None:
        while True:
            while self._outbox:
                await socket.send(self._outbox.popleft())
            self._wake = anyio.Event()
            await self._wake.wait()

    async def _read(self, socket: WebSocket) -> None:
        while True:
            messages = await socket.receive()
            self._heard_at = anyio.current_time()
            for message in messages:
                self._take(message)

    async def _watch(self) -> None:
        """Until nothing was heard for too long: a deadline for each message would cost more than
        the message. Raises Disconnected."""
        while (left_s := self._heard_at + SILENCE_S - anyio.current_time()) > 0:  # noqa: ASYNC110
            await anyio.sleep(left_s)
        raise Disconnected(f"nothing was heard for {SILENCE_S:g} s")

    def _take(self, message: Message) -> None:
        meaning = self._state.take(message)
        if isinstance(meaning, Answered):
            waiter = self._waiters.get(meaning.id)
            if message["type"] in ("session_opened", "attached"):
                self._channel(message["session"])
            if waiter is not None:
                waiter.message = message
                waiter.event.set()
        elif isinstance(meaning, Told):
            self._channel(meaning.session)[0].send_nowait(meaning.message)
        elif isinstance(meaning, ToSend):
            self._send(meaning.message)

    def _send(self, message: Message) -> None:
        self._outbox.append(message)
        self._wake.set()

    def _channel(self, session: str) -> tuple[MemoryObjectSendStream[Message], Inbox]:
        """Unbounded: a handler that waits for an answer on this very link must not stop it. What
        is in it, one client has asked for, and a session's limit of output bounds it."""
        if session not in self._inboxes:
            self._inboxes[session] = anyio.create_memory_object_stream[Message](math.inf)
        return self._inboxes[session]

    def _fail(self, error: PyreplError) -> None:
        if self._failure is None:
            self._failure = error
        for waiter in self._waiters.values():
            waiter.error = self._failure
            waiter.event.set()
        for sender, _ in self._inboxes.values():
            sender.close()

    @property
    def failure(self) -> PyreplError:
        """Why there is no link any more."""
        return self._failure or ServiceUnreachable(
            what="the session's events end here", why="it was let go of", how="Attach again"
        )


def _first(group: BaseExceptionGroup[Disconnected]) -> Disconnected:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Disconnected)
    return found
