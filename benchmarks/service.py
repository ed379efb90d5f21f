"""The subject over the network: a `pyrepl3 serve` of its own, and our Python client.

Owns the service's process, and the CPU time that it uses. Must not know what is
measured with it, nor floor, peers or targets.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import psutil
import trio

import pyrepl3
from benchmarks.bench import expect
from benchmarks.command import command, environment
from benchmarks.subjects import timed_run

START_LIMIT_S = 30.0
POLL_S = 0.01
SETTLE_LIMIT_S = 10.0
SETTLED_POLLS = 5
FORGET_S = 0.5
QUEUED = 1000
LIMITS = pyrepl3.Limits(
    memory_bytes=None,  # over the network: the template's
    open_files=None,
    execution_timeout_s=3600.0,
    output_bytes=2**31 - 1,  # the most that can be asked for
    queued_executions=QUEUED,
)
"""Limits are not what is measured."""


@attrs.frozen
class Service:
    """A running `pyrepl3 serve`."""

    process: subprocess.Popen[bytes]
    port: int
    token: str
    min_idle: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> pyrepl3.Client:
        """A client of it, not yet connected."""
        return pyrepl3.Client(self.url, self.token)

    async def wait_settled(self) -> int:
        """Until it starts and ends no process any more; how many sessions it has ready then.

        Raises BenchmarkBroken when that takes unreasonably long.
        """
        zygotes = psutil.Process(self.process.pid).children()
        expect(len(zygotes) == 1, f"the service has {len(zygotes)} processes of its own")
        deadline = time.monotonic() + SETTLE_LIMIT_S
        before: list[int] = []
        stands = 0
        while stands < SETTLED_POLLS:
            expect(time.monotonic() < deadline, "the service never settles")
            await trio.sleep(POLL_S)
            now = [process.pid for process in zygotes[0].children()]
            stands = stands + 1 if now == before and len(now) >= self.min_idle else 0
            before = now
        return len(before)

    async def wait_empty(self) -> None:
        """Until it has no session ready: it keeps some as long as it remembers that they were
        asked for, and others live on; those are killed."""
        while await self.wait_settled():
            zygote = psutil.Process(self.process.pid).children()[0]
            for idle in zygote.children():
                idle.kill()
            await trio.sleep(FORGET_S)

    def cpu_s(self) -> float:
        """What its threads have used so far; those of its sessions' processes are not in it."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def serving(*, min_idle: int = 0, max_sessions: int = 100) -> Iterator[Service]:
    """On any free port, with a token of its own; ended with the block."""
    words = ("--port", "0", "--min-idle", str(min_idle), "--max-sessions", str(max_sessions))
    with TemporaryDirectory(prefix="pyrepl3-benchmark-") as directory:
        state, said = Path(directory), Path(directory, "said")
        with (
            said.open("wb") as file,
            subprocess.Popen(
                [*command(), "serve", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                env={**environment(), "XDG_STATE_HOME": directory},
            ) as process,
        ):
            try:
                port = _wait_port(process, said)
                token = (state / "pyrepl3" / "token").read_text().strip()
                yield Service(process, port, token, min_idle)
            finally:
                process.terminate()
                try:
                    process.wait(START_LIMIT_S)
                finally:
                    process.kill()


def _wait_port(process: subprocess.Popen[bytes], said: Path) -> int:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        text = said.read_text()
        port = re.search(r"listens on http://127\.0\.0\.1:(\d+)\n", text)
        if port is not None and "Ctrl-C ends it" in text:
            return int(port[1])
        expect(process.poll() is None, f"`pyrepl3 serve` ended: {text}")
        expect(time.monotonic() < deadline, f"`pyrepl3 serve` does not start: {text}")
        time.sleep(POLL_S)


@asynccontextmanager
async def one_remote_session(service: Service) -> AsyncIterator[pyrepl3.RemoteSession]:
    """A session that has answered once, over a connection of its own."""
    async with service.client() as client, client.session(limits=LIMITS) as session:
        await timed_run(session)
        yield session
