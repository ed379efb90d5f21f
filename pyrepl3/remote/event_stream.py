"""The events of one execution on a service, as an iterator that ends with the terminal one.

Must not know how they come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from pyrepl3.events import Error, Event, Result


class EventStream(AsyncIterator[Event]):
    """The events of one execution, which end with its terminal one; and its id."""

    def __init__(self, execution: str, events: MemoryObjectReceiveStream[Event], lost: Any) -> None:
        self.execution = execution
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
