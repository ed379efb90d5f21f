"""The events of one execution, as an iterator that ends with the terminal one.

Must not know where they come from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from pyrepl3.events import Error, Event, Result


class EventStream(AsyncIterator[Event]):
    """``first`` has come already; ``more`` waits for the next one."""

    def __init__(self, first: Event, more: Callable[[], Awaitable[Event]]) -> None:
        self.execution = first.execution
        """The id of the execution."""
        self._next: Event | None = first
        self._more = more
        self.ended = False
        """Whether the terminal event was given."""

    async def __anext__(self) -> Event:
        if self.ended:
            raise StopAsyncIteration
        if self._next is not None:
            event, self._next = self._next, None
        else:
            event = await self._more()
        self.ended = isinstance(event, Result | Error)
        return event
