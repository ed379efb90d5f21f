"""What runs in a worker in memory: the worker's side of the protocol, and every way to break it.

Owns the order of a worker's messages and the rule of its control page. Speaks by the worker's own
codec. Must not know the service: it sees a socket, two pipes and signals.
"""

from __future__ import annotations

import math
import signal
from collections import deque
from random import Random
from typing import Any, NoReturn

import attrs
import trio

from pyrepl3.transport.spawning import WorkerExit
from pyrepl3.wire.frames import HEADER
from pyrepl3.worker.codec import decode_message, encode_message

from .fates import Fate
from .memory_worker import Connection, MemoryProcess
from .scripts import LINE, Script

GARBAGE = (
    b"\x00\x00\x00\x05hello",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x01\xc0",
    b"HTTP/1.1 200 OK",
)
SWALLOWS = b"\x00\x00\x0f\xff"
"""The head of a frame that never comes: it swallows what is said after it."""
TOO_SLOW_S = 3.0
_USAGE = {"cpu_s": 0.0, "max_rss_bytes": 0}


class _Death(Exception):
    """The process ends now."""

    def __init__(self, exit_: WorkerExit) -> None:
        super().__init__(exit_)
        self.exit = exit_


class _Raised(Exception):
    """An execution ends as an error: its name, and the code that a worker may give it."""

    def __init__(self, name: str, code: str | None = None, exit_status: int | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.code = code
        self.exit_status = exit_status


_INTERRUPTED = ("KeyboardInterrupt", "INTERRUPTED")


_KILLED = WorkerExit(None, int(signal.SIGKILL))
_SEGMENTATION_FAULT = WorkerExit(None, int(signal.SIGSEGV))
_STOPPED = WorkerExit(None, int(signal.SIGKILL), stopped=True)
STOPPED_FOR_S = 0.1
"""From SIGSTOP of itself to the zygote's noticing."""


@attrs.define(eq=False)
class Program:
    """One worker's inside."""

    process: MemoryProcess
    connection: Connection
    fate: Fate
    random: Random
    ran: list[str]
    """The tokens of all that was begun, by any worker."""
    _unread: bytearray = attrs.field(factory=bytearray, init=False)
    _backlog: deque[dict[str, Any]] = attrs.field(factory=deque, init=False)
    _current: int = attrs.field(default=0, init=False)
    _last: int = attrs.field(default=0, init=False)
    _interrupted: bool = attrs.field(default=False, init=False)
    _waiting: trio.CancelScope | None = attrs.field(default=None, init=False)
    _idle_until: float = attrs.field(default=0.0, init=False)

    async def run(self) -> WorkerExit:
        """Until the process ends by itself, or is killed."""
        exit_ = _KILLED
        self.process.on_interrupt = self._on_interrupt
        with self.process.scope:
            try:
                await self._start()
                while True:
                    await self._serve()
            except _Death as death:
                exit_ = death.exit
            except BrokenPipeError:
                exit_ = WorkerExit(0, None)  # the service has closed the link
        return exit_

    async def _start(self) -> None:
        fault = self.fate.start_fault
        await trio.sleep(self.fate.start_s)
        ready: dict[str, Any] = {"type": "ready", "protocol": [1], "pid": self.process.pid}
        ready.update(language="python", version="3.11.0")
        if fault == "silent":
            await trio.sleep_forever()
        elif fault == "too slow":
            await trio.sleep(TOO_SLOW_S)
        elif fault == "speaks before it is ready":
            await self._say({"type": "heartbeat"})
        elif fault == "another protocol":
            ready["protocol"] = [99]
        elif fault == "dies with a word":
            await self.connection.pipes["stderr"].write(b"no such module\n")
            raise _Death(WorkerExit(1, None))
        elif fault == "dies within a frame":
            await self._die_within(ready)
        elif fault is not None:
            await self._act(fault)
        await self._say(ready)
        self._idle_until = trio.current_time() + self.fate.idle_s

    async def _serve(self) -> None:
        message: dict[str, Any] | None = None
        with trio.move_on_at(self._idle_until):
            message = self._backlog.popleft() if self._backlog else await self._receive()
        if message is None:
            self._idle_until = math.inf
            await self._act(self.fate.idle_act)
        elif message["type"] == "execute":
            await self._execute(message)
        elif message["type"] == "shutdown":
            await trio.sleep(self.fate.shutdown_s)
            raise _Death(WorkerExit(0, None))
        elif message["type"] != "input_response":
            await self._say({**_ANSWERS[message["type"]], "id": message["id"]})

    # --- the socket -------------------------------------------------------------------------

    async def _receive(self) -> dict[str, Any]:
        """One frame's message, and never a byte more than that from the socket."""
        unread = self._unread
        await self._read_until(HEADER.size)
        (length,) = HEADER.unpack_from(unread)
        await self._read_until(HEADER.size + length)
        body = bytes(unread[HEADER.size :])
        unread.clear()
        return decode_message(body)

    async def _read_until(self, size: int) -> None:
        down = self.connection.down
        while len(self._unread) < size:
            await down.wait_news()
            if down.at_end:
                raise _Death(WorkerExit(0, None))
            self._unread += down.take(size - len(self._unread))

    async def _say(self, message: dict[str, Any]) -> None:
        await self.connection.up.write(encode_message(message))

    async def _print(self, execution: str | None, text: str) -> None:
        message = {"type": "output", "execution": execution, "stream": "stdout"}
        await self._say({**message, "data": text.encode()})

    async def _die_within(self, message: dict[str, Any]) -> NoReturn:
        frame = encode_message(message)
        await self.connection.up.write(frame[: self.random.randint(1, len(frame) - 1)])
        raise _Death(_SEGMENTATION_FAULT)

    # --- executions -------------------------------------------------------------------------

    async def _execute(self, request: dict[str, Any]) -> None:
        script = Script.parse(request["code"])
        self.ran.append(script.token)
        self.process.executions += 1
        self._begin(request["number"])
        try:
            self._check_interrupt()
            for kind, amount in script.steps:
                await self._step(request, kind, amount)
            answer = _result(request, script)
        except _Raised as error:
            answer = _error(request, error)
        self._current = 0
        if script.does(frozenset({"die within a frame"})):
            await self._die_within(answer)
        await self._say(answer)
        if script.does(frozenset({"double"})):
            await self._say(answer)
        if script.does(frozenset({"answer and die"})):
            raise _Death(_SEGMENTATION_FAULT)

    async def _step(self, request: dict[str, Any], kind: str, amount: float) -> None:
        execution = request["execution"]
        if kind == "sleep":
            await self._pause(amount)
        elif kind == "print":
            for _ in range(int(amount)):
                await self._print(execution, LINE)
        elif kind == "pipe":
            await self.connection.pipes["stderr"].write(LINE.encode() * int(amount))
        elif kind == "display":
            shown = {"data": {"text/plain": "it"}, "metadata": {}, "display_id": None}
            await self._say({"type": "display", "execution": execution, "update": False, **shown})
        elif kind == "input":
            await self._input(request)
        elif kind == "raise":
            raise _Raised("ValueError")
        elif kind == "exit":
            raise _Raised("SystemExit", exit_status=3)
        elif kind in ("ignore", "hang"):
            await trio.sleep(math.inf if kind == "hang" else amount)
            self._interrupted = False
        elif kind == "swallow":
            await self.connection.up.write(SWALLOWS)
        elif kind == "break":
            await self._say(_error(request, _Raised("RunnerBroken", "RUNNER_BROKEN")))
            raise _Death(WorkerExit(70, None))
        elif kind in ("die", "garbage", "forge", "hang up"):
            await self._pause(amount)
            await self._act(_ACTS[kind])
        self._check_interrupt()

    async def _input(self, request: dict[str, Any]) -> None:
        if not request["allow_input"]:
            raise _Raised("EOFError", "STDIN_UNAVAILABLE")
        asked = {"execution": request["execution"], "prompt": "?", "password": False}
        await self._say({"type": "input", "input": "i1", **asked})
        while True:
            with trio.CancelScope() as self._waiting:
                self._check_interrupt()
                message = await self._receive()
                if message["type"] != "input_response":
                    self._backlog.append(message)
                elif message["data"] is None:
                    raise _Raised("EOFError")
                else:
                    return
            self._check_interrupt()

    async def _pause(self, seconds: float) -> None:
        """Compute, or wait: what an interrupt strikes."""
        with trio.CancelScope(deadline=trio.current_time() + seconds) as self._waiting:
            await trio.sleep_forever()

    # --- interrupts: the control page's rule --------------------------------------------------

    def _begin(self, number: int) -> None:
        self._current = self._last = number
        self._interrupted = self.process.wanted == number
        if self._interrupted:
            self.process.consumed = number

    def _on_interrupt(self) -> None:
        wanted = self.process.wanted
        if wanted == self._current:
            self._interrupted = True
            if self._waiting is not None:
                self._waiting.cancel()
        if wanted <= self._last:
            self.process.consumed = wanted

    def _check_interrupt(self) -> None:
        if self._interrupted:
            raise _Raised(*_INTERRUPTED)

    # --- what no worker should do ---------------------------------------------------------------

    async def _act(self, act: str) -> None:
        if act == "dies":
            raise _Death(_SEGMENTATION_FAULT)
        if act == "exits":
            raise _Death(WorkerExit(3, None))
        if act == "stops itself":
            await trio.sleep(STOPPED_FOR_S)
            raise _Death(_STOPPED)
        if act == "hangs up":
            self.connection.hang_up()
            await trio.sleep_forever()
        if act == "garbage":
            await self.connection.up.write(self.random.choice(GARBAGE))
        elif act == "forged result":
            await self._say(_result({"execution": "another's", "number": 1}, Script("t0", ())))
        elif act == "ready again":
            await self._say({"type": "ready"})
        elif act == "prints":
            await self._print(None, LINE)
        elif act == "writes to a pipe":
            await self.connection.pipes["stderr"].write(LINE.encode())
        else:
            await self._say({"type": "heartbeat"})


_ACTS = {"die": "dies", "garbage": "garbage", "forge": "forged result", "hang up": "hangs up"}
_ANSWERS: dict[str, dict[str, Any]] = {
    "configure": {"type": "configured"},
    "complete": {"type": "completed", "matches": ["it"], "cursor_start": 0, "cursor_end": 1},
    "inspect": {"type": "inspected", "found": False, "text": ""},
    "is_complete": {"type": "completeness", "status": "complete", "indent": ""},
}


def _result(request: dict[str, Any], script: Script) -> dict[str, Any]:
    return {
        "type": "result",
        "execution": request["execution"],
        "value": script.token,
        "has_value": True,
        "repr": script.token,
        "data": {"text/plain": script.token},
        "metadata": {},
        "execution_count": request["number"],
        "duration_s": 0.0,
        "usage": _USAGE,
        "state": "kept",
    }


def _error(request: dict[str, Any], error: _Raised) -> dict[str, Any]:
    return {
        "type": "error",
        "execution": request["execution"],
        "name": error.name,
        "value": "",
        "traceback": [],
        "code": error.code,
        "state": "kept",
        "exit_status": error.exit_status,
        "execution_count": request["number"],
        "duration_s": 0.0,
        "usage": _USAGE,
    }
