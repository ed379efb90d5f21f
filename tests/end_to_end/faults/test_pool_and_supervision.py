"""End-to-end tests: acquiring, releasing and losing sessions (rows 61 to 66), and all at once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
import trio

import pyrepl3
from actors.testing import cancel_at_each_checkpoint

from .oracle import (
    assert_at_target,
    assert_explained,
    assert_healthy,
    assert_usable,
    eventually,
    follow,
    small_config,
    wait_ended,
    watched_supervisor,
    workers_of,
    zygotes_of,
)

BOUND_S = 10.0


# --- 61 to 63: callers that go away -------------------------------------------------------------


@pytest.mark.parametrize("min_idle", [0, 1], ids=["cold", "warm"])
async def test_an_acquisition_cancelled_at_any_checkpoint_leaks_nothing(min_idle: int) -> None:
    """Row 61. Also in the tick of its hand-over: there is one session, and it is always free."""
    config = small_config(min_idle=min_idle, max_sessions=1)
    async with watched_supervisor(config) as supervisor:

        async def acquire() -> None:
            async with supervisor.session():
                pass

        async for _ in cancel_at_each_checkpoint(acquire):
            pool = supervisor.statistics().pool
            assert pool.idle + pool.starting + pool.leased + pool.stopping <= 1
            with trio.fail_after(BOUND_S):
                await eventually(lambda: supervisor.statistics().pool.leased == 0)
                await eventually(lambda: supervisor.statistics().pool.waiting == 0)


async def test_a_use_cancelled_at_any_checkpoint_leaks_nothing() -> None:
    """Row 61. From the acquisition to the release, with settings and an execution between."""
    config = small_config(min_idle=1, max_sessions=2)
    async with watched_supervisor(config) as supervisor:

        async def use() -> None:
            async with supervisor.session(env={"A": "b"}) as session:
                execution = await session.run("print('x'); 1 + 1")
                assert execution.value == 2

        async for _ in cancel_at_each_checkpoint(use):
            with trio.fail_after(BOUND_S):
                await eventually(lambda: supervisor.statistics().pool.leased == 0)
        await assert_at_target(supervisor)


async def test_a_caller_that_dies_gives_its_session_back() -> None:
    """Row 62. By an exception, by a cancellation, by the crash of a task beside it."""

    async def fail(session: pyrepl3.Session) -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    async def fail_beside(session: pyrepl3.Session) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run, "import time; time.sleep(60)")
            nursery.start_soon(fail, session)

    async def be_cancelled(session: pyrepl3.Session) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.run("while True: pass")
        raise ZeroDivisionError

    ways: list[Callable[[pyrepl3.Session], Awaitable[None]]] = [fail, fail_beside, be_cancelled]
    async with watched_supervisor(small_config(max_sessions=1)) as supervisor:
        for way in ways:
            try:
                async with supervisor.session() as session:
                    await session.run("used = 1")
                    await way(session)
            except* ZeroDivisionError:
                pass
            await assert_healthy(supervisor)


STUBBORN_ENDS = {
    "a thread": "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()",
    "atexit": "import atexit, itertools; atexit.register(lambda: sum(itertools.repeat(1)))",
}


@pytest.mark.parametrize("end", STUBBORN_ENDS)
async def test_a_cancellation_during_kill_and_reap_frees_the_place_once(end: str) -> None:
    """Row 63. The caller goes at once; the one place is free when the process is reaped."""
    async with watched_supervisor(small_config(max_sessions=1)) as supervisor:
        with trio.fail_after(BOUND_S), trio.CancelScope() as scope:
            async with supervisor.session() as session:
                await session.run(STUBBORN_ENDS[end])
                process = session.pid
                scope.cancel()
        assert psutil.pid_exists(process)
        async with supervisor.session() as following:
            assert not psutil.pid_exists(process)
            pool = supervisor.statistics().pool
            assert (pool.leased, pool.idle + pool.starting + pool.stopping) == (1, 0)
            await assert_usable(following)


async def test_a_run_cancelled_while_its_code_is_being_killed_frees_the_place_once() -> None:
    """Row 63. Cancelled again on every rung of the ladder."""
    async with watched_supervisor(small_config(max_sessions=1)) as supervisor:
        for delay_s in (0.1, 0.3, 0.4, 0.45, 0.5):
            with trio.fail_after(BOUND_S), trio.move_on_after(delay_s):
                async with supervisor.session() as session:
                    await session.run("import itertools; sum(itertools.repeat(1))", timeout_s=0.05)
            await eventually(lambda: supervisor.statistics().pool.leased == 0)
        await assert_healthy(supervisor)


# --- 64: exhausted ------------------------------------------------------------------------------


async def test_an_exhausted_pool_refuses_at_the_deadline() -> None:
    """Row 64."""
    async with (
        watched_supervisor(small_config(max_sessions=1)) as supervisor,
        supervisor.session(),
    ):
        began = trio.current_time()
        with trio.fail_after(BOUND_S), pytest.raises(pyrepl3.PoolExhausted) as caught:
            async with supervisor.session(acquire_timeout_s=0.2):
                pass
        assert trio.current_time() - began >= 0.2
        assert_explained(caught.value)
        assert caught.value.retryable
        assert supervisor.statistics().pool.timeouts == 1


async def test_waiting_callers_are_served_first_come_first_served() -> None:
    """Row 64. Those who have gone are passed over."""
    served: list[int] = []
    async with watched_supervisor(small_config(max_sessions=1)) as supervisor:

        async def wait(number: int, scope: trio.CancelScope) -> None:
            with scope:
                async with supervisor.session() as session:
                    served.append(number)
                    await assert_usable(session)

        async with trio.open_nursery() as nursery, supervisor.session():
            scopes = [trio.CancelScope() for _ in range(10)]
            for number, scope in enumerate(scopes):
                nursery.start_soon(wait, number, scope)
                await eventually(
                    lambda number=number: supervisor.statistics().pool.waiting == number + 1
                )
            for number in (0, 4, 9):
                scopes[number].cancel()
            await eventually(lambda: supervisor.statistics().pool.waiting == 7)
    assert served == [1, 2, 3, 5, 6, 7, 8]


async def test_idle_sessions_of_other_templates_give_way_in_a_full_pool() -> None:
    """Row 64. A full pool of idle sessions is not exhausted."""
    templates = {"python": pyrepl3.Template(), "other": pyrepl3.Template()}
    config = small_config(min_idle=1, max_sessions=2, templates=templates)
    async with (
        watched_supervisor(config, canary=None) as supervisor,
        supervisor.session("python") as one,
        supervisor.session("python") as two,
    ):
        await assert_usable(one)
        await assert_usable(two)


# --- 65: a storm --------------------------------------------------------------------------------


async def test_a_restart_storm_opens_the_breaker_and_live_sessions_go_on(tmp_path: Path) -> None:
    """Row 65. Of that template alone; it closes again when the cause has gone."""
    broken = tmp_path / "broken"
    stormy = pyrepl3.Template(
        spawn="exec", warmup_code=f"import os\nif os.path.exists({str(broken)!r}): os._exit(1)"
    )
    config = small_config(
        min_idle=1,
        templates={"python": pyrepl3.Template(), "stormy": stormy},
        backoff_initial_s=0.02,
        backoff_max_s=0.1,
        breaker_reset_s=0.3,
    )
    async with watched_supervisor(config) as supervisor:
        async with supervisor.session("stormy") as live:
            await live.run("kept = 1")
            broken.touch()
            await eventually(lambda: len(workers_of(supervisor, "stormy")) >= 2)
            for process in workers_of(supervisor, "stormy") - {live.pid}:
                os.kill(process, signal.SIGKILL)
            await eventually(lambda: supervisor.statistics().pool.open_breakers == ("stormy",))
            failures = supervisor.statistics().pool.start_failures
            with pytest.raises((pyrepl3.PoolDegraded, pyrepl3.WorkerSpawnFailed)) as caught:
                async with supervisor.session("stormy"):
                    pass
            assert_explained(caught.value)
            assert failures <= 6
            assert (await live.run("kept")).value == 1
            async with supervisor.session("python") as session:
                await assert_usable(session)
            broken.unlink()
            await eventually(lambda: supervisor.statistics().pool.open_breakers == ())
            assert (await live.run("kept")).value == 1
        await assert_healthy(supervisor, "stormy")


# --- 66: process ids are reused -----------------------------------------------------------------


async def test_a_stranger_with_a_dead_workers_id_is_never_signalled() -> None:
    """Row 66. A process gets the number while its owner runs code, is interrupted, and is killed.

    The service cannot know of the death yet: its loop does not turn meanwhile.
    """
    async with watched_supervisor() as supervisor:
        for _ in range(10):
            strangers: list[subprocess.Popen[bytes] | None] = []
            async with supervisor.session() as session, trio.open_nursery() as nursery:

                async def interrupt(session: pyrepl3.Session = session) -> None:
                    with contextlib.suppress(pyrepl3.SessionLost):
                        await session.interrupt(grace_s=0.001)

                def take_over(
                    event: pyrepl3.Event,
                    session: pyrepl3.Session = session,
                    strangers: list[subprocess.Popen[bytes] | None] = strangers,
                ) -> None:
                    if isinstance(event, pyrepl3.Output):
                        nursery.start_soon(interrupt)
                        strangers.append(take_over_number(session.pid))

                code = "print('up')\nimport time; time.sleep(60)"
                told = await follow(session, code, timeout_s=0.2, on_event=take_over)
                assert told.error.state == "lost"
            (stranger,) = strangers
            if stranger is not None:
                await assert_at_target(supervisor)
                lives = stranger.poll() is None
                stranger.kill()
                stranger.wait()
                assert lives
                return
        pytest.skip("no process could be given a chosen id here")


def take_over_number(process: int) -> subprocess.Popen[bytes] | None:
    """Kill a process and start another under its number, without a turn of the event loop."""
    last_given = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last_given, os.W_OK):
        return None
    os.kill(process, signal.SIGKILL)
    while psutil.pid_exists(process):
        time.sleep(0.001)  # its zygote reaps it; the service must not get to know
    last_given.write_text(str(process - 1))
    stranger = subprocess.Popen(["sleep", "60"])
    if stranger.pid == process:
        return stranger
    stranger.kill()
    stranger.wait()
    return None


# --- all at once --------------------------------------------------------------------------------


class Crowd:
    """Many callers of a small pool, some of whom go away at a moment of chance."""

    def __init__(self, supervisor: pyrepl3.Supervisor, chance: random.Random) -> None:
        self.supervisor = supervisor
        self.chance = chance
        self.done = self.cancelled = self.died = 0
        self.in_use: set[str] = set()

    async def run(self, size: int) -> None:
        """Everyone at once; returns when the last one has left."""
        async with trio.open_nursery() as nursery:
            for number in range(size):
                patience_s = self.chance.uniform(0, 0.6) if number % 2 else 60.0
                nursery.start_soon(self._come, number, patience_s)

    async def _come(self, number: int, patience_s: float) -> None:
        with trio.move_on_after(patience_s) as scope:
            await self._use(number)
        if scope.cancelled_caught:
            self.cancelled += 1

    async def _use(self, number: int) -> None:
        async with self.supervisor.session(acquire_timeout_s=60) as session:
            assert session.id not in self.in_use, "one session in two hands"
            self.in_use.add(session.id)
            try:
                if number % 3:  # one in three leaves without a word
                    code = f"mine = {number}; import time; time.sleep(0.002); print(mine); mine"
                    self._check(number, await session.run(code))
                    self._check(number, await session.run("print(mine); mine"))
                self.done += 1
            except pyrepl3.SessionLost:
                self.died += 1
            finally:
                self.in_use.discard(session.id)

    def _check(self, number: int, execution: pyrepl3.Execution) -> None:
        if execution.error is None:
            assert (execution.value, execution.logs.stdout) == (number, f"{number}\n")
        else:
            assert execution.error.code == "WORKER_DIED", execution.error
            assert execution.error.state == "lost"


@pytest.mark.parametrize("seed", [1, 2])
async def test_200_callers_half_of_them_cancelled_leave_every_session_accounted_for(
    seed: int,
) -> None:
    """Row 61. At moments of chance; the pool has four places."""
    config = small_config(min_idle=2, max_sessions=4)
    async with watched_supervisor(config) as supervisor:
        crowd = Crowd(supervisor, random.Random(seed))
        with trio.fail_after(60):
            await crowd.run(200)

        assert crowd.done + crowd.cancelled == 200
        assert crowd.died == 0
        await assert_at_target(supervisor)
        pool = supervisor.statistics().pool
        assert pool.idle <= 4
        assert len(workers_of(supervisor)) == pool.idle
        assert pool.deaths == 0


@pytest.mark.parametrize("seed", [1, 2])
async def test_200_callers_under_kills_of_workers_leave_every_session_accounted_for(
    seed: int,
) -> None:
    """Row 4. And rows 5, 7, 8 and 61, in any order."""
    config = small_config(min_idle=2, max_sessions=4)
    async with watched_supervisor(config) as supervisor:
        crowd = Crowd(supervisor, random.Random(seed))

        def kill() -> None:
            workers = sorted(workers_of(supervisor))
            if workers:
                kill_if_there(crowd.chance.choice(workers))

        await run_under(crowd, kill)


@pytest.mark.parametrize("seed", [1, 2])
async def test_200_callers_under_kills_of_the_zygote_leave_every_session_accounted_for(
    seed: int,
) -> None:
    """Row 15. Nobody waits for ever, and nothing is left."""
    config = small_config(
        min_idle=2, max_sessions=4, breaker_failures=100, backoff_initial_s=0.01, backoff_max_s=0.05
    )
    async with watched_supervisor(config) as supervisor:
        crowd = Crowd(supervisor, random.Random(seed))

        def kill() -> None:
            for zygote in zygotes_of(supervisor):
                kill_if_there(zygote.pid)

        await run_under(crowd, kill, pause_s=0.1)
        for zygote in zygotes_of(supervisor):
            assert zygote.is_running()


def kill_if_there(process: int) -> None:
    """SIGKILL, unless it has ended by itself in this moment."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


async def run_under(crowd: Crowd, strike: Callable[[], None], pause_s: float = 0.02) -> None:
    """A crowd, and something that strikes again and again until it has left."""

    strikes = 0

    async def strike_again_and_again() -> None:
        nonlocal strikes
        while True:
            await trio.sleep(crowd.chance.uniform(0, 2 * pause_s))
            strike()
            strikes += 1

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(strike_again_and_again)
            await crowd.run(200)
            nursery.cancel_scope.cancel()
    assert strikes > 1
    assert crowd.done + crowd.cancelled + crowd.died == 200
    assert crowd.in_use == set()
    supervisor = crowd.supervisor
    dying = workers_of(supervisor)
    await assert_at_target(supervisor)
    assert supervisor.statistics().pool.idle <= 4
    for process in dying - workers_of(supervisor):
        await wait_ended(process)
