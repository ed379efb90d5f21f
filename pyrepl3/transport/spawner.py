"""The spawner: one template's zygote, and the births and deaths of its workers.

Owns the zygote's life (started early, started again at the next spawn when it died) and the
descriptors of workers until they are handed over. Must not know sessions, nor how many there may
be. Any number of spawns may be under way at once; the actor waits for nothing but its mailbox and
the zygote's socket.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import attrs
import trio

from actors import Address, Answer, Inbox, Reply, close_mailbox, open_mailbox, open_reply
from pyrepl3.config import Limits, Template
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.transport.descriptors import WorkerDescriptors
from pyrepl3.transport.process import WorkerProcess, is_child, open_control_page
from pyrepl3.transport.spawning import Spare, Spawn, SpawnerMessage, Survivor, WorkerExit
from pyrepl3.transport.zygote_link import (
    Exited,
    NotSpared,
    Spared,
    Started,
    StartFailed,
    ZygoteBroke,
    ZygoteLink,
    ZygoteMessage,
    encode_kill,
    encode_spare,
    encode_start,
)
from pyrepl3.transport.zygote_process import open_ready_zygote

SPAWNER_MAILBOX = 0
"""Handed over directly: the task that takes them waits for nothing else."""

ZYGOTE_STOP_S = 2.0
"""For a zygote that has lost its socket to kill what it has and end: it gives up after 1.5 s."""


@attrs.frozen(eq=False)
class SpawnedWorker:
    """A new worker and our ends of what connects it, all non-blocking. The receiver owns them."""

    process: WorkerProcess
    socket: socket.socket
    stdout_fd: int
    stderr_fd: int

    def open_descriptors(self) -> WorkerDescriptors:
        """All that it is read and written by; once."""
        return WorkerDescriptors(self.process, self.socket, self.stdout_fd, self.stderr_fd)

    def discard(self) -> None:
        """Kill a worker that nobody wants, and give everything back."""
        self.process.kill()
        self.process.close()
        self.socket.close()
        os.close(self.stdout_fd)
        os.close(self.stderr_fd)


@attrs.frozen(eq=False)
class _Ends:
    """Our ends of a worker's connections, before there is a worker."""

    socket: socket.socket
    stdout_fd: int
    stderr_fd: int
    control_page: int

    def close(self) -> None:
        self.socket.close()
        for descriptor in (self.stdout_fd, self.stderr_fd, self.control_page):
            os.close(descriptor)


@attrs.frozen(eq=False)
class _Birth:
    """A start that the zygote has been sent."""

    spawn: Spawn
    ends: _Ends


@attrs.frozen(eq=False)
class _Life:
    """A worker whose end the zygote has yet to tell."""

    exit: Reply[WorkerExit]
    process: WorkerProcess


class Zygote(Protocol):
    """A zygote that takes starts."""

    @property
    def link(self) -> ZygoteLink:
        """Its control socket."""

    def has_forked(self, pid: int, pidfd: int) -> bool:
        """Whether that process is what it says: one that it has forked."""

    def stderr_tail(self) -> str:
        """What it wrote last."""


OpenZygote = Callable[[], AbstractAsyncContextManager[Zygote]]
"""A zygote for the block, ready. Raises WorkerSpawnFailed."""


def zygotes_of(
    template: Template,
    limits: Limits,
    *,
    start_timeout_s: float,
    stop_timeout_s: float = ZYGOTE_STOP_S,
) -> OpenZygote:
    """Those of a template: each a program of its own."""
    return lambda: open_ready_zygote(
        template, limits, start_timeout_s=start_timeout_s, stop_timeout_s=stop_timeout_s
    )


