"""End-to-end tests: the figures agree with what was done, by real sessions and real clients."""

from __future__ import annotations

import math
import os
import signal

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

import pyrepl3
from pyrepl3.serving import Served

from .websocket_driver import connect, serve

OUTCOMES = ("ok", "error", "interrupted", "timeout", "died", "refused")


def samples(served: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    assert served.metrics is not None
    page = served.metrics.render()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.body.decode())
        for sample in family.samples
    }


def executions(served: Served) -> dict[str, float]:
    found = samples(served)
    return {outcome: found["pyrepl3_executions_total", (outcome,)] for outcome in OUTCOMES}


async def test_executions_of_clients_are_counted_as_they_ended() -> None:
    async with serve() as (_, served), connect(served) as client:
        answer = await client.ask("open_session", limits={"queued_executions": 1})
        session, pid = answer["session"], answer["pid"]
        for number in range(3):
            await client.run(session, "print('hei', 'ø' * 3)", f"ok{number}")
        await client.run(session, "1 / 0", "error")
        await client.ask(
            "execute", session=session, execution="late", code="while True: pass", timeout_s=0.1
        )
        await client.outcome("late")
        await client.ask(
            "execute", session=session, execution="long", code="import time; time.sleep(60)"
        )
        await client.until(type="started", execution="long")
        await client.ask("execute", session=session, execution="behind", code="1")
        refused = await client.ask("execute", session=session, execution="more", code="1")
        assert refused["code"] == "QUEUE_FULL"
        await client.ask("interrupt", session=session, execution="long")
        await client.outcome("behind")
        await client.ask("execute", session=session, execution="dead", code="input()")
        await client.until(type="input")
        os.kill(pid, signal.SIGKILL)
        assert (await client.outcome("dead"))["code"] == "WORKER_DIED"
        await client.until(type="session_died")

        found = samples(served)
        assert executions(served) == {
            "ok": 4,
            "error": 1,
            "timeout": 1,
            "interrupted": 1,
            "refused": 1,
            "died": 1,
        }
        assert found["pyrepl3_execution_duration_seconds_count", ()] == 8
        assert found["pyrepl3_execution_queue_seconds_count", ()] == 8
        assert found["pyrepl3_output_bytes_total", ()] == 3 * len("hei øøø\n".encode())
        assert found["pyrepl3_sessions_opened_total", ()] == 1
        assert found["pyrepl3_sessions_ended_total", ("died",)] == 1
        acquired = [found["pyrepl3_acquisition_seconds_count", (w,)] for w in ("true", "false")]
        assert sum(acquired) == 1


async def test_the_same_execution_sent_again_is_counted_once() -> None:
    async with serve() as (_, served), connect(served) as client:
        session = (await client.ask("open_session"))["session"]
        await client.run(session, "6 * 7", "e")
        again = await client.ask("execute", session=session, execution="e", code="6 * 7")

        assert again["again"]
        assert executions(served)["ok"] == 1


async def test_the_figures_of_now_are_those_of_now() -> None:
    async with serve() as (supervisor, served), connect(served) as client:
        session = (await client.ask("open_session"))["session"]
        await client.ask("execute", session=session, execution="a", code="input()")
        await client.until(type="input")
        await client.ask("execute", session=session, execution="b", code="1")

        found = samples(served)
        pool = supervisor.statistics().pool

        assert found["pyrepl3_sessions", ("open",)] == 1
        assert found["pyrepl3_executions_under_way", ("running",)] == 1
        assert found["pyrepl3_executions_under_way", ("queued",)] == 1
        assert found["pyrepl3_attachments", ()] == 1
        assert found["pyrepl3_journal_bytes", ("memory",)] > 0
        assert found["pyrepl3_pool_sessions", ("leased",)] == pool.leased == 1
        assert found["pyrepl3_pool_hits_total", ()] == pool.hits
        assert found["pyrepl3_pool_breaker_open", ("python",)] == 0
        assert found["pyrepl3_actor_restarts_total", ("spawners/python",)] == 0
        assert found["pyrepl3_actor_restarts_total", ("host",)] == 0
        assert found["process_open_fds", ()] > 0

        await client.ask("close_session", session=session)
        found = samples(served)
        assert found["pyrepl3_sessions_ended_total", ("closed",)] == 1
        assert found["pyrepl3_executions_total", ("interrupted",)] == 1
        assert found["pyrepl3_executions_total", ("refused",)] == 1  # it never began


async def test_sessions_that_went_back_are_counted_and_what_their_histories_hold() -> None:
    async with serve() as (_, served), connect(served) as client:
        session = (await client.ask("open_session", history={"count": 1}))["session"]
        await client.ask("begin", session=session)
        await client.ask("rollback", session=session)
        await client.run(session, "x = 1", "a")
        await client.run(session, "x = 2", "b")
        held = samples(served)["pyrepl3_history_bytes", ()]
        await client.ask("undo", session=session)
        await client.ask("redo", session=session)
        await client.ask("redo", session=session)
        await client.ask("keep_history", session=session, count=0)

        found = samples(served)
        returns = [
            found["pyrepl3_session_returns_total", (by,)]
            for by in ("rollback", "abandoned", "undo", "redo")
        ]
        assert returns == [1, 0, 1, 1]
        assert found["pyrepl3_history_dropped_total", ("count",)] == 2
        assert held > 0
        assert found["pyrepl3_history_bytes", ()] == 0


async def test_embedded_sessions_that_went_back_are_counted_too() -> None:
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as session:
        with supervisor.metrics() as metrics:
            await session.keep_history(1)
            await session.begin()
            await session.rollback()
            with pytest.raises(KeyError):
                async with session.transaction():
                    raise KeyError
            await session.run("1")
            await session.run("2")
            await session.undo()
            await session.redo()
            with pytest.raises(pyrepl3.ExecutionNotFound):
                await session.redo()
        body = metrics.render().body.decode()

    assert 'pyrepl3_session_returns_total{by="rollback"} 2.0' in body
    assert 'pyrepl3_session_returns_total{by="undo"} 1.0' in body
    assert 'pyrepl3_session_returns_total{by="redo"} 1.0' in body
    assert 'pyrepl3_history_dropped_total{reason="count"} 1.0' in body


async def test_embedded_sessions_count_from_when_somebody_watches() -> None:
    config = pyrepl3.Config(pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=1))
    async with pyrepl3.open_supervisor(config) as supervisor:
        async with supervisor.session() as session:
            await session.run("1")
            with supervisor.metrics() as metrics:
                await session.run("1")
                with pytest.raises(pyrepl3.PoolExhausted):
                    async with supervisor.session(acquire_timeout_s=0.05):
                        pass
                with trio.move_on_after(0.1):
                    await session.run("import time; time.sleep(60)", timeout_s=math.inf)
        body = metrics.render().body.decode()

    assert 'pyrepl3_executions_total{outcome="ok"} 1.0' in body
    assert 'pyrepl3_executions_total{outcome="interrupted"} 1.0' in body
    assert 'pyrepl3_acquisitions_failed_total{code="POOL_EXHAUSTED"} 1.0' in body
