"""The floor: what no service can beat, because it does nothing but run the code.

Owns the client of floor_worker.py: a blocking reader over one end of a socketpair. Must not know
what is measured with it, nor anything of PyREPL3.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgpack

WORKER = Path(__file__).with_name("floor_worker.py")
READ_BYTES = 2**18
ANSWER_LIMIT_S = 30.0


class FloorDied(Exception):
    """The worker closed its socket: what a client of the floor sees of a crash."""


class FloorWorker:
    """One bare worker process. A context manager; leaving it kills the process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE,  # never written to: input() blocks, as it should
        )
        theirs.close()
        ours.settimeout(ANSWER_LIMIT_S)
        self.connection = ours
        self.unpacker = msgpack.Unpacker()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.connection.close()
        self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()

    def send(self, code: str, *, symbol: str = "single") -> None:
        """Ask for ``code``: "single" shows an expression's value, "exec" runs a whole program."""
        self.connection.sendall(encode(code, symbol=symbol))

    def receive(self) -> dict[str, Any]:
        """The next frame: ``{"output": …}`` or ``{"repr": …}``.

        Raises FloorDied at the end of the stream.
        """
        while True:
            for frame in self.unpacker:
                message: dict[str, Any] = frame
                return message
            data = self.connection.recv(READ_BYTES)
            if not data:
                raise FloorDied
            self.unpacker.feed(data)

    def wait_answer(self) -> str:
        """The ``repr`` that ends the execution, its output dropped."""
        while True:
            frame = self.receive()
            if "repr" in frame:
                return str(frame["repr"])

    def run(self, code: str, *, symbol: str = "single") -> str:
        """One round trip."""
        self.send(code, symbol=symbol)
        return self.wait_answer()

    def interrupt(self) -> None:
        """SIGINT, as a terminal would send it."""
        os.kill(self.process.pid, signal.SIGINT)


def encode(code: str, *, symbol: str = "single") -> bytes:
    """One request in the floor's own format."""
    request = {"code": code, "symbol": symbol}
    encoded: bytes = msgpack.packb(request)
    return encoded


def run_in_flight(worker: FloorWorker, code: str, count: int) -> float:
    """Seconds for ``count`` executes that are all in flight at once, on one worker."""
    requests = encode(code) * count
    started = time.perf_counter()
    worker.connection.sendall(requests)
    for _ in range(count):
        worker.wait_answer()
    return time.perf_counter() - started


def run_side_by_side(workers: Sequence[FloorWorker], code: str, each: int) -> list[float]:
    """Each worker runs ``code`` ``each`` times, all workers at once: seconds of every execute."""
    request = encode(code)
    latencies: list[float] = []
    left = dict.fromkeys(workers, each)
    sent: dict[FloorWorker, float] = {}
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.connection, selectors.EVENT_READ, worker)
            sent[worker] = time.perf_counter()
            worker.connection.sendall(request)
        while left:
            for key, _ in selector.select():
                worker = key.data
                worker.wait_answer()
                now = time.perf_counter()
                latencies.append(now - sent[worker])
                left[worker] -= 1
                if left[worker]:
                    sent[worker] = now
                    worker.connection.sendall(request)
                else:
                    del left[worker]
                    selector.unregister(worker.connection)
    return latencies
