"""End-to-end tests: a supervisor ends with everything it had, however its block is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest
import trio

import pyrepl3
from actors.testing import assert_no_tasks_left, cancel_at_each_checkpoint

from .faults.oracle import eventually, nothing_left_behind, small_config

BOUND_S = 10.0


class Odd(BaseException):
    """No Exception, so that nobody may swallow it."""


@pytest.mark.parametrize("spawn", ["fork", "exec"])
async def test_a_supervisor_cancelled_at_any_checkpoint_leaves_nothing(spawn: str) -> None:
    """While it opens, while its session is used, and while it ends."""
    with nothing_left_behind(small_config(spawn=spawn)) as config, assert_no_tasks_left():

        async def use() -> None:
            async with (
                pyrepl3.open_supervisor(config) as supervisor,
                supervisor.session() as session,
            ):
                execution = await session.run("print('x'); 1 + 1")
                assert execution.value == 2

        runs = 0
        async for run in cancel_at_each_checkpoint(use):
            runs += 1
            assert run.cancelled or not run.cancel_sent or run.value is None
        assert runs > 10


async def test_a_supervisor_that_is_cancelled_while_code_runs_ends_in_bounded_time() -> None:
    """Code that ignores the interrupt, too."""
    config = small_config(min_idle=2)
    for code in ("while True: pass", "import itertools; sum(itertools.repeat(1))"):
        with nothing_left_behind(config) as marked, trio.fail_after(BOUND_S):
            with trio.CancelScope() as scope:
                async with (
                    pyrepl3.open_supervisor(marked) as supervisor,
                    supervisor.session() as session,
                    session.stream(f"print('up')\n{code}") as stream,
                ):
                    async for event in stream:
                        if isinstance(event, pyrepl3.Output):
                            scope.cancel()
            assert scope.cancelled_caught


async def test_a_supervisor_that_is_left_while_it_still_starts_leaves_nothing() -> None:
    """Its zygote is not ready, and its sessions are not there."""
    template = pyrepl3.Template(warmup_code="import time; time.sleep(60)")
    for spawn in ("fork", "exec"):
        config = small_config(templates={"python": template}, start_timeout_s=5.0, spawn=spawn)
        for wait_s in (0.0, 0.02, 0.2):
            with nothing_left_behind(config) as marked, trio.fail_after(BOUND_S):
                async with pyrepl3.open_supervisor(marked):
                    await trio.sleep(wait_s)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, Odd])
async def test_the_bodys_exception_leaves_as_the_very_object(kind: type[BaseException]) -> None:
    """In no group, with its traceback, out of the supervisor and out of the session."""
    raised = kind("mine")
    with nothing_left_behind(small_config()) as config:
        with pytest.raises(kind) as caught:
            async with pyrepl3.open_supervisor(config):
                raise raised
        assert caught.value is raised

        async def fail_in_a_session() -> None:
            async with (
                pyrepl3.open_supervisor(config) as supervisor,
                supervisor.session() as session,
            ):
                await session.run("1")
                raise raised

        with pytest.raises(kind) as caught:
            await fail_in_a_session()
        assert caught.value is raised


async def test_a_failed_execution_leaves_as_the_error_that_was_asked_for() -> None:
    """`raise_for_error` in the innermost block."""
    with (
        nothing_left_behind(small_config()) as config,
        pytest.raises(pyrepl3.ExecutionFailed, match="division by zero"),
    ):
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            supervisor.session() as session,
        ):
            (await session.run("1 / 0")).raise_for_error()


async def test_supervisors_nest_in_nurseries_at_any_depth() -> None:
    """One inside of another's session, in nurseries, in tasks, ended in any order."""

    async def nest(depth: int, config: pyrepl3.Config) -> int:
        below = 0
        async with (
            trio.open_nursery(),
            pyrepl3.open_supervisor(config) as supervisor,
            supervisor.session() as session,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(session.run, "print('beside')")
            if depth:
                below = await nest(depth - 1, config)
            own = (await session.run("1")).value
        return below + own

    with nothing_left_behind(small_config()) as config, trio.fail_after(BOUND_S):
        assert await nest(3, config) == 4


async def test_several_supervisors_live_side_by_side() -> None:
    """Each with sessions of its own; each ends alone."""
    values: list[int] = []

    async def use(number: int, config: pyrepl3.Config) -> None:
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            supervisor.session() as session,
        ):
            await session.run(f"mine = {number}")
            values.append((await session.run("mine")).value)

    with nothing_left_behind(small_config()) as config, trio.fail_after(BOUND_S):
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(use, number, config)
    assert sorted(values) == [0, 1, 2, 3, 4]


