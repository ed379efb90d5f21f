"""One job at the worker, and the way of its events to the client that waits for it.

Owns the order of one execution's events, and what happens to them when the client is slow. Must
not know sockets or processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import trio

from pyrepl3.errors import Code, PyreplError
from pyrepl3.events import Display, Error, Event, Gap, Output, Result, Started, Stream
from pyrepl3.messages import Ask, Refused, Run
from pyrepl3.transport.output import Allowance

SPILL_CHARACTERS = 2**20
"""Output that is kept for a client that does not take it, once its execution is to end: a slow
client must not hold up an interrupt. What comes beyond is told as a `Gap`."""


@attrs.define(eq=False)
class QuestionFlight:
    """A question at the worker."""

    ask: Ask
    rolled_back: Mapping[str, Any] | None = None
    """Its answer, where it was to go back, as it is told when it has."""

    @property
    def number(self) -> int:
        """Its number among the jobs of the session."""
        return self.ask.number

    def message(self) -> dict[str, Any]:
        """What the worker is sent of it."""
        query = self.ask.query
        return {"type": query.kind, "id": self.ask.number, **query.fields}

    @property
    def passed(self) -> Sequence[int]:
        """The descriptors that go with it; they are open as long as it has no answer."""
        return self.ask.query.passed


@attrs.define(eq=False)
class ExecutionFlight:
    """An execution at the worker."""

    run: Run
    allowance: Allowance
    code: Code | None = None
    """Why the service had it interrupted, if it did."""
    limit_s: float | None = None
    rolled_back: Result | Error | None = None
    """Its end, as it is told when the snapshot before it has taken over."""
    sent: bool = True
    """False when the worker's end was closed already: then nothing of it ran."""
    _held: deque[Event] = attrs.field(factory=deque)
    _held_characters: int = 0
    _hurried: bool = False
    _waiting: trio.CancelScope | None = None

    @classmethod
    def of(cls, run: Run) -> ExecutionFlight:
        """The flight of a run that was handed down just now."""
        return cls(run, Allowance(run.request.execution, run.output_bytes))

    @property
    def number(self) -> int:
        """Its number among the jobs of the session."""
        return self.run.number

    @property
    def passed(self) -> Sequence[int]:
        """As of a question: none."""
        return ()

    @property
    def execution(self) -> str:
        """Its id."""
        return self.run.request.execution

    def message(self) -> dict[str, Any]:
        """What the worker is sent of it."""
        request = self.run.request
        fields = {
            "type": "execute",
            "execution": request.execution,
            "number": self.run.number,
            "code": request.code,
            "filename": request.filename,
            "silent": request.silent,
            "allow_input": request.allow_input,
            "transaction_policy": request.transaction_policy,
            "guard": request.guard,
            "copy_bytes": request.copy_bytes,
            "transaction": self.run.transaction,
        }
        if request.report_namespace:
            fields["report_namespace"] = True
        if request.traceparent is not None:
            fields["traceparent"] = request.traceparent
        return fields

    def begin(self, background: list[Output | Gap]) -> None:
        """Tell, without waiting, that it starts, and what was printed before it."""
        if self.run.request.wants_started:
            self._held.append(Started(self.execution))
        self._held.extend(background)
        self._send_held_nowait()

    def interrupt(self, code: Code, limit_s: float | None) -> None:
        """It is to end: from now on its events wait here rather than hold up the worker."""
        self.code = code
        self.limit_s = limit_s
        self._hurried = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def print(self, stream: Stream, text: str, *, background: bool) -> None:
        """Deliver output, within its allowance."""
        for event in self.allowance.admit(stream, text, background=background):
            await self.deliver(event)

    async def deliver(self, event: Event) -> None:
        """Deliver an event, or wait until the client has room: that slows its producer."""
        if self._held:
            self._send_held_nowait()
        if not self._held:
            try:
                self.run.request.events.send_nowait(event)
                return
            except trio.WouldBlock:
                pass
            except trio.BrokenResourceError:
                return  # the client has gone, and has said so to the session
        self._hold(event)
        if not self._hurried:
            with trio.CancelScope() as self._waiting:
                await self._send_held()
            self._waiting = None

    def finish(self, rests: list[tuple[Stream, str]], terminal: Result | Error) -> bool:
        """Deliver, without waiting, all that is held and the terminal event.

        False when the client has no room for all of it: then `finish_later` has to.
        """
        for stream, text in rests:
            self._held.extend(self.allowance.admit(stream, text, background=False))
        self._held.extend(self.allowance.finish())
        self._held.append(terminal)
        self._send_held_nowait()
        if self._held:
            return False
        self.run.request.events.close()
        return True

    @trio.lowlevel.enable_ki_protection
    async def finish_later(self) -> None:
        """Deliver what `finish` could not, as the client makes room, and close the channel."""
        with self.run.request.events:
            await self._send_held()

    def refuse(self, error: PyreplError) -> None:
        """Nothing of it ran: say so instead of any event, and close the channel."""
        with self.run.request.events as events:
            try:
                events.send_nowait(Refused(error))
            except (trio.BrokenResourceError, trio.WouldBlock):
                return  # the client has gone, or has its Started and sees the channel's end

    def drop(self) -> None:
        """Close the channel, where no terminal event can be given any more."""
        self.run.request.events.close()

    def _hold(self, event: Event) -> None:
        if self._hurried:
            text = _text_of(event)
            if self._held_characters + len(text) > SPILL_CHARACTERS:
                self.allowance.omit(text)
                return
            self._held_characters += len(text)
        self._held.append(event)

    def _send_held_nowait(self) -> None:
        try:
            while self._held:
                self.run.request.events.send_nowait(self._held[0])
                self._held.popleft()
            self._held_characters = 0
        except trio.WouldBlock:
            return
        except trio.BrokenResourceError:
            self._held.clear()

    async def _send_held(self) -> None:
        self._send_held_nowait()
        try:
            while self._held:
                await self.run.request.events.send(self._held[0])
                self._held.popleft()
        except trio.BrokenResourceError:
            self._held.clear()


def _text_of(event: Event) -> str:
    """What an event weighs, while it is held for a client that does not take it."""
    if isinstance(event, Output):
        return event.data
    return repr(event.data) if isinstance(event, Display) else ""


Flight = ExecutionFlight | QuestionFlight
