"""The command: ``python -m benchmarks``.

Owns the arguments, the order of the experiments and where the figures go. Measures nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TextIO

import attrs
import trio

from benchmarks import (
    command,
    faults,
    history,
    latency,
    memory,
    output,
    pool,
    remote_faults,
    remote_latency,
    remote_starting,
    remote_throughput,
    reports,
    rest,
    snapshots,
    starting,
    throughput,
)
from benchmarks.bench import LIMIT_S, Bench, BenchmarkBroken, Experiment, Settings
from benchmarks.metrics import Metric, Samples, Spec, describe_target, evaluate, json_line, table

# Those that share the twenty kernels stand together at the end, so that these start only once.
EXPERIMENTS: tuple[Experiment, ...] = tuple(
    sorted(
        (
            *latency.EXPERIMENTS,
            *output.EXPERIMENTS,
            *faults.EXPERIMENTS,
            *pool.EXPERIMENTS,
            *command.EXPERIMENTS,
            *remote_latency.EXPERIMENTS,
            *remote_throughput.EXPERIMENTS,
            *remote_starting.EXPERIMENTS,
            *remote_faults.EXPERIMENTS,
            *rest.EXPERIMENTS,
            *snapshots.EXPERIMENTS,
            *history.EXPERIMENTS,
            *reports.EXPERIMENTS,
            *starting.EXPERIMENTS,
            *throughput.EXPERIMENTS,
            *memory.EXPERIMENTS,
        ),
        key=lambda experiment: experiment.fleet,
    )
)

EPILOG = """\
examples:
  python -m benchmarks                          every row, with the peers: about ten minutes
  python -m benchmarks --quick                  every row, fewer repetitions: about four minutes
  python -m benchmarks --only eval_sequential 'interrupt_*'
  python -m benchmarks --json figures.jsonl     the JSON lines go to the file, the table here
  python -m benchmarks --yardsticks             floor and peer alone: is this machine quiet?

reading it:
  floor    a bare Python worker that does nothing but run the code: no service can beat it
  peer     ipykernel through jupyter_client; `pip install 'pyrepl3[benchmarks]'` installs it
  remote_  over a WebSocket, with `pyrepl3 serve` and our client: there the floor is the echo of
           100 B by a bare trio-websocket, and the peer is jupyter_server
  us/floor how many times the floor's cost we pay, by medians (1 is the floor; less is better)
  peer/us  how many times our cost the peer pays, by medians (more is better)
  p95 p99  always the bad side: of a rate, what 95 % and 99 % of the samples reached
  met      whether the target holds; "-" where a part of it could not be judged

The exit status is 1 when a row could not be measured, and 0 otherwise: a target that is missed
on a busy machine is a figure to look at, and the load is printed with it.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; exits with status 2, and says why, when it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures PyREPL3 against a floor and a peer, in alternation, in one run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--list", action="store_true", help="name the metrics, their targets and what they are")
    add("--only", nargs="+", metavar="NAME", help="these metrics alone; * and ? are wildcards")
    add("--quick", action="store_true", help="fewer repetitions, and no fleet of 20 kernels")
    add("--no-peers", action="store_true", help="leave ipykernel, jupyter_server and others out")
    add("--large", action="store_true", help="the rows that need a large machine as well")
    add("--yardsticks", action="store_true", help="measure floor and peers alone, not PyREPL3")
    add("--json", metavar="FILE", help="write the JSON lines there instead of to stdout")
    options = parser.parse_args(arguments)
    options.experiments = select(EXPERIMENTS, options.only, large=options.large)
    if not options.experiments:
        parser.error(f"no metric is called {' or '.join(options.only)}; --list names them all")
    return options


def select(
    experiments: Sequence[Experiment], names: Sequence[str] | None, *, large: bool
) -> list[Experiment]:
    """The experiments that have a metric of such a name; without names, all but the large ones."""
    if names is None:
        return [experiment for experiment in experiments if large or not experiment.large]
    return [
        experiment
        for experiment in experiments
        if any(fnmatchcase(spec.name, name) for spec in experiment.specs for name in names)
    ]


