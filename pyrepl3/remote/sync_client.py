"""The client for scripts and notebooks: the same sessions, without `async`.

Owns the thread in which the real client runs. Must not know what it does there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from pyrepl3.client.editing import Completeness, Completion, Inspection
from pyrepl3.client.execution import Execution
from pyrepl3.events import InterruptOutcome
from pyrepl3.remote.client import Client
from pyrepl3.remote.session import RemoteSession

T = TypeVar("T")


class SyncSession:
    """A session on a service. Its methods are those of `RemoteSession`, and wait.

    Functions that `run` is given are called in another thread.
    """

    def __init__(self, session: RemoteSession, portal: BlockingPortal) -> None:
        self._session = session
        self._portal = portal
        self.id = session.id
        self.name = session.name
        self.template = session.template
        self.pid = session.pid

    def __repr__(self) -> str:
        return f"<pyrepl3.SyncSession {self.id} template={self.template!r}>"

    def run(self, code: str, **options: Any) -> Execution:
        """Run code and wait for its end, with the options of `RemoteSession.run`.

        Ctrl-C interrupts the code and keeps the session.
        """
        return _waited(self._portal, partial(self._session.run, code, **options))

    def interrupt(
        self, execution: str | None = None, *, grace_s: float | None = None
    ) -> InterruptOutcome:
        """Interrupt what runs: from another thread, as `run` waits."""
        return _waited(self._portal, partial(self._session.interrupt, execution, grace_s=grace_s))

    def complete(self, code: str, cursor_pos: int | None = None) -> Completion:
        """What could stand at the cursor."""
        return _waited(self._portal, partial(self._session.complete, code, cursor_pos))

    def inspect(self, code: str, cursor_pos: int | None = None) -> Inspection:
        """What is known of the name at the cursor."""
        return _waited(self._portal, partial(self._session.inspect, code, cursor_pos))

    def is_complete(self, code: str) -> Completeness:
        """Whether the code can run as it is."""
        return _waited(self._portal, partial(self._session.is_complete, code))

    def close(self) -> None:
        """End it on the service."""
        _waited(self._portal, self._session.close)


class SyncClient:
    """As `Client`, with the same arguments, for programs without an event loop.

    with pyrepl3.SyncClient() as client, client.session() as session:
        execution = session.run("6 * 7")
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._client = Client(*arguments, **options)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __repr__(self) -> str:
        return repr(self._client).replace("Client", "SyncClient", 1)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(self._portal.wrap_async_context_manager(self._client))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @contextmanager
    def session(self, *arguments: Any, **options: Any) -> Iterator[SyncSession]:
        """A new session for the length of the block, with the arguments of `Client.session`."""
        with self._opened(self._client.session, *arguments, **options) as session:
            yield session

    @contextmanager
    def open(self, *arguments: Any, **options: Any) -> Iterator[SyncSession]:
        """As `session`, but it goes on on the service afterwards."""
        with self._opened(self._client.open, *arguments, **options) as session:
            yield session

    @contextmanager
    def attach(self, session: str) -> Iterator[SyncSession]:
        """The session of that id or name, opened before."""
        with self._opened(self._client.attach, session) as found:
            yield found

    def list_sessions(self) -> list[Mapping[str, Any]]:
        """This principal's sessions."""
        return _waited(self._there, self._client.list_sessions)

    @contextmanager
    def _opened(
        self, open: Callable[..., Any], *args: Any, **options: Any
    ) -> Iterator[SyncSession]:
        portal = self._there
        with portal.wrap_async_context_manager(open(*args, **options)) as session:
            yield SyncSession(session, portal)

    @property
    def _there(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("a SyncClient is connected in a `with` block")
        return self._portal


def _waited(portal: BlockingPortal, function: Callable[[], Awaitable[T]]) -> T:
    """What it comes to, in the other thread. An interrupt of the wait is one of what it is for."""
    future: Future[T] = portal.start_task_soon(function)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
