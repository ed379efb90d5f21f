"""End-to-end tests: branches and snapshots over the network, as of a session of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from random import Random
from typing import Any

import anyio
import httpx2
import pytest
import trio

import pyrepl3
from pyrepl3.endpoint.access import Principal, Tokens
from pyrepl3.serving import Served, open_endpoint

from .cutting_proxy import cutting_proxy
from .faults.oracle import eventually
from .test_remote_client import BOUND_S, both_loops
from .websocket_driver import TOKEN, connect

OTHER = "other-" + "o" * 40
BELOW = "below-" + "b" * 40
TOKENS = Tokens.of(
    [
        (TOKEN, Principal(name="ada", role="user")),
        (OTHER, Principal(name="ben", role="user", max_sessions=3)),
        (BELOW, Principal(name="ada/x", role="user")),
    ]
)
Running = tuple[pyrepl3.Supervisor, Served]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=1, max_sessions=8),
        endpoint=pyrepl3.EndpointConfig(port=0),
    )
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
    ):
        yield supervisor, served


@both_loops
async def test_it_is_as_that_of_ones_own_session(
    run_in: Callable[..., Awaitable[None]], running: Running
) -> None:
    supervisor, served = running

    async def main() -> None:
        async with pyrepl3.Client(served.url, TOKEN) as client:
            async with client.session() as session:
                await session.run("x = [1]")
                first, second = await session.fork(2, names=["one"])
                assert (await first.run("x.append(2); x")).value == [1, 2]
                assert (await second.run("x")).value == [1]
                assert (first.name, second.name) == ("one", None)
                assert {first.template, second.template} == {"python"}
                kept = await first.snapshot("kept")
                assert (kept.name, kept.template) == ("kept", "python")
                with pytest.raises(pyrepl3.IdConflict):
                    await second.snapshot("kept")
                with pytest.raises(pyrepl3.ConfigInvalid):
                    await session.fork(0)
                await second.close()
            listed = await client.list_sessions()
            assert {each["standing"] for each in listed} == {"closed"}
            assert len(listed) == 3

            async with client.session(from_snapshot="kept") as session:
                assert (await session.run("x")).value == [1, 2]
            assert [each.name for each in await client.snapshots()] == ["kept"]
            await client.drop_snapshot("kept")
            assert await client.snapshots() == []
            for name in ("kept", "never"):
                with pytest.raises(pyrepl3.SnapshotNotFound):
                    async with client.session(from_snapshot=name):
                        pass

    await run_in(main)
    assert supervisor.statistics().pool.leased == 0


@both_loops
async def test_it_is_carried_out_once_over_connections_that_are_cut(
    run_in: Callable[..., Awaitable[None]], running: Running
) -> None:
    supervisor, served = running

    async def main(url: str) -> None:
        async with pyrepl3.Client(url, TOKEN) as client, client.session() as session:
            await session.run("x = 1")
            for number in range(8):
                branches = await session.fork(3)
                assert supervisor.statistics().pool.leased == 4
                for branch in branches:
                    assert (await branch.run("x += 1; x")).value == 2
                await session.snapshot(f"s{number}")
                for branch in branches:
                    await branch.close()
            assert len(await client.snapshots()) == 8

    random = Random(20261126)
    async with cutting_proxy(served.port, lambda _: random.random() < 0.1) as proxy:
        with trio.fail_after(4 * BOUND_S):
            await run_in(partial(main, proxy.url))
    assert proxy.cut > 2


async def test_snapshots_are_their_principals_own(running: Running) -> None:
    supervisor, served = running
    async with (
        pyrepl3.Client(served.url, TOKEN) as ada,
        pyrepl3.Client(served.url, OTHER) as ben,
    ):
        async with ada.session() as session:
            await session.run("x = 'secret'")
            await session.snapshot("mine")
        assert await ben.snapshots() == []
        for name in ("mine", "ada/mine"):
            with pytest.raises(pyrepl3.PyreplError):
                await ben.drop_snapshot(name)
            with pytest.raises(pyrepl3.SnapshotNotFound):
                async with ben.session(from_snapshot=name):
                    pass
        async with ben.session() as session:
            await session.snapshot("mine")
        assert [each.name for each in await supervisor.snapshots()] == ["ada/mine", "ben/mine"]


async def test_a_principal_has_no_more_sessions_than_it_may(running: Running) -> None:
    supervisor, served = running
    async with pyrepl3.Client(served.url, OTHER) as ben, ben.session() as session:
        with pytest.raises(pyrepl3.RateLimited):
            await session.fork(3)
        assert supervisor.statistics().pool.leased == 1
        assert len(await session.fork(2)) == 2
        with pytest.raises(pyrepl3.RateLimited):
            await session.fork(1)


async def test_branches_that_would_have_a_name_that_is_taken_are_none(running: Running) -> None:
    supervisor, served = running
    async with (
        pyrepl3.Client(served.url, TOKEN) as client,
        client.session(name="taken") as session,
    ):
        for names in (["new", "taken"], ["new", "new"]):
            with pytest.raises(pyrepl3.IdConflict):
                await session.fork(2, names=names)
        with pytest.raises(pyrepl3.BadMessage):
            await session.fork(1, names=["a", "b"])
        await eventually(lambda: supervisor.statistics().pool.leased == 1)
        assert [each["standing"] for each in await client.list_sessions()] == ["open"]


async def test_what_was_answered_is_answered_again(running: Running) -> None:
    _, served = running
    async with connect(served) as client:
        session = (await client.ask("open_session"))["session"]
        first = await client.ask("fork", session=session, count=2, key="k1")
        again = await client.ask("fork", session=session, count=2, key="k1")
        other = await client.ask("fork", session=session, count=1, key="k1")
        kept = await client.ask("snapshot", session=session, name="s", key="k2")
        await client.ask("close_session", session=session)
        later = await client.ask("fork", session=session, count=2, key="k1")
        new = await client.ask("fork", session=session, count=2, key="k3")
        attached = await client.ask("attach", session=first["sessions"][0]["session"], since=0)

    assert first["type"] == "forked"
    assert first["sessions"] == again["sessions"] == later["sessions"]
    assert [other.get("code"), new.get("code")] == ["ID_CONFLICT", "SESSION_LOST"]
    assert (kept["type"], kept["name"]) == ("snapshot_kept", "s")
    assert attached["type"] == "attached"


async def test_a_fork_waits_for_what_runs_and_not_for_what_comes_after_it(
    running: Running,
) -> None:
    _, served = running
    async with connect(served) as client:
        session = (await client.ask("open_session"))["session"]
        await client.ask("execute", session=session, execution="a", code="x = 1; import time")
        slow = "time.sleep(0.2); x = 2"
        await client.ask("execute", session=session, execution="b", code=slow)
        fork = await client.send("fork", session=session, count=1)
        await client.ask("execute", session=session, execution="c", code="x = 3")
        forked = await client.until(reply_to=fork)
        branch = forked["sessions"][0]["session"]
        ended = await client.run(branch, "x", "d")

    assert ended["value"] == 2


async def test_a_client_that_leaves_gets_no_branches_that_nobody_knows_of(
    running: Running,
) -> None:
    """They are there, and end when they were idle for long enough, as all do."""
    supervisor, served = running
    async with pyrepl3.Client(served.url, TOKEN) as client, client.open(idle_timeout_s=0.5) as one:
        await one.run("x = 1")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(one.run, "import time; time.sleep(0.3)"))
            await anyio.sleep(0.1)
            with anyio.move_on_after(0.05):
                await one.fork(2)
    await eventually(lambda: supervisor.statistics().pool.leased == 0)


def as_told(sessions: list[Any]) -> set[str]:
    return {each["session"] for each in sessions}


async def test_rest_forks_keeps_lists_and_drops(running: Running) -> None:
    supervisor, served = running
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers) as http:
        session = (await http.post("/v1/sessions")).json()["session"]
        url = f"/v1/sessions/{session}"
        await http.post(f"{url}/executions", json={"code": "x = 5"})
        keyed = {"Idempotency-Key": "k1"}
        forks = [
            await http.post(f"{url}/fork", json={"count": 2.0}, headers=keyed) for _ in range(2)
        ]
        kept = await http.post(f"{url}/snapshot", json={"name": "s"})
        listed = await http.get("/v1/snapshots")
        kept_then = supervisor.statistics().snapshots
        opened = await http.post("/v1/sessions", json={"from_snapshot": "s"})
        values = []
        for each in (*forks[0].json()["sessions"], opened.json()):
            run = await http.post(f"/v1/sessions/{each['session']}/executions", json={"code": "x"})
            values.append(run.json()["value"])
        dropped = await http.delete("/v1/snapshots/s")
        gone = await http.delete("/v1/snapshots/s")
        bad = await http.post(f"{url}/fork", json={"count": 0})

    assert [each.status_code for each in forks] == [201, 201]
    assert kept_then == 1
    assert as_told(forks[0].json()["sessions"]) == as_told(forks[1].json()["sessions"])
    assert (kept.status_code, kept.json()["name"]) == (201, "s")
    assert [each["name"] for each in listed.json()["snapshots"]] == ["s"]
    assert values == [5, 5, 5]
    assert (dropped.status_code, gone.status_code, bad.status_code) == (204, 404, 400)
    assert gone.json()["code"] == "SNAPSHOT_NOT_FOUND"


async def test_the_synchronous_client_does_as_well(running: Running) -> None:
    _, served = running

    def use() -> None:
        with pyrepl3.SyncClient(served.url, TOKEN) as client, client.session() as session:
            session.run("x = 1")
            first, second = session.fork(2)
            assert first.run("x += 1; x").value == 2
            assert second.run("x").value == 1
            first.snapshot("kept")
            with client.session(from_snapshot="kept") as other:
                assert other.run("x").value == 2
            assert [each.name for each in client.snapshots()] == ["kept"]
            client.drop_snapshot("kept")

    await trio.to_thread.run_sync(use)


async def test_a_principals_name_may_begin_like_anothers(running: Running) -> None:
    _, served = running
    async with (
        pyrepl3.Client(served.url, TOKEN) as ada,
        pyrepl3.Client(served.url, BELOW) as below,
    ):
        async with below.session() as session:
            await session.snapshot("mine")
        assert await ada.snapshots() == []
        with pytest.raises(pyrepl3.SnapshotNotFound):
            await ada.drop_snapshot("x/mine")


async def test_a_principal_keeps_no_more_snapshots_than_it_may_have_sessions(
    running: Running,
) -> None:
    _, served = running
    async with pyrepl3.Client(served.url, OTHER) as ben, ben.session() as session:
        for number in range(3):
            await session.snapshot(f"s{number}")
        with pytest.raises(pyrepl3.RateLimited, match="you may keep 3"):
            await session.snapshot("more")
        with pytest.raises(pyrepl3.RateLimited):
            await session.snapshot("s1")
        await ben.drop_snapshot("s1")
        with pytest.raises(pyrepl3.IdConflict) as caught:
            await session.snapshot("s2")
        assert "ben/" not in str(caught.value)


@both_loops
async def test_branches_of_a_fork_that_is_cancelled_are_closed(
    run_in: Callable[..., Awaitable[None]], running: Running
) -> None:
    supervisor, served = running

    async def main() -> None:
        async with pyrepl3.Client(served.url, TOKEN) as client, client.session() as session:
            await session.run("x = 1")
            for within_s in (0.0, 0.002, 0.005, 0.01, 0.02, 0.05):
                branches: list[pyrepl3.RemoteSession] = []
                with anyio.move_on_after(within_s):
                    branches = await session.fork(2)
                for branch in branches:
                    await branch.close()

    with trio.fail_after(BOUND_S):
        await run_in(main)
    await eventually(lambda: supervisor.statistics().pool.leased == 0)
