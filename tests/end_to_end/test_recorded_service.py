"""End-to-end tests: what a service records where other tests seldom bring it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

import pyrepl3
from pyrepl3.conformance.recordings import read_recording

from .conftest import Recorded
from .faults.oracle import eventually, small_config, wait_ended, watched_supervisor

BOUND_S = 10.0


def recorded_config(recorded: Recorded, name: str, **options: float) -> pyrepl3.Config:
    """A small one, recorded into a file of that name, which is judged with all others."""
    path = recorded.folder / f"{name}.ndjson"
    return attrs.evolve(small_config(**options), record_trace=path)


def actions_in(config: pyrepl3.Config) -> Counter[str]:
    """How often each action was recorded."""
    assert config.record_trace is not None
    contents = read_recording(config.record_trace)
    assert contents.remarks == []
    runs = (*contents.pools, *contents.sessions)
    return Counter(event.action for run in runs for event in run.events)


async def test_idle_sessions_expire_and_are_replaced(recorded: Recorded) -> None:
    config = recorded_config(recorded, "expiry", min_idle=1, idle_lifetime_s=0.1)
    async with watched_supervisor(config) as supervisor:
        with trio.fail_after(BOUND_S):
            await eventually(lambda: supervisor.statistics().pool.started >= 3)

    assert actions_in(config)["Expire"] >= 2


async def test_an_interrupt_of_what_runs_next_waits_for_its_turn(recorded: Recorded) -> None:
    config = recorded_config(recorded, "postponed")
    async with (
        watched_supervisor(config) as supervisor,
        supervisor.session() as session,
        trio.open_nursery() as nursery,
    ):
        next_one, up = trio.CancelScope(), trio.Event()

        async def run_first() -> None:
            code = "print('up'); import time; time.sleep(0.5)"
            await session.run(code, on_output=lambda output: up.set())

        async def run_next() -> None:
            with next_one:
                await session.run("while True: pass")

        nursery.start_soon(run_first)
        await up.wait()
        nursery.start_soon(run_next)
        await trio.testing.wait_all_tasks_blocked(0.05)
        next_one.cancel()

    assert actions_in(config)["Postpone"] >= 1


async def test_a_lease_is_given_back_once_where_none_can_be_had_in_its_place(
    recorded: Recorded,
) -> None:
    """Its process had died before anything ran in it, and somebody else was first in line."""
    config = recorded_config(recorded, "once", max_sessions=1, acquire_timeout_s=0.5)
    async with watched_supervisor(config) as supervisor, trio.open_nursery() as nursery:

        async def be_first_in_line() -> None:
            async with supervisor.session(acquire_timeout_s=BOUND_S):
                await trio.sleep(2 * 0.5)

        async def lose_it() -> None:
            async with supervisor.session() as session:
                nursery.start_soon(be_first_in_line)
                await eventually(lambda: supervisor.statistics().pool.waiting == 1)
                os.kill(session.pid, signal.SIGKILL)
                await wait_ended(session.pid)
                await session.run("1 + 1")

        with trio.fail_after(BOUND_S), pytest.raises(pyrepl3.PoolExhausted):
            await lose_it()

    assert config.record_trace is not None
    (pool,) = read_recording(config.record_trace).pools
    ended = ("Release", "TakeBack")
    releases = Counter(e.fields["waiter"] for e in pool.events if e.action in ended)
    assert set(releases.values()) == {1}


async def test_a_recording_is_whole_when_its_service_was_cancelled(tmp_path: Path) -> None:
    config = attrs.evolve(small_config(), record_trace=tmp_path / "trace")
    with trio.CancelScope() as scope:
        async with pyrepl3.open_supervisor(config) as supervisor, supervisor.session() as session:
            await session.run("1 + 1")
            scope.cancel()
            await session.run("1 + 1")

    assert scope.cancelled_caught
    actions = actions_in(config)
    assert actions["SessionEnded"] == actions["StartSucceeded"] > 0


async def test_a_file_that_cannot_be_recorded_into_starts_nothing(tmp_path: Path) -> None:
    config = pyrepl3.Config(record_trace=tmp_path / "none" / "trace")
    with pytest.raises(pyrepl3.ConfigInvalid, match="Make the directory"):
        async with pyrepl3.open_supervisor(config):
            pass
