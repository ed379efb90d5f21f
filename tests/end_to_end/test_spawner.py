"""End-to-end tests: the spawner, under trio, with real zygotes and real workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import trio
import trio.testing

from actors import NoReply
from pyrepl3.config import Template
from pyrepl3.errors import WorkerSpawnFailed
from pyrepl3.transport.spawning import WorkerExit

from .spawner_driver import (
    Running,
    alive,
    children_of,
    eventually,
    open_spawner,
    own_children,
    own_descriptors,
)

BOTH = pytest.mark.parametrize("spawn", ["fork", "exec"])


@BOTH
async def test_a_spawned_worker_is_ready_and_runs_code(spawn: Literal["fork", "exec"]) -> None:
    async with open_spawner(Template(spawn=spawn)) as spawner:
        worker = await spawner.spawn()

        assert await worker.run("import os; os.getpid()") == worker.process.pid


async def test_many_spawns_overlap() -> None:
    async with open_spawner() as spawner:
        workers: list[Running] = []

        async def spawn_one() -> None:
            workers.append(await spawner.spawn())

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(spawn_one)

        assert len({worker.process.pid for worker in workers}) == 20
        assert [await worker.run("40 + 2") for worker in workers] == [42] * 20


@BOTH
async def test_an_exit_status_is_told(spawn: Literal["fork", "exec"]) -> None:
    async with open_spawner(Template(spawn=spawn)) as spawner:
        worker = await spawner.spawn()
        await worker.begin("import os; os._exit(7)")

        await worker.process.wait()
        assert await worker.exit.wait() == WorkerExit(7, None)


async def test_a_killed_worker_is_told_with_its_signal() -> None:
    async with open_spawner() as spawner:
        worker = await spawner.spawn()

        assert worker.process.kill()
        assert await worker.exit.wait() == WorkerExit(None, signal.SIGKILL)
        assert not worker.process.kill()


async def test_a_stopped_worker_is_told_as_such() -> None:
    async with open_spawner() as spawner:
        worker = await spawner.spawn()
        await worker.begin("import os; os.kill(os.getpid(), 19)")

        assert await worker.exit.wait() == WorkerExit(None, signal.SIGKILL, stopped=True)


async def test_a_daemon_that_holds_the_pipes_is_killed_with_its_worker() -> None:
    async with open_spawner() as spawner:
        worker = await spawner.spawn()
        await worker.run(
            "import os, time\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0: time.sleep(60)\n"
            "    os._exit(0)\n"
        )
        worker.process.kill()
        await worker.exit.wait()

        async with trio.lowlevel.FdStream(os.dup(worker.worker.stdout_fd)) as pipe:
            with trio.fail_after(5):
                assert await pipe.receive_some() == b""


async def test_an_interrupt_reaches_the_worker_and_the_programs_that_it_runs(
    tmp_path: Path,
) -> None:
    started = tmp_path / "started"
    async with open_spawner() as spawner:
        worker = await spawner.spawn()
        # The marker comes when the program runs: between fork and exec nobody heeds a signal.
        await worker.begin(
            "import subprocess\n"
            "with subprocess.Popen(['sleep', '60']) as program:\n"
            f"    open({str(started)!r}, 'w').close()\n"
            "    program.wait()"
        )
        assert await eventually(started.exists)
        (sleeper,) = children_of(worker.process.pid)

        assert worker.process.interrupt(1)
        message = await worker.terminal()
        assert (message["name"], message["code"]) == ("KeyboardInterrupt", "INTERRUPTED")
        assert worker.process.consumed_interrupt() == 1
        assert not alive(sleeper)


async def test_a_stack_is_dumped_as_often_as_asked() -> None:
    async with open_spawner() as spawner:
        worker = await spawner.spawn()
        for number, name in enumerate(("first", "second"), start=1):
            await worker.begin(f"import time\ndef {name}(): time.sleep(60)\n{name}()", number)

            def is_dumped(frame: str = f"in {name}") -> bool:
                return frame in worker.process.read_stack() or not worker.process.dump_stack()

            assert await eventually(is_dumped)
            worker.process.interrupt(number)
            await worker.terminal()

        assert "in first" not in worker.process.read_stack()


async def test_a_worker_can_neither_grow_nor_cut_off_its_control_page() -> None:
    async with open_spawner() as spawner:
        worker = await spawner.spawn()
        code = (
            "import os\n"
            "def attempt(size):\n"
            "    try: os.ftruncate(4, size)\n"
            "    except PermissionError: return 'refused'\n"
            "[attempt(0), attempt(2**30)]"
        )
        assert await worker.run(code) == ["refused", "refused"]


async def test_a_closed_handle_is_harmless() -> None:
    async with open_spawner() as spawner:
        process = (await spawner.spawn()).process
        process.close()
        process.close()

        calls = (process.kill, process.dump_stack, process.resume)
        assert [process.interrupt(1), *(call() for call in calls)] == [False] * 4
        assert (process.read_stack(), process.consumed_interrupt()) == ("", 0)
        with pytest.raises(trio.ClosedResourceError):
            await process.wait()


async def test_nothing_of_the_services_environment_is_seen_but_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("LC_TIME", "C")
    template = Template(env={"GIVEN": "yes", "MKL_NUM_THREADS": "2"})
    async with open_spawner(template) as spawner:
        worker = await spawner.spawn()
        names = ("SECRET_TOKEN", "LC_TIME", "GIVEN", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

        code = f"import os; [os.environ.get(name) for name in {names}]"
        assert await worker.run(code) == [None, "C", "yes", "2", "1"]
        # Not in the memory of the process either, where /proc shows it.
        code = "open('/proc/self/environ').read().count('hunter2')"
        assert await worker.run(code) == 0


FAILURES = {
    "no such interpreter": (Template(python="/no/such/python"), "No such file", {"errno": 2}),
    "not executable": (Template(python=__file__), "Permission denied", {"errno": 13}),
    "not a Python": (Template(python="/bin/false"), "exit status was 1", {"returncode": 1}),
    "a failing preload": (
        Template(preload=("no_such_module",)),
        "No module named 'no_such_module'",
        {"name": "ModuleNotFoundError"},
    ),
    "a dying warm-up": (
        Template(warmup_code="import os; os.write(2, b'x' * 9000 + b'the end'); os._exit(9)"),
        "xthe end",
        {"returncode": 9},
    ),
    "a crashing warm-up": (
        Template(warmup_code="import os; os.abort()"),
        "signal 6",
        {"returncode": -6},
    ),
    "an endless warm-up": (Template(warmup_code="while True: pass"), "take longer", {}),
    "a huge warm-up": (Template(warmup_code="1\n" * 200_000), "over the limit", {}),
}


@pytest.mark.parametrize(("template", "text", "details"), FAILURES.values(), ids=FAILURES)
async def test_a_zygote_that_does_not_start_fails_the_spawn_with_the_reason(
    template: Template, text: str, details: dict[str, object]
) -> None:
    async with open_spawner(template, start_timeout_s=2.0) as spawner:
        with pytest.raises(WorkerSpawnFailed) as caught:
            await spawner.spawn()

    failure = caught.value
    assert text in failure.why
    assert all((failure.what, failure.how))
    assert details.items() <= failure.details.items()
    assert len(str(failure.details.get("stderr", ""))) <= 4096


async def test_all_that_wait_for_a_zygote_are_told_that_it_failed() -> None:
    async with open_spawner(Template(warmup_code="import time; time.sleep(0.2); 1/0")) as spawner:
        failures: list[WorkerSpawnFailed] = []

        async def spawn_one() -> None:
            with pytest.raises(WorkerSpawnFailed) as caught:
                await spawner.spawn()
            failures.append(caught.value)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(spawn_one)

        assert len(failures) == 5
        assert len(set(map(id, failures))) == 1


async def test_a_spawn_after_a_failed_zygote_tries_again(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'it')!r})"
    async with open_spawner(Template(warmup_code=code)) as spawner:
        with pytest.raises(WorkerSpawnFailed, match="No such file"):
            await spawner.spawn()
        (tmp_path / "it").touch()

        worker = await spawner.spawn()
        assert await worker.run("1 + 1") == 2


async def test_a_worker_that_fails_after_its_fork_ends_with_the_reason_on_stderr(
    tmp_path: Path,
) -> None:
    """Rows 2 and 3 at this level: it was started, and ends (or hangs) before its `ready`."""
    async with open_spawner(Template(spawn="exec", warmup_code="1 / 0")) as spawner:
        worker = await spawner.spawn_unready()

        assert await worker.exit.wait() == WorkerExit(1, None)
        async with trio.lowlevel.FdStream(os.dup(worker.worker.stderr_fd)) as pipe:
            assert b"ZeroDivisionError" in await pipe.receive_some()


async def test_a_worker_that_never_gets_ready_can_be_killed() -> None:
    async with open_spawner(Template(spawn="exec", warmup_code="while True: pass")) as spawner:
        worker = await spawner.spawn_unready()
        worker.process.kill()

        assert await worker.exit.wait() == WorkerExit(None, signal.SIGKILL)


async def test_the_death_of_the_zygote_is_told_to_all_and_the_next_spawn_has_a_new_one() -> None:
    async with open_spawner() as spawner:
        workers = [await spawner.spawn() for _ in range(3)]
        (zygote,) = own_children()
        os.kill(zygote, signal.SIGKILL)

        for worker in workers:
            assert await worker.exit.wait() == WorkerExit(None, None, zygote_died=True)
            await worker.process.wait()
        replacement = await spawner.spawn()
        assert await replacement.run("1 + 1") == 2


async def test_spawns_under_way_fail_with_the_zygote() -> None:
    async with open_spawner() as spawner:
        await spawner.spawn()
        (zygote,) = own_children()
        os.kill(zygote, signal.SIGSTOP)
        failures: list[WorkerSpawnFailed] = []

        async def spawn_one() -> None:
            with pytest.raises(WorkerSpawnFailed, match="died") as caught:
                await spawner.spawn()
            failures.append(caught.value)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(spawn_one)
            await trio.testing.wait_all_tasks_blocked(0.05)
            os.kill(zygote, signal.SIGKILL)

        assert len(failures) == 3


async def test_no_descriptors_left_fails_the_spawn_and_passes() -> None:
    import resource

    async with open_spawner() as spawner:
        await spawner.spawn()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        outcomes = []
        # At each count of free descriptors another of the calls is the one that fails.
        for spare in range(12):
            top = max(own_descriptors()) + 1
            free = [each for each in range(top) if each not in own_descriptors()]
            held = [os.dup(0) for _ in free]
            resource.setrlimit(resource.RLIMIT_NOFILE, (top + spare, limits[1]))
            try:
                worker = await spawner.spawn_unready()
            except WorkerSpawnFailed as failure:
                outcomes.append(failure.details["name"])
            else:
                outcomes.append("started")
                worker.process.kill()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                for descriptor in held:
                    os.close(descriptor)
        assert set(outcomes[:4]) == {"EMFILE"}
        assert outcomes[-1] == "started"
        worker = await spawner.spawn()
        assert await worker.run("1 + 1") == 2


async def test_an_abandoned_spawn_leaves_nothing() -> None:
    async with open_spawner() as spawner:
        first = await spawner.spawn()
        before = own_descriptors()
        (zygote,) = own_children()
        # Cancelled in every tick of the way.
        for ticks in range(12):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(spawner.spawn_and_discard)
                    for _ in range(ticks):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
        # Taken after all of those.
        await spawner.spawn_and_discard()
        assert await eventually(lambda: children_of(zygote) == [first.process.pid])
        assert own_descriptors() == before
        assert await first.run("1 + 1") == 2


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when the run has made so many steps of any task."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self.scope = scope
        self.steps_left = step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            self.scope.cancel()


async def test_a_cancellation_at_any_step_leaves_nothing() -> None:
    """The invariant: at whichever await it strikes, no process and no descriptor is left."""
    before, children = own_descriptors(), own_children()
    step, finished = 0, False
    while not finished:
        step += 1
        with trio.CancelScope() as scope:
            instrument = CancelAtStep(scope, step)
            trio.lowlevel.add_instrument(instrument)
            try:
                async with open_spawner() as spawner:
                    worker = await spawner.spawn_unready()
                    worker.process.kill()
                    await worker.exit.wait()
                    finished = True
            finally:
                trio.lowlevel.remove_instrument(instrument)
        assert own_children() == children, step
        assert own_descriptors() == before, step
    assert step > 15


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.005, 0.02, 0.05, 0.2])
async def test_a_cancelled_spawner_leaves_nothing(delay_s: float) -> None:
    before, children = own_descriptors(), own_children()
    async with trio.open_nursery() as nursery, open_spawner() as spawner:
        for _ in range(3):
            nursery.start_soon(spawner.spawn_until_refused)  # noqa: ASYNC111  # started tasks end with the spawner
        await trio.sleep(delay_s)
        pids = [worker.process.pid for worker in spawner.running]
    # What was answered in the last tick came to its asker only after the spawner's end.
    pids += spawner.discard_all()
    assert own_children() == children
    assert [pid for pid in pids if alive(pid)] == []
    assert own_descriptors() == before


async def test_a_spawner_that_ends_answers_everyone() -> None:
    async with open_spawner() as spawner:
        worker = await spawner.spawn()
        spawner.scope.cancel()

        assert (await worker.exit.wait()).zygote_died
    with pytest.raises((NoReply, WorkerSpawnFailed, Exception)):
        await spawner.spawn()


async def test_a_zygote_that_talks_nonsense_is_replaced() -> None:
    warmup = (
        "import os, socket\n"
        "for fd in range(16, 64):\n"
        "    try:\n"
        "        with socket.socket(fileno=os.dup(fd)) as control: control.send(b'nonsense')\n"
        "    except OSError: pass\n"
    )
    async with open_spawner(Template(warmup_code=warmup)) as spawner:
        with pytest.raises(WorkerSpawnFailed):
            await spawner.spawn()


@pytest.fixture(params=["3.11", "3.12", "3.13"])
def other_python(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A version, and an interpreter of it."""
    version: str = request.param
    found = shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"python{version} is not installed")
    # What is found may be a launcher that needs variables which sessions do not get.
    probe = [found, "-c", "import sys; print(sys.executable)"]
    result = subprocess.run(probe, capture_output=True, text=True, timeout=10, check=False)
    if result.returncode != 0:
        pytest.skip(f"python{version} does not run: {result.stderr.strip()[:100]}")
    return version, result.stdout.strip()


@BOTH
async def test_another_version_of_python_will_do(
    other_python: tuple[str, str], spawn: Literal["fork", "exec"]
) -> None:
    version, python = other_python
    async with open_spawner(Template(python=python, spawn=spawn)) as spawner:
        worker = await spawner.spawn()

        assert await worker.run("import sys; sys.version[:4]") == version
        worker.process.kill()
        assert await worker.exit.wait() == WorkerExit(None, signal.SIGKILL)


async def test_an_interpreter_without_pyrepl3_will_do(tmp_path: Path) -> None:
    await trio.run_process([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")])
    python = str(tmp_path / "v" / "bin" / "python")
    async with open_spawner(Template(python=python, cwd=str(tmp_path))) as spawner:
        worker = await spawner.spawn()

        code = (
            "import sys, importlib.util as u\n"
            "[sys.prefix, u.find_spec('pyrepl3') is None, u.find_spec('trio') is None]"
        )
        assert await worker.run(code) == [str(tmp_path / "v"), True, True]
