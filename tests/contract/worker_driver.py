"""Drives one real worker, started by exec, over a blocking socket. No trio, no service."""

import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from pyrepl3.worker.handover import PAGE_BYTES

BOOT = Path(__file__).parents[2] / "pyrepl3" / "worker" / "boot.py"
MSGPACK_FOLDER = Path(msgpack.__file__).parent
ANSWER_LIMIT_S = 20.0
_HEADER = struct.Struct(">I")
_LAUNCH = """
import os, sys
protocol, page, config, *command = sys.argv[1:]
for wanted, given in ((3, protocol), (4, page), (5, config)):
    os.dup2(int(given), wanted)
    os.close(int(given))
os.execv(command[0], command)
"""

Message = dict[str, Any]


class Worker:
    """One worker. ``execute`` numbers the executions from 1 on, as a session does."""

    def __init__(self, python: str, config: Message) -> None:
        ours, theirs = socket.socketpair()
        page_fd, config_fd = os.memfd_create("page"), os.memfd_create("config")
        os.ftruncate(page_fd, PAGE_BYTES)
        os.write(config_fd, msgpack.packb(config))
        self._page = mmap.mmap(page_fd, PAGE_BYTES)
        self.words = memoryview(self._page).cast("Q")
        # Clear of the numbers that they are moved to.
        given = [os.dup2(each, 50 + index) for index, each in
                 enumerate((theirs.fileno(), page_fd, config_fd))]  # fmt: skip
        for descriptor in given:
            os.set_inheritable(descriptor, True)
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", _LAUNCH, *map(str, given), python, str(BOOT), "worker",
             f"--msgpack-path={MSGPACK_FOLDER}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=given, start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1",
                 "PYREPL_PROTOCOL_FDS": "3,3", "PYREPL3_CONTROL_FD": "4",
                 "PYREPL3_CONFIG_FD": "5"},
        )  # fmt: skip
        for descriptor in (*given, page_fd, config_fd):
            os.close(descriptor)
        theirs.close()
        ours.settimeout(ANSWER_LIMIT_S)
        self.socket = ours
        self._reader = ours.makefile("rb")
        self.number = 0

    def send(self, **message: Any) -> None:
        body = msgpack.packb(message, unicode_errors="surrogatepass")
        self.socket.sendall(_HEADER.pack(len(body)) + body)

    def receive(self) -> Message:
        header = self._reader.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise EOFError("the worker closed its end")
        message: Message = msgpack.unpackb(self._reader.read(*_HEADER.unpack(header)))
        return message

    def execute(self, code: str, **fields: Any) -> None:
        self.number += 1
        message = {"silent": False, "allow_input": False, "filename": None,
                   "transaction_policy": "commit_always", **fields}  # fmt: skip
        self.send(type="execute", execution=f"e{self.number}", number=self.number, code=code,
                  **message)  # fmt: skip

    def finish(self) -> "Execution":
        """All messages up to the one that ends the execution."""
        messages = [self.receive()]
        while messages[-1]["type"] not in ("result", "error"):
            messages.append(self.receive())
        return Execution(messages)

    def run(self, code: str, *answers: str | None, **fields: Any) -> "Execution":
        """Execute, and answer its questions in order."""
        self.execute(code, allow_input=bool(answers), **fields)
        waiting, messages = list(answers), []
        while True:
            message = self.receive()
            messages.append(message)
            if message["type"] == "input":
                self.send(type="input_response", input=message["input"],
                          execution=message["execution"], data=waiting.pop(0))  # fmt: skip
            elif message["type"] in ("result", "error"):
                return Execution(messages)

    def ask(self, kind: str, **fields: Any) -> Message:
        self.send(type=kind, id=7, **fields)
        return self.receive()

    def interrupt(self, number: int | None = None) -> None:
        """As the service does it: the number into the page, then the signal."""
        self.words[0] = self.number if number is None else number
        self.process.send_signal(signal.SIGINT)

    def read_page(self) -> str:
        return bytes(self._page[4096:8192]).rstrip(b"\0").decode()

    def wait_until_asleep(self) -> None:
        """Until the process waits in the kernel: what it was told to do has begun."""
        for _ in range(2000):
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
            if stat.rpartition(")")[2].split()[0] == "S":
                return
            time.sleep(0.001)
        raise AssertionError("the worker never slept")

    def close(self) -> tuple[str, str]:
        """Kill it; what came through the pipes. A second time does nothing."""
        if self.socket.fileno() == -1:
            return "", ""
        self.process.kill()
        out, err = self.process.communicate(timeout=10)
        self._reader.close()
        self.socket.close()
        self.words.release()
        self._page.close()
        return out.decode(), err.decode()


class Execution:
    """The messages of one execution, looked at from several sides."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.end = messages[-1]

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == kind]

    def text(self, stream: str = "stdout") -> str:
        parts = [each["data"] for each in self.of("output") if each["stream"] == stream]
        return b"".join(parts).decode()

    @property
    def value(self) -> Any:
        assert self.end["type"] == "result", self.end
        return self.end["value"]

    @property
    def traceback(self) -> str:
        assert self.end["type"] == "error", self.end
        return "".join(self.end["traceback"])


@contextmanager
def open_worker(python: str = sys.executable, **config: Any) -> Iterator[Worker]:
    """A worker that said it is ready; killed at the end."""
    worker = Worker(python, config)
    try:
        assert worker.receive()["type"] == "ready"

        yield worker
    finally:
        worker.close()


def find_interpreter(version: str) -> tuple[str | None, str]:
    """The path of ``pythonX.Y``, or None and why there is none that runs."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable, ""
    path = shutil.which(f"python{version}")
    if path is None:
        return None, f"python{version} is not on PATH"
    tried = subprocess.run(
        [path, "-c", "import sys; print(sys.executable)"], capture_output=True, timeout=20
    )
    if tried.returncode:
        return None, f"python{version} on PATH does not run"
    return tried.stdout.decode().strip(), ""


def interpreters() -> list[Any]:
    """One parameter for each supported version; those that are missing skip, saying why."""
    parameters = []
    for version in ("3.11", "3.12", "3.13"):
        path, reason = find_interpreter(version)
        marks = [] if path else [pytest.mark.skip(reason=reason)]
        parameters.append(pytest.param(path, id=version, marks=marks))
    return parameters
