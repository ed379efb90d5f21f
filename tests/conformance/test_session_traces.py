"""Conformance: what sessions do is a behaviour of Session.tla, and what broken ones do is not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pyrepl3.conformance.session_modules import (
    SESSION_CONFIG,
    SESSION_RUNS,
    session_actions,
    session_module,
    session_runs,
)
from pyrepl3.conformance.tlc import Outcome, TlcResult, find_tlc, run_tlc, spec_directory
from pyrepl3.session.session_state import SessionState
from tests.conformance.broken_sessions import BROKEN
from tests.conformance.session_histories import History

Run = Sequence[Mapping[str, Any]]
TIME_LIMIT_S = 120.0
STEPS = 200
SEEDS = 200


def check(directory: Path, runs: Sequence[Run], *, whole: bool = True) -> TlcResult:
    (directory / f"{SESSION_RUNS}.tla").write_text(session_module(runs, whole=[whole] * len(runs)))
    config = directory / "SessionTrace.cfg"
    config.write_text(SESSION_CONFIG)
    specs = spec_directory()
    return run_tlc(
        find_tlc(),
        specs / "traces" / "SessionTrace.tla",
        config,
        library=[directory, specs],
        timeout_s=TIME_LIMIT_S,
        # Half of the time in a short run goes into compiling what runs but once.
        java_options=["-XX:TieredStopAtLevel=1"],
    )


def history(seed: int, make_state: type[SessionState] = SessionState) -> Run:
    history = History(Random(seed), make_state)
    history.run(STEPS)
    (run,) = session_runs(history.recorded)
    return run


def histories(count: int) -> list[Run]:
    return [history(seed) for seed in range(count)]


def where_it_shows(broken: type[SessionState]) -> Iterator[Run]:
    """Histories that a session which is not broken would have lived in another way."""
    for seed in range(SEEDS):
        run = history(seed, broken)
        if run != history(seed):
            yield run


def test_what_sessions_do_is_what_the_spec_says(tmp_path: Path) -> None:
    runs = histories(60)

    result = check(tmp_path, runs)

    assert result.outcome is Outcome.OK, result.message
    # One state for each event, the first being that of the `Open`: all were consumed.
    assert result.distinct == sum(map(len, runs))
    assert [action for action, times in session_actions(runs).items() if not times] == []


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_session_is_rejected(broken: type[SessionState], tmp_path: Path) -> None:
    result = check(tmp_path, list(itertools.islice(where_it_shows(broken), 5)))

    assert result.outcome in (Outcome.DEADLOCK, Outcome.SAFETY, Outcome.EVALUATION)


def test_an_effect_that_is_missing_at_the_end_is_missed(tmp_path: Path) -> None:
    """Unless the recording was cut there."""
    run = history(0)
    cut = run[: [event["action"] for event in run].index("Hand")]

    assert check(tmp_path, [cut]).outcome is Outcome.DEADLOCK
    assert check(tmp_path, [cut], whole=False).outcome is Outcome.OK


def test_a_session_that_hands_down_more_than_others_is_not_believed(tmp_path: Path) -> None:
    one, other = histories(2)
    boastful = [{**other[0], "handed_at_most": 2}, *other[1:]]

    assert check(tmp_path, [one, boastful]).outcome is Outcome.DEADLOCK
