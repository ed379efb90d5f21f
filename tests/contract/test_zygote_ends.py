"""Contract tests: how workers end, what the zygote says of it, and what it kills after them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from zygote_driver import DrivenZygote, eventually, is_alive, ready_zygote, start_zygote


@pytest.fixture
def zygote() -> Iterator[DrivenZygote]:
    with ready_zygote() as zygote:
        yield zygote


def ended(status: int | None, number: int | None, *, stopped: bool = False) -> dict[str, object]:
    return {"status": status, "signal": number, "stopped": stopped}


def test_an_exit_status_is_reported(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.begin("import os; os._exit(7)")

    assert ended(7, None) == zygote.exit_of(worker)
    assert worker.is_dead()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_deadly_signal_is_reported(zygote: DrivenZygote, number: signal.Signals) -> None:
    worker = zygote.start()
    worker.begin(f"import os; os.kill(os.getpid(), {int(number)})")

    assert ended(None, int(number)) == zygote.exit_of(worker)


def test_a_worker_that_stops_itself_is_found_and_killed(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    worker.begin("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")

    assert ended(None, signal.SIGKILL, stopped=True) == zygote.exit_of(worker)


def test_a_worker_is_killed_on_request(zygote: DrivenZygote) -> None:
    worker, other = zygote.start(), zygote.start()
    zygote.tell({"type": "kill", "pid": worker.pid})

    assert ended(None, signal.SIGKILL) == zygote.exit_of(worker)
    assert other.run("1 + 1") == 2


def test_only_workers_are_killed_on_request(zygote: DrivenZygote) -> None:
    zygote.tell({"type": "kill", "pid": os.getpid()})

    assert zygote.start().run("1 + 1") == 2


ORPHANS = {
    "a child": "pid = os.fork()\nif pid == 0: time.sleep(60)",
    "a child with a session of its own": (
        "pid = os.fork()\nif pid == 0:\n    os.setsid(); time.sleep(60)"
    ),
    "a daemon": (
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.write(w, str(os.getpid()).encode()); time.sleep(60)\n"
        "    os._exit(0)\n"
        "pid = int(os.read(r, 20))"
    ),
    "a program": (
        "import subprocess\npid = subprocess.Popen(['sleep', '60'], start_new_session=True).pid"
    ),
    "a stopped child": ("pid = os.fork()\nif pid == 0:\n    os.setsid(); os.kill(os.getpid(), 19)"),
}


@pytest.mark.parametrize("make", ORPHANS.values(), ids=ORPHANS)
@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_what_a_dead_worker_leaves_is_killed(spawn: str, make: str) -> None:
    with ready_zygote(spawn=spawn) as zygote:
        worker, bystander = zygote.start(), zygote.start()
        orphan = worker.run(f"import os, time\n{make}\npid")
        assert is_alive(orphan)

        worker.begin("os._exit(3)")
        assert ended(3, None) == zygote.exit_of(worker)
        assert eventually(lambda: not is_alive(orphan))
        assert bystander.run("1 + 1") == 2


def test_the_daemon_of_a_live_worker_survives_the_death_of_a_sibling(
    zygote: DrivenZygote,
) -> None:
    worker, sibling = zygote.start(), zygote.start()
    daemon = worker.run(f"import os, time\n{ORPHANS['a daemon']}\npid")
    sibling.begin("import os; os._exit(0)")
    zygote.exit_of(sibling)

    # The zygote answers only after it has looked for orphans.
    assert zygote.start().run("1 + 1") == 2
    assert is_alive(daemon)


def test_a_tree_of_orphans_is_killed_to_the_last(zygote: DrivenZygote) -> None:
    """Each of them left its group, and each is adopted only when its parent is killed."""
    worker = zygote.start()
    code = (
        "import os, time\n"
        "r, w = os.pipe()\n"
        "for depth in range(5):\n"
        "    if os.fork(): break\n"
        "    os.setsid(); os.write(w, b'%d ' % os.getpid())\n"
        "else: time.sleep(60)\n"
        "if depth: time.sleep(60)\n"
        "text = b''\n"
        "while text.count(b' ') < 5: text += os.read(r, 100)\n"
        "[int(pid) for pid in text.split()]"
    )
    orphans = worker.run(code)
    assert len(orphans) == 5

    worker.begin("os._exit(0)")
    zygote.exit_of(worker)
    assert eventually(lambda: not any(map(is_alive, orphans)))
    assert eventually(lambda: children_of(zygote.process.pid) == [])


def test_children_that_a_preloaded_module_started_are_left_alone() -> None:
    warmup = "import subprocess; helper = subprocess.Popen(['sleep', '60'])"
    with ready_zygote(warmup_code=warmup) as zygote:
        worker = zygote.start()
        helper = worker.run("helper.pid")
        worker.begin("import os; os._exit(0)")
        zygote.exit_of(worker)

        assert zygote.start().run("1 + 1") == 2
        assert is_alive(helper)
    assert not is_alive(helper)


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_the_end_of_the_control_socket_ends_everything(spawn: str) -> None:
    with ready_zygote(spawn=spawn) as zygote:
        busy, daemon = zygote.start(), zygote.start()
        busy.begin("while True: pass")
        orphan = daemon.run(f"import os, time\n{ORPHANS['a daemon']}\npid")

        zygote.control.close()
        assert zygote.process.wait(10) == 0
        assert busy.is_dead()
        assert daemon.is_dead()
        assert not is_alive(orphan)


def test_sigterm_ends_a_zygote_in_the_same_way(zygote: DrivenZygote) -> None:
    worker = zygote.start()
    orphan = worker.run(f"import os, time\n{ORPHANS['a daemon']}\npid")
    zygote.process.terminate()

    assert zygote.process.wait(10) == 0
    assert worker.is_dead()
    assert not is_alive(orphan)


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_workers_die_with_a_zygote_that_is_killed(spawn: str) -> None:
    with ready_zygote(spawn=spawn) as zygote:
        busy, idle = zygote.start(), zygote.start()
        busy.begin(
            "import signal; signal.pthread_sigmask(0, signal.valid_signals())\nwhile True: pass"
        )
        zygote.process.kill()

        assert busy.is_dead(5)
        assert idle.is_dead(5)


def test_a_zygote_whose_service_goes_in_its_warm_up_does_not_go_on() -> None:
    """The code runs for ever, and shuts its ears: only a signal that none can ignore ends it."""
    warmup = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "os.write(2, b'looping')\n"
        "while True: pass"
    )
    with start_zygote(warmup_code=warmup, stderr=subprocess.PIPE) as zygote:
        assert zygote.process.stderr is not None
        assert zygote.process.stderr.read(7) == b"looping"
        zygote.control.close()

        assert zygote.process.wait(10) == -signal.SIGKILL
        zygote.process.stderr.close()


def test_a_zygote_whose_service_has_gone_before_its_warm_up_ends() -> None:
    with start_zygote(warmup_code="while True: pass") as zygote:
        zygote.control.close()

        assert zygote.process.wait(10) in (0, -signal.SIGKILL)


FAILURES = {
    "a module that is not there": (
        {"preload": ["no_such_module"]},
        "ModuleNotFoundError",
        "no_such_module",
    ),
    "warm-up code that raises": ({"warmup_code": "1 / 0"}, "ZeroDivisionError", "division"),
    "warm-up code that exits": ({"warmup_code": "raise SystemExit(3)"}, "SystemExit", "3"),
    "warm-up code that is none": ({"warmup_code": "("}, "SyntaxError", "never closed"),
    "a directory that is not there": ({"cwd": "/no/such"}, "FileNotFoundError", "/no/such"),
}


@pytest.mark.parametrize(("changes", "name", "text"), FAILURES.values(), ids=FAILURES)
def test_a_failed_preparation_is_told_with_its_traceback(
    changes: dict[str, object], name: str, text: str
) -> None:
    with start_zygote(**changes) as zygote:
        message, _ = zygote.hear()

        assert ("zygote_failed", name) == (message["type"], message["name"])
        assert text in message["value"]
        assert name in message["traceback"]
        assert zygote.process.wait(10) == 1


def test_a_huge_failure_is_cut_to_fit_into_a_packet() -> None:
    with start_zygote(warmup_code="raise ValueError('x' * 10**6)") as zygote:
        message, _ = zygote.hear()

    assert 1000 < len(message["value"]) <= 16 * 1024


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
