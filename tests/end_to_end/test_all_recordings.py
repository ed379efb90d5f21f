"""End-to-end tests: TLC judges what every supervisor of the tests before has recorded."""

from __future__ import annotations

import pytest

from pyrepl3.cli.spec_check import as_text
from pyrepl3.conformance.checking import check_recordings
from pyrepl3.conformance.recordings import read_recording

from .conftest import Recorded

MOST_EVENTS = 5_000
"""Of one recording: the beginning of a behaviour is one, and a flood teaches nothing new. Today's
longest has a third of that."""
LEAST_COVERAGE_PERCENT = 95.0


def test_the_specs_allow_what_the_service_did_in_all_of_these_tests(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    """All in one run of TLC for each spec. The coverage counts when the whole suite ran."""
    paths = [str(path) for path in recorded.paths if read_recording(str(path), at_most=1).events]
    if not paths:
        pytest.skip("no test before this one opened a supervisor")
    verdict = check_recordings(paths, at_most=MOST_EVENTS)
    with capsys.disabled():
        print("\n" + as_text(verdict, LEAST_COVERAGE_PERCENT))

    assert [spec.rejection for spec in verdict.specs if spec.rejection is not None] == []
    assert verdict.inconsistencies == ()
    if not recorded.whole_suite:
        pytest.skip("accepted; the coverage tells something of the whole suite only")
    assert verdict.coverage_percent >= LEAST_COVERAGE_PERCENT
