"""Contract tests: a real worker tells what code did beside its value. Every interpreter."""

from collections.abc import Iterator

import pytest
from worker_driver import Worker, interpreters, open_worker


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        yield opened


def test_names_are_told_where_it_is_asked_for(worker: Worker) -> None:
    worker.run("x = 1; row = [1]; old = 'a'; table = bytearray(100)")
    code = "x = 2.5; row.append(2); table[50] = 1; del old\nclass New:\n    pass\nnew = New()"

    report = worker.run(code, report_namespace=True).end["namespace"]

    assert [(each["name"], each["type"]) for each in report["added"]] == [
        ("New", "type"),
        ("new", "New"),
    ]
    assert [(each["name"], each["is_modified"]) for each in report["changed"]] == [
        ("x", False),
        ("row", True),
        ("table", True),
    ]
    assert [(each["name"], each["type"]) for each in report["removed"]] == [("old", "str")]
    assert all(each["size_bytes"] > 0 for entries in list(report.values())[:3] for each in entries)
    assert "namespace" not in worker.run("1").end


def test_an_array_that_python_code_gives_is_not_asked(worker: Worker) -> None:
    code = (
        "class Liar(bytearray):\n"
        "    def __buffer__(self, flags): raise SystemExit\n"
        "    def __sizeof__(self): raise SystemExit\n"
        "    nbytes = property(__sizeof__)\n"
        "liar = Liar(10)"
    )

    report = worker.run(code, report_namespace=True).end["namespace"]
    worker.run("liar[0] = 1", report_namespace=True)

    assert [each["size_bytes"] for each in report["added"] if each["name"] == "liar"] == [None]


def test_what_no_snapshot_covers_is_told_where_there_is_one(worker: Worker) -> None:
    code = "import subprocess, os; _ = subprocess.run(['true']); open('/tmp', 'r+')"

    guarded = worker.run(code, guard=True).end
    plain = worker.run(code).end

    assert guarded["name"] == plain["name"] == "IsADirectoryError"
    assert guarded["uncovered"] == [
        {"kind": "process_started", "detail": "true"},
        {"kind": "file_written", "detail": "/tmp"},
    ]
    assert "uncovered" not in plain


def test_interrupts_strike_in_the_hook_and_leave_it_whole(worker: Worker) -> None:
    for _ in range(20):
        worker.execute("while True: id(1); open('/dev/null', 'w').close()", guard=True)
        while worker.words[4] != worker.number:
            pass  # it was not taken from the socket yet
        worker.interrupt()
        end = worker.finish().end

        assert "uncovered" in end, end
        assert (end["name"], end["code"], end["uncovered"]) == (
            "KeyboardInterrupt",
            "INTERRUPTED",
            [],
        )
    assert worker.run("1 + 1").value == 2
