"""End-to-end tests: clients that drop at every stage of an execution, and come back (row 55)."""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio

from pyrepl3.serving import Served

from ..raw_websocket import frame, upgrade
from ..websocket_driver import MSGPACK, Client, connect
from .oracle import SETTLE_S
from .watched_service import TERMINAL, Message, check_outcomes, open_session, watched_service

RESET_NOW = struct.pack("ii", 1, 0)
COUNT = "n = globals().get('n', 0) + 1\n"
LONG = COUNT + "print('up', flush=True)\nimport time; time.sleep(0.4)\nn"
LARGE_CHARACTERS = 400_000
LARGE = COUNT + f"'x' * {LARGE_CHARACTERS}"

DROPS = pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
WISHES = pytest.mark.parametrize("on_disconnect", ["continue", "interrupt"])


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with watched_service() as served:
        yield served


@attrs.define(eq=False)
class Dropper:
    """A client that knows its socket, so that it can drop in the middle of anything."""

    stream: trio.SocketStream
    session: str = ""
    received: bytes = b""

    async def until(self, words: bytes) -> None:
        """Read no more than it takes."""
        with trio.fail_after(SETTLE_S):
            while words not in self.received:
                data = await self.stream.receive_some(1000)
                assert data, self.received[-1000:]
                self.received += data

    async def send(self, *, sent_bytes: int | None = None, **fields: Any) -> None:
        """A message, or as much of its frame."""
        await self.stream.send_all(frame(1, json.dumps(fields).encode())[:sent_bytes])

    async def execute(self, execution: str, code: str, *, sent_bytes: int | None = None) -> None:
        fields = {"session": self.session, "execution": execution, "code": code}
        await self.send(type="execute", id=execution, sent_bytes=sent_bytes, **fields)

    def drop(self, *, reset: bool) -> None:
        """Without a goodbye."""
        if reset:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_NOW)
        self.stream.socket.close()


async def dropper(served: Served, **wishes: str) -> Dropper:
    """With a session that it has opened."""
    client = Dropper(await trio.open_tcp_stream(served.host, served.port))
    await client.stream.send_all(upgrade(served))
    await client.until(b'"welcome"')
    await client.send(type="open_session", id="open", **wishes)
    await client.until(b'"warm"')
    found = re.search(rb'"session_opened".*?"session": ?"(\w+)"', client.received)
    assert found is not None, client.received
    client.session = found[1].decode()
    return client


async def wait_unattached(client: Client, session: str) -> None:
    """Until the service knows that nobody is there."""
    with trio.fail_after(SETTLE_S):
        while True:
            infos = (await client.ask("list_sessions"))["sessions"]
            if next(info for info in infos if info["session"] == session)["attached"] == 0:
                return


async def come_back(client: Client, session: str, executions: set[str]) -> dict[str, Message]:
    """Fetch all that was told; of each execution its outcome, and what it printed."""
    await client.ask("attach", session=session, since=0)
    events = [each for each in client.told if each.get("session") == session and "seq" in each]
    client.told.clear()
    outcomes: dict[str, Message] = {}
    while True:
        for event in events:
            if event["type"] in TERMINAL:
                outcomes[event["execution"]] = event
        if outcomes.keys() >= executions:
            break
        events.append(await client.until(session=session))
    check_outcomes(events)
    for event in events:
        if event["type"] == "output":
            outcome = outcomes[event["execution"]]
            outcome["printed"] = outcome.get("printed", "") + event["data"]
        elif event["type"] == "started":
            outcomes[event["execution"]]["started"] = True
    return outcomes


def assert_interrupted(outcome: Message) -> None:
    assert (outcome["type"], outcome["code"], outcome["state"]) == ("error", "INTERRUPTED", "kept")


# --- at each stage ------------------------------------------------------------------------------


@DROPS
@WISHES
async def test_dropped_before_the_answer_it_is_asked_for_again_and_runs_once(
    on_disconnect: str, reset: bool, served: Served
) -> None:
    """Row 55. Whether it was taken, its client does not know."""
    client = await dropper(served, on_disconnect=on_disconnect)
    await client.execute("e", LONG)
    client.drop(reset=reset)

    async with connect(served) as back:
        await wait_unattached(back, client.session)
        answer = await back.ask("execute", session=client.session, execution="e", code=LONG)
        outcomes = await come_back(back, client.session, {"e"})
        last = await back.run(client.session, "globals().get('n')", "last")

    assert answer["type"] == "accepted"
    if on_disconnect == "interrupt" and answer["again"]:
        assert_interrupted(outcomes["e"])
        assert last["value"] in (None, 1)
    else:
        assert outcomes["e"]["value"] == last["value"] == 1
        assert outcomes["e"]["printed"] == "up\n"


@DROPS
@WISHES
async def test_dropped_while_queued_it_runs_in_its_turn_or_never(
    on_disconnect: str, reset: bool, served: Served
) -> None:
    """Row 55."""
    client = await dropper(served, on_disconnect=on_disconnect)
    await client.execute("first", LONG)
    await client.until(b"up")
    await client.execute("queued", LONG)
    await client.until(b'"position"')
    await client.until(b'"reply_to":"queued"')
    client.drop(reset=reset)

    async with connect(served, subprotocol=MSGPACK) as back:
        if on_disconnect == "interrupt":
            await wait_unattached(back, client.session)
        outcomes = await come_back(back, client.session, {"first", "queued"})
        last = await back.run(client.session, "n", "last")

    if on_disconnect == "interrupt":
        for outcome in outcomes.values():
            assert_interrupted(outcome)
        assert "started" not in outcomes["queued"]
        assert "printed" not in outcomes["queued"]
        assert last["value"] == 1
    else:
        assert [outcomes[name]["value"] for name in ("first", "queued")] == [1, 2]
        assert last["value"] == 2
    assert outcomes["first"]["printed"] == "up\n"


