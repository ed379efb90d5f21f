"""Numbers in, JSON lines and a table out.

Owns percentiles, ratios, targets and how a metric reads. Must not know how anything is measured:
no trio, no processes, no clock.

Two conventions hold everywhere. A *ratio* compares medians of one run and is of *cost*, whichever
way the unit runs: ``floor_ratio`` is how many times the floor's cost we pay (1 is the floor, less
is better), ``peer_ratio`` how many times the peer pays ours (more is better). And p95 and p99 are
always the *bad* tail: for a rate, 95 % and 99 % of the samples were at least that high.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import floor

import attrs

SIGNIFICANT_DIGITS = 4


@attrs.frozen
class Target:
    """What has to hold. The bounds are in the metric's own unit; a missing one asks nothing."""

    p50: float | None = None
    p99: float | None = None
    floor_ratio: float | None = None
    peer_ratio: float | None = None


@attrs.frozen
class Spec:
    """One metric: its name on the command line, its unit, and what it has to reach."""

    name: str
    unit: str
    what: str
    target: Target = Target()
    higher_is_better: bool = False


@attrs.frozen
class Samples:
    """What one experiment saw for one metric. Each contender has as many samples as it could."""

    subject: Sequence[float] = ()
    floor: Sequence[float] = ()
    peer: Sequence[float] = ()
    others: Mapping[str, Sequence[float]] = attrs.field(factory=dict)
    warm_up: int = 0
    note: str = ""


@attrs.frozen
class Summary:
    """The percentiles of one contender's samples, p95 and p99 on the bad side."""

    n: int
    p50: float
    p95: float
    p99: float


@attrs.frozen
class Metric:
    """A measured row: what is printed, in both forms."""

    spec: Spec
    subject: Summary | None
    floor: Summary | None
    peer: Summary | None
    others: Mapping[str, Summary]
    warm_up: int
    floor_ratio: float | None
    peer_ratio: float | None
    met: bool | None
    note: str
    load: float


