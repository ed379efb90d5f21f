"""End-to-end tests: the client without an event loop, as scripts and notebooks have it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

import pyrepl3
from pyrepl3.serving import Served

from .websocket_driver import TOKEN, serve

BOUND_S = 30.0
POLL_S = 0.01
BEGIN = """
import os, signal, sys, threading, time, pyrepl3
url, token = sys.argv[1:]
"""


@pytest.fixture
async def both() -> AsyncIterator[tuple[pyrepl3.Supervisor, Served]]:
    async with serve() as both:
        yield both


@pytest.fixture
def served(both: tuple[pyrepl3.Supervisor, Served]) -> Served:
    return both[1]


async def run_script(
    served: Served,
    text: str,
    *,
    interrupted_at: bytes = b"never",
    when: Callable[[], bool] = lambda: True,
) -> bytes:
    """What it prints, in an interpreter of its own that ends well and in time; interrupted once it
    has printed that, and this is so."""
    with trio.fail_after(BOUND_S):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", BEGIN + text, served.url, TOKEN], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        async with process.stdout:
            try:
                said = b""
                async for data in process.stdout:
                    said += data
                    if said == interrupted_at:
                        while not when():  # noqa: ASYNC110  # of another process
                            await trio.sleep(POLL_S)
                        process.send_signal(signal.SIGINT)
                assert await process.wait() == 0
            finally:
                process.kill()
    return said


def script(url: str) -> None:
    """What a script or a notebook does."""
    with pyrepl3.SyncClient(url, TOKEN) as client:
        with client.open(name="mine") as session:
            assert session.run("x = 6").error is None
            assert session.is_complete("def f():").status == "incomplete"
        with client.attach("mine") as session:
            execution = session.run("print(input('who? ')); x * 7", on_input=lambda _: "Ada")
            assert (execution.value, execution.logs.stdout) == (42, "Ada\n")
            session.close()
            with pytest.raises(pyrepl3.SessionLost):
                session.run("x")
        assert [each["standing"] for each in client.list_sessions()] == ["closed"]
    with pytest.raises(RuntimeError):
        client.list_sessions()


async def test_a_script_uses_sessions_without_async(served: Served) -> None:
    await trio.to_thread.run_sync(script, served.url)


async def test_ctrl_c_interrupts_the_code_of_a_script_and_keeps_its_session(served: Served) -> None:
    said = await run_script(
        served,
        """
with pyrepl3.SyncClient(url, token) as client, client.session() as session:
    session.run("kept = 1")
    try:
        session.run("print('up')\\nwhile True: pass", on_output=lambda _: print("up", flush=True))
    except KeyboardInterrupt:
        print("interrupted", session.run("kept").value, flush=True)
""",
        interrupted_at=b"up\n",
    )

    assert said == b"up\ninterrupted 1\n"


async def test_ctrl_c_while_a_session_is_waited_for_leaves_none_behind(
    both: tuple[pyrepl3.Supervisor, Served],
) -> None:
    """The pool is full: the one that was asked for is handed out when the first one is closed."""
    supervisor, served = both
    said = await run_script(
        served,
        """
with pyrepl3.SyncClient(url, token) as client:
    with client.session(), client.session(), client.session(), client.session():
        print("full", flush=True)
        try:
            with client.session(acquire_timeout_s=1000):
                print("got one")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    with client.session(), client.session(), client.session(), client.session():
        print("all are free")
""",
        interrupted_at=b"full\n",
        when=lambda: supervisor.statistics().pool.waiting == 1,
    )

    assert said == b"full\ninterrupted\nall are free\n"


async def test_ctrl_c_ends_a_wait_for_a_person_who_does_not_answer(served: Served) -> None:
    """Nor does one who takes long keep the connection from its work."""
    said = await run_script(
        served,
        """
