"""End-to-end tests: processes that do not start, and processes that die (rows 1 to 9, 12 to 15)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

import pyrepl3

from .oracle import (
    assert_at_target,
    assert_explained,
    assert_lost,
    assert_usable,
    eventually,
    follow,
    small_config,
    wait_ended,
    watched_supervisor,
    workers_of,
    zygotes_of,
)

both_spawns = pytest.mark.parametrize("spawn", ["fork", "exec"])


def config_with_broken(broken: pyrepl3.Template, **pool: float) -> pyrepl3.Config:
    """A sound template beside a broken one; the pauses are short, so that recovery is, too."""
    pool = {
        "backoff_initial_s": 0.02,
        "backoff_max_s": 0.1,
        "breaker_reset_s": 0.3,
        "start_timeout_s": 5.0,
        **pool,
    }
    return small_config(templates={"python": pyrepl3.Template(), "broken": broken}, **pool)


async def spawn_error(supervisor: pyrepl3.Supervisor) -> pyrepl3.WorkerSpawnFailed:
    """What a caller is told who wants a session of the broken template.

    POOL_DEGRADED is what the next ones are told; wait until one start is tried again.
    """
    with trio.fail_after(20):
        while True:
            try:
                async with supervisor.session("broken"):
                    pytest.fail("a broken template gave a session")
            except pyrepl3.PoolDegraded as degraded:
                assert_explained(degraded)
                await trio.sleep(degraded.details["retry_after_s"])
            except pyrepl3.WorkerSpawnFailed as failed:
                assert_explained(failed)
                return failed


def executable(path: Path, text: str) -> str:
    """A program of one's own, as a template's interpreter."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


# --- 1: the spawn fails -------------------------------------------------------------------------


async def test_an_interpreter_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    """Row 1. ENOENT."""
    missing = str(tmp_path / "no-such-python")
    async with watched_supervisor(
        config_with_broken(pyrepl3.Template(python=missing))
    ) as supervisor:
        failed = await spawn_error(supervisor)

        assert missing in failed.why
        assert failed.details["errno"] == 2


async def test_an_interpreter_that_is_not_executable_is_told_with_its_path(tmp_path: Path) -> None:
    """Row 1. EACCES."""
    forbidden = tmp_path / "python"
    forbidden.write_text("not executable")
    async with watched_supervisor(
        config_with_broken(pyrepl3.Template(python=str(forbidden)))
    ) as supervisor:
        failed = await spawn_error(supervisor)

        assert str(forbidden) in failed.why
        assert failed.details["errno"] == 13


async def test_a_fork_that_the_system_refuses_is_told_with_its_errno() -> None:
    """Row 1. EAGAIN, which the template's own code has its zygote's fork answer."""
    refuse = """if True:
        import errno, os
        def fork():
            raise OSError(errno.EAGAIN, 'no more processes')
        os.fork = fork
    """
    async with watched_supervisor(
        config_with_broken(pyrepl3.Template(warmup_code=refuse))
    ) as supervisor:
        failed = await spawn_error(supervisor)

        assert failed.details["name"] == "EAGAIN"
        assert "no more processes" in failed.why


