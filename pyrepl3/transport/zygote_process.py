"""One zygote process, from its start to its reaping.

Owns the interpreter, its control socket and the end of its stderr. Must not know workers.

The zygote's lifeline is the control socket, not PR_SET_PDEATHSIG: trio starts processes from a
thread that expires, and that signal follows the thread.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import msgpack
import trio

from actors import open_body_nursery
from pyrepl3.config import Limits, Template
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.transport.environment import build_environment
from pyrepl3.transport.zygote_link import (
    ConfigurationTooLarge,
    ZygoteBroke,
    ZygoteFailed,
    ZygoteLink,
    ZygoteReady,
    encode_configuration,
)

STDERR_TAIL_BYTES = 4096

_BOOT = Path(__file__).resolve().parent.parent / "worker" / "boot.py"
_MSGPACK = Path(msgpack.__file__).resolve().parent
_STDERR_END_S = 0.5
"""For the rest of a dead zygote's stderr; a process that it left could keep the pipe open."""


@attrs.define(eq=False)
class ZygoteProcess:
    """A running zygote. `link` may be used once `wait_ready` has returned."""

    link: ZygoteLink
    _process: trio.Process
    _stderr_tail: bytearray
    _stderr_ended: trio.Event

    @property
    def pid(self) -> int:
        """For people and logs."""
        return self._process.pid

    async def wait_ready(self, template: Template, limits: Limits, timeout_s: float) -> ZygoteReady:
        """Have it prepare itself.

        Raises WorkerSpawnFailed when it cannot, or not in time.
        """
        configuration = _configuration_packet(template, limits)
        with trio.move_on_after(timeout_s):
            try:
                await self.link.send(configuration)
                answer = await self.link.receive()
            except (trio.BrokenResourceError, ZygoteBroke):
                answer = None
            if isinstance(answer, ZygoteReady):
                return answer
            if isinstance(answer, ZygoteFailed):
                raise _failed_to_prepare(answer)
            raise await self._died_at_start()
        raise WorkerSpawnFailed(
            what=f"the zygote of this template was not ready in {timeout_s:g} s",
            why="its preloads or its warm-up code take longer; it was killed",
            how="Do less there, or allow it more time",
            details={"timeout_s": timeout_s, "stderr": self.stderr_tail()},
        )

    def has_forked(self, pid: int, pidfd: int) -> bool:
        """It is believed: it has run nothing but what the service was configured with."""
        return True

    def stderr_tail(self) -> str:
        """The end of what it has written to stderr: 4 KiB at most."""
        return self._stderr_tail.decode("utf-8", "replace")

    async def _died_at_start(self) -> WorkerSpawnFailed:
        with trio.move_on_after(_STDERR_END_S):
            await self._process.wait()
            await self._stderr_ended.wait()
        tail = self.stderr_tail()
        return WorkerSpawnFailed(
            what="the zygote of this template ended before it was ready",
            why=f"{_ending(self._process.returncode)}; it wrote: {tail.strip() or 'nothing'}",
            how="Check the template: python must be CPython 3.11 or newer, and what preload and "
            "warmup_code do must not end the process",
            details={"returncode": self._process.returncode, "stderr": tail},
        )


@asynccontextmanager
async def open_ready_zygote(
    template: Template, limits: Limits, *, start_timeout_s: float, stop_timeout_s: float
) -> AsyncIterator[ZygoteProcess]:
    """A new zygote that takes starts. As `open_zygote`, and raises what `wait_ready` does."""
    async with open_zygote(template, stop_timeout_s) as zygote:
        await zygote.wait_ready(template, limits, start_timeout_s)
        yield zygote


