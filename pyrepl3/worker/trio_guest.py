"""Top-level await for trio: a guest run whose host is a small loop in the main thread.

Owns the persistent trio run of a session that asked for ``async_library="trio"``; it starts with
the first cell that awaits. Must not know messages. Interrupts follow the rule of ``event_loop``:
a cell that only waits is cancelled, Python code that runs gets KeyboardInterrupt.
"""

import os
from collections import deque
from collections.abc import Callable
from select import POLLIN, poll
from types import FrameType
from typing import Any

import trio

from .interrupts import Interrupts, call_user, runs_user_code
from .snapshots import SnapshotUnavailable
from .tracebacks import print_exception

_TRIO_FOLDER = trio.__file__.rsplit("/", 1)[0]
_RUNTIME_FILE = __file__


class _Job:
    """One cell: its coroutine, the scope that cancels it, and how it ended."""

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine
        self.scope = trio.CancelScope()
        self.is_done = False
        self.value: Any = None
        self.error: BaseException | None = None

    async def run(self) -> None:
        try:
            with self.scope:
                self.value = await self.coroutine
                self.is_done = True
        except BaseException as error:
            # Told to the cell; an interrupt or exit of one cell must not end the trio run.
            self.error = error
        if not self.is_done and self.error is None:
            self.error = KeyboardInterrupt()
        self.is_done = True


class TrioHost:
    """Runs cells in the main task of one guest run."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._ready: deque[Callable[[], Any]] = deque()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._job: _Job | None = None
        self._jobs_changed: trio.Event | None = None
        self._ended: Any = None
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._call_soon,
            done_callback=self._note_end,
            host_uses_signal_set_wakeup_fd=True,
        )

    def run(self, coroutine: Any, context: Any) -> Any:
        if self._ended is not None:
            coroutine.close()
            raise RuntimeError("the session's trio run has ended") from self._ended.error
        job = self._job = _Job(coroutine)
        if self._jobs_changed is not None:
            trio_event, self._jobs_changed = self._jobs_changed, None
            trio_event.set()

        def cancel(frame: FrameType) -> bool:
            if not _is_of_the_loop(frame):
                return False
            self._call_soon(job.scope.cancel)
            return True

        self._interrupts.cancel = cancel
        try:
            while not job.is_done and self._ended is None:
                self._turn(None, job.scope)
        finally:
            self._interrupts.cancel = None
            self._job = None
        if job.error is not None:
            raise job.error
        return job.value

    def has_work(self) -> bool:
        """Always, while it runs: trio has no cheap answer, and its clock may wait for something."""
        return self._ended is None

    def wait_readable(self, descriptor: int) -> None:
        while self._ended is None and not self._turn(descriptor, None):
            continue

    def check_copyable(self) -> None:
        if self._ended is None:
            raise SnapshotUnavailable("trio runs in it, which waits in a thread of its own")

    def adopt_process(self) -> None:
        """It has ended: there is nothing of it to go on."""

    def adopt_session(self) -> None:
        """As `adopt_process`."""

    async def _main(self) -> None:
        while True:
            job = self._job
            if job is None or job.is_done:
                self._jobs_changed = trio.Event()
                await self._jobs_changed.wait()
            else:
                await job.run()

    def _call_soon(self, function: Callable[[], Any]) -> None:
        self._ready.append(function)
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            # It is full of wake-ups already.
            return

    def _note_end(self, outcome: Any) -> None:
        self._ended = outcome

    def _turn(self, descriptor: int | None, scope: Any) -> bool:
        """Run what is ready, or wait for it. True when the descriptor can be read."""
        try:
            return bool(_run_ready(self._ready, self._wake_read, descriptor))
        except KeyboardInterrupt:
            if scope is not None:
                scope.cancel()
        except BaseException as error:
            print_exception(error)
        return False


@runs_user_code
def _run_ready(ready: deque[Callable[[], Any]], wake_read: int, descriptor: int | None) -> bool:
    poller = poll()
    poller.register(wake_read, POLLIN)
    if descriptor is not None:
        poller.register(descriptor, POLLIN)
    events = {found for found, _ in poller.poll(0 if ready else None)}
    if wake_read in events:
        os.read(wake_read, 4096)
    if descriptor in events:
        return True
    for _ in range(len(ready)):
        call_user(ready.popleft())
    return False


def make_host(interrupts: Interrupts) -> TrioHost:
    """The host, with its run started."""
    return TrioHost(interrupts)


def _is_of_the_loop(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    return filename.startswith(_TRIO_FOLDER) or filename == _RUNTIME_FILE
