"""The tree, in start order; the root that any trio program can open.

Owns the wiring and nothing else: who is whose child, and who gets whose address.

    Supervisor                 all for one, started left to right: a new pool counts from zero,
    │                          so no session of the old one may live on
    ├── spawners               one for one
    │   └── a Spawner for each template
    ├── KeptSnapshots          one task a snapshot: a Spawner around a copy of a session
    ├── Sessions               one subtree a session, each all for one: Session, Transport
    └── Pool                   who gets which session
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
import trio

from actors import (
    Actor,
    ActorGone,
    Address,
    ChildSpec,
    Gone,
    Reply,
    RestartIntensity,
    Strategy,
    open_body_nursery,
    reply_to,
)
from actors import Supervisor as ActorSupervisor
from pyrepl3.client.leasing import Leasing
from pyrepl3.client.session import Session
from pyrepl3.client.settings import SessionSettings
from pyrepl3.client.snapshot_desk import SnapshotDesk
from pyrepl3.client.tenancy import Tenancies, Tenancy
from pyrepl3.config import (
    DEFAULT_TEMPLATE,
    Config,
    Guard,
    Limits,
    TransactionPolicy,
    check_protection,
    check_report,
    check_timeout,
)
from pyrepl3.extras import extra_needed
from pyrepl3.messages import PoolMessage, RetireTemplate, SessionsMessage
from pyrepl3.pool.pool import Pool
from pyrepl3.pool.pool_statistics import PoolStatistics
from pyrepl3.pool.pool_trace import PoolTrace
from pyrepl3.session.session_trace import SessionTrace
from pyrepl3.session.sessions import Sessions
from pyrepl3.snapshots.kept_snapshots import KeptSnapshots
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo, SnapshotsMessage
from pyrepl3.telemetry.observing import Observers
from pyrepl3.transport.spawner import Spawner, zygotes_of
from pyrepl3.transport.spawning import SpawnerMessage

if TYPE_CHECKING:
    from pyrepl3.recording import Recording, Sink
    from pyrepl3.serving import Served
    from pyrepl3.telemetry.metrics import Metrics

SPAWNERS = "spawners"
SNAPSHOTS = "snapshots"
SESSIONS = "sessions"
POOL = "pool"

RETIRE_S = 5.0
"""For a notice to a pool that waits for nothing but its mailbox: far more than it takes."""
RESTARTS = RestartIntensity(restarts=3, period_s=5.0)
"""A child here only ends by a bug of ours; what user code breaks is handled inside of them."""


@attrs.frozen
class Statistics:
    """What the service is doing."""

    pool: PoolStatistics
    restarts: Mapping[str, int]
    """How often each of its actors failed and was started again; of spawners by template."""
    snapshots: int
    """Kept ones that sessions can be opened from by their names."""


def zygote_spawner(name: str, config: Config, sink: Sink | None = None) -> Spawner:
    """What starts the workers of this template."""
    return Spawner(
        name,
        zygotes_of(
            config.template(name),
            config.limits_of(name),
            start_timeout_s=config.pool.start_timeout_s,
        ),
        on_zygote_death=None if sink is None else partial(_record_zygote_death, name, sink),
    )


def _record_zygote_death(template: str, sink: Sink) -> None:
    """An action of the world in `spec/Pool.tla`, which the pool hears of session by session."""
    sink({"of": "pool", "action": "ZygoteDies", "template": template})


@attrs.define(eq=False)
class Tree:
    """The children of the root, and how each is made anew when it is restarted.

    All that comes from outside of it comes in by ``make_spawner`` and ``random``. What its actors
    do goes to ``sink``, where there is one.
    """

    config: Config
    make_spawner: Callable[[str, Config], Actor[Address[SpawnerMessage]]] = zygote_spawner
    random: Random = attrs.field(factory=Random)
    sink: Sink | None = None
    root: ActorSupervisor = attrs.field(init=False)
    spawners: ActorSupervisor = attrs.field(init=False)
    snapshots: KeptSnapshots = attrs.field(init=False)
    pool: Pool | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        shutdown_s = self.config.timeouts.shutdown_s
        self.root = ActorSupervisor(
            [
                ChildSpec(SPAWNERS, self._run_spawners, shutdown_s=2 * shutdown_s),
                ChildSpec(SNAPSHOTS, self._run_snapshots, shutdown_s=2 * shutdown_s),
                ChildSpec(SESSIONS, self._run_sessions, shutdown_s=shutdown_s),
                ChildSpec(POOL, self._run_pool, stop=self._stop_pool, shutdown_s=shutdown_s),
            ],
            strategy=Strategy.ALL_FOR_ONE,
            intensity=RESTARTS,
            name="pyrepl3",
            random=self.random.random,
        )

    async def _run_spawners(self, *, task_status: trio.TaskStatus[ActorSupervisor]) -> None:
        shutdown_s = self.config.timeouts.shutdown_s
        self.spawners = ActorSupervisor(
            [
                ChildSpec(name, self.make_spawner(name, self.config).run, shutdown_s=shutdown_s)
                for name in self.config.templates
            ],
            strategy=Strategy.ONE_FOR_ONE,
            intensity=RESTARTS,
            name=SPAWNERS,
            random=self.random.random,
        )
        await self.spawners.run(task_status=task_status)

    async def _run_snapshots(
        self, *, task_status: trio.TaskStatus[Address[SnapshotsMessage]]
    ) -> None:
        pool = self.config.pool
        self.snapshots = KeptSnapshots(
            pool.max_snapshots, pool.start_timeout_s, self._retire_template
        )
        await self.snapshots.run(task_status=task_status)

    async def _run_sessions(
        self, *, task_status: trio.TaskStatus[Address[SessionsMessage]]
    ) -> None:
        sessions = Sessions(self.config, self.spawner_address, self._limits_of, self._session_trace)
        await sessions.run(task_status=task_status)

    def _session_trace(self, session: str) -> SessionTrace | None:
        return None if self.sink is None else SessionTrace(self.sink, session)

    def spawner_address(self, name: str) -> Address[SpawnerMessage]:
        """What starts processes of a template, or of a snapshot, by what the pool calls it.

        Raises Gone.
        """
        kept = self.snapshots.get(name)
        if kept is not None and kept.address is not None:
            return kept.address
        if name not in self.config.templates:
            raise ActorGone(name)
        address: Address[SpawnerMessage] = self.spawners.address(name)
        return address

    async def _retire_template(self, name: str) -> None:
        """Of a snapshot that is not there any more."""
        reply: Reply[None] = reply_to(lambda _: None)
        with (
            trio.CancelScope(deadline=trio.current_time() + RETIRE_S, shield=True),
            # The pool has ended, or restarts: it knows nothing of it then.
            suppress(trio.BrokenResourceError, trio.ClosedResourceError, Gone),
        ):
            await self.pool_address().send(RetireTemplate(name, reply))

    def lineage_of(self, name: str) -> Sequence[str]:
        """Of a snapshot, by what the pool calls it: what it came from, the latest first."""
        kept = self.snapshots.get(name)
        return () if kept is None else kept.lineage

    def _limits_of(self, name: str) -> Limits:
        kept = self.snapshots.get(name)
        return self.config.limits_of(name) if kept is None else kept.limits

    async def _run_pool(self, *, task_status: trio.TaskStatus[Address[PoolMessage]]) -> None:
        trace = None if self.sink is None else PoolTrace(self.sink)
        self.pool = Pool(self.config, self.root.address(SESSIONS), self.random, trace)
        await self.pool.run(task_status=task_status)

    def _stop_pool(self) -> None:
        if self.pool is not None:
            self.pool.stop()

    def restarts(self) -> dict[str, int]:
        """How often each child was started again, and each spawner since theirs was."""
        spawners = self.spawners.statistics().restarts
        return {
            **self.root.statistics().restarts,
            **{f"{SPAWNERS}/{template}": times for template, times in spawners.items()},
        }

    def snapshots_address(self) -> Address[SnapshotsMessage]:
        """Where the keeper of snapshots is now."""
        address: Address[SnapshotsMessage] = self.root.address(SNAPSHOTS)
        return address

    def pool_address(self) -> Address[PoolMessage]:
        """Where the pool is now."""
        address: Address[PoolMessage] = self.root.address(POOL)
        return address


class Supervisor:
    """The service, as a trio program sees it. Made by `open_supervisor`."""

    def __init__(self, config: Config, tree: Tree) -> None:
        self.config = config
        self.observers = Observers()
        """Who watches what it does: `with supervisor.observers.joined_by(observer):`."""
        self._tree = tree
        self.snapshot_desk = SnapshotDesk(
            tree.pool_address, tree.snapshots_address, tree.spawner_address, tree.lineage_of
        )
        """For who hosts sessions: `snapshots` and `drop_snapshot` are for all others."""
        self._tenancies = Tenancies(
            Leasing(tree.pool_address),
            self.snapshot_desk,
            self.observers,
            lambda: config.pool.max_sessions,
        )

    @asynccontextmanager
    async def session(
        self,
        template: str = DEFAULT_TEMPLATE,
        *,
        from_snapshot: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        acquire_timeout_s: float | None = None,
        transaction_policy: TransactionPolicy | None = None,
        guard: Guard | None = None,
        allow_copy: bool | None = None,
        report_namespace: bool | None = None,
    ) -> AsyncGenerator[Session]:
        """Lease a session for the length of the block; used, it is discarded afterwards.

        ``from_snapshot``: one that `Session.snapshot` has kept, in place of a template. ``cwd``,
        ``env`` and ``limits`` are this session's own, within its template's.
        ``transaction_policy``, ``guard``, ``allow_copy`` and ``report_namespace`` are its
        executions', where they name none (``allow_copy`` its transactions', too): see
        `Session.run`; None: its template's.

        Raises PoolExhausted, PoolDegraded, WorkerSpawnFailed, SnapshotNotFound, ShuttingDown or
        ConfigInvalid.
        """
        tenancy = await self.open_session(
            template,
            from_snapshot=from_snapshot,
            cwd=cwd,
            env=env,
            limits=limits,
            acquire_timeout_s=acquire_timeout_s,
            transaction_policy=transaction_policy,
            guard=guard,
            report_namespace=report_namespace,
            allow_copy=allow_copy,
        )
        try:
            yield tenancy.session
        finally:
            await tenancy.close()  # noqa: ASYNC102  # shielded and bounded inside

    async def open_session(
        self,
        template: str = DEFAULT_TEMPLATE,
        *,
        from_snapshot: str | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        acquire_timeout_s: float | None = None,
        transaction_policy: TransactionPolicy | None = None,
        guard: Guard | None = None,
        allow_copy: bool | None = None,
        report_namespace: bool | None = None,
    ) -> Tenancy:
        """As `session`, for who has no block for it: to be closed by the caller, whatever comes."""
        check_timeout("acquire_timeout_s", acquire_timeout_s)
        if acquire_timeout_s is None:
            acquire_timeout_s = self.config.pool.acquire_timeout_s
        check_protection(transaction_policy, guard, allow_copy)
        check_report(report_namespace)
        kept = None if from_snapshot is None else await self.snapshot_desk.find(from_snapshot)
        origin = template if kept is None else kept.info.template
        kind = self.config.template(origin)
        settings = SessionSettings.of(
            self.config.limits_of(origin) if kept is None else kept.limits,
            cwd=cwd,
            env=env,
            limits=limits,
            policy=transaction_policy or kind.transaction_policy,
            guard=kind.guard if guard is None else guard,
            report_namespace=(
                kind.report_namespace if report_namespace is None else report_namespace
            ),
            allow_copy=kind.allow_copy if allow_copy is None else allow_copy,
        )
        return await self._tenancies.open(
            template if kept is None else kept.template,
            settings,
            acquire_timeout_s,
            origin=origin,
        )

    async def snapshots(self) -> list[SnapshotInfo]:
        """Those that were kept by `Session.snapshot`, the oldest first. Raises ShuttingDown."""
        return [kept.info for kept in await self.snapshot_desk.list()]

    async def drop_snapshot(self, name: str) -> None:
        """Nobody opens sessions from it any more; those that there are go on.

        Raises SnapshotNotFound, ShuttingDown.
        """
        kept = await self.snapshot_desk.find(name)
        await self.snapshot_desk.drop(kept.template)

    @asynccontextmanager
    async def serve(
        self, *, token_file: str | os.PathLike[str] | None = None
    ) -> AsyncGenerator[Served]:
        """Let clients in over the network for the length of the block, as `Config.endpoint` says.

        They need a token of ``token_file``: one token, or the principals of a TOML file. Without
        a name it is the user's own, of `pyrepl3 serve`; it is made where there is none. Raises
        ConfigInvalid.
        """
        with extra_needed("server", what="the service"):
            from pyrepl3.endpoint import token_files  # who does not serve pays nothing
            from pyrepl3.endpoint.access import Tokens
            from pyrepl3.serving import open_endpoint

        path = None if token_file is None else Path(token_file)
        pairs, _ = token_files.read_or_make(path)
        async with open_endpoint(self, Tokens.of(pairs)) as served:
            yield served

    @contextmanager
    def metrics(self) -> Iterator[Metrics]:
        """Figures for Prometheus of what happens during the block: `metrics.render()` is the page.

        `serve` has figures of its own, with those of its clients.
        """
        with extra_needed("server", what="what Prometheus is told"):
            from pyrepl3.telemetry.metrics import Metrics  # who counts nothing pays nothing
        from pyrepl3.telemetry.figures import Figures

        def read() -> Figures:
            statistics = self.statistics()
            return Figures(
                pool=statistics.pool,
                restarts=statistics.restarts,
                snapshots=statistics.snapshots,
            )

        metrics = Metrics(read, self.config.templates)
        with self.observers.joined_by(metrics):
            yield metrics

    def statistics(self) -> Statistics:
        """How the service stands now, as a frozen object."""
        assert self._tree.pool is not None
        return Statistics(
            pool=self._tree.pool.statistics(),
            restarts=self._tree.restarts(),
            snapshots=len(self._tree.snapshots),
        )


@asynccontextmanager
async def open_supervisor(config: Config | None = None) -> AsyncGenerator[Supervisor]:
    """Run the service for the length of the block, in any trio program, at any depth.

    An exception of the block leaves it as it is. When the block ends, also by cancellation, every
    process, descriptor and task of the service ends with it, in bounded time.

    Raises RuntimeError outside of trio, and ConfigInvalid when nothing can be recorded into
    ``Config.record_trace``.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "open_supervisor() needs trio, which does not run here: trio.run(main) runs it. "
            "A program of asyncio can run trio in a thread: await asyncio.to_thread(trio.run, main)"
        )
    config = config or Config()
    with _open_recording(config) as recording:
        sink = None if recording is None else recording.write
        tree = Tree(config, partial(zygote_spawner, sink=sink), sink=sink)
        async with open_tree(tree) as supervisor:
            try:
                yield supervisor
            finally:
                if recording is not None:
                    recording.flush()  # whatever comes of the shutdown, all before it is kept


@contextmanager
def _open_recording(config: Config) -> Iterator[Recording | None]:
    if config.record_trace is None:
        yield None
        return
    from pyrepl3.recording import open_recording  # who does not record pays nothing, imports too

    with open_recording(config.record_trace, config) as recording:
        yield recording


@asynccontextmanager
async def open_tree(tree: Tree) -> AsyncGenerator[Supervisor]:
    """`open_supervisor`, of a tree that its caller has made."""
    async with open_body_nursery() as nursery:
        await nursery.start(tree.root.run)
        yield Supervisor(tree.config, tree)
