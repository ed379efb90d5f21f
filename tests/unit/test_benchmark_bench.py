"""Unit tests: how contenders take turns, and how rows are picked by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from benchmarks.__main__ import EXPERIMENTS, describe_error, list_metrics, run_one, select
from benchmarks.bench import (
    Bench,
    BenchmarkBroken,
    Experiment,
    Measured,
    Settings,
    Turn,
    as_samples,
    expect,
    interleave,
)
from benchmarks.metrics import Samples, Spec

FREE = Spec("free", "ms", "a metric")


def recorder(name: str, log: list[str]) -> Callable[[], Awaitable[float]]:
    async def once() -> float:
        await trio.lowlevel.checkpoint()
        log.append(name)
        return float(len(log))

    return once


async def test_contenders_alternate_in_their_batches() -> None:
    log: list[str] = []
    turns = [Turn("a", recorder("a", log), 2), Turn("b", recorder("b", log), 1)]

    samples = await interleave(turns, rounds=2, warm_up=0)

    assert "".join(log) == "aabaab"
    assert samples == {"a": [1.0, 2.0, 4.0, 5.0], "b": [3.0, 6.0]}


async def test_the_warm_up_is_dropped_and_is_short_for_the_slow() -> None:
    log: list[str] = []
    turns = [Turn("a", recorder("a", log)), Turn("slow", recorder("s", log), rounds=1)]

    samples = await interleave(turns, rounds=3, warm_up=2)

    assert "".join(log) == "aas" + "as" + "a" + "a"
    assert {name: len(values) for name, values in samples.items()} == {"a": 3, "slow": 1}


def test_whoever_is_neither_subject_nor_floor_nor_peer_is_another() -> None:
    samples = as_samples({"floor": [1.0], "execnet": [2.0]}, warm_up=3)

    assert samples == Samples(floor=[1.0], others={"execnet": [2.0]}, warm_up=3)


def test_rows_are_picked_by_name_or_pattern() -> None:
    names = [
        spec.name
        for experiment in select(EXPERIMENTS, ["interrupt_*", "output_50mb_lost"], large=False)
        for spec in experiment.specs
    ]

    assert names == [
        *("output_50mb", "output_50mb_lost"),
        *("interrupt_loop", "interrupt_sleep", "interrupt_input"),
    ]


def test_large_rows_are_left_out_unless_asked_for() -> None:
    assert not any(experiment.large for experiment in select(EXPERIMENTS, None, large=False))
    assert any(experiment.large for experiment in select(EXPERIMENTS, None, large=True))
    assert [chosen.large for chosen in select(EXPERIMENTS, ["alive_1000"], large=False)] == [True]


def test_every_metric_has_a_name_of_its_own_and_a_target() -> None:
    names = [spec.name for experiment in EXPERIMENTS for spec in experiment.specs]

    assert len(names) == len(set(names))
    assert "target: none" not in list_metrics(EXPERIMENTS)


def test_the_rows_that_share_kernels_stand_together() -> None:
    shares = [experiment.fleet for experiment in EXPERIMENTS]

    assert shares == sorted(shares)


async def test_a_row_that_breaks_is_reported_with_its_reason() -> None:
    async def measure(bench: Bench) -> Measured:
        await trio.lowlevel.checkpoint()
        expect(False, "1+1 gave 3")
        raise AssertionError

    experiment = Experiment(specs=(FREE,), measure=measure)

    metrics, sound = await run_one(experiment, Bench(Settings(peers=False)))

    assert not sound
    assert [metric.note for metric in metrics] == ["not measured: 1+1 gave 3"]


async def test_a_row_that_hangs_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async def measure(bench: Bench) -> Measured:
        await trio.sleep_forever()
        raise AssertionError

    experiment = Experiment(specs=(FREE,), measure=measure)

    metrics, sound = await run_one(experiment, Bench(Settings(peers=False)))

    assert not sound
    assert metrics[0].note.startswith("not measured: TooSlowError")


def test_an_error_of_many_tells_them_all() -> None:
    error = ExceptionGroup("both", [BenchmarkBroken("a was lost"), OSError("b")])

    assert describe_error(error) == "a was lost; OSError: b"


def test_without_peers_there_is_neither_kernel_nor_fleet() -> None:
    bench = Bench(Settings(peers=False))

    with bench.kernel() as kernel:
        assert kernel is None
    with bench.remote_kernel() as remote_kernel:
        assert remote_kernel is None
    assert bench.fleet() is None


@pytest.mark.parametrize(("quick", "count"), [(False, 20), (True, 5)])
def test_a_quick_run_repeats_less(quick: bool, count: int) -> None:
    assert Bench(Settings(quick=quick)).repeat(20, 5) == count
