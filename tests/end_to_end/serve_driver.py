"""Starts `pyrepl3 serve` for the tests, as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from pyrepl3.endpoint.access import Principal
from pyrepl3.serving import Served

from .command_driver import COMMAND, LIMIT_S, environment


async def nothing_to_drain() -> None:
    """What `Served` of another process has instead."""


def no_code(principal: Principal) -> str:
    """The same: codes are that process's."""
    raise NotImplementedError


def served_elsewhere(port: int) -> Served:
    """As a client knows a service in another process, on loopback."""
    return Served("127.0.0.1", port, "http", nothing_to_drain, no_code)


@attrs.frozen
class Serving:
    """A running `pyrepl3 serve`."""

    process: subprocess.Popen[bytes]
    served: Served
    token: str
    told: str

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit status, and what it said after it was sent the signal."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode()
        return self.process.wait(LIMIT_S), said


@contextmanager
def serving(state: Path, *words: str) -> Iterator[Serving]:
    """On any port, with a token of its own; killed at the end of the block if it still runs."""
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--min-idle", "1", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(XDG_STATE_HOME=str(state)),
    ) as process:
        try:
            assert process.stderr is not None
            told = ""
            while "Ctrl-C ends it" not in told:
                line = process.stderr.readline().decode()
                assert line, told
                told += line
            port = re.search(r"listens on http://127\.0\.0\.1:(\d+)\n", told)
            assert port is not None, told
            served = served_elsewhere(int(port[1]))
            token = (state / "pyrepl3" / "token").read_text().strip()
            yield Serving(process, served, token, told)
        finally:
            process.kill()
