"""End-to-end tests: the doctor's report, and what the command says of itself."""

import json

from tests.end_to_end.command_driver import COMMAND, run


def test_the_doctor_starts_a_session_and_explains_each_line() -> None:
    done = run(COMMAND, "doctor")
    report = done.stdout.decode()

    assert done.returncode == 0
    assert "1+1 is 2" in report
    assert "Sessions can be started." in report
    for name in ("python", "pidfd", "namespaces", "bubblewrap", "cgroups", "descriptors"):
        assert name in report
    assert report.count("no  ") == report.count("to get it:")


def test_the_doctors_report_can_be_read_by_programs() -> None:
    done = run(COMMAND, "doctor", "--json")
    report = json.loads(done.stdout)

    assert report["ok"] is True
    assert done.returncode == 0
    assert {"name", "ok", "found", "meaning", "how"} == set(report["checks"][0])
    assert [check["name"] for check in report["checks"]][:2] == ["sessions", "python"]


def test_help_teaches_by_example() -> None:
    done = run(COMMAND, "--help")

    assert done.returncode == 0
    assert b"echo 'print(6 * 7)' | pyrepl3" in done.stdout
    assert b"Exit status" in done.stdout


def test_a_wrong_command_line_says_how_it_could_be_right() -> None:
    done = run(COMMAND, "script.py")

    assert done.returncode == 2
    assert done.stdout == b""
    assert b"pyrepl3 run script.py" in done.stderr


def test_the_version_is_told() -> None:
    assert run(COMMAND, "--version").stdout.startswith(b"PyREPL3 ")
