"""End-to-end tests: code that does not end by itself (rows 16 to 22)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import trio

import pyrepl3

from .oracle import (
    assert_lost,
    assert_usable,
    eventually,
    follow,
    small_config,
    wait_ended,
    watched_supervisor,
)

both_spawns = pytest.mark.parametrize("spawn", ["fork", "exec"])

BOUND_S = 5.0
"""For all that has graces of less than a second."""

LOOPS = {
    "endless loop": "while True: pass",
    "sleep": "import time; time.sleep(60)",
    "lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "await": "import asyncio; await asyncio.sleep(60)",
    "asyncio.run": "import asyncio; asyncio.run(asyncio.sleep(60))",
    "child process": "import subprocess; subprocess.run(['sleep', '60'])",
    "select": "import select; select.select([], [], [], 60)",
    "printing": "while True: print('x')",
    "input": "input('a question that nobody answers: ')",
}


@both_spawns
@pytest.mark.parametrize("loop", LOOPS)
async def test_code_past_its_deadline_is_interrupted_and_its_session_kept(
    loop: str, spawn: str
) -> None:
    """Row 16. SIGINT suffices."""
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        await session.run("kept = 1")
        with trio.fail_after(BOUND_S):
            told = await follow(session, LOOPS[loop], timeout_s=0.2)

        assert (told.error.code, told.error.state) == ("EXECUTION_TIMEOUT", "kept")
        assert told.error.name == "ExecutionTimeout"
        assert "0.2" in told.error.value
        assert (await session.run("kept")).value == 1


async def test_a_deadline_of_the_limits_holds_where_the_caller_names_none() -> None:
    """Row 16."""
    config = small_config(limits=pyrepl3.Limits(execution_timeout_s=0.2))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            told = await follow(session, "while True: pass")
            assert told.error.code == "EXECUTION_TIMEOUT"
            told = await follow(session, "import time; time.sleep(0.4); 1", timeout_s=math.inf)
            assert told.result.value == 1


async def test_a_deadline_begins_when_its_execution_does() -> None:
    """Row 16. What waits behind another is not late for that."""
    async with (
        watched_supervisor() as supervisor,
        supervisor.session() as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(session.run, "import time; time.sleep(0.4)")
        execution = await session.run("'in time'", timeout_s=0.3)

        assert execution.value == "in time"


STUBBORN = {
    "C call": "import itertools; sum(itertools.repeat(1))",
    "ignored signals": (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True: pass"
    ),
    "replaced handler": (
        "import signal\nsignal.signal(signal.SIGINT, lambda *_: None)\nwhile True: pass"
    ),
    "blocked signals": (
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})\n"
        "while True: pass"
    ),
    "swallowed interrupts": (
        "import time\nwhile True:\n    try: time.sleep(60)\n    except BaseException: pass"
    ),
    "swallowed cancellation": (
        "import asyncio\n"
        "while True:\n    try: await asyncio.sleep(60)\n    except BaseException: pass"
    ),
}


@both_spawns
@pytest.mark.parametrize("way", STUBBORN)
async def test_code_that_cannot_be_interrupted_is_killed_after_the_grace_with_its_stack(
    way: str, spawn: str
) -> None:
    """Row 17. And row 18: a C call, ignored signals, replaced handlers, blocked signals."""
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        with trio.fail_after(BOUND_S):
            told = await follow(session, "print('before')\n" + STUBBORN[way], timeout_s=0.2)

        assert told.text() == "before\n"
        assert (told.error.code, told.error.state) == ("EXECUTION_TIMEOUT", "lost")
        assert told.error.details["signal"] == "SIGKILL"
        assert "most recent call first" in told.error.details["stack"]
        await assert_lost(session)


@both_spawns
async def test_code_that_ignores_even_the_stack_dump_is_killed_all_the_same(spawn: str) -> None:
    """Row 18. All signals that can be blocked are."""
    code = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass"
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        with trio.fail_after(BOUND_S):
            told = await follow(session, code, timeout_s=0.2)

        assert (told.error.code, told.error.state) == ("EXECUTION_TIMEOUT", "lost")


async def test_an_interrupt_says_that_the_state_is_lost_when_it_took_a_kill() -> None:
    """Row 17. The answer to who asked, and the end of the execution, agree."""
    # Ignored from before it says that it is up: else the interrupt may come before the C call.
    code = """if True:
        import itertools, signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print('up')
        sum(itertools.repeat(1))
    """
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        outcomes: list[pyrepl3.InterruptOutcome] = []

        async def interrupt() -> None:
            outcomes.append(await session.interrupt())

        async with trio.open_nursery() as nursery:

            def started(event: pyrepl3.Event) -> None:
                if isinstance(event, pyrepl3.Output):
                    nursery.start_soon(interrupt)

            with trio.fail_after(BOUND_S):
                told = await follow(session, code, on_event=started)

        assert (told.error.code, told.error.state) == ("INTERRUPTED", "lost")
        assert [(each.state, each.by) for each in outcomes] == [("lost", "kill")]


@both_spawns
async def test_a_worker_that_stops_itself_is_found_and_killed(spawn: str) -> None:
    """Row 19. Long before any deadline."""
    code = "import os, signal; print('before'); os.kill(os.getpid(), signal.SIGSTOP)"
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        with trio.fail_after(BOUND_S):
            told = await follow(session, code + "\nimport time; time.sleep(60)")

        assert told.text() == "before\n"
        assert (told.error.code, told.error.state) == ("WORKER_DIED", "lost")
        assert "stopped itself" in told.error.value


@both_spawns
async def test_a_thread_that_keeps_a_process_from_exiting_is_killed_after_the_grace(
    spawn: str,
) -> None:
    """Row 20."""
    code = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
    async with watched_supervisor(small_config(spawn=spawn)) as supervisor:
        async with supervisor.session() as session:
            process = session.pid
            assert (await session.run(code)).error is None
        with trio.fail_after(BOUND_S):
            await wait_ended(process)


@pytest.mark.parametrize(
    "code",
    [
        "input('who? ')",
        "import sys; sys.stdin.readline() or input()",
        "import getpass; getpass.getpass()",
        "for line in open(0): pass\ninput()",
    ],
)
async def test_a_question_that_nobody_can_answer_is_an_end_of_file(code: str) -> None:
    """Row 21. No hang: EOFError in the code, STDIN_UNAVAILABLE outside."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        with trio.fail_after(BOUND_S):
            execution = await session.run(code)
        assert execution.error is not None
        assert (execution.error.name, execution.error.code) == ("EOFError", "STDIN_UNAVAILABLE")
        assert execution.error.state == "kept"
        caught = await session.run("try: input()\nexcept EOFError: print('nobody')")
        assert caught.logs.stdout == "nobody\n"


