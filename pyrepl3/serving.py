"""The endpoint's part of the tree, in start order. Owns the wiring and nothing else.

Endpoint                   rest for one: a new host knows no session of the old one
├── Host                   hosted sessions, each with a journal
└── Endpoint               the port, and a task for each connection
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal

import attrs
import trio

from actors import ChildSpec, Gone, RestartIntensity, Strategy, open_body_nursery
from actors import Supervisor as ActorSupervisor
from pyrepl3.config import EndpointConfig
from pyrepl3.endpoint.access import LOOPBACK_HOSTS, AccessRules, Principal, Tokens
from pyrepl3.endpoint.browser_access import BrowserAccess
from pyrepl3.endpoint.endpoint import Endpoint
from pyrepl3.endpoint.listener import open_port, port_of
from pyrepl3.endpoint.tls import make_context
from pyrepl3.hosting.host import Host
from pyrepl3.rest.application import OPEN_PATHS, make_application
from pyrepl3.rest.call import Service
from pyrepl3.telemetry.event_log import EventLog
from pyrepl3.telemetry.figures import Figures
from pyrepl3.telemetry.health import unready_reasons
from pyrepl3.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from pyrepl3.supervisor import Supervisor

HOST = "host"
ENDPOINT = "endpoint"
ANY_ADDRESS = ("0.0.0.0", "::")
RESTARTS = RestartIntensity(restarts=3, period_s=5.0)


@attrs.frozen
class Served:
    """An endpoint that listens."""

    host: str
    port: int
    scheme: Literal["http", "https"]
    drain: Callable[[], Awaitable[None]]
    """Accept nobody more and take nothing new; returns when all that was accepted has ended, and
    every client that is there was told. To be bounded by whoever calls it."""
    issue_code: Callable[[Principal], str] = attrs.field(repr=False)
    """A code by which one browser of that principal signs in, once, and soon."""
    metrics: Metrics | None = None
    """What Prometheus is told; None: of a service in another process."""

    @property
    def url(self) -> str:
        """What a client is given."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{name}:{self.port}"

    def console_link(self, principal: Principal) -> str:
        """To the console, for one browser of that principal. To be shown to nobody else."""
        here = attrs.evolve(self, host="localhost") if self.host in ANY_ADDRESS else self
        return f"{here.url}/#code={self.issue_code(principal)}"


@attrs.define(eq=False)
class _Branch:
    supervisor: Supervisor
    rules: AccessRules
    listeners: list[trio.SocketListener]
    """They outlive the endpoint's restarts: whoever connects meanwhile waits in the backlog."""
    tls: ssl.SSLContext | None
    browsers: BrowserAccess
    metrics: Metrics = attrs.field(init=False)
    root: ActorSupervisor = attrs.field(init=False)
    host: Host | None = attrs.field(default=None, init=False)
    endpoint: Endpoint | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.metrics = Metrics(self.figures, self.supervisor.config.templates)
        shutdown_s = self.supervisor.config.timeouts.shutdown_s
        self.root = ActorSupervisor(
            [
                ChildSpec(HOST, self._run_host, shutdown_s=2 * shutdown_s),
                ChildSpec(ENDPOINT, self._run_endpoint, shutdown_s=shutdown_s),
            ],
            strategy=Strategy.REST_FOR_ONE,
            intensity=RESTARTS,
            name="endpoint",
        )

    async def _run_host(self, *, task_status: trio.TaskStatus[object]) -> None:
        supervisor = self.supervisor
        self.host = Host(
            supervisor.config,
            supervisor.session,
            supervisor.snapshot_desk,
            supervisor.observers,
        )
        await self.host.run(task_status=task_status)

    async def _run_endpoint(self, *, task_status: trio.TaskStatus[None]) -> None:
        config, host = self.supervisor.config, self.root.address(HOST)
        observers = self.supervisor.observers
        service = Service(
            config,
            host,
            lambda: self.supervisor.statistics().pool,
            self.metrics,
            self.unready_reasons,
            observers,
        )
        self.endpoint = Endpoint(
            config,
            self.rules,
            host,
            make_application(service),
            OPEN_PATHS,
            self.browsers,
            self.listeners,
            self.tls,
            observers,
        )
        await self.endpoint.run(task_status=task_status)

    def issue_code(self, principal: Principal) -> str:
        return self.browsers.issue(principal, now=trio.current_time())

    def figures(self) -> Figures:
        """Of the service and its clients, now."""
        statistics = self.supervisor.statistics()
        return Figures(
            pool=statistics.pool,
            restarts={**statistics.restarts, **self.root.statistics().restarts},
            host=None if self.host is None else self.host.statistics(),
            snapshots=statistics.snapshots,
        )

    def unready_reasons(self) -> tuple[str, ...]:
        """Why a client that came now would get no session soon."""
        figures, config = self.figures(), self.supervisor.config
        return unready_reasons(
            figures.pool,
            config.pool,
            templates=config.templates,
            is_draining=figures.host is not None and figures.host.is_draining,
        )

    async def drain(self) -> None:
        with suppress(Gone):
            if self.endpoint is not None:
                await self.endpoint.drain()


def rules_of(config: EndpointConfig, tokens: Tokens) -> AccessRules:
    """Who may come in, and under which names."""
    own = () if config.host in ANY_ADDRESS else (config.host.lower(),)
    return AccessRules(
        tokens=tokens,
        hosts=frozenset({*LOOPBACK_HOSTS, *own, *config.allowed_hosts}),
        origins=frozenset(config.allowed_origins),
    )


@asynccontextmanager
async def open_endpoint(supervisor: Supervisor, tokens: Tokens) -> AsyncGenerator[Served]:
    """Listen for clients for the length of the block.

    Raises ConfigInvalid where the port cannot be had, or there can be no TLS.
    """
    config = supervisor.config.endpoint
    tls = make_context(config)
    listeners = await open_port(config)
    try:
        port = port_of(listeners)
        browsers = BrowserAccess(port, config.has_tls)
        branch = _Branch(supervisor, rules_of(config, tokens), listeners, tls, browsers)
        joined = supervisor.observers.joined_by
        with joined(branch.metrics), joined(EventLog()):
            async with open_body_nursery() as nursery:
                await nursery.start(branch.root.run)
                scheme: Literal["http", "https"] = "https" if config.has_tls else "http"
                yield Served(
                    config.host, port, scheme, branch.drain, branch.issue_code, branch.metrics
                )
    finally:
        for listener in listeners:
            listener.socket.close()
