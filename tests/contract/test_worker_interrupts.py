"""Contract tests: interrupts strike in user code, once, and never across an execution."""

import signal
import time
from collections.abc import Iterator

import pytest
from worker_driver import Worker, interpreters, open_worker


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        yield opened


SLEEPING = {
    "time.sleep": "import time; print('go'); time.sleep(60)",
    "a lock": "import threading; l = threading.Lock(); l.acquire(); print('go'); l.acquire()",
    "a child process": "import subprocess; print('go'); subprocess.run(['sleep', '60'])",
    "await": "import asyncio; print('go'); await asyncio.sleep(60)",
    "asyncio.run": "import asyncio; print('go'); asyncio.run(asyncio.sleep(60))",
    "a slow repr": "class S:\n def __repr__(s): print('go'); import time; time.sleep(60)\nS()",
}
BUSY = {
    "an endless loop": "print('go')\nwhile True: pass",
    "an endless loop in a coroutine": "import asyncio\nawait asyncio.sleep(0)\nprint('go')\n"
    "while True: pass",
    "a busy await": "import asyncio\nprint('go')\nwhile True: await asyncio.sleep(0)",
    "a busy background task": "import asyncio\nasync def spin():\n  while True: pass\n"
    "t = asyncio.ensure_future(spin())\nprint('go')\nawait asyncio.sleep(60)",
}


def interrupted(worker: Worker) -> None:
    started_s = time.monotonic()
    worker.interrupt()
    end = worker.finish().end

    assert (end["name"], end["code"], end["state"]) == ("KeyboardInterrupt", "INTERRUPTED", "kept")
    assert time.monotonic() - started_s < 5
    assert "pyrepl3" not in "".join(end["traceback"])
    assert worker.words[1] == worker.number
    assert worker.run("'alive'").value == "alive"


@pytest.mark.parametrize("code", SLEEPING.values(), ids=SLEEPING)
def test_an_interrupt_ends_a_wait(worker: Worker, code: str) -> None:
    worker.execute(code)
    assert worker.receive()["data"] == b"go\n"
    worker.wait_until_asleep()

    interrupted(worker)


@pytest.mark.parametrize("after_s", [0.002, 0.005, 0.01, 0.02, 0.03, 0.04])
def test_an_interrupt_ends_the_start_of_a_child_that_waits_for_its_turn(
    worker: Worker, after_s: float
) -> None:
    """It waits for a moment until what was printed before it is read, which it is not yet."""
    worker.execute(
        "import subprocess; print('go'); print('x' * 60_000); subprocess.run(['sleep', '60'])"
    )
    assert worker.receive()["data"] == b"go\n"
    time.sleep(after_s)

    interrupted(worker)


@pytest.mark.parametrize("code", BUSY.values(), ids=BUSY)
def test_an_interrupt_ends_a_busy_loop(worker: Worker, code: str) -> None:
    worker.execute(code)
    assert worker.receive()["data"] == b"go\n"
    time.sleep(0.02)

    interrupted(worker)


def test_an_interrupt_ends_a_question(worker: Worker) -> None:
    worker.execute("input('? ')", allow_input=True)
    question = worker.receive()
    worker.wait_until_asleep()
    interrupted(worker)

    worker.send(type="input_response", input=question["input"], execution="e", data="too late")
    assert worker.run("input()", "in time").value == "in time"


def test_an_interrupt_ends_an_endless_print_and_loses_no_byte_of_a_frame(worker: Worker) -> None:
    worker.execute("n = 0\nwhile True:\n    print('x' * 5000); n += 1")
    worker.wait_until_asleep()
    worker.interrupt()
    execution = worker.finish()

    assert execution.end["code"] == "INTERRUPTED"
    lines = execution.text().splitlines()
    assert set(lines) == {"x" * 5000}
    assert len(lines) - worker.run("n").value in (0, 1)


def test_code_that_catches_the_interrupt_goes_on(worker: Worker) -> None:
    code = """
import time
print('go')
try:
    time.sleep(60)
except KeyboardInterrupt:
    seen = 'caught'
seen
"""
    worker.execute(code)
    worker.receive()
    worker.wait_until_asleep()
    worker.interrupt()

    assert worker.finish().value == "caught"


def test_an_interrupt_that_comes_late_harms_neither_the_idle_worker_nor_the_next(
    worker: Worker,
) -> None:
    worker.run("1")
    worker.interrupt()
    time.sleep(0.05)

    assert worker.run("'unharmed'").value == "unharmed"


def test_an_interrupt_for_an_execution_that_waits_ends_it_at_once(worker: Worker) -> None:
    worker.words[0] = worker.number + 1

    end = worker.run("print('never')").end
    worker.process.send_signal(signal.SIGINT)

    assert (end["name"], end["code"]) == ("KeyboardInterrupt", "INTERRUPTED")
    assert worker.run("2").value == 2


def test_a_signal_behind_its_page_does_not_strike_the_next_execution(worker: Worker) -> None:
    # The service was held up between the two, and the worker took the interrupt from the page.
    worker.words[0] = worker.number + 1
    assert worker.run("1").end["code"] == "INTERRUPTED"
    worker.execute("import time; print('go'); time.sleep(0.2); 'untouched'")
    assert worker.receive()["data"] == b"go\n"
    worker.interrupt(worker.number - 1)

    assert worker.finish().value == "untouched"
    assert worker.run("import signal; signal.raise_signal(2)").end["name"] == "KeyboardInterrupt"


def test_a_signal_of_the_users_own_is_a_plain_keyboard_interrupt(worker: Worker) -> None:
    end = worker.run("import os, signal\nos.kill(os.getpid(), signal.SIGINT)").end

    assert (end["name"], end["code"]) == ("KeyboardInterrupt", None)


def test_a_handler_of_the_users_own_is_honoured_and_stays(worker: Worker) -> None:
    worker.run(
        "import os, signal\ncalls = []\nsignal.signal(signal.SIGINT, lambda *a: calls.append(1))"
    )
    worker.run("os.kill(os.getpid(), signal.SIGINT)")

    assert worker.run("len(calls)").value == 1

    worker.run("signal.signal(signal.SIGINT, signal.default_int_handler)")
    assert worker.run("os.kill(os.getpid(), signal.SIGINT)").end["name"] == "KeyboardInterrupt"


def test_an_alarm_that_raises_in_a_flood_of_prints_breaks_no_frame(worker: Worker) -> None:
    code = """
import signal
class Alarm(Exception): pass
def ring(*_): raise Alarm
signal.signal(signal.SIGALRM, ring)
rings = 0
for _ in range(50):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        while True: print('tick')
    except Alarm:
        rings += 1
rings
"""

    execution = worker.run(code)

    assert execution.value == 50
    # An alarm may strike between a print's text and its newline, as in any script.
    assert set(execution.text().replace("\n", "").split("tick")) == {""}


def test_the_stack_is_dumped_into_the_page_on_request(worker: Worker) -> None:
    worker.execute("import time\ndef stuck():\n    print('go'); time.sleep(60)\nstuck()")
    worker.receive()
    worker.wait_until_asleep()
    worker.process.send_signal(signal.SIGUSR1)
    for _ in range(1000):
        if "stuck" in worker.read_page():
            break
        time.sleep(0.002)

    assert "in stuck" in worker.read_page()

    interrupted(worker)
