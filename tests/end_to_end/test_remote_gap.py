"""End-to-end tests: a client that was away when the journal forgot what its executions told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio

import pyrepl3
from pyrepl3.remote.session import RemoteSession
from pyrepl3.serving import open_endpoint

from .cutting_proxy import CuttingProxy, cutting_proxy
from .websocket_driver import TOKEN, TOKENS

BOUND_S = 30.0
FLOOD = "for number in range(3000): print('x' * 100)"
CONFIG = pyrepl3.Config(
    pool=pyrepl3.PoolConfig(min_idle=1, max_sessions=4),
    hosting=pyrepl3.HostingConfig(journal=pyrepl3.JournalConfig(memory_bytes=20_000, disk_bytes=0)),
    endpoint=pyrepl3.EndpointConfig(port=0),
)


@attrs.define
class Desk:
    """A session with two clients, of which one can be cut off."""

    proxy: CuttingProxy
    client: pyrepl3.Client
    session: RemoteSession
    other: RemoteSession

    def go_away(self) -> None:
        self.proxy.is_down = True
        self.proxy.cut_all()

    def come_back(self) -> None:
        self.proxy.is_down = False


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with (
        pyrepl3.open_supervisor(CONFIG) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
        cutting_proxy(served.port) as proxy,
        pyrepl3.Client(proxy.url, TOKEN) as client,
        pyrepl3.Client(served.url, TOKEN) as another,
        client.session(name="mine") as session,
        another.attach("mine") as other,
    ):
        yield Desk(proxy, client, session, other)


async def until_there(path: Path) -> None:
    while not await trio.Path(path).exists():  # noqa: ASYNC110  # another process makes it
        await trio.sleep(0.01)


def waits_for(go: Path, ran: Path) -> str:
    return (
        f"import os, time\nwith open({str(ran)!r}, 'a') as file: print('ran', file=file)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    )


async def test_what_ended_meanwhile_ran_once_and_has_an_honest_outcome(
    desk: Desk, tmp_path: Path
) -> None:
    ran, go = tmp_path / "ran", tmp_path / "go"
    outcomes: list[pyrepl3.Execution] = []

    async def run() -> None:
        outcomes.append(await desk.session.run(waits_for(go, ran)))

    with trio.fail_after(BOUND_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await until_there(ran)
            desk.go_away()
            go.touch()
            assert (await desk.other.run(FLOOD)).error is None
            desk.come_back()
        (outcome,) = outcomes
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.state) == ("OUTPUT_GAP", "unknown")
        assert outcome.omitted_bytes > 0
        # The session is as good as before.
        assert (await desk.session.run("6 * 7")).value == 42
    assert ran.read_text() == "ran\n"


async def test_what_runs_still_is_waited_for_and_tells_what_is_missing(
    desk: Desk, tmp_path: Path
) -> None:
    ran, go = tmp_path / "ran", tmp_path / "go"
    begin = tmp_path / "begin"
    code = f"{waits_for(begin, ran)}{FLOOD}\n{waits_for(go, tmp_path / 'flooded')}'done'"
    outcomes: list[pyrepl3.Execution] = []

    async def run() -> None:
        outcomes.append(await desk.session.run(code))

    with trio.fail_after(BOUND_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await until_there(ran)
            desk.go_away()
            begin.touch()
            await until_there(tmp_path / "flooded")
            desk.come_back()
            await desk.client.list_sessions()
            assert outcomes == []
            go.touch()
    (outcome,) = outcomes
    assert outcome.value == "done"
    assert outcome.omitted_bytes > 0
    assert ran.read_text() == "ran\n"
