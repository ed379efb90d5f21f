"""The subject: PyREPL3 embedded in this trio program, through its public interface alone.

Owns the few moves that experiments repeat: a supervisor with a given pool, one execution timed,
the first output timed. What is done in a session is the same for one over the network
(`service.py`). Must not know floor, peers or targets.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

import pyrepl3
from benchmarks.bench import MILLISECONDS, expect

Subject = pyrepl3.Session | pyrepl3.RemoteSession
"""One interface, embedded and over the network."""
Opener = pyrepl3.Supervisor | pyrepl3.Client

POLL_S = 0.002
POOL_LIMIT_S = 10.0
SETTLED_CODE_S = 0.005
"""From the sign that code runs to the interrupt: it is well inside its loop, sleep or read."""


def make_config(
    *,
    min_idle: int = 0,
    max_sessions: int = 100,
    preload: tuple[str, ...] = (),
    queued_executions: int = 16,
    start_timeout_s: float = 30.0,
    idle_lifetime_s: float = 3600.0,
) -> pyrepl3.Config:
    """A configuration whose limits on output and time are off: they are not what is measured."""
    return pyrepl3.Config(
        pool=pyrepl3.PoolConfig(
            min_idle=min_idle,
            max_sessions=max_sessions,
            acquire_timeout_s=60.0,
            start_timeout_s=start_timeout_s,
            idle_lifetime_s=idle_lifetime_s,
        ),
        templates={"python": pyrepl3.Template(preload=preload)},
        limits=pyrepl3.Limits(
            memory_bytes=None,
            execution_timeout_s=None,
            output_bytes=None,
            queued_executions=queued_executions,
        ),
    )


@asynccontextmanager
async def one_session(config: pyrepl3.Config) -> AsyncIterator[pyrepl3.Session]:
    """A session that has answered once."""
    async with pyrepl3.open_supervisor(config) as supervisor, supervisor.session() as session:
        await timed_run(session)
        yield session


@asynccontextmanager
async def many_sessions(opener: Opener, count: int) -> AsyncIterator[list[Subject]]:
    """So many sessions, started together, each of which has answered once.

    Each stays in the task that opened it, so that its context may hold a nursery.
    """
    sessions: list[Subject] = []
    all_answered, finished = trio.Event(), trio.Event()

    async def hold() -> None:
        async with opener.session() as session:
            await timed_run(session)
            sessions.append(session)
            if len(sessions) == count:
                all_answered.set()
            await finished.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(hold)
        await all_answered.wait()
        yield sessions
        finished.set()


async def timed_run(session: Subject) -> float:
    """Milliseconds of one ``1+1``, its answer checked."""
    started = time.perf_counter()
    execution = await session.run("1+1")
    elapsed = time.perf_counter() - started
    expect(execution.text == "2", f"1+1 gave {execution.text!r} and {execution.error!r}")
    return elapsed * MILLISECONDS


async def time_to_output(session: Subject, code: str, *, interrupt: bool = False) -> float:
    """Milliseconds until the first output of ``code`` is seen; then it ends, or is interrupted."""
    seen = 0.0
    started = time.perf_counter()
    async with trio.open_nursery() as nursery, session.stream(code) as events:
        async for event in events:
            if isinstance(event, pyrepl3.Output) and not seen:
                seen = time.perf_counter() - started
                if interrupt:
                    nursery.start_soon(session.interrupt)
    expect(seen > 0, f"{code!r} printed nothing")
    return seen * MILLISECONDS


async def time_to_interrupt(session: Subject, code: str) -> float:
    """Milliseconds from the interrupt to the end of ``code``, which prints or asks first."""
    asked = told = 0.0
    async with trio.open_nursery() as nursery, session.stream(code) as events:
        async for event in events:
            if isinstance(event, pyrepl3.Output | pyrepl3.InputRequested) and not asked:
                await trio.sleep(SETTLED_CODE_S)
                asked = time.perf_counter()
                nursery.start_soon(session.interrupt)
            elif isinstance(event, pyrepl3.Error):
                told = time.perf_counter()
                expect(event.code == "INTERRUPTED", f"it ended by {event.name}: {event.value}")
    expect(told > asked > 0, f"{code!r} was not interrupted")
    return (told - asked) * MILLISECONDS


async def time_to_cold_answer(opener: Opener) -> float:
    """Milliseconds from the request for a session to its first answer, none being ready."""
    started = time.perf_counter()
    async with opener.session() as session:
        await timed_run(session)
        elapsed = time.perf_counter() - started
        expect(not is_warm(session), "the pool had a session ready")
    return elapsed * MILLISECONDS


def is_warm(session: Subject) -> bool:
    """Whether the pool had it ready."""
    facts = session.lease if isinstance(session, pyrepl3.Session) else session.facts
    return facts.warm


async def wait_idle(supervisor: pyrepl3.Supervisor, count: int) -> None:
    """Until so many sessions are ready in the pool, and none is starting or stopping.

    Raises BenchmarkBroken when that takes unreasonably long, as does `wait_settled`.
    """
    for _ in range(int(POOL_LIMIT_S / POLL_S)):
        pool = supervisor.statistics().pool
        if pool.idle >= count and not pool.starting and not pool.stopping:
            return
        await trio.sleep(POLL_S)
    expect(False, f"the pool never settled with {count} idle sessions")


async def wait_settled(supervisor: pyrepl3.Supervisor) -> None:
    """Until the pool starts and stops no session."""
    await wait_idle(supervisor, 0)


async def wait_empty(supervisor: pyrepl3.Supervisor) -> None:
    """Until the pool has no session at all.

    One that was in use keeps some ready for a while, as it remembers that they were asked for.
    """
    for _ in range(int(POOL_LIMIT_S / POLL_S)):
        pool = supervisor.statistics().pool
        if not (pool.idle or pool.leased or pool.starting or pool.stopping):
            return
        await trio.sleep(POLL_S)
    expect(False, "the pool always keeps a session ready")


def pss_mb(pid: int) -> float:
    """The proportional set size of a process, in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"no PSS for process {pid}")