def percentile(samples: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the samples lie, by linear interpolation.

    Raises ValueError without samples, or for a percentage outside 0 to 100.
    """
    if not samples:
        raise ValueError("a percentile of no samples")
    if not 0 <= percent <= 100:
        raise ValueError(f"a percentile is between 0 and 100, not {percent}")
    ordered = sorted(samples)
    position = (len(ordered) - 1) * percent / 100
    below = floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def summarise(samples: Sequence[float], *, higher_is_better: bool) -> Summary | None:
    """The percentiles of ``samples``, or None when there are none."""
    if not samples:
        return None
    bad = (5.0, 1.0) if higher_is_better else (95.0, 99.0)
    return Summary(
        n=len(samples),
        p50=percentile(samples, 50),
        p95=percentile(samples, bad[0]),
        p99=percentile(samples, bad[1]),
    )


def cost_ratio(
    dearer: Summary | None, cheaper: Summary | None, *, higher_is_better: bool
) -> float | None:
    """How many times ``cheaper``'s cost ``dearer`` pays, by medians; None where it has no sense."""
    if dearer is None or cheaper is None:
        return None
    over, under = dearer.p50, cheaper.p50
    if higher_is_better:
        over, under = under, over
    return over / under if under > 0 else None


def describe_target(spec: Spec) -> str:
    """The target as the table and the JSON line show it, or "" where none is set."""
    bound = "≥" if spec.higher_is_better else "≤"
    target = spec.target
    parts = []
    if target.p50 is not None:
        parts.append(f"{bound} {number(target.p50)} {spec.unit}")
    if target.p99 is not None:
        parts.append(f"p99 {bound} {number(target.p99)} {spec.unit}")
    if target.floor_ratio is not None:
        parts.append(f"≤ {number(target.floor_ratio)} x floor")
    if target.peer_ratio is not None:
        parts.append(f"≥ {number(target.peer_ratio)} x better than the peer")
    return ", ".join(parts)


def judge(
    spec: Spec, subject: Summary | None, floor_ratio: float | None, peer_ratio: float | None
) -> bool | None:
    """Whether the target is met: False if any part fails, None if a part cannot be judged."""
    target = spec.target
    sign = -1 if spec.higher_is_better else 1
    parts: list[tuple[float | None, float | None, int]] = [
        (subject.p50 if subject else None, target.p50, sign),
        (subject.p99 if subject else None, target.p99, sign),
        (floor_ratio, target.floor_ratio, 1),
        (peer_ratio, target.peer_ratio, -1),
    ]
    verdicts = [
        None if measured is None else measured * way <= bound * way
        for measured, bound, way in parts
        if bound is not None
    ]
    if not verdicts or subject is None:
        return None
    if False in verdicts:
        return False
    return None if None in verdicts else True


def evaluate(spec: Spec, samples: Samples, *, load: float) -> Metric:
    """The metric that ``samples`` make of ``spec``."""
    upward = spec.higher_is_better
    subject = summarise(samples.subject, higher_is_better=upward)
    floor_summary = summarise(samples.floor, higher_is_better=upward)
    peer = summarise(samples.peer, higher_is_better=upward)
    others = {
        name: summary
        for name, values in samples.others.items()
        if (summary := summarise(values, higher_is_better=upward)) is not None
    }
    floor_ratio = cost_ratio(subject, floor_summary, higher_is_better=upward)
    peer_ratio = cost_ratio(peer, subject, higher_is_better=upward)
    return Metric(
        spec=spec,
        subject=subject,
        floor=floor_summary,
        peer=peer,
        others=others,
        warm_up=samples.warm_up,
        floor_ratio=floor_ratio,
        peer_ratio=peer_ratio,
        met=judge(spec, subject, floor_ratio, peer_ratio),
        note=samples.note,
        load=load,
    )


def rounded(value: float | None) -> float | None:
    """``value`` to the digits that a noisy machine can vouch for."""
    return None if value is None else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def number(value: float | None) -> str:
    """A figure as a person reads it: three digits where it is small, separators where large."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def json_line(metric: Metric) -> str:
    """One metric as one line of JSON; the yardsticks' own percentiles come along, nested."""
    subject = metric.subject

    def nested(summary: Summary | None) -> dict[str, float | None] | None:
        if summary is None:
            return None
        tails = (rounded(figure) for figure in (summary.p50, summary.p95, summary.p99))
        return {"n": summary.n, **dict(zip(("p50", "p95", "p99"), tails, strict=True))}

    fields: dict[str, object] = {
        "name": metric.spec.name,
        "unit": metric.spec.unit,
        "n": subject.n if subject else 0,
        "p50": rounded(subject.p50) if subject else None,
        "p95": rounded(subject.p95) if subject else None,
        "p99": rounded(subject.p99) if subject else None,
        "floor_ratio": rounded(metric.floor_ratio),
        "peer_ratio": rounded(metric.peer_ratio),
        "target": describe_target(metric.spec),
        "met": metric.met,
        "warm_up": metric.warm_up,
        "floor": nested(metric.floor),
        "peer": nested(metric.peer),
        "others": {name: nested(summary) for name, summary in metric.others.items()},
        "load": rounded(metric.load),
        "note": metric.note,
    }
    return json.dumps(fields, ensure_ascii=False)


HEADINGS = ("metric", "unit", "n", "p50", "p95", "p99", "floor", "us/floor", "peer", "peer/us")
TEXT_COLUMNS = 2
VERDICTS = {True: "yes", False: "NO", None: "-"}


def table(metrics: Iterable[Metric]) -> str:
    """All metrics for a reader: aligned columns, and the notes below."""
    metrics = list(metrics)
    rows = [(*HEADINGS, "met", "target")] + [_table_row(metric) for metric in metrics]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < TEXT_COLUMNS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row[:-1], widths, strict=True))
        ]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    notes = [f"{metric.spec.name}: {metric.note}" for metric in metrics if metric.note]
    others = [
        f"{metric.spec.name}: {name} {number(summary.p50)} {metric.spec.unit} (n {summary.n})"
        for metric in metrics
        for name, summary in metric.others.items()
    ]
    return "\n".join([*lines, *([""] if notes or others else []), *others, *notes])


def _table_row(metric: Metric) -> tuple[str, ...]:
    subject = metric.subject
    return (
        metric.spec.name,
        metric.spec.unit,
        str(subject.n) if subject else "0",
        number(subject.p50 if subject else None),
        number(subject.p95 if subject else None),
        number(subject.p99 if subject else None),
        number(metric.floor.p50 if metric.floor else None),
        number(metric.floor_ratio),
        number(metric.peer.p50 if metric.peer else None),
        number(metric.peer_ratio),
        VERDICTS[metric.met],
        describe_target(metric.spec),
    )
