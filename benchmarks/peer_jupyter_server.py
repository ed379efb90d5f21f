"""The peer over the network: jupyter_server, with its kernels' WebSocket.

Owns everything that knows its API. Must not know what is measured with it, nor anything of
PyREPL3. It is an optional extra: import it only where `Bench.network_peers` holds.

Its client acknowledges what comes at once (TCP_QUICKACK): the server leaves Nagle's algorithm on,
and each execute would take 40 ms more.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import secrets
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import attrs
import websocket

ANSWER_LIMIT_S = 60.0
END_LIMIT_S = 5.0
POLL_S = 0.05
JSON = {"Content-Type": "application/json"}


class JupyterServer:
    """A running server. Made by `jupyter_server`."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.headers = {"Authorization": f"token {token}"}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_LIMIT_S)

    def ask(self, method: str, path: str, fields: Any = None) -> Any:
        """What a request of the REST API is answered; kept alive. Raises OSError, RuntimeError."""
        body = None if fields is None else json.dumps(fields)
        self.connection.request(method, path, body, {**self.headers, **JSON})
        with self.connection.getresponse() as response:
            answer = response.read()
            if response.status >= 400:
                raise RuntimeError(f"{method} {path} was answered {response.status}: {answer!r}")
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """The REST connection."""
        self.connection.close()


@attrs.define
class Seen:
    """What an execute request has led to."""

    kinds: set[str | None] = attrs.field(factory=set)
    characters: int = 0


class RemoteKernel(AbstractContextManager["RemoteKernel"]):
    """One kernel and its WebSocket. Leaving the context deletes it."""

    def __init__(self, server: JupyterServer) -> None:
        self.server = server
        self.id: str = server.ask("POST", "/api/kernels", {"name": "python3"})["id"]
        self.has_died = False
        self.numbers = itertools.count(1)
        self.client = secrets.token_hex(8)
        self.socket = websocket.create_connection(
            f"ws://127.0.0.1:{server.port}/api/kernels/{self.id}/channels?session_id={self.client}",
            header=server.headers,
            timeout=ANSWER_LIMIT_S,
            enable_multithread=False,
            skip_utf8_validation=True,  # it does that in Python, byte by byte
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close(timeout=0)
        if not self.has_died:
            self.server.ask("DELETE", f"/api/kernels/{self.id}")

    def send(self, code: str) -> str:
        """Send one execute request, and wait for nothing; its id."""
        number = f"{self.client}-{next(self.numbers)}"
        header = {
            "msg_id": number,
            "msg_type": "execute_request",
            "session": self.client,
            "username": "benchmark",
            "version": "5.3",
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        message = {
            "channel": "shell",
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "buffers": [],
        }
        self.socket.send(json.dumps(message))
        return number

    def receive(self) -> dict[str, Any]:
        """The next message, of whatever channel. Raises WebSocketTimeoutException."""
        raw = self.socket.sock
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        message: dict[str, Any] = json.loads(self.socket.recv())
        return message

    def wait_for(self, parent: str, *wanted: str) -> Seen:
        """Until ``parent`` has led to all of these: types of messages, and states of the kernel.

        What came until then.
        """
        seen = Seen()
        while not seen.kinds.issuperset(wanted):
            message = self.receive()
            content = message["content"]
            if message["header"]["msg_type"] == "stream":
                seen.characters += len(content["text"])
            if message["parent_header"].get("msg_id") == parent:
                seen.kinds |= {message["header"]["msg_type"], content.get("execution_state")}
        return seen

    def wait_done(self, parent: str, before: Seen | None = None) -> None:
        """Until a request has both its reply and the kernel's ``idle``; ``before`` came already."""
        wanted = {"execute_reply", "idle"} - (set() if before is None else before.kinds)
        self.wait_for(parent, *wanted)

    def run(self, code: str) -> None:
        """Execute, and wait for all that comes of it."""
        self.wait_done(self.send(code))

    def interrupt(self) -> None:
        """By the REST API, as a notebook does it."""
        self.server.ask("POST", f"/api/kernels/{self.id}/interrupt")

    def wait_death(self, limit_s: float) -> bool:
        """Until the client is told that the kernel has died; False when it never is.

        What the server then makes of it is left to it.
        """
        self.has_died = True
        self.socket.settimeout(limit_s)
        try:
            while True:
                content = self.receive()["content"]
                if content.get("execution_state") in ("restarting", "autorestarting", "dead"):
                    return True
        except websocket.WebSocketTimeoutException:
            return False
        finally:
            self.socket.settimeout(ANSWER_LIMIT_S)


@contextmanager
def jupyter_server(*, rate_limited: bool = True) -> Iterator[JupyterServer]:
    """A server of its own, as it comes, or with its limit on output off."""
    port, token = _free_port(), secrets.token_hex(16)
    words = [
        "--no-browser",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.allow_root=True",
        f"--IdentityProvider.token={token}",
        f"--ZMQChannelsWebsocketConnection.limit_rate={rate_limited}",
    ]
    with TemporaryDirectory(prefix="jupyter-benchmark-") as directory:
        names = ("RUNTIME", "CONFIG", "DATA")
        own = {f"JUPYTER_{name}_DIR": str(Path(directory, name.lower())) for name in names}
        with subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *words],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **own},
        ) as process:
            server = JupyterServer(port, token)
            try:
                _wait_up(server, process)
                yield server
            finally:
                server.close()
                process.terminate()
                try:
                    process.wait(END_LIMIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()  # after a kernel's crash it does not end by itself


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _wait_up(server: JupyterServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while True:
        try:
            server.ask("GET", "/api/status")
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            server.close()
            time.sleep(POLL_S)
        else:
            return


def started_kernel(server: JupyterServer) -> RemoteKernel:
    """A kernel that has run its first cell, so that what follows measures it warm."""
    with ExitStack() as undo:
        kernel = undo.enter_context(RemoteKernel(server))
        kernel.run("1+1")
        undo.pop_all()
        return kernel


class RemoteFleet(AbstractContextManager["RemoteFleet"]):
    """Kernels started one after the other, as this client waits; ``started_s`` is how long until
    every one had run ``1+1``."""

    def __init__(self, server: JupyterServer, count: int) -> None:
        with ExitStack() as undo:
            began = time.perf_counter()
            self.kernels = [undo.enter_context(RemoteKernel(server)) for _ in range(count)]
            asked = [kernel.send("1+1") for kernel in self.kernels]
            for kernel, request in zip(self.kernels, asked, strict=True):
                kernel.wait_done(request)
            self.started_s = time.perf_counter() - began
            self.undo = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo.close()


def run_side_by_side(kernels: Sequence[RemoteKernel], code: str, each: int) -> list[float]:
    """One request in flight on each kernel until each has answered ``each``: seconds of each."""
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        left = dict.fromkeys(kernels, each)
        sent: dict[RemoteKernel, tuple[str, float]] = {}
        for kernel in kernels:
            selector.register(kernel.socket.sock, selectors.EVENT_READ, kernel)
            sent[kernel] = kernel.send(code), time.perf_counter()
        while left:
            for key, _ in selector.select(ANSWER_LIMIT_S):
                kernel = key.data
                request, began = sent[kernel]
                kernel.wait_done(request)
                now = time.perf_counter()
                latencies.append(now - began)
                left[kernel] -= 1
                if left[kernel]:
                    sent[kernel] = kernel.send(code), now
                else:
                    del left[kernel]
                    selector.unregister(kernel.socket.sock)
    return latencies