async def run_one(experiment: Experiment, bench: Bench) -> tuple[list[Metric], bool]:
    """The metrics of one experiment, and whether it could be measured."""
    load = os.getloadavg()[0]
    failure = ""
    measured: dict[str, Samples] = {}
    try:
        with trio.fail_after(LIMIT_S):
            measured.update(await experiment.measure(bench))
    except Exception as error:  # the border: one broken row does not take the others with it
        failure = f"not measured: {describe_error(error)}"
    metrics = []
    for spec in experiment.specs:
        samples = measured.get(spec.name, Samples())
        if failure:
            samples = attrs.evolve(samples, note=failure)
        metrics.append(evaluate(spec, samples, load=load))
    return metrics, not failure


def describe_error(error: BaseException) -> str:
    """An error in one line; of a group, each of its members."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe_error(member) for member in error.exceptions)
    if isinstance(error, BenchmarkBroken):
        return str(error)
    return f"{type(error).__name__}: {error}"


async def run_all(
    experiments: Sequence[Experiment], bench: Bench, lines: TextIO
) -> tuple[list[Metric], bool]:
    """Every experiment in turn, each metric's line written as soon as it is known."""
    metrics: list[Metric] = []
    sound = True
    try:
        for experiment in experiments:
            names = ", ".join(spec.name for spec in experiment.specs)
            print(f"measuring {names} …", file=sys.stderr, flush=True)
            if not experiment.fleet:
                bench.close_fleet()
            found, measured = await run_one(experiment, bench)
            sound = sound and measured
            metrics += found
            for metric in found:
                print(json_line(metric), file=lines, flush=True)
    finally:
        bench.close_fleet()
    return metrics, sound


def list_metrics(experiments: Sequence[Experiment]) -> str:
    """What there is to measure."""
    specs: list[Spec] = [spec for experiment in experiments for spec in experiment.specs]
    large = {
        spec.name for experiment in experiments if experiment.large for spec in experiment.specs
    }
    width = max(len(spec.name) for spec in specs)
    lines = []
    for spec in specs:
        only_large = " (with --large)" if spec.name in large else ""
        lines.append(f"{spec.name:{width}}  {spec.unit:8}  {spec.what}{only_large}")
        lines.append(f"{'':{width}}  {'':8}  target: {describe_target(spec) or 'none'}")
    return "\n".join(lines)


def machine() -> str:
    """Where and how busy: figures without it mean little."""
    load = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} CPUs, load {load}"
    )


def tell_missing(peer: str, packages: Sequence[str]) -> None:
    """Say that a peer does not take part, and how to have it do so."""
    if packages:
        print(
            f"{peer} is skipped: {' and '.join(packages)} not installed "
            f"(pip install 'pyrepl3[benchmarks]')",
            file=sys.stderr,
        )


@contextmanager
def lines_to(path: str | None) -> Iterator[TextIO]:
    """The file that takes the JSON lines: the one named, or stdout."""
    if path is None:
        yield sys.stdout
        return
    with open(path, "w", encoding="utf-8") as file:
        yield file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    options = parse(arguments)
    if options.list:
        print(list_metrics(EXPERIMENTS if options.only is None else options.experiments))
        return 0
    settings = Settings(
        quick=options.quick,
        peers=not options.no_peers,
        large=options.large,
        subject=not options.yardsticks,
    )
    bench = Bench(settings)
    print(machine(), file=sys.stderr)
    if settings.peers:
        tell_missing("the peer", bench.missing)
        tell_missing("the peer over the network", bench.network_missing)
    started = time.monotonic()
    with lines_to(options.json) as lines:
        metrics, sound = trio.run(run_all, options.experiments, bench, lines)
    print(f"\n{table(metrics)}\n\n{machine()}, {time.monotonic() - started:.0f} s")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
