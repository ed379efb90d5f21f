"""The client for scripts and notebooks: the same sessions, without `async`.

Owns the calls, which wait; the real client runs in another thread. Must not know what it does
there.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import anyio.to_thread

from pyrepl3.client.editing import Completeness, Completion, Inspection
from pyrepl3.client.execution import Execution
from pyrepl3.client.history import History
from pyrepl3.config import HISTORY_BYTES
from pyrepl3.events import DroppedEntry, InterruptOutcome
from pyrepl3.remote.client import Client
from pyrepl3.remote.other_thread import OtherThread, start_thread
from pyrepl3.remote.session import RemoteSession
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo


class SyncSession:
    """A session on a service. Its methods are those of `RemoteSession`, and wait.

    Functions that `run` is given are called in another thread.
    """

    def __init__(self, session: RemoteSession, thread: OtherThread) -> None:
        self._session = session
        self._thread = thread
        self.id = session.id
        self.name = session.name
        self.template = session.template
        self.pid = session.pid

    def __repr__(self) -> str:
        return f"<pyrepl3.SyncSession {self.id} template={self.template!r}>"

    def run(self, code: str, **options: Any) -> Execution:
        """Run code and wait for its end, with the options of `RemoteSession.run`.

        Ctrl-C interrupts the code and keeps the session. ``on_input`` may take its time.
        """
        if (on_input := options.get("on_input")) is not None:
            options["on_input"] = partial(_answer, on_input)
        return self._thread.wait(partial(self._session.run, code, **options))

    def interrupt(
        self, execution: str | Execution | None = None, *, grace_s: float | None = None
    ) -> InterruptOutcome:
        """Interrupt what runs: from another thread, as `run` waits."""
        return self._thread.wait(partial(self._session.interrupt, execution, grace_s=grace_s))

    def begin(self) -> None:
        """From here on all that runs is one transaction, until `commit` or `rollback`."""
        self._begin()

    def commit(self) -> None:
        """What was run since `begin` stays."""
        self._thread.wait(self._session.commit)

    def rollback(self) -> None:
        """What was run since `begin` is undone."""
        self._thread.wait(self._session.rollback)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin, and commit at the end of the block; rolled back where the block raises."""
        transactions = self._session.transactions
        key = self._begin()
        try:
            yield
            self._thread.wait(partial(transactions.end, "commit", key))
        except BaseException:
            self._thread.wait(partial(transactions.leave, key))
            raise

    def _begin(self) -> str:
        """The key of what is open then."""
        transactions = self._session.transactions
        return self._thread.wait(transactions.begin, give_back=transactions.leave)

    def keep_history(
        self, count: int, *, most_bytes: int = HISTORY_BYTES
    ) -> Sequence[DroppedEntry]:
        """From now on up to ``count`` executions can be undone, in so much memory."""
        return self._thread.wait(partial(self._session.keep_history, count, most_bytes=most_bytes))

    def history(self) -> History:
        """What can be undone and redone."""
        return self._thread.wait(self._session.history)

    def undo(self, *, to: str | Execution | None = None) -> str:
        """Undo the last execution, or all that came after the execution ``to``; the first's id."""
        return self._thread.wait(partial(self._session.undo, to=to))

    def redo(self) -> str:
        """Have the execution back that was undone last; its id."""
        return self._thread.wait(self._session.redo)

    def fork(self, count: int, *, names: Sequence[str] = ()) -> list[SyncSession]:
        """``count`` new sessions with this one's state, all or none."""
        forked = self._thread.wait(partial(self._session.fork, count, names=names))
        return [SyncSession(each, self._thread) for each in forked]

    def snapshot(self, name: str) -> SnapshotInfo:
        """Keep this session's state: `client.session(from_snapshot=name)` opens others with it."""
        return self._thread.wait(partial(self._session.snapshot, name))

    def complete(self, code: str, cursor_pos: int | None = None) -> Completion:
        """What could stand at the cursor."""
        return self._thread.wait(partial(self._session.complete, code, cursor_pos))

    def inspect(self, code: str, cursor_pos: int | None = None) -> Inspection:
        """What is known of the name at the cursor."""
        return self._thread.wait(partial(self._session.inspect, code, cursor_pos))

    def is_complete(self, code: str) -> Completeness:
        """Whether the code can run as it is."""
        return self._thread.wait(partial(self._session.is_complete, code))

    def close(self) -> None:
        """End it on the service."""
        self._thread.wait(self._session.close)


class SyncClient:
    """As `Client`, with the same arguments, for programs without an event loop.

    with pyrepl3.SyncClient() as client, client.session() as session:
        execution = session.run("6 * 7")
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._client = Client(*arguments, **options)
        self._thread: OtherThread | None = None

    def __repr__(self) -> str:
        return repr(self._client).replace("Client", "SyncClient", 1)

    def __enter__(self) -> Self:
        thread = start_thread()
        # Also where it is never left: at the end of the interpreter, or when nobody has it.
        self._close = weakref.finalize(self, thread.close)
        try:
            thread.enter(self._client)
        except BaseException:
            self._close()
            raise
        self._thread = thread
        return self

    def __exit__(self, *error: Any) -> None:
        self._close()

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
        return self._there.wait(self._client.list_sessions)

    def snapshots(self) -> list[SnapshotInfo]:
        """Those that this principal has kept."""
        return self._there.wait(self._client.snapshots)

    def drop_snapshot(self, name: str) -> None:
        """Nobody opens sessions from it any more."""
        self._there.wait(partial(self._client.drop_snapshot, name))

    @contextmanager
    def _opened(
        self, open: Callable[..., Any], *args: Any, **options: Any
    ) -> Iterator[SyncSession]:
        thread = self._there
        session, held = thread.enter(open(*args, **options))
        try:
            yield SyncSession(session, thread)
        finally:
            held.leave()

    @property
    def _there(self) -> OtherThread:
        if self._thread is None:
            raise RuntimeError("a SyncClient is connected in a `with` block")
        return self._thread


async def _answer(on_input: Callable[[str], Any], prompt: str) -> str | None:
    """In a thread of its own: it may wait for a person, and the connection does not."""
    answer: Any = await anyio.to_thread.run_sync(partial(on_input, prompt), abandon_on_cancel=True)
    if isinstance(answer, Awaitable):
        answer = await answer
    line: str | None = answer
    return line
