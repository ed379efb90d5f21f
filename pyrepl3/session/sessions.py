"""The supervisor of the sessions: starts and ends their subtrees as the pool says.

Owns the nursery that they live in. A subtree that fails, fails alone: what came of it is told to
the pool, and the others go on. Must not decide who gets a session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from actors import Address, Gone, open_mailbox
from pyrepl3.config import Config, Limits
from pyrepl3.errors import InternalError, PyreplError, WorkerSpawnFailed
from pyrepl3.messages import (
    PoolMessage,
    SessionDied,
    SessionEnded,
    SessionsMessage,
    SessionStarted,
    SessionStartFailed,
    StartSession,
    StopSession,
)
from pyrepl3.session.session_trace import SessionTrace
from pyrepl3.session.subtree import SessionSubtree
from pyrepl3.transport.spawning import SpawnerMessage

logger = logging.getLogger("pyrepl3.sessions")

MESSAGES_A_PLACE = 3
"""Of the pool, for each session that there may be at once, before the first of them is taken: the
stop of a session that has ended by itself meanwhile, and the start and the stop of the next one in
its place. So the pool never waits to send one. (SessionsMailboxHasRoom in spec/Tree.tla: with two,
TLC overfills it.)"""


@attrs.define(eq=False)
class Sessions:
    """One subtree a session, each on its own."""

    config: Config
    spawner_of: Callable[[str], Address[SpawnerMessage]]
    limits_of: Callable[[str], Limits]
    """By the template, or by what the pool calls a snapshot."""
    trace_of: Callable[[str], SessionTrace | None] = lambda session: None
    """The recorder of a session, by its id."""
    _subtrees: dict[str, SessionSubtree] = attrs.field(factory=dict, init=False)

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, *, task_status: trio.TaskStatus[Address[SessionsMessage]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; the started value is the address."""
        address: Address[SessionsMessage]
        inbox: trio.MemoryReceiveChannel[SessionsMessage]
        address, inbox = open_mailbox(MESSAGES_A_PLACE * self.config.pool.max_sessions)
        with address, inbox:
            async with trio.open_nursery() as nursery:
                task_status.started(address)
                async for message in inbox:
                    match message:
                        case StartSession():
                            self._start(message, nursery)
                        case StopSession():
                            self._stop(message)

    def _start(self, start: StartSession, nursery: trio.Nursery) -> None:
        try:
            spawner = self.spawner_of(start.template)
        except Gone as error:
            failed = SessionStartFailed(start.session, _no_spawner(error))
            nursery.start_soon(_tell, start.notices, failed)
            return
        told = trio.Event()

        async def tell_death() -> None:
            # In this order: a session that died before the pool knew that it had started would
            # count neither as a start that failed nor as one that succeeded.
            await told.wait()
            await _tell(start.notices, SessionDied(start.session))

        subtree = SessionSubtree(
            session=start.session,
            spawner=spawner,
            limits=self.limits_of(start.template),
            pool=self.config.pool,
            timeouts=self.config.timeouts,
            on_death=tell_death,
            trace=self.trace_of(start.session),
        )
        self._subtrees[start.session] = subtree
        nursery.start_soon(self._run_subtree, subtree, start, told)

    def _stop(self, stop: StopSession) -> None:
        subtree = self._subtrees.get(stop.session)
        if subtree is not None:
            subtree.stop(graceful=stop.graceful)

    @trio.lowlevel.enable_ki_protection
    async def _run_subtree(
        self, subtree: SessionSubtree, start: StartSession, told: trio.Event
    ) -> None:
        """One session's whole life, and the border at which its failures stop.

        ``told`` is set when the pool has been told that it started.
        """
        outcome: SessionEnded | SessionStartFailed = SessionEnded(start.session, "ended")
        try:
            async with trio.open_nursery() as nursery:
                started: SessionStarted = await nursery.start(subtree.run)
                await _tell(start.notices, started)
                told.set()
        except* WorkerSpawnFailed as group:
            outcome = SessionStartFailed(start.session, _only(group))
        except* Exception as group:
            logger.exception("session %s failed; the others go on", start.session)
            outcome = SessionStartFailed(start.session, _internal(group))
        finally:
            del self._subtrees[start.session]
        if told.is_set():
            outcome = SessionEnded(start.session, "ended")
        await _tell(start.notices, outcome)


@trio.lowlevel.enable_ki_protection
async def _tell(notices: Address[PoolMessage], notice: PoolMessage) -> None:
    try:
        await notices.send(notice)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        logger.debug("the pool has ended before it could hear of %s", type(notice).__name__)


def _only(group: BaseExceptionGroup[WorkerSpawnFailed]) -> PyreplError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PyreplError)
    return error


def _no_spawner(cause: Gone) -> PyreplError:
    error = WorkerSpawnFailed(
        what="a session's process was not started",
        why="what starts the processes of its template is restarting",
        how="Try again",
    )
    error.__cause__ = cause
    return error


def _internal(group: BaseException) -> PyreplError:
    error = InternalError(
        what="a session could not be started",
        why=f"PyREPL3 itself failed: {group!r}",
        how="Report this, with the log",
    )
    error.__cause__ = group
    return error
