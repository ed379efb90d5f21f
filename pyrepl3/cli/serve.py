"""``pyrepl3 serve``: the service for clients, from its first line to a clean end.

Owns what the operator is told, and what signals do. Must not know how clients are served.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import attrs
import trio

from actors import open_body_nursery
from pyrepl3 import __version__
from pyrepl3.cli import descriptors
from pyrepl3.cli.arguments import Serve
from pyrepl3.cli.serve_options import told_by_options
from pyrepl3.cli.signals import caught_signals
from pyrepl3.cli.statuses import INTERRUPTED
from pyrepl3.config import Config, EndpointConfig, PoolConfig
from pyrepl3.endpoint import token_files
from pyrepl3.endpoint.access import Tokens
from pyrepl3.serving import Served, open_endpoint
from pyrepl3.supervisor import Supervisor, open_supervisor
from pyrepl3.telemetry.exporting import exporting
from pyrepl3.telemetry.logs import logging_to
from pyrepl3.telemetry.notes import note
from pyrepl3.telemetry.observing import Observer

logger = logging.getLogger("pyrepl3.serve")

DRAIN_S = 10.0
"""For what runs, once the service is told to end."""
PROGRESS_EVERY_S = 0.1


def serve(command: Serve) -> int:
    """Serve until a signal ends it; the exit status. Raises ConfigInvalid."""
    with told_by_options():
        return _serve_as_told(command)


def _serve_as_told(command: Serve) -> int:
    config = config_of(command)
    if command.token_fd is not None:
        pairs = token_files.read_descriptor(command.token_fd)
        token = f"from descriptor {command.token_fd}"
    else:
        named = None if command.token_file is None else Path(command.token_file)
        pairs, is_new = token_files.read_or_make(named)
        path = named or token_files.default_path()
        token = f"in {path}" + (" (made just now: you alone can read it)" if is_new else "")
    with logging_to(command.log_format, command.log_level), exporting() as tracing:
        status = trio.run(_serve, config, pairs, token, tracing)
        note(logger, logging.INFO, "service ended", status=status)
        return status


def config_of(command: Serve) -> Config:
    """What the command line says, and the defaults. Raises ConfigInvalid."""
    endpoint = attrs.evolve(EndpointConfig(), **_given(command, _ENDPOINT))
    pool = _given(command, _POOL)
    if "min_idle" not in pool and "max_sessions" in pool:
        # Who asks for few sessions need not know how many are kept ready.
        pool["min_idle"] = min(PoolConfig().min_idle, pool["max_sessions"])
    return Config(pool=PoolConfig(**pool), endpoint=endpoint, record_trace=command.record_trace)


_ENDPOINT = (
    *("host", "port", "tls_cert", "tls_key", "insecure_bind"),
    *("allowed_hosts", "allowed_origins"),
)
_POOL = ("min_idle", "max_sessions")


def _given(command: Serve, names: tuple[str, ...]) -> dict[str, Any]:
    options = {name: getattr(command, name) for name in names}
    return {name: value for name, value in options.items() if value is not None}


async def _serve(
    config: Config, pairs: token_files.Pairs, token: str, tracing: Observer | None
) -> int:
    with trio.open_signal_receiver(*caught_signals()) as numbers:
        async with open_body_nursery() as nursery:
            ending = _Ending(numbers, nursery.cancel_scope)
            nursery.start_soon(ending.run)
            async with (
                open_supervisor(config) as supervisor,
                _observed(supervisor, tracing),
                open_endpoint(supervisor, Tokens.of(pairs)) as served,
            ):
                await _warm_up(supervisor, ending.asked)
                _say(_standing(config, served, token, _console(served, pairs)))
                note(logger, logging.INFO, "service started", **_facts(config, served))
                await ending.asked.wait()
                note(logger, logging.INFO, "service ending", signal=ending.name)
                await _drain(served)
            nursery.cancel_scope.cancel()
        return INTERRUPTED if ending.number == signal.SIGINT else 0


@asynccontextmanager
async def _observed(supervisor: Supervisor, tracing: Observer | None) -> AsyncIterator[None]:
    with nullcontext() if tracing is None else supervisor.observers.joined_by(tracing):
        yield


@attrs.define(eq=False)
class _Ending:
    """The first signal asks for an end, the second one makes it."""

    numbers: AsyncIterator[int]
    scope: trio.CancelScope
    asked: trio.Event = attrs.field(factory=trio.Event, init=False)
    number: int | None = attrs.field(default=None, init=False)

    @property
    def name(self) -> str | None:
        """Of the first signal."""
        return None if self.number is None else signal.Signals(self.number).name

    async def run(self) -> None:
        async for number in self.numbers:
            if self.asked.is_set():
                _say("ending at once\n")
                self.scope.cancel()
                return
            self.number = number
            self.asked.set()


async def _warm_up(supervisor: Supervisor, ending: trio.Event) -> None:
    """Tell how many sessions are ready, while a person watches, and until there are enough.

    Clients are served meanwhile: they only wait for their first session.
    """
    wanted = supervisor.config.pool.min_idle * len(supervisor.config.templates)
    watched = descriptors.is_terminal(descriptors.STDERR)
    told = -1
    with trio.move_on_after(supervisor.config.pool.start_timeout_s):
        while not ending.is_set():
            pool = supervisor.statistics().pool
            ready = pool.idle + pool.leased
            if ready >= wanted:
                break
            if pool.open_breakers:
                _say(f"sessions of {', '.join(pool.open_breakers)} fail to start: see above\n")
                break
            if watched and ready != told:
                _say(f"\rwarming up: {ready} of {wanted} sessions ready ")
                told = ready
            await trio.sleep(PROGRESS_EVERY_S)
    if watched and told >= 0:
        _say("\r\033[K")


def _console(served: Served, pairs: token_files.Pairs) -> str:
    """Where the console is: with a code where one person alone can read it, and it can be only
    theirs. A code in a log would be no secret."""
    if len(pairs) == 1 and descriptors.is_terminal(descriptors.STDERR):
        return f"{served.console_link(pairs[0][1])}  (signs in once, within 5 minutes)"
    return f"{served.url}/  (`pyrepl3 console` prints a link that signs in)"


def _facts(config: Config, served: Served) -> dict[str, Any]:
    return {
        "url": served.url,
        "version": __version__,
        "pid": os.getpid(),
        "templates": sorted(config.templates),
        "max_sessions": config.pool.max_sessions,
    }


def _standing(config: Config, served: Served, token: str, console: str) -> str:
    socket = served.url.replace("http", "ws", 1)
    lines = [
        f"PyREPL3 {__version__} (Python {sys.version.split()[0]}) listens on {served.url}",
        f"  clients    WebSocket at {socket}/v1/ws, with 'Authorization: Bearer TOKEN'",
        f"             REST at {served.url}/v1, described at {served.url}/docs",
        f"  console    {console}",
        f"  token      {token}",
        "  isolation  each session is a process of its own, with the rights of this user",
        f"  sessions   {config.pool.min_idle} kept ready, {config.pool.max_sessions} at most",
    ]
    if not (config.endpoint.is_loopback or config.endpoint.has_tls):
        lines.append("  warning    no TLS: whoever is between can read tokens and code")
    lines.append(f"Ctrl-C ends it: what runs then has {DRAIN_S:g} s.")
    return "\n".join(lines) + "\n"


async def _drain(served: Served) -> None:
    _say(f"ending: nobody more is let in, what runs has {DRAIN_S:g} s; once more ends it at once\n")
    with trio.move_on_after(DRAIN_S) as bound:
        await served.drain()
    _say("ended" if not bound.cancelled_caught else "ended; what still ran was ended with it")
    _say("\n")


def _say(text: str) -> None:
    descriptors.say(text)
