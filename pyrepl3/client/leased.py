"""The way to one leased session: on another process where the first died before it was used.

Owns the lease, and how an execution is sent and its events are taken. Must not know what a caller
makes of them, nor the pool beyond the way to a second session.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import trio

from pyrepl3.client.requests import SessionRequests
from pyrepl3.client.settings import SessionSettings
from pyrepl3.client.transactions import Transactions
from pyrepl3.config import check_timeout
from pyrepl3.errors import ConfigInvalid, PyreplError, SessionLost
from pyrepl3.events import Error, Event
from pyrepl3.messages import (
    EventReceiver,
    Execute,
    Lease,
    Query,
    QueryKind,
    Refused,
    open_events,
)
from pyrepl3.session import refusals
from pyrepl3.telemetry.observing import ObservedExecution, Observers, Return, SessionReturned
from pyrepl3.telemetry.traceparent import current_traceparent

Renew = Callable[[], Awaitable[Lease]]

ATTEMPTS = 4
"""Processes to try for a request of which nothing ran. One cause (their zygote's end, say) kills
several, and until the pool has heard of each, a millisecond later, it hands them out."""

FILENAME_CHARACTERS = 4096
"""PATH_MAX of Linux."""


@attrs.define(eq=False)
class LeasedSession:
    """One session in one caller's hands. ``requests`` go to the process that it has now."""

    requests: SessionRequests
    settings: SessionSettings
    _renew: Renew
    _observers: Observers | None
    _id: str
    _template: str
    transactions: Transactions = attrs.field(init=False)
    is_untouched: bool = attrs.field(default=True, init=False)
    """Whether nothing was ever asked of it, so that another process is as good."""
    is_altered: bool = attrs.field(default=False, init=False)
    """Whether its settings were applied."""

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        self.transactions = Transactions(
            self.send_query,
            lambda: self.requests.lost(),
            lambda: self.returned("rollback"),
            settings.policy,
            settings.guard,
            settings.allow_copy,
            settings.limits.copied_bytes,
        )

    def end(self) -> None:
        """The lease is over: every request raises SessionLost from now on."""
        self.is_untouched = False
        self.requests.end()

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
            self.requests = SessionRequests(await self._renew())

    async def _configure(self) -> None:
        """Apply the settings that this session has beyond its template's.

        Raises ConfigInvalid.
        """
        fields = self.settings.worker_fields()
        if fields is not None:
            self.is_altered = True
            self.settings.check_answer(await self._ask_query("configure", fields))
        narrowed = self.settings.narrowed()
        if narrowed is not None:
            self.is_altered = True
            await self.requests.tell(narrowed)

    async def query(self, kind: QueryKind, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask, in order with executions, and wait for the answer."""
        self.is_untouched = False
        return await self._ask_query(kind, fields)

    async def send_query(self, query: Query) -> None:
        """Ask, and do not wait."""
        self.is_untouched = False
        await self.requests.tell(query)

    async def _ask_query(self, kind: QueryKind, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self.requests.ask(lambda reply: Query(kind, fields, reply))

    def returned(self, by: Return) -> None:
        """It is as it was before, as its caller asked for that."""
        if self._observers:
            self._observers.notice(SessionReturned(session=self._id, by=by))

    def observe(self, execution: str) -> ObservedExecution | None:
        """Where somebody watches: that it is about to be sent."""
        if not self._observers:
            return None
        return self._observers.execution(
            session=self._id,
            execution=execution,
            template=self._template,
            traceparent=current_traceparent(),
        )

    async def begin(
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
        self.check(code, timeout_s)
        if options["filename"] is not None:
            options["filename"] = file_name(options["filename"])
        options["silent"] = bool(options["silent"])
        attempts = ATTEMPTS if self.is_untouched else 1
        within = self.transactions.current
        self.is_untouched = False
        while True:
            send, events = open_events()
            try:
                await self.requests.execute(
                    Execute(execution, code, send, timeout_s=timeout_s, **options)
                )
                return events, await self.next_event(events, observed, within)
            except PyreplError as error:
                events.close()
                attempts -= 1
                # The channel's end, unlike a refusal, does not say that nothing ran.
                refused = not isinstance(error.__cause__, trio.EndOfChannel)
                if not (isinstance(error, SessionLost) and refused and attempts):
                    raise
            except BaseException:
                events.close()
                await self.requests.abandon(execution)  # noqa: ASYNC102  # shielded and bounded inside
                raise
            await self._start_over()

    def check(self, code: str, timeout_s: float | None) -> None:
        """Raises CodeTooLarge, ConfigInvalid, TypeError."""
        if not isinstance(code, str):
            raise TypeError(f"code is a str, not a {type(code).__name__}")
        limit = self.settings.limits.code_bytes
        if len(code) * 4 > limit:
            size_bytes = len(code.encode("utf-8", "surrogatepass"))
            if size_bytes > limit:
                raise refusals.code_too_large(size_bytes, limit)
        if timeout_s is not None:
            check_timeout("timeout_s", timeout_s)

    async def _start_over(self) -> None:
        self.requests = SessionRequests(await self._renew())
        await self.open()

    async def next_event(
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
            lost = self.requests.lost()
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


def file_name(filename: Any) -> str:
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