@asynccontextmanager
async def open_zygote(template: Template, stop_timeout_s: float) -> AsyncIterator[ZygoteProcess]:
    """A new zygote; when the block is left, it and all its workers are dead and reaped.

    Takes at most twice ``stop_timeout_s`` to leave. Raises WorkerSpawnFailed when the interpreter
    cannot be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with trio.socket.from_stdlib_socket(ours) as control:
        with theirs:
            process = await _start_interpreter(template, theirs)
        tail, ended = bytearray(), trio.Event()
        zygote = ZygoteProcess(ZygoteLink(control), process, tail, ended)
        try:
            async with open_body_nursery() as nursery:
                nursery.start_soon(_keep_tail, process, tail, ended)
                yield zygote
        finally:
            control.close()
            await _end(process, stop_timeout_s)  # noqa: ASYNC102  # shielded and bounded inside


async def _start_interpreter(template: Template, control: socket.socket) -> trio.Process:
    python = template.python if template.python is not None else sys.executable
    command = [
        python,
        str(_BOOT),
        "zygote",
        f"--msgpack-path={_MSGPACK}",
        "--control-fd",
        str(control.fileno()),
    ]
    try:
        if not python:
            raise FileNotFoundError(errno.ENOENT, "sys.executable is not known")
        return await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[control.fileno()],
            # A terminal's Ctrl-C is for the service to act on.
            start_new_session=True,
            env=build_environment(template.env, os.environ),
        )
    except OSError as error:
        raise _interpreter_failed(python, error) from error


@trio.lowlevel.enable_ki_protection
async def _keep_tail(process: trio.Process, tail: bytearray, ended: trio.Event) -> None:
    """Read stderr to its end, so that the zygote never waits for us, and keep the last of it."""
    assert process.stderr is not None
    async with process.stderr as stderr:
        async for data in stderr:
            tail += data
            del tail[:-STDERR_TAIL_BYTES]
    ended.set()


async def _end(process: trio.Process, timeout_s: float) -> None:
    """The zygote has heard the end of its control socket: bounded wait, kill, reap.

    When it must be killed, its workers get their PR_SET_PDEATHSIG.
    """
    with trio.CancelScope(deadline=trio.current_time() + timeout_s, shield=True):
        await process.wait()
    if process.returncode is None:
        # Not reaped yet, so the number is its own. The group, for what the interpreter is a
        # script around, or has started at the side.
        os.killpg(process.pid, signal.SIGKILL)
        with trio.CancelScope(deadline=trio.current_time() + timeout_s, shield=True):
            await process.wait()


def _configuration_packet(template: Template, limits: Limits) -> bytes:
    configuration: Mapping[str, object] = {
        "spawn": template.spawn,
        "preload": list(template.preload),
        "warmup_code": template.warmup_code,
        "cwd": template.cwd,
        "limits": {"memory_bytes": limits.memory_bytes, "open_files": limits.open_files},
        "async_library": template.async_library,
        "msgpack_path": str(_MSGPACK),
    }
    try:
        return encode_configuration(configuration)
    except ConfigurationTooLarge as error:
        raise WorkerSpawnFailed(
            what="the template does not fit into the zygote's configuration",
            why=str(error),
            how="Move most of warmup_code into a module, and preload that",
            details={"size_bytes": error.size_bytes},
        ) from error


def _interpreter_failed(python: str, error: OSError) -> WorkerSpawnFailed:
    return WorkerSpawnFailed(
        what=f"the interpreter {python!r} could not be started",
        why=error.strerror or str(error),
        how="Set Template.python to the path of an executable CPython 3.11 or newer",
        details={"python": python, "errno": error.errno},
    )


def _failed_to_prepare(failed: ZygoteFailed) -> WorkerSpawnFailed:
    return WorkerSpawnFailed(
        what="preloading the template failed",
        why=f"{failed.name}: {failed.value}" if failed.value else failed.name,
        how="Make preload, warmup_code and cwd work in a plain script of that interpreter",
        details={"name": failed.name, "value": failed.value, "traceback": failed.traceback},
    )


def _ending(returncode: int | None) -> str:
    if returncode is None:
        return "it closed its control socket"
    if returncode < 0:
        return f"it was killed by signal {-returncode}"
    return f"its exit status was {returncode}"
