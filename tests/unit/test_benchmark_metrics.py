"""Unit tests: the benchmarks' percentiles, ratios, targets, JSON lines and table."""

from __future__ import annotations

import json
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics import (
    Metric,
    Samples,
    Spec,
    Summary,
    Target,
    describe_target,
    evaluate,
    json_line,
    number,
    percentile,
    summarise,
    table,
)

LATENCY = Spec("latency", "ms", "a latency", Target(p50=2.0, floor_ratio=2.5, peer_ratio=20))
RATE = Spec("rate", "/s", "a rate", Target(p50=5000), higher_is_better=True)
FIGURES = st.lists(st.floats(min_value=0, max_value=1e9), min_size=2, max_size=50)


def made(spec: Spec, samples: Samples) -> Metric:
    return evaluate(spec, samples, load=0.25)


def test_a_percentile_lies_between_neighbours_by_its_distance() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([1.0, 2.0], 75) == 1.75
    assert percentile([7.0], 99) == 7.0


def test_the_ends_are_the_least_and_the_most() -> None:
    assert percentile([3.0, 1.0, 2.0], 0) == 1.0
    assert percentile([3.0, 1.0, 2.0], 100) == 3.0


@given(FIGURES)
def test_percentiles_agree_with_the_standard_library(samples: list[float]) -> None:
    expected = quantiles(samples, n=100, method="inclusive")

    for percent in (1, 5, 50, 95, 99):
        assert percentile(samples, percent) == pytest.approx(expected[percent - 1], abs=1e-6)


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_percentage_outside_its_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        percentile([1.0], percent)


def test_no_samples_have_no_percentile_and_no_summary() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)
    assert summarise([], higher_is_better=False) is None


def test_the_tail_of_a_rate_is_its_slow_side() -> None:
    samples = [float(value) for value in range(101)]

    assert summarise(samples, higher_is_better=False) == Summary(101, 50, 95, 99)
    assert summarise(samples, higher_is_better=True) == Summary(101, 50, 5, 1)


def test_ratios_of_a_latency_compare_medians() -> None:
    metric = made(LATENCY, Samples(subject=[1.0, 2.0, 9.0], floor=[1.0], peer=[50.0]))

    assert (metric.floor_ratio, metric.peer_ratio) == (2.0, 25.0)


def test_ratios_of_a_rate_are_of_cost_as_well() -> None:
    metric = made(RATE, Samples(subject=[10_000.0], floor=[30_000.0], peer=[500.0]))

    assert (metric.floor_ratio, metric.peer_ratio) == (3.0, 20.0)


def test_a_ratio_to_nothing_is_none() -> None:
    metric = made(LATENCY, Samples(subject=[1.0], floor=[0.0]))

    assert (metric.floor_ratio, metric.peer_ratio) == (None, None)


@pytest.mark.parametrize(
    ("samples", "met"),
    [
        (Samples(subject=[2.0], floor=[1.0], peer=[40.0]), True),
        (Samples(subject=[2.1], floor=[1.0], peer=[90.0]), False),
        (Samples(subject=[2.0], floor=[0.7], peer=[90.0]), False),
        (Samples(subject=[2.0], floor=[1.0], peer=[39.0]), False),
        (Samples(subject=[2.0], floor=[1.0]), None),
        (Samples(subject=[3.0], floor=[1.0]), False),
        (Samples(floor=[1.0], peer=[40.0]), None),
    ],
)
def test_a_target_is_met_only_when_every_part_is(samples: Samples, met: bool | None) -> None:
    assert made(LATENCY, samples).met is met


def test_a_rate_meets_its_target_from_above() -> None:
    assert made(RATE, Samples(subject=[5000.0])).met is True
    assert made(RATE, Samples(subject=[4999.0])).met is False


def test_a_tail_has_its_own_bound() -> None:
    spec = Spec("tail", "ms", "a tail", Target(p99=0))

    assert made(spec, Samples(subject=[0.0, 0.0])).met is True
    assert made(spec, Samples(subject=[0.0, 4.0])).met is False


def test_a_metric_without_a_target_is_not_judged() -> None:
    assert made(Spec("free", "ms", "no target"), Samples(subject=[1.0])).met is None


def test_the_target_reads_as_a_sentence() -> None:
    assert describe_target(LATENCY) == "≤ 2 ms, ≤ 2.5 x floor, ≥ 20 x better than the peer"
    assert describe_target(RATE) == "≥ 5,000 /s"


def test_a_json_line_holds_every_promised_field() -> None:
    samples = Samples(subject=[1.23456] * 3, floor=[1.0], others={"execnet": [2.0]}, warm_up=5)

    line = json_line(made(LATENCY, samples))

    fields = json.loads(line)
    assert "\n" not in line
    assert list(fields)[:10] == [
        *("name", "unit", "n", "p50", "p95", "p99"),
        *("floor_ratio", "peer_ratio", "target", "met"),
    ]
    assert (fields["n"], fields["p50"], fields["warm_up"]) == (3, 1.235, 5)
    assert '"floor": {"n": 1, ' in line
    assert fields["floor"] == {"n": 1, "p50": 1.0, "p95": 1.0, "p99": 1.0}
    assert fields["others"]["execnet"]["p50"] == 2.0
    assert fields["peer"] is None


def test_a_row_that_was_not_measured_still_has_its_line_and_its_reason() -> None:
    metric = made(LATENCY, Samples(note="not measured: it hung"))

    fields = json.loads(json_line(metric))

    assert (fields["n"], fields["p50"], fields["met"]) == (0, None, None)
    assert "latency: not measured: it hung" in table([metric])


def test_the_table_lines_its_columns_up() -> None:
    shown = table(
        [
            made(LATENCY, Samples(subject=[1.5], floor=[1.0], peer=[45.0])),
            made(RATE, Samples(subject=[12_345.0])),
        ]
    )

    heading, _, latency, rate = shown.splitlines()
    end_of_median = heading.index("p50") + len("p50")
    assert latency[:end_of_median].endswith(" 1.5")
    assert rate[:end_of_median].endswith(" 12,345")
    assert heading.index("target") == latency.index("≤") == rate.index("≥")
    assert " yes  " in latency


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0"), (0.12345, "0.123"), (203.6, "204"), (4e4, "40,000")],
)
def test_a_figure_is_as_long_as_it_is_worth(value: float | None, shown: str) -> None:
    assert number(value) == shown
