"""The session's event loop, started with the first cell that needs one.

Owns which library drives top-level ``await``, and how the worker waits between executions: in the
loop when it has anything scheduled, so background tasks go on, else on the link alone. Must not
import an event loop before it is needed: asyncio would cost every fork its memory.
"""

from importlib import import_module
from typing import Any, Protocol

from .interrupts import Interrupts
from .link import Link

_MODULES = {"asyncio": ".event_loop", "trio": ".trio_guest"}


class LoopHost(Protocol):
    """A running library of asynchronous code."""

    def run(self, coroutine: Any, context: Any) -> Any:
        """Run a cell to its end; what it returns or raises."""

    def has_work(self) -> bool:
        """Whether anything would go on between executions."""

    def wait_readable(self, descriptor: int) -> None:
        """Let background work go on until the descriptor can be read."""

    def adopt_process(self) -> None:
        """This process is a copy of the one that made it."""

    def adopt_session(self) -> None:
        """The same, and the one that made it goes on as well."""

    def check_copyable(self) -> None:
        """Raises SnapshotUnavailable where a copy of it could not go on."""


class Loops:
    """The one loop of the session, or none yet."""

    def __init__(self, async_library: str, interrupts: Interrupts, link: Link) -> None:
        self._module_name = _MODULES[async_library]
        self._interrupts = interrupts
        self._link = link
        self._host: LoopHost | None = None

    def run(self, coroutine: Any, context: Any) -> Any:
        """Run the coroutine of a cell on the loop."""
        if self._host is None:
            try:
                module = import_module(self._module_name, __package__)
                self._host = module.make_host(self._interrupts)
            except BaseException:
                coroutine.close()
                raise
        return self._host.run(coroutine, context)

    def check_copyable(self) -> None:
        """Raises SnapshotUnavailable."""
        if self._host is not None:
            self._host.check_copyable()

    def adopt_process(self) -> None:
        """After a take-over: what the loop waits with is shared with a process that has died."""
        if self._host is not None:
            self._host.adopt_process()

    def adopt_session(self) -> None:
        """This process serves another session than the one that it is a copy of."""
        if self._host is not None:
            self._host.adopt_session()

    def wait_for_message(self) -> None:
        """Return when a message is there; at once where no loop needs the time."""
        host = self._host
        if host is not None and host.has_work():
            host.wait_readable(self._link.read_fd)
