"""The thread in which the client of a program without an event loop runs.

Owns its start and its end, and what is entered in it for longer than a call. Must not know what
is called there.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from functools import partial
from threading import Event, Thread, current_thread
from typing import Any, Generic, TypeVar

import anyio
import attrs
from anyio.from_thread import BlockingPortal

from pyrepl3.errors import ServiceUnreachable

T = TypeVar("T")

LEAVE_S = 12.0
"""For what is cancelled to be over: a little more than what is bounded there."""


@attrs.define(eq=False)
class OtherThread:
    """Of this process, and of no fork of it: there, nothing would ever be answered."""

    _portal: BlockingPortal
    _thread: Thread
    _process: int = attrs.field(factory=os.getpid, init=False)
    _held: dict[Held[Any], None] = attrs.field(factory=dict, init=False)
    """What is entered in it, in order."""
    is_closed: bool = attrs.field(default=False, init=False)

    @property
    def is_of_this_process(self) -> bool:
        """False in a fork."""
        return os.getpid() == self._process

    def wait(
        self,
        function: Callable[[], Awaitable[T]],
        *,
        give_back: Callable[[T], Awaitable[None]] | None = None,
    ) -> T:
        """What it comes to. An interrupt of the wait is one of what it is for; one that comes when
        that is there already has it given back."""
        over = Event()

        async def run() -> T:
            try:
                return await function()
            finally:
                over.set()

        future = self.start(run)
        try:
            return future.result()
        except CancelledError as error:
            raise _closed() from error  # noqa: ASYNC104  # it was cancelled there, not here
        except BaseException:
            if future.cancel():
                # What it leaves behind is seen to before anything else is asked.
                over.wait(LEAVE_S)
            elif give_back is not None and future.exception() is None:
                self.wait(partial(give_back, future.result()))
            raise

    def start(self, function: Callable[[], Awaitable[T]]) -> Future[T]:
        """Begin it, and do not wait. Raises RuntimeError where nothing can be done there."""
        if not self.is_of_this_process:
            raise RuntimeError(
                "this SyncClient was connected before a fork: connect one of its own"
            )
        if self.is_closed:
            raise RuntimeError("the block in which this SyncClient was connected has ended")
        return self._portal.start_task_soon(function)

    def enter(self, manager: AbstractAsyncContextManager[T]) -> tuple[T, Held[T]]:
        """Enter it, until it is left. An interrupt meanwhile leaves it as soon as it can be."""
        held = Held(self, manager)
        self._held[held] = None
        return held.enter(), held

    def forget(self, held: Held[Any]) -> None:
        """It was left, by whichever thread."""
        self._held.pop(held, None)

    def close(self) -> None:
        """Leave all that is still entered, the last first, and end. In a fork nothing is done."""
        if not self.is_of_this_process or self.is_closed:
            return
        if current_thread() is self._thread:
            # The garbage collector calls from wherever it is, and here there is no waiting.
            Thread(target=self.close, daemon=True).start()
            return
        try:
            for held in reversed(list(self._held)):
                held.leave()
        finally:
            self.is_closed = True
            self._portal.call(self._portal.stop, True)
            self._thread.join()


@attrs.define(eq=False)
class Held(Generic[T]):
    """An async context manager that is entered in another thread, in a task of its own."""

    _thread: OtherThread
    _manager: AbstractAsyncContextManager[T]
    _entered: Future[T] = attrs.field(factory=Future, init=False)
    _over: Future[None] = attrs.field(factory=Future, init=False)
    _scope: anyio.CancelScope | None = attrs.field(default=None, init=False)
    _left: anyio.Event | None = attrs.field(default=None, init=False)
    _is_wanted: bool = attrs.field(default=True, init=False)

    def enter(self) -> T:
        """What it gives. Raises what it raises."""
        self._over = self._thread.start(self._hold)
        self._over.add_done_callback(self._pass_on)
        try:
            return self._entered.result()
        except BaseException:
            if not self._over.done():
                self._thread.start(self._let_go)
            raise

    def leave(self) -> None:
        """Wait until it is left; more than once is as good as once. Raises what that raises."""
        if self._over.done() or self._thread.is_closed or not self._thread.is_of_this_process:
            return
        self._thread.start(self._let_go)
        self._over.result()

    async def _hold(self) -> None:
        self._left = anyio.Event()
        with anyio.CancelScope() as self._scope:
            if not self._is_wanted:
                return
            async with self._manager as value:
                self._entered.set_result(value)
                await self._left.wait()

    async def _let_go(self) -> None:
        self._is_wanted = False
        if self._left is None or self._scope is None:
            return  # it has not begun, and does not
        self._left.set()
        if not self._entered.done():
            self._scope.cancel()

    def _pass_on(self, over: Future[None]) -> None:
        """Why it could not be entered, where it was not."""
        self._thread.forget(self)
        if self._entered.done():
            return
        error = CancelledError() if over.cancelled() else over.exception()
        self._entered.set_exception(error or CancelledError())


def start_thread() -> OtherThread:
    """A new one, with an event loop of asyncio. It keeps no process from its end."""
    started: Future[BlockingPortal] = Future()

    async def run() -> None:
        async with BlockingPortal() as portal:
            started.set_result(portal)
            await portal.sleep_until_stopped()

    thread = Thread(
        target=anyio.run, args=(run,), kwargs={"backend": "asyncio"}, name="pyrepl3", daemon=True
    )
    thread.start()
    return OtherThread(started.result(), thread)


def _closed() -> ServiceUnreachable:
    return ServiceUnreachable(
        what="the client was closed",
        why="the block in which it was connected has ended",
        how="Let other threads end before the block that connected it",
    )