@attrs.define(eq=False)
class Spawner:
    """The actor around one template's zygote; its address takes `Spawn` and `Spare`."""

    name: str
    """The template's, for people."""
    open_zygote: OpenZygote
    on_zygote_death: Callable[[], None] | None = None
    """Called when a zygote has died that had workers, before they are killed for that."""
    # No bound of its own: each is the one request of a task that waits for its reply.
    _unsent: deque[Spawn] = attrs.field(factory=deque, init=False)
    _unsent_spares: deque[Spare] = attrs.field(factory=deque, init=False)
    _spares: dict[int, Spare] = attrs.field(factory=dict, init=False)
    _lost: deque[int] = attrs.field(factory=deque, init=False)
    _to_send: trio.Event = attrs.field(factory=trio.Event, init=False)
    _births: dict[int, _Birth] = attrs.field(factory=dict, init=False)
    _lives: dict[int, _Life] = attrs.field(factory=dict, init=False)
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, *, task_status: trio.TaskStatus[Address[SpawnerMessage]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled, or until every copy of the address is closed.

        Then the zygote and all its workers are dead and reaped, and nobody waits for an answer.
        """
        address: Address[SpawnerMessage]
        inbox: Inbox[SpawnerMessage]
        address, inbox = open_mailbox(SPAWNER_MAILBOX)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_zygote)
                task_status.started(address)
                async for message in inbox:
                    if isinstance(message, Spare):
                        self._unsent_spares.append(message)
                    else:
                        self._unsent.append(message)
                    self._to_send.set()
                nursery.cancel_scope.cancel()
        finally:
            ending = _ending()
            self._end_all(ending)
            close_mailbox(inbox, lambda message: _refuse(message, ending))

    @trio.lowlevel.enable_ki_protection
    async def _keep_zygote(self) -> None:
        """Early for the first spawn, again for the first one after its death."""
        while True:
            failure = await self._run_zygote()
            if self.on_zygote_death is not None and (self._births or self._lives):
                self.on_zygote_death()
            self._end_all(failure)
            while not (self._unsent or self._unsent_spares):
                await self._wait_to_send()

    async def _run_zygote(self) -> WorkerSpawnFailed:
        """One zygote's whole life; returns why there is none any more."""
        try:
            async with self.open_zygote() as zygote:
                await self._serve(zygote)
                return _zygote_died(zygote)
        except WorkerSpawnFailed as failure:
            return failure

    async def _serve(self, zygote: Zygote) -> None:
        """Until the zygote hangs up or breaks."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all, zygote.link)
            try:
                while (message := await zygote.link.receive()) is not None:
                    self._check(message, zygote)
                    self._handle(message)
            except ZygoteBroke:
                pass  # what it leaves is killed by our caller, like a dead one's
            nursery.cancel_scope.cancel()

    # --- to the zygote --------------------------------------------------------------------------

    async def _wait_to_send(self) -> None:
        await self._to_send.wait()
        self._to_send = trio.Event()

    @trio.lowlevel.enable_ki_protection
    async def _send_all(self, link: ZygoteLink) -> None:
        try:
            while True:
                while self._lost:
                    await link.send(encode_kill(self._lost.popleft()))
                while self._unsent_spares:
                    await self._send_spare(link, self._unsent_spares.popleft())
                while self._unsent:
                    await self._send_start(link, self._unsent.popleft())
                await self._wait_to_send()
        except trio.BrokenResourceError:
            return  # the receiving side comes to know the same

    async def _send_start(self, link: ZygoteLink, spawn: Spawn) -> None:
        try:
            ends, passed = _open_connections()
        except OSError as error:
            _refuse(spawn, _start_failed(error.errno, str(error)))
            return
        number = next(self._numbers)
        # Registered first: the answer may come before the sending task runs again.
        self._births[number] = _Birth(spawn, ends)
        try:
            await link.send(encode_start(number), passed)
        except OSError as error:
            self._fail_birth(number, _start_failed(error.errno, str(error)))
        finally:
            for descriptor in passed:
                os.close(descriptor)

    async def _send_spare(self, link: ZygoteLink, spare: Spare) -> None:
        number = next(self._numbers)
        self._spares[number] = spare
        await link.send(encode_spare(number, spare.worker, spare.copy))

    # --- from the zygote ------------------------------------------------------------------------

    def _check(self, message: ZygoteMessage, zygote: Zygote) -> None:
        """Nobody is killed on its word alone. Raises ZygoteBroke."""
        pid, pidfd = None, None
        if isinstance(message, Started):
            pid, pidfd = message.pid, message.pidfd
        elif isinstance(message, Exited):
            pid, pidfd = message.survivor, message.pidfd
        if pid is not None and pidfd is not None and not zygote.has_forked(pid, pidfd):
            os.close(pidfd)
            raise ZygoteBroke(f"process {pid} is none that it has forked")

    def _handle(self, message: ZygoteMessage) -> None:
        if isinstance(message, Started):
            self._started(message)
        elif isinstance(message, Exited):
            self._exited(message)
        elif isinstance(message, StartFailed) and message.id in self._births:
            self._fail_birth(message.id, _start_failed(message.errno, message.message))
        elif isinstance(message, Spared | NotSpared) and message.id in self._spares:
            self._spared(message, self._spares.pop(message.id))
        else:
            raise ZygoteBroke(f"{message!r:.100} out of turn")

    def _started(self, started: Started) -> None:
        if started.id not in self._births or started.pid in self._lives:
            if started.pidfd is not None:
                os.close(started.pidfd)
            raise ZygoteBroke("a start that was not asked for")
        if started.pidfd is None:
            # It runs, and we cannot reach it: too many descriptors are open here.
            self._fail_birth(started.id, _start_failed(errno.EMFILE, os.strerror(errno.EMFILE)))
            self._lost.append(started.pid)
            self._to_send.set()
            return
        birth = self._births.pop(started.id)
        ends = birth.ends
        process = WorkerProcess(started.pid, started.pidfd, ends.control_page)
        self._lives[started.pid] = _Life(birth.spawn.exit, process)
        worker = SpawnedWorker(process, ends.socket, ends.stdout_fd, ends.stderr_fd)
        if not birth.spawn.reply.answer(worker):
            worker.discard()

    def _spared(self, message: Spared | NotSpared, spare: Spare) -> None:
        if isinstance(message, NotSpared) or message.pidfd is None:
            spare.reply.fail(_not_spared())
        elif not is_child(spare.copy, message.pidfd, of=spare.worker):
            os.close(message.pidfd)
            spare.reply.fail(_not_spared())
        elif not spare.reply.answer(message.pidfd):
            # Nobody wants it; it ends by the end of its control socket.
            os.close(message.pidfd)

    def _exited(self, exited: Exited) -> None:
        life = self._lives.pop(exited.pid, None)
        survivor = None if life is None else self._survivor(exited, life)
        if life is not None:
            told = WorkerExit(exited.status, exited.signal, exited.stopped, survivor=survivor)
            if not life.exit.answer(told) and survivor is not None:
                survivor.process.kill()
                survivor.process.close()

    def _survivor(self, exited: Exited, life: _Life) -> Survivor | None:
        if exited.survivor is None:
            return None
        try:
            if exited.pidfd is None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            process = life.process.survived_by(exited.survivor, exited.pidfd)
        except OSError:  # it waits for ever, and we cannot reach it: too many descriptors are open
            if exited.pidfd is not None:
                os.close(exited.pidfd)
            self._lost.append(exited.survivor)
            self._to_send.set()
            return None
        reply: Reply[WorkerExit]
        answer: Answer[WorkerExit]
        reply, answer = open_reply()
        self._lives[exited.survivor] = _Life(reply, process)
        return Survivor(process, answer)

    # --- ends -----------------------------------------------------------------------------------

    def _fail_birth(self, number: int, failure: WorkerSpawnFailed) -> None:
        birth = self._births.pop(number, None)
        if birth is not None:
            birth.ends.close()
            _refuse(birth.spawn, failure)

    def _end_all(self, failure: WorkerSpawnFailed) -> None:
        """There is no zygote: no spawn that waits for it can succeed, and no worker lives on."""
        for number in list(self._births):
            self._fail_birth(number, failure)
        while self._unsent:
            _refuse(self._unsent.popleft(), failure)
        for spare in (*self._spares.values(), *self._unsent_spares):
            spare.reply.fail(failure)
        self._spares.clear()
        self._unsent_spares.clear()
        for life in self._lives.values():
            life.process.kill()
            life.exit.answer(WorkerExit(None, None, zygote_died=True))
        self._lives.clear()
        self._lost.clear()


def _open_connections() -> tuple[_Ends, list[int]]:
    """Our ends, and the worker's (protocol, stdout, stderr, control page). Raises OSError."""
    opened: list[int] = []
    try:
        for _ in range(2):
            opened += os.pipe2(os.O_CLOEXEC)
        control_page = open_control_page()
        opened.append(control_page)
        theirs_of_page = os.dup(control_page)
        opened.append(theirs_of_page)
        ours, theirs = socket.socketpair()
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    stdout_read, stdout_write, stderr_read, stderr_write, *_ = opened
    ours.setblocking(False)
    os.set_blocking(stdout_read, False)
    os.set_blocking(stderr_read, False)
    ends = _Ends(ours, stdout_read, stderr_read, control_page)
    return ends, [theirs.detach(), stdout_write, stderr_write, theirs_of_page]


def _refuse(message: SpawnerMessage, failure: WorkerSpawnFailed) -> None:
    message.reply.fail(failure)
    if isinstance(message, Spawn):
        message.exit.close()


def _not_spared() -> WorkerSpawnFailed:
    return WorkerSpawnFailed(
        what="the copy of the session is gone",
        why="the session, or the copy, has ended meanwhile",
        how="Take the snapshot again",
    )


def _start_failed(number: int | None, message: str) -> WorkerSpawnFailed:
    return WorkerSpawnFailed(
        what="a session's process could not be started",
        why=message,
        how="Free descriptors, processes or memory, or raise the system's limits on them",
        details={"errno": number, "name": errno.errorcode.get(number or 0)},
    )


def _zygote_died(zygote: Zygote) -> WorkerSpawnFailed:
    tail = zygote.stderr_tail()
    return WorkerSpawnFailed(
        what="a session's process was not started",
        why=f"the zygote that was to start it died; it wrote: {tail.strip() or 'nothing'}",
        how="Try again: the next start gets a new zygote",
        details={"stderr": tail},
    )


def _ending() -> WorkerSpawnFailed:
    return WorkerSpawnFailed(
        what="a session's process was not started",
        why="its spawner is ending",
        how="Try again once the service runs",
    )
