"""The events of one execution on a service, as an iterator that ends with the terminal one.

Must not know how they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable

import anyio

from pyrepl3.errors import PyreplError
from pyrepl3.events import Error, Event, Result


class EventStream(AsyncIterator[Event]):
    """The events of one execution, which end with its terminal one; and its id.

    ``lost`` says why they ended before.
    """

    def __init__(self, execution: str, lost: Callable[[], PyreplError]) -> None:
        self.execution = execution
        self.ended = False
        """Whether the terminal event was given."""
        self._lost = lost
        self._events: deque[Event] = deque()
        self._news: anyio.Event | None = None
        """There while somebody waits for one."""
        self._is_cut = False

    def put(self, event: Event) -> None:
        """One more; kept until it is asked for."""
        self._events.append(event)
        self._wake()

    def cut(self) -> None:
        """No more come, and the terminal one has not."""
        self._is_cut = True
        self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    async def __anext__(self) -> Event:
        while self.ended or not self._events:
            if self.ended:
                raise StopAsyncIteration
            if self._is_cut:
                self.ended = True
                raise self._lost()
            if self._news is None or self._news.is_set():  # else somebody else waits for it too
                self._news = anyio.Event()
            await self._news.wait()
        event = self._events.popleft()
        self.ended = isinstance(event, Result | Error)
        return event
