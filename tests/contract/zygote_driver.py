"""A synchronous driver of a real zygote and its real workers, for contract tests.

Speaks the two protocols by hand (msgpack maps in packets and in frames), so that these tests hold
for whatever else speaks them. Every wait is bounded.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import msgpack

import pyrepl3.worker
from pyrepl3.transport.process import open_control_page
from pyrepl3.wire.frames import FrameDecoder, encode_frame

BOOT = Path(pyrepl3.worker.__file__).with_name("boot.py")
WAIT_S = 10.0


def eventually(claim: Any, timeout_s: float = WAIT_S) -> bool:
    """Whether a claim about other processes comes true in time: nothing tells us when it does."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@attrs.define(eq=False)
class DrivenWorker:
    """One worker, and our ends of what connects it."""

    pid: int
    pidfd: int
    protocol: socket.socket
    stdout: int
    stderr: int
    control_page: int
    decoder: FrameDecoder = attrs.field(factory=FrameDecoder)

    def receive(self) -> dict[str, Any]:
        """The next message; EOFError at the end."""
        while (body := self.decoder.next_frame()) is None:
            data = self.protocol.recv(65536)
            if not data:
                raise EOFError
            self.decoder.receive(data)
        message: dict[str, Any] = msgpack.unpackb(body, raw=False)
        return message

    def begin(self, code: str) -> None:
        """Send code, and wait for nothing."""
        execute = {
            "type": "execute",
            "execution": "e",
            "number": 1,
            "code": code,
            "filename": None,
            "silent": False,
            "allow_input": False,
            "transaction_policy": "commit_always",
        }
        self.protocol.sendall(encode_frame(msgpack.packb(execute)))

    def run(self, code: str) -> Any:
        """Run code; the value of its last expression. Raises AssertionError for an error."""
        self.begin(code)
        while (message := self.receive())["type"] not in ("result", "error"):
            pass
        assert message["type"] == "result", message
        return message["value"]

    def is_dead(self, timeout_s: float = WAIT_S) -> bool:
        """Whether the process ends in time."""
        return bool(select.select([self.pidfd], [], [], timeout_s)[0])

    def close(self) -> None:
        """Give our ends back."""
        self.protocol.close()
        for descriptor in (self.pidfd, self.stdout, self.stderr, self.control_page):
            os.close(descriptor)


@attrs.define(eq=False)
class DrivenZygote:
    """A zygote whose control socket we hold."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    starts: int = 0
    workers: list[DrivenWorker] = attrs.field(factory=list)

    def tell(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Send one packet."""
        socket.send_fds(self.control, [msgpack.packb(message)], descriptors or [])

    def hear(self) -> tuple[dict[str, Any], list[int]]:
        """The next packet and its descriptors; EOFError at the end."""
        data, descriptors, _, _ = socket.recv_fds(self.control, 2**17, 4)
        if not data:
            raise EOFError
        return msgpack.unpackb(data, raw=False), descriptors

    def start(self) -> DrivenWorker:
        """Start a worker and wait for its `ready`."""
        worker = self.start_unready()
        ready = worker.receive()
        assert (ready["type"], ready["pid"]) == ("ready", worker.pid)
        return worker

    def start_unready(self) -> DrivenWorker:
        """Start a worker, wait until the zygote has told its pid."""
        ours, theirs = socket.socketpair()
        ours.settimeout(WAIT_S)
        stdout, stdout_write = os.pipe()
        stderr, stderr_write = os.pipe()
        page = open_control_page()
        self.starts += 1
        passed = [theirs.fileno(), stdout_write, stderr_write, page]
        self.tell({"type": "start", "id": self.starts}, passed)
        theirs.close()
        os.close(stdout_write)
        os.close(stderr_write)
        message, descriptors = self.hear()
        assert (message["type"], message["id"]) == ("started", self.starts), message
        worker = DrivenWorker(message["pid"], descriptors[0], ours, stdout, stderr, page)
        self.workers.append(worker)
        return worker

    def exit_of(self, worker: DrivenWorker) -> dict[str, Any]:
        """The report of that worker's end, which must be the next packet."""
        message, _ = self.hear()
        assert (message["type"], message["pid"]) == ("exited", worker.pid)
        return {name: message[name] for name in ("status", "signal", "stopped")}

    def close(self) -> None:
        """Hang up, and reap; kills it if it does not end."""
        self.control.close()
        for worker in self.workers:
            worker.close()
        try:
            self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(WAIT_S)
            raise


def configuration(**changes: Any) -> dict[str, Any]:
    """A `configure` packet's map."""
    defaults: dict[str, Any] = {
        "type": "configure",
        "spawn": "fork",
        "preload": [],
        "warmup_code": "",
        "cwd": None,
        "limits": {"memory_bytes": None, "open_files": None},
        "async_library": "asyncio",
        "msgpack_path": str(Path(msgpack.__file__).parent),
    }
    return {**defaults, **changes}


@contextlib.contextmanager
def start_zygote(
    python: str = sys.executable,
    env: dict[str, str] | None = None,
    stderr: int | None = None,
    **changes: Any,
) -> Iterator[DrivenZygote]:
    """A zygote that has been configured, whose answer is still to be heard."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(WAIT_S)
    settings = configuration(**changes)
    option = f"--msgpack-path={settings['msgpack_path']}"
    with theirs:
        process = subprocess.Popen(
            [python, str(BOOT), "zygote", option, "--control-fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"} | (env or {}),
        )
    zygote = DrivenZygote(process, ours)
    try:
        zygote.tell(settings)
        yield zygote
    finally:
        zygote.close()


@contextlib.contextmanager
def ready_zygote(
    python: str = sys.executable, env: dict[str, str] | None = None, **changes: Any
) -> Iterator[DrivenZygote]:
    """A zygote that takes starts."""
    with start_zygote(python, env, None, **changes) as zygote:
        message, _ = zygote.hear()
        assert message["type"] == "zygote_ready", message
        yield zygote