async def test_one_supervisor_is_used_from_many_nurseries() -> None:
    """A task that crashes takes its own session with it."""
    with nothing_left_behind(small_config()) as config, trio.fail_after(BOUND_S):
        async with pyrepl3.open_supervisor(config) as supervisor:

            async def crash() -> None:
                async with supervisor.session() as session:
                    await session.run("1")
                    raise ZeroDivisionError

            async def use() -> None:
                async with supervisor.session() as session:
                    await session.run("import time; time.sleep(60)")

            for _ in range(3):
                with pytest.RaisesGroup(ZeroDivisionError):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(use)
                        nursery.start_soon(crash)
            async with supervisor.session() as session:
                assert (await session.run("1 + 1")).value == 2


def test_trio_may_run_in_a_thread_that_is_not_the_main_one() -> None:
    """And the thread may end: no worker's life hangs on it."""
    values: list[int] = []

    async def main(config: pyrepl3.Config) -> None:
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            supervisor.session() as session,
        ):
            values.append((await session.run("20 + 22")).value)
            execution = await session.run("while True: pass", timeout_s=0.1)
            assert execution.error is not None
            assert execution.error.state == "kept"

    for spawn in ("fork", "exec"):
        with nothing_left_behind(small_config(spawn=spawn)) as config:
            thread = threading.Thread(target=trio.run, args=(main, config))
            thread.start()
            thread.join(BOUND_S)
            assert not thread.is_alive()
    assert values == [42, 42]


async def test_a_supervisor_outlives_trios_idle_threads() -> None:
    """Trio's cached threads end after ten idle seconds; a worker must not end with them.

    Nothing is waited for here: what would tie a worker to a thread is looked at instead.
    """
    with nothing_left_behind(small_config()) as config:
        async with (
            pyrepl3.open_supervisor(config) as supervisor,
            supervisor.session() as session,
        ):
            code = """if True:
                import ctypes, os
                signal = ctypes.c_int()
                ctypes.CDLL(None).prctl(2, ctypes.byref(signal))
                parent = open(f'/proc/{os.getppid()}/cmdline').read()
            """
            await session.run(code)
            assert (await session.run("signal.value")).value == 9
            assert "zygote" in (await session.run("parent")).value
            tasks = await session.run("len(os.listdir(f'/proc/{os.getppid()}/task'))")
            assert tasks.value == 1


async def test_a_session_that_was_not_used_goes_back_and_a_used_one_does_not() -> None:
    """The next caller gets the same process, or never that of another."""
    with nothing_left_behind(small_config(max_sessions=1)) as config:
        async with pyrepl3.open_supervisor(config) as supervisor:
            async with supervisor.session() as session:
                first = session.pid
            async with supervisor.session() as session:
                assert session.pid == first
                await session.run("used = 1")
            async with supervisor.session() as session:
                assert session.pid != first
                execution = await session.run("used")
                assert execution.error is not None
                assert execution.error.name == "NameError"


async def test_a_session_that_was_given_back_unused_cannot_reach_its_next_caller() -> None:
    """Whoever keeps the object has nothing in their hands."""
    with nothing_left_behind(small_config(max_sessions=1)) as config:
        async with pyrepl3.open_supervisor(config) as supervisor:
            async with supervisor.session() as former:
                pass
            async with supervisor.session() as session:
                assert session.pid == former.pid
                await session.run("secret = 1")
                for request in (
                    former.run("secret"),
                    former.complete("secr"),
                    former.interrupt(),
                ):
                    with pytest.raises(pyrepl3.SessionLost):
                        await request
                assert (await session.run("secret")).value == 1


async def test_what_is_left_of_a_closed_supervisor_refuses() -> None:
    """Its sessions and itself, in words, and at once."""
    with nothing_left_behind(small_config()) as config:
        async with pyrepl3.open_supervisor(config) as supervisor:
            async with supervisor.session() as session:
                await session.run("1")
            with trio.fail_after(BOUND_S), pytest.raises(pyrepl3.SessionLost):
                await session.run("1")
        with trio.fail_after(BOUND_S), pytest.raises(pyrepl3.ShuttingDown):
            async with supervisor.session():
                pass
        with trio.fail_after(BOUND_S), pytest.raises(pyrepl3.SessionLost):
            await session.run("1")


FORKING_SERVICE = """
import os, signal, sys, time, trio, pyrepl3
async def main():
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as session:
        await session.run("1")
        child = os.fork()
        if child == 0:
            time.sleep(60)
        print(session.pid, child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
trio.run(main)
"""


async def test_a_service_that_is_killed_leaves_nothing_though_a_fork_of_it_lives() -> None:
    """Row 74. The fork (multiprocessing makes some) has a copy of every socket."""
    command = [sys.executable, "-c", FORKING_SERVICE]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = b""
    while not said.endswith(b"\n"):
        said += await process.stdout.receive_some()
    worker, fork = map(int, said.split())
    await process.wait()
    try:
        await eventually(lambda: not psutil.pid_exists(worker), within_s=5)
        assert psutil.pid_exists(fork)
    finally:
        os.kill(fork, signal.SIGKILL)
        await process.stdout.aclose()