answered = threading.Event()
with pyrepl3.SyncClient(url, token) as client, client.session() as session:
    def ask(prompt):
        print(len(client.list_sessions()), flush=True)
        answered.wait()
        return "late"
    try:
        session.run("input()", on_input=ask)
    except KeyboardInterrupt:
        print("interrupted", session.run("6 * 7").value, flush=True)
answered.set()
""",
        interrupted_at=b"1\n",
    )

    assert said == b"1\ninterrupted 42\n"


async def test_a_script_that_never_disconnects_ends_all_the_same(served: Served) -> None:
    said = await run_script(
        served,
        """
client = pyrepl3.SyncClient(url, token).__enter__()
opened = client.session(name="left")
session = opened.__enter__()
print(session.run("6 * 7").value)
""",
    )
    async with pyrepl3.Client(served.url, TOKEN) as client:
        standing = [each["standing"] for each in await client.list_sessions()]

    assert (said, standing) == (b"42\n", ["closed"])


async def test_a_client_that_is_left_before_its_sessions_leaves_them_too(served: Served) -> None:
    said = await run_script(
        served,
        """
client = pyrepl3.SyncClient(url, token)
with client:
    opened = client.session(name="left")
    session = opened.__enter__()
try:
    session.run("1")
except RuntimeError as error:
    print("ended" in str(error))
opened.__exit__(None, None, None)
""",
    )
    async with pyrepl3.Client(served.url, TOKEN) as client:
        standing = [each["standing"] for each in await client.list_sessions()]

    assert (said, standing) == (b"True\n", ["closed"])


async def test_a_fork_is_told_that_the_client_is_not_its_own_and_leaves_it_alone(
    served: Served,
) -> None:
    said = await run_script(
        served,
        """
with pyrepl3.SyncClient(url, token) as client, client.session() as session:
    session.run("x = 6 * 7")
    if os.fork() == 0:
        signal.alarm(10)
        try:
            session.run("x")
        except RuntimeError as error:
            print("fork" in str(error), flush=True)
        sys.exit(7)
    print(os.waitstatus_to_exitcode(os.wait()[1]), session.run("x").value)
""",
    )

    assert said == b"True\n7 42\n"


async def test_a_notebook_uses_it_beside_its_own_running_loop(served: Served) -> None:
    async def cell() -> object:
        with pyrepl3.SyncClient(served.url, TOKEN) as client, client.session() as session:
            return session.run("6 * 7").value

    assert await trio.to_thread.run_sync(asyncio.run, cell()) == 42


async def test_several_threads_use_one_session(served: Served) -> None:
    def threads() -> list[object]:
        with (
            pyrepl3.SyncClient(served.url, TOKEN) as client,
            client.session() as session,
            ThreadPoolExecutor(8) as executor,
        ):
            return [each.value for each in executor.map(session.run, map(str, range(12)))]

    assert await trio.to_thread.run_sync(threads) == list(range(12))


async def test_executions_are_undone_and_redone(served: Served) -> None:
    said = await run_script(
        served,
        """
with pyrepl3.SyncClient(url, token) as client, client.session() as session:
    print(session.keep_history(5))
    ids = [session.run(f"x = {number}").id for number in range(3)]
    print(session.undo(to=ids[0]) == ids[1], session.redo() == ids[1])
    print(len(session.history().undone), session.run("x").value)
""",
    )

    assert said == b"[]\nTrue True\n1 1\n"


async def test_a_transaction_is_committed_or_rolled_back_with_its_block(served: Served) -> None:
    said = await run_script(
        served,
        """
with pyrepl3.SyncClient(url, token) as client, client.session() as session:
    session.run("x = 1")
    with session.transaction():
        session.run("x = 2")
    try:
        with session.transaction():
            session.run("x = 3")
            raise KeyError
    except KeyError:
        print(session.run("x").value)
    session.begin()
    session.run("x = 4")
    session.rollback()
    try:
        session.commit()
    except pyrepl3.NoTransaction:
        print(session.run("x").value)
""",
    )

    assert said == b"2\n2\n"
