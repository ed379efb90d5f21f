"""The endpoint's part of the tree, in start order. Owns the wiring and nothing else.

Endpoint                   rest for one: a new host knows no session of the old one
├── Host                   hosted sessions, each with a journal
└── Endpoint               the port, and a task for each connection
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from actors import ChildSpec, RestartIntensity, Strategy, open_body_nursery
from actors import Supervisor as ActorSupervisor
from pyrepl3.config import Config
from pyrepl3.endpoint.access import AccessRules
from pyrepl3.endpoint.endpoint import Endpoint
from pyrepl3.hosting.host import Host

if TYPE_CHECKING:
    from pyrepl3.supervisor import Supervisor

HOST = "host"
ENDPOINT = "endpoint"
RESTARTS = RestartIntensity(restarts=3, period_s=5.0)


@attrs.frozen
class Served:
    """Where the endpoint listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """What a client is given."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}"


@attrs.define(eq=False)
class _Branch:
    supervisor: Supervisor
    rules: AccessRules
    port: int
    root: ActorSupervisor = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
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
        host = Host(self.supervisor.config, self.supervisor.session)
        await host.run(task_status=task_status)

    async def _run_endpoint(self, *, task_status: trio.TaskStatus[int]) -> None:
        config = self.supervisor.config
        # Restarted, it has the port that it had: clients look for it there.
        here: Config = attrs.evolve(config, endpoint=attrs.evolve(config.endpoint, port=self.port))
        endpoint = Endpoint(here, self.rules, self.root.address(HOST))
        async with trio.open_nursery() as nursery:
            self.port = await nursery.start(endpoint.run)
            task_status.started(self.port)


@asynccontextmanager
async def open_endpoint(supervisor: Supervisor, rules: AccessRules) -> AsyncGenerator[Served]:
    """Listen for clients for the length of the block.

    Raises OSError where the port cannot be had.
    """
    config = supervisor.config.endpoint
    branch = _Branch(supervisor, rules, config.port)
    async with open_body_nursery() as nursery:
        await nursery.start(branch.root.run)
        yield Served(config.host, branch.port)