async def test_a_thread_that_prints_after_the_reply_is_told_with_the_next_execution(
    tmp_path: Path,
) -> None:
    """Row 22. Tagged as background."""
    done = tmp_path / "done"
    code = f"""if True:
        import threading
        def late():
            print('late')
            open({str(done)!r}, 'w').close()
        threading.Timer(0.05, late).start()
    """
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        first = await follow(session, code)
        await eventually(done.exists)
        second = await follow(session, "print('next')")

        assert first.text() == ""
        outputs = [event for event in second.events if isinstance(event, pyrepl3.Output)]
        assert [(each.data, each.background) for each in outputs] == [
            ("late\n", True),
            ("next\n", False),
        ]


async def test_what_is_printed_between_executions_is_bounded(tmp_path: Path) -> None:
    """Row 22. The rest is told as a gap."""
    code = """if True:
        import threading
        def flood():
            for _ in range(20_000):
                print('x' * 99)
            open(done, 'w').close()
        threading.Timer(0.05, flood).start()
    """
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        done = tmp_path / "done"
        await session.run(f"done = {str(done)!r}")
        await follow(session, code)
        await eventually(done.exists)
        told = await follow(session, "'next'")

        printed = len(told.text())
        assert 0 < printed <= 64 * 2**10
        assert printed + told.gaps_bytes() == 2_000_000
        await assert_usable(session)
