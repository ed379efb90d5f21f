"""Conformance tests: what simulated services do is what the specs allow, and broken ones differ."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from pyrepl3.conformance.checking import check_recordings
from pyrepl3.recording import open_recording
from tests.simulation.planted_bugs import POOL_BUGS
from tests.simulation.runs import run_one

SEEDS = range(300)
SEEDS_OF_A_BUG = 400
AT_ONCE = 50
COVERED_AT_LEAST_PERCENT = 95


def record(
    folder: Path, seeds: Iterable[int], *, bug: str | None = None, of: set[str]
) -> list[str]:
    """The recordings of these seeds' services, of what ``of`` names."""
    paths = []
    for seed in seeds:
        outcome = run_one(seed, bug=bug)
        path = folder / f"seed-{seed}.ndjson"
        with open_recording(str(path), outcome.plan.config) as recording:
            for event in outcome.events:
                if event["of"] in of:
                    recording.write(event)
        paths.append(str(path))
    return paths


def test_what_simulated_services_do_is_what_the_specs_allow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = check_recordings(record(tmp_path, SEEDS, of={"pool", "session"}))

    with capsys.disabled():
        for spec in verdict.specs:
            taken = len(spec.taken) - len(spec.never_taken)
            print(
                f"\n{spec.spec}.tla: {spec.events} recorded actions of {spec.runs} runs, "
                f"{taken} of its {len(spec.taken)} actions taken"
            )
    assert [spec.rejection for spec in verdict.specs] == [None, None]
    assert verdict.inconsistencies == ()
    assert verdict.coverage_percent >= COVERED_AT_LEAST_PERCENT


@pytest.mark.parametrize("bug", sorted(POOL_BUGS))
def test_what_a_broken_pool_does_is_not(bug: str, tmp_path: Path) -> None:
    """The rarest of them needs some hundred worlds to show."""
    for first in range(0, SEEDS_OF_A_BUG, AT_ONCE):
        seeds = range(first, first + AT_ONCE)
        verdict, _ = check_recordings(record(tmp_path, seeds, bug=bug, of={"pool"})).specs
        if not verdict.accepted:
            break

    assert verdict.rejection is not None
    assert verdict.rejection.event is not None