async def test_a_breaker_opens_for_its_template_alone_and_closes_when_it_is_mended(
    tmp_path: Path,
) -> None:
    """Row 1. Pauses between the starts, POOL_DEGRADED meanwhile, recovery by itself."""
    python = tmp_path / "python"
    config = config_with_broken(pyrepl3.Template(python=str(python)), breaker_reset_s=0.5)
    async with watched_supervisor(config) as supervisor:
        await eventually(lambda: supervisor.statistics().pool.open_breakers == ("broken",))
        with trio.fail_after(1), pytest.raises(pyrepl3.PoolDegraded) as caught:
            async with supervisor.session("broken"):
                pass
        assert_explained(caught.value)
        assert caught.value.retryable
        assert 0 < caught.value.details["retry_after_s"] <= 0.5
        assert str(python) in caught.value.why
        assert supervisor.statistics().pool.start_failures <= 4

        async with supervisor.session("python") as session:
            await assert_usable(session)

        executable(python, f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        await eventually(lambda: supervisor.statistics().pool.open_breakers == ())
        async with supervisor.session("broken") as session:
            await assert_usable(session)


# --- 2: death before ready ----------------------------------------------------------------------


@both_spawns
async def test_a_start_that_dies_is_told_with_the_end_of_its_stderr(spawn: str) -> None:
    """Row 2. The tail is bounded, and its last words are in it."""
    code = "import os; os.write(2, b'x' * 1_000_000 + b'these last words'); os._exit(7)"
    broken = pyrepl3.Template(warmup_code=code, spawn=spawn)
    async with watched_supervisor(config_with_broken(broken)) as supervisor:
        failed = await spawn_error(supervisor)

        assert "these last words" in failed.why
        assert "exit status" in failed.why
        assert "7" in failed.why
        assert len(failed.why) < 10_000


@both_spawns
async def test_a_preload_that_fails_is_told_with_its_exception(spawn: str) -> None:
    """Row 2. A module that is not there."""
    broken = pyrepl3.Template(preload=("no_such_module",), spawn=spawn)
    async with watched_supervisor(config_with_broken(broken)) as supervisor:
        failed = await spawn_error(supervisor)

        assert "no_such_module" in failed.why
        assert "ModuleNotFoundError" in failed.why


async def test_an_interpreter_that_exits_at_once_is_told_with_its_status(tmp_path: Path) -> None:
    """Row 2. A program that is no Python at all."""
    python = executable(tmp_path / "python", "#!/bin/sh\necho 'I am no Python' >&2\nexit 3\n")
    async with watched_supervisor(
        config_with_broken(pyrepl3.Template(python=python))
    ) as supervisor:
        failed = await spawn_error(supervisor)

        assert "I am no Python" in failed.why
        assert failed.details["returncode"] == 3


async def test_a_worker_that_dies_in_its_fork_is_told_with_its_status() -> None:
    """Row 2. The zygote is fine, and what it forks is not."""
    code = "import os; os.register_at_fork(after_in_child=lambda: os._exit(9))"
    async with watched_supervisor(
        config_with_broken(pyrepl3.Template(warmup_code=code))
    ) as supervisor:
        failed = await spawn_error(supervisor)

        assert "9" in failed.why


# --- 3: never ready -----------------------------------------------------------------------------


@both_spawns
async def test_a_start_that_takes_too_long_is_killed(spawn: str) -> None:
    """Row 3. With a start timeout of a moment instead of 10 s."""
    broken = pyrepl3.Template(warmup_code="import time; time.sleep(60)", spawn=spawn)
    async with watched_supervisor(config_with_broken(broken, start_timeout_s=0.4)) as supervisor:
        failed = await spawn_error(supervisor)

        assert "not ready in 0.4 s" in failed.why


async def test_an_interpreter_that_never_gets_ready_is_killed_with_its_children(
    tmp_path: Path,
) -> None:
    """Row 3. A script that waits for a program of its own."""
    python = executable(tmp_path / "python", "#!/bin/sh\nsleep 60\nexit 0\n")
    config = config_with_broken(pyrepl3.Template(python=python), start_timeout_s=0.3)
    async with watched_supervisor(config) as supervisor:
        failed = await spawn_error(supervisor)

        assert "not ready in 0.3 s" in failed.why


# --- 4 to 6: death before an execution ----------------------------------------------------------


@both_spawns
async def test_a_worker_that_dies_idle_is_replaced_and_never_handed_out(spawn: str) -> None:
    """Row 4."""
    async with watched_supervisor(small_config(min_idle=2, spawn=spawn)) as supervisor:
        await assert_at_target(supervisor)
        killed = workers_of(supervisor)
        for process in killed:
            os.kill(process, signal.SIGKILL)
        await eventually(lambda: supervisor.statistics().pool.deaths == len(killed))
        await assert_at_target(supervisor)

        for _ in range(3):
            async with supervisor.session() as session:
                assert session.pid not in killed
                await assert_usable(session)


@both_spawns
async def test_a_worker_that_dies_between_the_lease_and_the_first_request_costs_nothing(
    spawn: str,
) -> None:
    """Row 5. Nothing ran, so the request is run once on a new worker; the session's id stays."""
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        before, name = session.pid, session.id
        os.kill(session.pid, signal.SIGKILL)
        await wait_ended(before)
        told = await follow(session, "40 + 2")

        assert told.result.value == 42
        assert session.pid != before
        assert session.id == name


async def test_a_worker_that_dies_before_its_settings_are_applied_costs_nothing() -> None:
    """Row 5. The first message is then the one that applies them."""
    async with watched_supervisor(small_config(min_idle=2)) as supervisor:
        for _ in range(5):
            await assert_at_target(supervisor)
            for process in workers_of(supervisor):
                os.kill(process, signal.SIGKILL)
            async with supervisor.session(env={"WHO": "Ada"}) as session:
                execution = await session.run("import os; os.environ['WHO']")
                assert execution.value == "Ada", execution.error


async def test_a_session_that_dies_after_it_was_used_is_lost() -> None:
    """Row 8. Only a session of which nothing was asked is begun again on another process."""
    async with (
        watched_supervisor(small_config(min_idle=0), canary="python") as supervisor,
        supervisor.session() as session,
    ):
        await assert_usable(session)
        os.kill(session.pid, signal.SIGKILL)
        await wait_ended(session.pid)
        await assert_lost(session)


async def test_what_waits_behind_a_death_is_told_so_and_never_run(tmp_path: Path) -> None:
    """Row 6. Some are in the dead worker's socket, the rest was not handed down yet."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        errors: list[pyrepl3.Error | None] = []

        async def run(code: str) -> None:
            errors.append((await session.run(code)).error)

        async with (
            trio.open_nursery() as nursery,
            session.stream("input(); import os; os._exit(3)") as events,
        ):
            assert isinstance(await anext(events), pyrepl3.Started)
            for number in range(16):
                nursery.start_soon(run, f"open({str(tmp_path / str(number))!r}, 'w')")
            await trio.testing.wait_all_tasks_blocked(0.02)
            async for event in events:
                if isinstance(event, pyrepl3.InputRequested):
                    await event.respond("go")

        assert isinstance(event, pyrepl3.Error)
        assert event.code == "WORKER_DIED"
        assert len(errors) == 16
        assert {error.state for error in errors if error} == {"lost"}
        assert {error.code for error in errors if error} <= {"WORKER_DIED", "SESSION_LOST"}
        assert os.listdir(tmp_path) == []


async def test_what_is_in_the_socket_of_a_dead_worker_is_told_so_and_never_run(
    tmp_path: Path,
) -> None:
    """Row 6. The second request was sent while the first ran."""
    trace = tmp_path / "trace"
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        executions: list[pyrepl3.Execution] = []

        async def run(code: str) -> None:
            executions.append(await session.run(code))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "import os, time; time.sleep(0.2); os._exit(3)")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(run, f"open({str(trace)!r}, 'w')")

        assert [each.error and each.error.code for each in executions] == ["WORKER_DIED"] * 2
        assert not trace.exists()


# --- 7 to 12: death while executing -------------------------------------------------------------


@both_spawns
async def test_a_worker_that_is_killed_while_executing_is_told_with_its_signal(spawn: str) -> None:
    """Row 7. What it had printed comes first."""
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):

        def kill(event: pyrepl3.Event) -> None:
            if isinstance(event, pyrepl3.Output):
                os.kill(session.pid, signal.SIGKILL)

        told = await follow(session, "print('before')\nimport time\ntime.sleep(60)", on_event=kill)

        assert told.text() == "before\n"
        assert (told.error.code, told.error.state) == ("WORKER_DIED", "lost")
        assert told.error.details["signal"] == "SIGKILL"
        assert told.error.details["last_output"] == "before\n"
        await assert_lost(session)


@both_spawns
async def test_a_result_stands_when_its_worker_dies_after_it(spawn: str) -> None:
    """Row 8."""
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        process = session.pid
        code = "import os, threading\nthreading.Timer(0.05, os._exit, [9]).start()\n42"
        told = await follow(session, code)
        await wait_ended(process)

        assert told.result.value == 42
        await assert_lost(session)


@both_spawns
async def test_a_partial_frame_of_a_dead_worker_is_dropped(spawn: str) -> None:
    """Row 9. The same as a death without one: no violation, and all that was whole is told."""
    code = "import os; print('whole'); os.write(3, b'\\0\\0\\1\\0' + b'partial'); os._exit(5)"
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        told = await follow(session, code)

        assert told.text() == "whole\n"
        assert (told.error.code, told.error.state) == ("WORKER_DIED", "lost")
        assert told.error.details["exit_status"] == 5


DEATHS = {
    "os._exit": ("import os; os._exit(3)", None, 3),
    "kill -9 of itself": ("import os; os.kill(os.getpid(), 9)", "SIGKILL", None),
    "segmentation fault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV", None),
    "abort": ("import os; os.abort()", "SIGABRT", None),
}


@both_spawns
@pytest.mark.parametrize("death", DEATHS)
async def test_a_worker_that_ends_itself_is_told_with_its_status_or_signal(
    death: str, spawn: str
) -> None:
    """Row 12."""
    code, signal_name, exit_status = DEATHS[death]
    async with (
        watched_supervisor(small_config(spawn=spawn)) as supervisor,
        supervisor.session() as session,
    ):
        await session.run("print('an earlier execution')")
        told = await follow(session, "print('last words')\n" + code)

        assert told.text() == "last words\n"
        assert (told.error.code, told.error.state) == ("WORKER_DIED", "lost")
        assert told.error.details["signal"] == signal_name
        assert told.error.details["exit_status"] == exit_status
        await assert_lost(session)


EXITS = {"sys.exit()": 0, "sys.exit(3)": 3, "sys.exit('bye')": 1, "exit()": 0, "quit()": 0}


async def test_an_exit_is_an_error_of_the_code_and_keeps_the_session() -> None:
    """Row 13."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        await session.run("import sys; kept = 1")
        for code, exit_status in EXITS.items():
            told = await follow(session, f"print('before'); {code}")

            assert told.text() == "before\n"
            assert (told.error.name, told.error.code) == ("SystemExit", None)
            assert (told.error.state, told.error.exit_status) == ("kept", exit_status)
        assert (await session.run("kept")).value == 1


async def test_a_memory_bomb_without_a_limit_on_memory_is_a_worker_that_died() -> None:
    """Row 12. As the kernel's memory killer does it; nothing says that it was for memory."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        told = await follow(session, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

        assert (told.error.code, told.error.details["signal"]) == ("WORKER_DIED", "SIGKILL")


# --- 15: the zygote dies ------------------------------------------------------------------------


@both_spawns
async def test_a_zygote_that_dies_takes_its_own_sessions_and_no_others(spawn: str) -> None:
    """Row 15."""
    templates = {
        "python": pyrepl3.Template(spawn=spawn),
        "other": pyrepl3.Template(spawn=spawn),
    }
    config = small_config(min_idle=1, templates=templates)
    async with (
        watched_supervisor(config) as supervisor,
        supervisor.session("python") as doomed,
        supervisor.session("other") as spared,
    ):
        await spared.run("kept = 1")
        await eventually(lambda: len(workers_of(supervisor)) >= 2)
        before = workers_of(supervisor)
        (zygote,) = zygotes_of(supervisor)

        def kill(event: pyrepl3.Event) -> None:
            if isinstance(event, pyrepl3.Output):
                zygote.kill()

        told = await follow(doomed, "print('up')\nimport time\ntime.sleep(60)", on_event=kill)
        assert told.text() == "up\n"
        assert (told.error.code, told.error.state) == ("WORKER_DIED", "lost")
        await assert_lost(doomed)
        assert (await spared.run("kept")).value == 1

        for process in before:
            await wait_ended(process)
        async with supervisor.session("python") as session:
            await assert_usable(session)
            assert session.pid not in before
        assert zygotes_of(supervisor)[0].pid != zygote.pid


async def test_a_zygote_that_dies_again_and_again_is_started_again() -> None:
    """Row 15. Each death costs its sessions, and nothing that comes later."""
    async with watched_supervisor() as supervisor:
        for _ in range(4):
            await assert_at_target(supervisor)
            before = workers_of(supervisor)
            zygotes_of(supervisor)[0].kill()
            for process in before:
                await wait_ended(process)
            async with supervisor.session() as session:
                await assert_usable(session)
