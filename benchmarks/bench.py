"""What every experiment is made of: settings, turns that alternate, and the yardsticks at hand.

Owns the interleaving and the optional peers. Must not know any one metric.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from benchmarks.metrics import Samples, Spec

if TYPE_CHECKING:
    from benchmarks.peer_ipykernel import Kernel, KernelFleet
    from benchmarks.peer_jupyter_server import JupyterServer, RemoteKernel

MILLISECONDS = 1000.0
FLEET = 20
"""Sessions, workers or kernels side by side: the number that targets are stated for."""
PEER_PACKAGES = ("ipykernel", "jupyter_client")
NETWORK_PEER_PACKAGES = ("ipykernel", "jupyter_server", "websocket")
LIMIT_S = 120.0
"""For one experiment: one that hangs is reported as such, and the next one runs."""

Once = Callable[[], Awaitable[float]]


class BenchmarkBroken(Exception):
    """A contender answered wrongly, so its time means nothing."""


@attrs.frozen(kw_only=True)
class Settings:
    """What the command line asked for."""

    quick: bool = False
    peers: bool = True
    large: bool = False
    subject: bool = True


@attrs.frozen
class Turn:
    """One contender: ``once`` returns one sample, and runs ``size`` times in each of its rounds.

    ``rounds`` bounds how many rounds a slow contender takes part in; None is all of them.
    """

    name: str
    once: Once
    size: int = 1
    rounds: int | None = None


class Bench:
    """The settings, and the peers that they and this machine allow."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.missing = missing_packages(PEER_PACKAGES)
        self.network_missing = missing_packages(NETWORK_PEER_PACKAGES)
        self._fleet: KernelFleet | None = None

    @property
    def subject(self) -> bool:
        """Whether PyREPL3 itself takes part."""
        return self.settings.subject

    @property
    def peers(self) -> bool:
        """Whether ipykernel takes part."""
        return self.settings.peers and not self.missing

    @property
    def network_peers(self) -> bool:
        """Whether jupyter_server takes part."""
        return self.settings.peers and not self.network_missing

    def repeat(self, full: int, quick: int) -> int:
        """``full``, or ``quick`` where the run is to be short."""
        return quick if self.settings.quick else full

    @contextmanager
    def kernel(self) -> Iterator[Kernel | None]:
        """A warm kernel of this experiment's own, or None without peers."""
        if not self.peers:
            yield None
            return
        from benchmarks.peer_ipykernel import started_kernel

        with started_kernel() as kernel:
            yield kernel

    @contextmanager
    def server(self, *, rate_limited: bool = True) -> Iterator[JupyterServer | None]:
        """A jupyter_server of this experiment's own, or None without peers."""
        if not self.network_peers:
            yield None
            return
        from benchmarks.peer_jupyter_server import jupyter_server

        with jupyter_server(rate_limited=rate_limited) as server:
            yield server

    @contextmanager
    def remote_kernel(self, *, rate_limited: bool = True) -> Iterator[RemoteKernel | None]:
        """A warm kernel on a server of this experiment's own, or None without peers."""
        with self.server(rate_limited=rate_limited) as server:
            if server is None:
                yield None
                return
            from benchmarks.peer_jupyter_server import started_kernel

            with started_kernel(server) as kernel:
                yield kernel

    def fleet(self) -> KernelFleet | None:
        """Twenty kernels, started at the first call; None without peers, and in a quick run."""
        if not self.peers or self.settings.quick:
            return None
        if self._fleet is None:
            from benchmarks.peer_ipykernel import KernelFleet

            self._fleet = KernelFleet(FLEET)
        return self._fleet

    def close_fleet(self) -> None:
        """End the twenty kernels, so that they do not disturb what comes next."""
        fleet, self._fleet = self._fleet, None
        if fleet is not None:
            with ExitStack() as stack:
                stack.push(fleet)


Measured = Mapping[str, Samples]
"""What an experiment returns: for each of its metrics, by name, the samples."""


@attrs.frozen(kw_only=True)
class Experiment:
    """Metrics that are measured together. ``fleet``: it uses the twenty kernels."""

    specs: tuple[Spec, ...]
    measure: Callable[[Bench], Awaitable[Measured]]
    fleet: bool = False
    large: bool = False


def missing_packages(names: Sequence[str]) -> list[str]:
    """Those of ``names`` that this environment lacks."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def blocking(once: Callable[[], float]) -> Once:
    """A contender that blocks, as a turn takes it: the subject is idle while it runs.

    The checkpoint, outside of what is timed, lets the experiment's deadline in.
    """

    async def call() -> float:
        await trio.lowlevel.checkpoint()
        return once()

    return call


async def interleave(turns: Sequence[Turn], *, rounds: int, warm_up: int) -> dict[str, list[float]]:
    """All turns in small alternating batches, after ``warm_up`` samples of each are dropped.

    A slow contender (one that sits rounds out) warms up once.
    """
    samples: dict[str, list[float]] = {turn.name: [] for turn in turns}
    for turn in turns:
        for _ in range(warm_up if turn.rounds is None else min(1, warm_up)):
            await turn.once()
    for number in range(rounds):
        for turn in turns:
            if turn.rounds is None or number < turn.rounds:
                samples[turn.name] += [await turn.once() for _ in range(turn.size)]
    return samples


def as_samples(measured: Mapping[str, Sequence[float]], *, warm_up: int, note: str = "") -> Samples:
    """What `interleave` returned, told apart: subject, floor, peer and the others."""
    known = ("subject", "floor", "peer")
    return Samples(
        subject=measured.get("subject", ()),
        floor=measured.get("floor", ()),
        peer=measured.get("peer", ()),
        others={name: values for name, values in measured.items() if name not in known},
        warm_up=warm_up,
        note=note,
    )


def expect(condition: bool, what: str) -> None:
    """Raises BenchmarkBroken, with ``what`` went wrong, unless ``condition`` holds."""
    if not condition:
        raise BenchmarkBroken(what)
