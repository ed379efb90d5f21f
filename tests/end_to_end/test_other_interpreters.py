"""End-to-end tests: sessions in interpreters that are not the service's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import pyrepl3

from .faults.oracle import follow, small_config, watched_supervisor

BOUND_S = 30.0
VERSIONS = ("3.11", "3.12", "3.13")

every_version = pytest.mark.parametrize("version", VERSIONS)
both_spawns = pytest.mark.parametrize("spawn", ["fork", "exec"])


def interpreter(version: str) -> str:
    """A real interpreter of that version, in which nothing of ours is installed."""
    found = shutil.which(f"python{version}")
    if found is not None:
        ended = subprocess.run(
            [found, "-c", "import sys; print(sys.executable)"],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode == 0:
            return ended.stdout.strip()
    pytest.skip(f"there is no python{version} here")


def config_of(python: str, spawn: str = "fork", cwd: str | None = None) -> pyrepl3.Config:
    """Sessions of that interpreter."""
    template = pyrepl3.Template(python=python, spawn=spawn, cwd=cwd)
    return small_config(templates={"python": template}, start_timeout_s=20.0)


@every_version
@both_spawns
async def test_a_session_runs_in_another_version_with_all_that_it_has(
    version: str, spawn: str
) -> None:
    """Values, output, errors, questions, interrupts, await, completions, deaths."""
    config = config_of(interpreter(version), spawn)
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        execution = await session.run("import sys; print('hello'); list(sys.version_info[:2])")
        assert execution.value == [int(part) for part in version.split(".")]
        assert execution.logs.stdout == "hello\n"
        failed = await session.run("def f():\n    return 1 / 0\nf()")
        assert failed.error is not None
        assert failed.error.name == "ZeroDivisionError"
        assert "return 1 / 0" in "".join(failed.error.traceback)
        assert "pyrepl3" not in "".join(failed.error.traceback)
        assert (await session.run("input('?')", on_input=lambda prompt: "Ada")).value == "Ada"
        for code in ("while True: pass", "import asyncio; await asyncio.sleep(60)"):
            with trio.fail_after(BOUND_S):
                late = await session.run(code, timeout_s=0.2)
            assert late.error is not None
            assert (late.error.code, late.error.state) == ("EXECUTION_TIMEOUT", "kept")
        assert "execution_time" in (await session.run("execution_time = 1; dir()")).value
        assert "execution_time" in (await session.complete("execution_t")).matches
        told = await follow(session, "import os; print('last'); os.abort()")
        assert told.text() == "last\n"
        assert (told.error.code, told.error.details["signal"]) == ("WORKER_DIED", "SIGABRT")


@every_version
async def test_what_breaks_interpreters_breaks_none_of_these(version: str) -> None:
    """Absurd code, deleted builtins, forks; each version has limits of its own."""
    config = config_of(interpreter(version))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        for code in ("(" * 10**5, "-" * 10**5 + "1", "x = 1\0", "def f(): f()\nf()"):
            with trio.fail_after(BOUND_S):
                told = await follow(session, code)
            assert (told.error.code, told.error.state) == (None, "kept")
        fork = "import os\npid = os.fork()\nif pid: n = os.waitpid(pid, 0)\n'parent' if pid else 1"
        assert (await session.run(fork)).value == "parent"
        await session.run("import builtins\nfor n in list(vars(builtins)): delattr(builtins, n)")
        assert (await session.run("1 + 1")).value == 2


@every_version
@both_spawns
async def test_a_fresh_virtual_environment_needs_nothing_installed(
    version: str, spawn: str, tmp_path: Path
) -> None:
    """Neither PyREPL3 nor msgpack; and it gets neither from the service."""
    python = interpreter(version)
    folder = tmp_path / "venv"
    await trio.run_process([python, "-m", "venv", "--without-pip", str(folder)])
    config = config_of(str(folder / "bin" / "python"), spawn, cwd=str(tmp_path))
    async with watched_supervisor(config) as supervisor, supervisor.session() as session:
        assert (await session.run("import sys; sys.prefix")).value == str(folder)
        for module in ("pyrepl3", "msgpack", "trio", "attrs"):
            execution = await session.run(f"import {module}")
            assert execution.error is not None
            assert execution.error.name == "ModuleNotFoundError"
        assert (await session.run("print('x' * 100_000); 1")).value == 1


async def test_the_services_own_interpreter_is_the_default() -> None:
    """With what is installed in it."""
    async with watched_supervisor() as supervisor, supervisor.session() as session:
        execution = await session.run("import sys; sys.executable")
        assert execution.value == sys.executable
