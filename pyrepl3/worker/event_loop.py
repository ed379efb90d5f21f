"""The session's persistent asyncio loop.

Owns how a cell runs on it and how an interrupt finds a cell that only waits. Imported with the
first cell that awaits. Must not know messages.

An interrupt cancels the cell's task when the loop itself was interrupted (everything only waits);
where Python code of a task or a callback was running, KeyboardInterrupt is raised in that code.
"""

import asyncio
import selectors
from _signal import set_wakeup_fd
from types import FrameType
from typing import Any

from .interrupts import Interrupts, runs_user_code
from .snapshots import SnapshotUnavailable
from .tracebacks import print_exception
from .values import true_name

_LOOP_FOLDER = asyncio.__file__.rsplit("/", 1)[0]
_SELECTORS_FILE = selectors.__file__
_CancelledError = asyncio.CancelledError
_new_event_loop = asyncio.new_event_loop
_set_event_loop = asyncio.set_event_loop
_all_tasks = asyncio.all_tasks


@runs_user_code
def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()


class AsyncioHost:
    """Runs cells on one loop; it stays when ``asyncio.run()`` used another in between."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._loop = _new_event_loop()

    def run(self, coroutine: Any, context: Any) -> Any:
        loop = self._current_loop()
        task = loop.create_task(coroutine, context=context)
        task.add_done_callback(_stop)

        def cancel(frame: FrameType) -> bool:
            if not _is_of_the_loop(frame):
                return False
            loop.call_soon_threadsafe(task.cancel)
            return True

        self._interrupts.cancel = cancel
        try:
            self._run_until_done(loop, task)
        finally:
            self._interrupts.cancel = None
        return self._outcome(task)

    def has_work(self) -> bool:
        loop: Any = self._loop
        if loop.is_closed():
            return False
        selector = getattr(loop, "_selector", None)
        # The loop's own wake-up pipe is always registered.
        watched = 2 if selector is None else len(selector.get_map())
        return bool(watched > 1 or loop._ready or loop._scheduled or _all_tasks(loop))

    def wait_readable(self, descriptor: int) -> None:
        loop = self._loop
        is_readable = False

        def stop() -> None:
            nonlocal is_readable
            is_readable = True
            loop.stop()

        while not is_readable and not loop.is_closed():
            try:
                loop.add_reader(descriptor, stop)
                _run_forever(loop)
            except BaseException as error:
                # SystemExit or an interrupt of a background task: there is no cell to end.
                print_exception(error)
            finally:
                if not loop.is_closed():
                    loop.remove_reader(descriptor)

    def check_copyable(self) -> None:
        loop: Any = self._loop
        if not loop.is_closed() and not hasattr(loop, "_selector"):
            raise SnapshotUnavailable(f"its event loop is a {true_name(type(loop))}")

    def adopt_process(self) -> None:
        """A forked epoll is that of the original: what one watches, the other is told."""
        loop: Any = self._loop
        selector = getattr(loop, "_selector", None)
        if loop.is_closed() or selector is None:
            return
        own = type(selector)()
        for key in list(selector.get_map().values()):
            own.register(key.fileobj, key.events, key.data)
        loop._selector = own
        selector.close()

    def adopt_session(self) -> None:
        """Of what wakes a loop from elsewhere there is one end for all copies of it, too."""
        self.adopt_process()
        loop: Any = self._loop
        if not loop.is_closed() and hasattr(loop, "_make_self_pipe"):
            loop._close_self_pipe()
            loop._make_self_pipe()
            if loop._signal_handlers:
                set_wakeup_fd(loop._csock.fileno())

    def _current_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop.is_closed():
            self._loop = _new_event_loop()
        # A plain cell's asyncio.run() leaves none set behind it.
        _set_event_loop(self._loop)
        return self._loop

    def _run_until_done(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        while not task.done():
            try:
                _run_forever(loop)
            except KeyboardInterrupt:
                # Raised in the code of another task: the cell is still to be ended.
                if not task.done():
                    task.cancel()
            except BaseException as error:
                if not task.done():
                    print_exception(error)

    def _outcome(self, task: asyncio.Task[Any]) -> Any:
        try:
            return task.result()
        except _CancelledError as error:
            if self._interrupts.came_from_service:
                interrupt = KeyboardInterrupt().with_traceback(error.__traceback__)
                interrupt.__suppress_context__ = True
                raise interrupt from None
            raise


def make_host(interrupts: Interrupts) -> AsyncioHost:
    """The host, with a loop of its own."""
    return AsyncioHost(interrupts)


def _stop(task: asyncio.Task[Any]) -> None:
    task.get_loop().stop()


def _is_of_the_loop(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    return filename.startswith(_LOOP_FOLDER) or filename == _SELECTORS_FILE