@DROPS
@WISHES
async def test_dropped_while_it_runs_it_goes_on_unless_its_client_asked_otherwise(
    on_disconnect: str, reset: bool, served: Served
) -> None:
    """Row 55."""
    client = await dropper(served, on_disconnect=on_disconnect)
    await client.execute("e", LONG)
    await client.until(b"up")
    client.drop(reset=reset)

    async with connect(served) as back:
        if on_disconnect == "interrupt":
            await wait_unattached(back, client.session)
        outcomes = await come_back(back, client.session, {"e"})
        last = await back.run(client.session, "n", "last")

    if on_disconnect == "interrupt":
        assert_interrupted(outcomes["e"])
    else:
        assert outcomes["e"]["value"] == 1
    assert outcomes["e"]["printed"] == "up\n"
    assert last["value"] == 1


@DROPS
@WISHES
async def test_dropped_in_the_middle_of_the_result_it_can_be_fetched_whole(
    on_disconnect: str, reset: bool, served: Served
) -> None:
    """Row 55. It has ended, so there is nothing to interrupt."""
    client = await dropper(served, on_disconnect=on_disconnect)
    await client.execute("e", LARGE)
    await client.until(b"xxxx")
    assert len(client.received) < LARGE_CHARACTERS
    client.drop(reset=reset)

    async with connect(served) as back:
        await wait_unattached(back, client.session)
        outcomes = await come_back(back, client.session, {"e"})
        last = await back.run(client.session, "n", "last")

    assert outcomes["e"]["value"] == "x" * LARGE_CHARACTERS
    assert last["value"] == 1


# --- and between --------------------------------------------------------------------------------


@DROPS
@WISHES
async def test_half_a_request_is_none(on_disconnect: str, reset: bool, served: Served) -> None:
    """Row 55: nothing of it runs, and its id is free."""
    client = await dropper(served, on_disconnect=on_disconnect)
    await client.execute("e", LONG, sent_bytes=60)
    client.drop(reset=reset)

    async with connect(served) as back:
        await wait_unattached(back, client.session)
        (info,) = (await back.ask("list_sessions"))["sessions"]
        answer = await back.ask("execute", session=client.session, execution="e", code=LONG)
        end = await back.outcome("e")

    assert (info["running"], info["last_seq"]) == (None, 0)
    assert (answer["again"], end["value"]) == (False, 1)


@WISHES
async def test_dropped_while_its_input_waits_it_is_asked_again_elsewhere(
    on_disconnect: str, served: Served
) -> None:
    """Row 55. Of what was interrupted, no answer is taken any more."""
    client = await dropper(served, on_disconnect=on_disconnect)
    await client.execute("e", "input('who? ')")
    await client.until(b"who? ")
    client.drop(reset=True)

    async with connect(served) as back:
        await wait_unattached(back, client.session)
        await back.ask("attach", session=client.session, since=0)
        asked = await back.until(type="input")
        response = {"session": client.session, "input": asked["input"], "data": "Ada"}
        if on_disconnect == "interrupt":
            assert_interrupted(await back.outcome("e"))
            answer = await back.ask("input_response", **response)
            assert (answer["type"], answer["code"]) == ("refused", "EXECUTION_NOT_FOUND")
        else:
            answer = await back.ask("input_response", **response)
            assert answer["type"] == "input_taken"
            assert (await back.outcome("e"))["value"] == "Ada"


async def test_what_others_are_attached_to_is_not_interrupted(served: Served) -> None:
    """Row 55: the last one counts."""
    client = await dropper(served, on_disconnect="interrupt")
    async with connect(served) as other:
        await other.ask("attach", session=client.session, since=0)
        await client.execute("e", LONG)
        await other.until(type="output")
        client.drop(reset=True)
        outcome = await other.outcome("e")
        running = await other.ask(
            "execute", session=client.session, execution="f", code="while True: pass"
        )
        await other.until(type="started", execution="f")
    async with connect(served) as back:
        await wait_unattached(back, client.session)
        outcomes = await come_back(back, client.session, {"e", "f"})

    assert (outcome["value"], running["type"]) == (1, "accepted")
    assert_interrupted(outcomes["f"])


async def test_a_session_whose_answer_was_lost_can_be_found_by_its_name(served: Served) -> None:
    """Row 55: the client drops as soon as it has asked."""
    client = Dropper(await trio.open_tcp_stream(served.host, served.port))
    async with connect(served) as warm:  # the service has a session ready for whom it is quick
        await open_session(warm, name="other")
    await client.stream.send_all(upgrade(served))
    await client.until(b'"welcome"')
    await client.send(type="open_session", id="open", name="mine")
    client.drop(reset=False)

    async with connect(served) as back:
        opened = await back.ask("open_session", name="mine")
        if opened["type"] == "refused":
            assert opened["code"] == "ID_CONFLICT"
            opened = await back.ask("attach", session="mine")
        assert (await back.run(opened["session"], "6 * 7", "e"))["value"] == 42
        infos = (await back.ask("list_sessions"))["sessions"]

    assert sorted(each["name"] for each in infos if each["standing"] == "open") == ["mine", "other"]
