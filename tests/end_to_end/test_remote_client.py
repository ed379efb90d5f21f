"""End-to-end tests: the Python client, on trio and asyncio, over connections that are cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random

import anyio
import pytest
import trio

import pyrepl3
from pyrepl3.serving import Served

from .cutting_proxy import cutting_proxy
from .websocket_driver import OTHER, TOKEN, serve

BOUND_S = 30.0


SLOW_TO_COPY = (
    "import threading, time; stop = threading.Event()\n"
    "threading.Thread(target=stop.wait, daemon=True).start()\n"
    "class Slow:\n"
    "    def __deepcopy__(self, memo): time.sleep(0.4); return self\n"
    "slow, x = Slow(), 1"
)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as (_, served):
        yield served


async def in_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    """Run this in an event loop of asyncio, beside the service's own of trio."""
    await trio.to_thread.run_sync(partial(anyio.run, main, backend="asyncio"))


async def in_trio(main: Callable[[], Awaitable[None]]) -> None:
    await main()


both_loops = pytest.mark.parametrize("run_in", [in_trio, in_asyncio], ids=["trio", "asyncio"])


@both_loops
async def test_a_session_is_used_as_one_of_ones_own(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    async def main() -> None:
        async with pyrepl3.Client(served.url, TOKEN) as client, client.session() as session:
            execution = await session.run("print('hi')\n6 * 7")
            assert (execution.value, execution.logs.stdout) == (42, "hi\n")
            told: list[str] = []
            await session.run(
                "print(input('who? '))",
                on_input=lambda prompt: prompt.upper(),
                on_output=lambda output: told.append(output.data),
            )
            assert told == ["WHO? \n"]
            async with session.stream("while True: pass") as events:
                await anext(events)
                with anyio.fail_after(BOUND_S):
                    assert (await session.interrupt()).by == "signal"
                kinds = [type(event).__name__ async for event in events]
            assert kinds == ["Error"]
            with anyio.move_on_after(0.2):
                await session.run("while True: pass")
            with anyio.fail_after(BOUND_S):
                assert (await session.run("'usable'")).value == "usable"

    await run_in(main)


@both_loops
async def test_cuts_at_random_lose_nothing_and_run_nothing_twice(
    run_in: Callable[..., Awaitable[None]], served: Served, tmp_path: Path
) -> None:
    """Every execution has one outcome, ran once, and all that it printed is there in order."""
    random = Random(20261125)
    ran = tmp_path / "ran"
    outcomes: dict[int, pyrepl3.Execution] = {}

    async def main(url: str) -> None:
        async with pyrepl3.Client(url, TOKEN) as client, client.session() as session:
            for number in range(150):
                code = (
                    f"with open({str(ran)!r}, 'a') as file: print({number}, file=file)\n"
                    f"for line in range(40): print({number}, line)\n{number} * 2"
                )
                outcomes[number] = await session.run(code)

    async with cutting_proxy(served.port, lambda _: random.random() < 0.1) as proxy:
        with trio.fail_after(4 * BOUND_S):
            await run_in(partial(main, proxy.url))

    assert proxy.connections > 20
    assert ran.read_text().split() == [str(number) for number in range(150)]
    for number, execution in outcomes.items():
        assert execution.value == number * 2
        lines = "".join(f"{number} {line}\n" for line in range(40))
        assert execution.logs.stdout == lines


async def test_a_session_whose_answer_was_lost_is_not_opened_twice(served: Served) -> None:
    """The client asks again, and finds the one that it has."""
    lost: list[bytes] = []

    def loses_the_answer(data: bytes) -> bool:
        if b"session_opened" in data and not lost:
            lost.append(data)
            return True
        return False

    async with cutting_proxy(served.port, loses_the_answer) as proxy:
        with trio.fail_after(BOUND_S):
            async with pyrepl3.Client(proxy.url, TOKEN) as client, client.session() as session:
                assert (await session.run("1")).value == 1
                sessions = await client.list_sessions()

    assert lost
    assert [(each["session"], each["standing"]) for each in sessions] == [(session.id, "open")]


async def test_a_cancelled_request_for_a_session_leaves_none(served: Served) -> None:
    """At whatever moment it is cancelled."""
    async with pyrepl3.Client(served.url, TOKEN) as client:
        for tenths in range(40):
            with trio.move_on_after(tenths / 10_000):
                async with client.session():
                    await trio.sleep_forever()
        with trio.fail_after(BOUND_S):
            while "open" in [each["standing"] for each in await client.list_sessions()]:
                pass  # asking again takes its time


async def test_an_input_is_answered_over_another_connection(served: Served) -> None:
    async with cutting_proxy(served.port) as proxy:

        async def answer(prompt: str) -> str:
            proxy.cut_all()
            await trio.sleep(0.05)
            return "Ada"

        with trio.fail_after(BOUND_S):
            async with pyrepl3.Client(proxy.url, TOKEN) as client, client.session() as session:
                execution = await session.run("input()", on_input=answer)

    assert execution.value == "Ada"
    assert proxy.connections == 2


async def test_a_session_goes_on_and_is_found_by_another_client(served: Served) -> None:
    async with pyrepl3.Client(served.url, TOKEN) as client, client.open(name="mine") as session:
        await session.run("x = 1")
    async with pyrepl3.Client(served.url, TOKEN) as client, client.attach("mine") as found:
        assert found.id == session.id
        assert (await found.run("x")).value == 1
        await found.close()
        with pytest.raises(pyrepl3.SessionLost):
            await found.run("x")
    async with pyrepl3.Client(served.url, OTHER) as other:
        with pytest.raises(pyrepl3.SessionNotFound):
            async with other.attach("mine"):
                pytest.fail("it is another's")


async def test_what_waits_is_told_when_the_service_stays_out_of_reach(served: Served) -> None:
    async with cutting_proxy(served.port) as proxy:
        with trio.fail_after(BOUND_S):
            async with (
                pyrepl3.Client(proxy.url, TOKEN, reconnect_timeout_s=0.5) as client,
                client.session() as session,
            ):
                proxy.is_down = True
                proxy.cut_all()
                with pytest.raises(pyrepl3.ServiceUnreachable):
                    await session.run("1")
                with pytest.raises(pyrepl3.ServiceUnreachable):
                    await client.list_sessions()


async def test_a_session_of_a_service_that_was_started_again_is_lost() -> None:
    async with (
        serve() as (_, first),
        serve() as (_, second),
        cutting_proxy(first.port) as proxy,
        pyrepl3.Client(proxy.url, TOKEN) as client,
        client.session() as session,
    ):
        await session.run("x = 1")
        proxy.target = ("127.0.0.1", second.port)
        proxy.cut_all()
        with trio.fail_after(BOUND_S), pytest.raises(pyrepl3.SessionLost):
            await session.run("x")
        async with client.session() as another:
            assert (await another.run("2")).value == 2


async def test_who_is_not_let_in_is_told_why(served: Served) -> None:
    with pytest.raises(pyrepl3.Unauthorized):
        async with pyrepl3.Client(served.url, "nobody-" + "n" * 40):
            pytest.fail("it was let in")


async def test_a_service_that_is_not_there_is_told_at_once(served: Served) -> None:
    with trio.fail_after(BOUND_S), pytest.raises(pyrepl3.ServiceUnreachable) as caught:
        async with pyrepl3.Client("http://127.0.0.1:1", TOKEN):
            pytest.fail("there is one")
    assert "Connection refused" in caught.value.why
    assert TOKEN not in str(caught.value)


async def test_what_is_no_service_of_ours_is_told_as_such() -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(pyrepl3.PyreplError, match="no PyREPL3 service"):
            async with pyrepl3.Client(f"http://127.0.0.1:{port}", TOKEN):
                pytest.fail("it is one")
        nursery.cancel_scope.cancel()


# --- transactions ---------------------------------------------------------------------------------


@both_loops
async def test_names_and_what_is_not_undone_are_told_as_of_ones_own_session(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    async def main() -> None:
        async with (
            pyrepl3.Client(served.url, TOKEN) as client,
            client.session(report_namespace=True) as session,
        ):
            told = await session.run("x = [1]", guard=True)
            assert told.namespace is not None
            assert told.namespace.added[0] == pyrepl3.NameEntry("x", "list", 64)
            assert told.uncovered == ()
            untold = await session.run("x = 2", report_namespace=False)
            assert (untold.namespace, untold.uncovered) == (None, None)
            with pytest.raises(pyrepl3.ConfigInvalid, match="report_namespace"):
                await session.run("1", report_namespace="yes")  # type: ignore[arg-type]

    await run_in(main)


async def fail_in_a_transaction(session: pyrepl3.RemoteSession) -> None:
    async with session.transaction():
        await session.run("x = 4")
        raise KeyError


@both_loops
async def test_transactions_are_as_those_of_ones_own_session(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    async def main() -> None:
        async with (
            pyrepl3.Client(served.url, TOKEN) as client,
            client.session(transaction_policy="rollback_on_failure") as session,
        ):
            await session.run("x = 1")
            assert (await session.run("x = 2; 1 / 0")).state == "rolled_back"
            ended = await session.run("import os; os._exit(3)", guard=True)
            assert ended.state == "rolled_back"
            async with session.transaction():
                assert (await session.run("x = 3; 1 / 0")).state == "kept"
            with pytest.raises(KeyError):
                await fail_in_a_transaction(session)
            with anyio.move_on_after(0.3):
                async with session.transaction():
                    await session.run("x = 5")
                    await session.run("while True: pass")
            await session.begin()
            with pytest.raises(pyrepl3.TransactionActive):
                await session.begin()
            await session.run("x = 6")
            await session.rollback()
            with pytest.raises(pyrepl3.NoTransaction):
                await session.commit()
            with pytest.raises(pyrepl3.ConfigInvalid):
                await session.run("1", transaction_policy="never")  # type: ignore[arg-type]
            assert (await session.run("x")).value == 3

    await run_in(main)


@both_loops
async def test_a_guard_may_be_automatic_and_variables_be_copied(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    async def main() -> None:
        async with (
            pyrepl3.Client(served.url, TOKEN) as client,
            client.session(guard="auto", allow_copy=True) as session,
        ):
            await session.run("held = bytearray(2**27)")
            last = await session.run("x = 1")
            ended = await session.run("import os; os._exit(3)")
            assert (ended.state, ended.lost_since[-1]) == ("rolled_back", last.id)
            await session.run(
                "import threading; stop = threading.Event(); x, held = 1, None\n"
                "threading.Thread(target=stop.wait, daemon=True).start()"
            )
            ended = await session.run("x = 2", transaction_policy="rollback_always", guard=False)
            assert (ended.state, ended.by_reference) == ("rolled_back", ("stop",))
            await session.begin()
            await session.run("x = 3")
            await session.rollback()
            assert (await session.run("x", guard=False)).value == 1
            with pytest.raises(pyrepl3.ConfigInvalid):
                await session.run("1", allow_copy="yes")  # type: ignore[arg-type]

    await run_in(main)


@both_loops
async def test_a_beginning_that_is_cancelled_leaves_no_transaction(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    async def main() -> None:
        async with pyrepl3.Client(served.url, TOKEN) as client, client.session() as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.run, "import time; time.sleep(0.3)")
                await anyio.sleep(0.1)
                with anyio.move_on_after(0.05):
                    await session.begin()
            with pytest.raises(pyrepl3.NoTransaction):
                await session.commit()

    await run_in(main)


@both_loops
async def test_a_beginning_that_is_cancelled_as_it_copies_is_rolled_back_behind_it(
    run_in: Callable[..., Awaitable[None]], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyrepl3.remote.transactions.ROLLBACK_S", 0.05)

    async def main() -> None:
        async with (
            pyrepl3.Client(served.url, TOKEN) as client,
            client.session(allow_copy=True) as session,
        ):
            await session.run(SLOW_TO_COPY)
            with anyio.move_on_after(0.1) as scope:
                await session.begin()
            assert scope.cancelled_caught
            await session.run("x = 2")
            with pytest.raises(pyrepl3.NoTransaction):
                await session.rollback()
            assert (await session.run("x")).value == 2

    await run_in(main)


@both_loops
async def test_transactions_are_carried_out_once_over_connections_that_are_cut(
    run_in: Callable[..., Awaitable[None]], served: Served
) -> None:
    """Each counts one up, or is rolled back, whatever was heard twice."""
    rounds = 12

    async def main(url: str) -> None:
        async with pyrepl3.Client(url, TOKEN) as client, client.session() as session:
            await session.run("x = 0")
            for number in range(rounds):
                await session.begin()
                await session.run("x += 1")
                await (session.commit() if number % 3 else session.rollback())
            assert (await session.run("x")).value == rounds - rounds // 3

    random = Random(20261125)
    async with cutting_proxy(served.port, lambda _: random.random() < 0.15) as proxy:
        with trio.fail_after(4 * BOUND_S):
            await run_in(partial(main, proxy.url))
    assert proxy.cut > 2
