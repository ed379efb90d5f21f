"""One session and one transport, all for one: they start together and end together.

Owns the birth and the end of a session, from the request for a process to its reaping. Must not
decide when either happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs
import trio

from actors import ActorGone, Address, Answer, NoReply, Reply, ask, open_reply
from pyrepl3.config import Limits, PoolConfig, Timeouts
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.messages import Close, SessionMessage, SessionStarted
from pyrepl3.session.session import Session
from pyrepl3.session.session_trace import SessionTrace
from pyrepl3.transport.spawning import Spawn, SpawnerMessage, Survivor, Worker, WorkerExit
from pyrepl3.transport.transport import Ready, Transport

REAP_S = 1.0
"""From SIGKILL to the zygote's report that the process is reaped."""


@attrs.define(eq=False)
class SessionSubtree:
    """What lives and dies with one session's process."""

    session: str
    spawner: Address[SpawnerMessage]
    limits: Limits
    pool: PoolConfig
    timeouts: Timeouts
    on_death: Callable[[], Awaitable[None]]
    """Awaited when the session can no longer be used, before its descriptors are closed."""
    trace: SessionTrace | None = None
    _stopping: trio.Event = attrs.field(factory=trio.Event, init=False)
    _graceful: bool = attrs.field(default=True, init=False)
    _address: Address[SessionMessage] | None = attrs.field(default=None, init=False)
    _exit: Answer[WorkerExit] | None = attrs.field(default=None, init=False)
    """Of the snapshot that has come in its process's place, the latest."""

    def stop(self, *, graceful: bool) -> None:
        """Ask it to end; `run` returns when nothing is left."""
        self._graceful = graceful
        self._stopping.set()

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, *, task_status: trio.TaskStatus[SessionStarted] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """From the spawn to the reap; the started value is a session that can be used.

        Raises WorkerSpawnFailed when none comes of it.
        """
        failure: WorkerSpawnFailed | None = None
        exit_reply: Reply[WorkerExit]
        exit_answer: Answer[WorkerExit]
        exit_reply, exit_answer = open_reply()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_when_asked, nursery.cancel_scope)
                try:
                    await self._live(exit_reply, exit_answer, task_status)
                except WorkerSpawnFailed as error:
                    # Raised below, outside of the nursery, which would wrap it in a group.
                    failure = error
                nursery.cancel_scope.cancel()
        finally:
            await _reaped(self._exit or exit_answer)  # noqa: ASYNC102  # shielded and bounded inside
        if failure is None and self._address is None:
            failure = _called_off()
        if failure is not None:
            raise failure

    async def _live(
        self,
        exit_reply: Reply[WorkerExit],
        exit_answer: Answer[WorkerExit],
        task_status: trio.TaskStatus[SessionStarted],
    ) -> None:
        failure: WorkerSpawnFailed | None = None
        address, inbox = Session.open_mailbox()
        async with trio.open_nursery() as pair:
            try:
                with trio.fail_after(self.pool.start_timeout_s):
                    worker = await self._spawn(exit_reply)
                    transport = _transport(worker, exit_answer, address, self.timeouts)
                    transport.on_survival = self._outlived
                    ready: Ready = await pair.start(transport.run)
            except trio.TooSlowError:
                failure = _not_ready(self.pool.start_timeout_s)
            except WorkerSpawnFailed as error:
                failure = error
            else:
                fate_reply: Reply[str]
                fate_answer: Answer[str]
                fate_reply, fate_answer = open_reply()
                session = Session(
                    self.limits,
                    self.timeouts,
                    address,
                    inbox,
                    ready.address,
                    fate_reply,
                    self.trace,
                )
                await pair.start(session.run)
                self._address = address
                task_status.started(SessionStarted(self.session, ready.pid, address, fate_answer))
                await session.ended.wait()
                await self.on_death()
        if failure is not None:
            raise failure

    def _outlived(self, exit_answer: Answer[WorkerExit]) -> None:
        self._exit = exit_answer

    async def _spawn(self, exit_reply: Reply[WorkerExit]) -> Worker:
        try:
            return await ask(
                self.spawner,
                lambda reply: Spawn(reply, exit_reply),
                on_abandoned=lambda worker: worker.discard(),
            )
        except (ActorGone, NoReply) as error:
            if isinstance(error, ActorGone):
                exit_reply.close()  # nobody else has it
            raise WorkerSpawnFailed(
                what="a session's process was not started",
                why="the service is ending, or its spawner is restarting",
                how="Try again",
            ) from error

    @trio.lowlevel.enable_ki_protection
    async def _end_when_asked(self, scope: trio.CancelScope) -> None:
        """Ask, bounded wait, kill."""
        await self._stopping.wait()
        if self._address is not None:
            # Its own grace, then the kill and the reap; what takes longer is cut off.
            with trio.move_on_after(2 * self.timeouts.close_grace_s + REAP_S):
                # Closed: it is ending by itself, which is waited for as well.
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._address.send(Close(graceful=self._graceful))
                await trio.sleep_forever()
        scope.cancel()


def _transport(
    worker: Worker,
    exit_answer: Answer[WorkerExit],
    address: Address[SessionMessage],
    timeouts: Timeouts,
) -> Transport:
    """The worker's transport, which owns it from now on.

    Raises WorkerSpawnFailed when our descriptors are used up; the worker is killed then.
    """
    try:
        return Transport(worker, exit_answer, address, timeouts)
    except OSError as error:
        worker.discard()
        raise WorkerSpawnFailed(
            what="a session's process was not started",
            why=f"the service could not connect to it: {error.strerror or error}",
            how="Free descriptors, or raise the system's limit on them",
            details={"errno": error.errno},
        ) from error


async def _reaped(exit_answer: Answer[WorkerExit]) -> None:
    """Wait, bounded, until the zygote has reaped: only then is the place in the pool free.

    A snapshot that nobody has heard of yet is ended too.
    """
    bounded = trio.CancelScope(deadline=trio.current_time() + REAP_S, shield=True)
    # No reply: there was no process, or the transport has heard of its end.
    with bounded, suppress(NoReply):
        while (survivor := _ended(await exit_answer.wait())) is not None:
            exit_answer = survivor.exit
    exit_answer.abandon(_ended)


def _ended(report: WorkerExit) -> Survivor | None:
    """The snapshot that waits to take over, which it is not to any more; if there is one."""
    survivor = report.survivor
    if survivor is not None:
        survivor.process.kill()
        survivor.process.close()
    return survivor


def _called_off() -> WorkerSpawnFailed:
    return WorkerSpawnFailed(
        what="a session's process was not started",
        why="it was no longer wanted before it was ready",
        how="Ask for a session again",
    )


def _not_ready(start_timeout_s: float) -> WorkerSpawnFailed:
    return WorkerSpawnFailed(
        what=f"a session's process was not ready in {start_timeout_s:g} s",
        why="its start, its preloads or its warm-up code take longer; it was killed",
        how="Do less at the start, or raise PoolConfig.start_timeout_s",
        details={"start_timeout_s": start_timeout_s},
    )
