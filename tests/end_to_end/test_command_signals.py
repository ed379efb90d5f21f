"""End-to-end tests: signals to the command reach its script, and leave no process behind."""

import os
import signal
import subprocess

import pytest

from tests.end_to_end.command_driver import (
    COMMAND,
    LIMIT_S,
    descendants,
    environment,
    started,
    wait_gone,
)

SLEEP = "import time\nprint('ready', flush=True)\ntime.sleep(60)"
SPIN = "print('ready', flush=True)\nwhile True: pass"
CHILD = (
    "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
    "print('ready', flush=True)\nchild.wait()"
)
READS = "print('ready', flush=True)\ninput()"


def _ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


@pytest.mark.parametrize(
    "code", [SLEEP, SPIN, CHILD, READS], ids=["sleep", "spin", "child", "input"]
)
@pytest.mark.parametrize(
    ("number", "status", "told"),
    [(signal.SIGINT, 130, b"KeyboardInterrupt"), (signal.SIGTERM, 143, b"SIGTERM")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_the_script_and_all_its_processes(
    code: str, number: int, status: int, told: bytes
) -> None:
    with started("-c", code) as process:
        _ready(process)
        processes = descendants(process.pid)
        process.send_signal(number)
        # Not communicate(): it would end the script's input at once.
        process.wait(LIMIT_S)
        assert process.stderr is not None
        errors = process.stderr.read()

    assert process.returncode == status
    assert told in errors
    assert processes
    assert wait_gone(processes) == []


def test_a_killed_command_leaves_no_process_behind() -> None:
    with started("-c", CHILD) as process:
        _ready(process)
        processes = descendants(process.pid)
        process.kill()
        process.wait(LIMIT_S)

    assert len(processes) >= 3
    assert wait_gone(processes) == []


def test_each_interrupt_reaches_a_script_that_handles_them() -> None:
    code = (
        "import time\n"
        "for turn in range(3):\n"
        "    try:\n        print('turn', turn, flush=True)\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        pass\n"
        "raise SystemExit(5)"
    )
    with started("-c", code) as process:
        assert process.stdout is not None
        for turn in range(3):
            assert process.stdout.readline() == f"turn {turn}\n".encode()
            process.send_signal(signal.SIGINT)

        assert process.wait(LIMIT_S) == 5


def test_handlers_of_an_interrupt_may_take_their_time() -> None:
    code = (
        "import atexit, time\natexit.register(print, 'exit handler')\n"
        "try:\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "finally:\n    time.sleep(3)\n    print('cleaned up')"
    )
    with started("-c", code) as process:
        _ready(process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=LIMIT_S)

    assert output == b"cleaned up\nexit handler\n"
    assert process.returncode == 130


def test_a_script_may_handle_a_request_to_terminate() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('asked to end'))\n"
        "print('ready', flush=True)\ntime.sleep(60)"
    )
    with started("-c", code) as process:
        _ready(process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=LIMIT_S)

    assert errors == b"asked to end\n"
    assert process.returncode == 1


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
def test_an_interrupt_at_any_moment_of_the_start_ends_it(delay_s: float) -> None:
    with started("-c", "import time; time.sleep(60)") as process:
        pid = process.pid
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05 + delay_s)
        processes = descendants(pid)
        os.kill(pid, signal.SIGINT)
        process.communicate(timeout=LIMIT_S)

    # Python itself, still starting, dies of the signal: that is before our first line runs.
    assert process.returncode in (130, -signal.SIGINT)
    assert wait_gone(processes) == []


def test_background_children_end_with_the_script() -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    done = subprocess.run(
        [*COMMAND, "-c", code], capture_output=True, timeout=LIMIT_S, env=environment()
    )

    assert not os.path.exists(f"/proc/{int(done.stdout)}")
