"""A session's events on their way from the link to whoever follows that session.

Owns what has come and was not taken. Must not know what a message says, nor connections.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable

import anyio

from pyrepl3.remote.link_state import Message


class Inbox(AsyncIterator[Message]):
    """Unbounded: a handler that waits for an answer on this very link must not stop it. What is in
    it, one client has asked for, and a session's limit of output bounds it.

    Either iterated over, or passed on from. Ends when it is closed and empty.
    """

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._take: Callable[[Message], object] | None = None
        self._failure: Exception | None = None
        self._news = anyio.Event()
        self._is_closed = False

    def put(self, message: Message) -> None:
        """One more; whoever takes them has it at once."""
        if self._take is None:
            self._messages.append(message)
            self._news.set()
            return
        try:
            self._take(message)
        except Exception as error:
            # Theirs, to be raised where they wait: the link goes on for all others.
            self._failure, self._take = error, None
            self._news.set()

    def close(self) -> None:
        """Nothing more comes."""
        self._is_closed = True
        self._news.set()

    async def pass_on(self, take: Callable[[Message], object]) -> None:
        """Give each to ``take``, in the moment in which it comes, until there are no more.

        Raises what that raises.
        """
        while self._messages:
            take(self._messages.popleft())
        self._take = take
        try:
            await self._wait()
        finally:
            self._take = None
        if self._failure is not None:
            raise self._failure

    async def __anext__(self) -> Message:
        while not self._messages:
            if self._is_closed:
                raise StopAsyncIteration
            await self._wait()
        return self._messages.popleft()

    async def _wait(self) -> None:
        if not self._is_closed:
            self._news = anyio.Event()
            await self._news.wait()
