"""A session on a service, as a program uses it: the same as one of its own supervisor.

Owns which event belongs to which execution. Must not know connections: the link outlives them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from pyrepl3.client.editing import Completeness, Completion, Inspection, at_cursor
from pyrepl3.client.execution import Execution
from pyrepl3.client.handlers import Handlers, OnDisplay, OnInput, OnOutput
from pyrepl3.config import check_timeout
from pyrepl3.errors import PyreplError, SessionLost, SessionNotFound
from pyrepl3.events import Error, Event, Gap, InterruptOutcome, Result
from pyrepl3.remote.link import Inbox, Link
from pyrepl3.remote.link_state import Message
from pyrepl3.remote.told_errors import as_error
from pyrepl3.telemetry.traceparent import current_traceparent
from pyrepl3.wire.client_events import from_map

ABANDON_S = 5.0
"""For a request to interrupt what nobody waits for any more."""
NO_DEADLINE_S = 1e9
"""What an infinite ``timeout_s`` is in JSON, which has no infinity: thirty years."""

Sender = MemoryObjectSendStream[Event]
Receiver = MemoryObjectReceiveStream[Event]


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

    def __init__(self, facts: SessionFacts, link: Link, prefix: str, timeout_s: float) -> None:
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
        self._followers: dict[str, Sender] = {}
        self._end: PyreplError | None = None

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
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        """Run code and follow its events: `Started` first, one `Result` or `Error` last.

        Leaving the block before the last event interrupts it. Arguments and errors as of `run`;
        those of a request that is not taken come on entry.
        """
        check_timeout("timeout_s", timeout_s)
        if not isinstance(code, str):
            raise TypeError(f"code is a str, not a {type(code).__name__}")
        id = f"{self._prefix}.{next(self._numbers)}"
        fields: dict[str, Any] = {
            "execution": id,
            "code": code,
            "timeout_s": _finite(timeout_s),
            "allow_input": allow_input,
            "filename": filename,
            "silent": bool(silent),
        }
        traceparent = current_traceparent()
        if traceparent is not None:
            fields["traceparent"] = traceparent
        sender: Sender
        receiver: Receiver
        sender, receiver = anyio.create_memory_object_stream[Event](math.inf)
        self._followers[id] = sender
        stream = _EventStream(receiver, self._lost)
        try:
            await self._send(id, fields)
            try:
                yield stream
            finally:
                if not stream.ended and self._end is None:
                    await self._abandon(id)  # noqa: ASYNC102  # shielded and bounded inside
        finally:
            self._followers.pop(id, None)
            sender.close()
            receiver.close()

    async def interrupt(
        self, execution: str | None = None, *, grace_s: float | None = None
    ) -> InterruptOutcome:
        """Interrupt what runs, or the execution of that id, and wait for what came of it.

        As of a session of one's own. Raises ExecutionNotFound, SessionLost, ConfigInvalid.
        """
        if not isinstance(execution, str | None):
            raise TypeError(f"an execution's id is a str, not a {type(execution).__name__}")
        check_timeout("grace_s", grace_s)
        fields = {"execution": execution, "grace_s": _finite(grace_s)}
        told = await self._ask("interrupt", fields, timeout_s=math.inf)
        return InterruptOutcome(told["state"], told["by"])

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
            await self._ask("close_session", {})
        except SessionLost:
            return  # it had ended before

    async def read(self, inbox: Inbox) -> None:
        """Pass events on to whoever follows them, until there are no more."""
        async for message in inbox:
            self._take(message)
            with suppress(anyio.WouldBlock, anyio.EndOfStream):
                while True:  # what has come with it, in the same turn of the loop
                    self._take(inbox.receive_nowait())
        if self._end is None:
            self._end = self._link.failure
        self._close_followers()

    def _take(self, message: Message) -> None:
        kind = message["type"]
        if kind == "refused":
            # A new connection could not attach to it: it is no more.
            self._end = _gone(as_error(message).why)
        elif kind in ("session_died", "session_closed"):
            self._end = _gone(str(message.get("cause") or f"it is {message.get('reason')}"))
        elif kind == "gap":
            # Of whose events some are lost is not known: of all that were under way, perhaps.
            for id in self._followers:
                self._tell(id, Gap(id, message["bytes"]))
        else:
            event = from_map(message, self._respond)
            if event is not None:
                self._tell(event.execution, event)
        if self._end is not None:
            self._close_followers()

    def _tell(self, execution: str, event: Event) -> None:
        sender = self._followers.get(execution)
        if sender is not None:
            try:
                sender.send_nowait(event)
            except anyio.BrokenResourceError:
                return  # its reader has gone
            if isinstance(event, Result | Error):
                sender.close()

    def _close_followers(self) -> None:
        for sender in self._followers.values():
            sender.close()

    def _lost(self) -> PyreplError:
        return self._end or self._link.failure

    async def _ask(
        self, kind: str, fields: Mapping[str, Any], *, timeout_s: float | None = None
    ) -> Message:
        if self._end is not None:
            raise self._end
        within_s = self._request_timeout_s if timeout_s is None else timeout_s
        try:
            return await self._link.ask(kind, {"session": self.id, **fields}, timeout_s=within_s)
        except SessionNotFound as error:
            # There was one: the service was started again, or has forgotten it.
            self._end = _gone(error.why)
            raise self._end from error

    async def _respond(self, number: str, data: str | None) -> None:
        await self._ask("input_response", {"input": number, "data": data})

    async def _send(self, execution: str, fields: Mapping[str, Any]) -> None:
        """Have it run. Where nobody waits any more for whether it was taken, it is interrupted."""
        try:
            await self._ask("execute", fields)
        except PyreplError:
            raise
        except BaseException:
            await self._abandon(execution)  # noqa: ASYNC102  # shielded and bounded inside
            raise

    async def _abandon(self, execution: str) -> None:
        """Interrupt what nobody waits for any more. Not to be cancelled: bounded."""
        with anyio.move_on_after(ABANDON_S, shield=True):
            try:
                await self._ask("interrupt", {"execution": execution})
            except PyreplError:
                return  # it has ended, or nobody can say


class _EventStream(AsyncIterator[Event]):
    """The events of one execution, which end with its terminal one."""

    def __init__(self, events: Receiver, lost: Any) -> None:
        self._events = events
        self._lost = lost
        self.ended = False

    async def __anext__(self) -> Event:
        if self.ended:
            raise StopAsyncIteration
        try:
            try:
                event = self._events.receive_nowait()
            except anyio.WouldBlock:
                event = await self._events.receive()
        except anyio.EndOfStream:
            self.ended = True
            raise self._lost() from None
        self.ended = isinstance(event, Result | Error)
        return event


def _gone(why: str) -> SessionLost:
    return SessionLost(
        what="the session is gone",
        why=why,
        how="Open a new session; its variables start empty",
    )


def _finite(seconds: float | None) -> float | None:
    return NO_DEADLINE_S if seconds == math.inf else seconds
