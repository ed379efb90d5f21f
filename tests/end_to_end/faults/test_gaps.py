"""End-to-end tests: what was forgotten is told as a gap, with exact numbers (row 56)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgpack
import pytest
import trio

import pyrepl3
from pyrepl3.serving import Served

from ..websocket_driver import JSON, MSGPACK, Client, connect
from .watched_service import Message, check_order, open_session, watched_service

SMALL = pyrepl3.JournalConfig(memory_bytes=2000, least_memory_bytes=2000, disk_bytes=3000)
FORGETFUL = pyrepl3.JournalConfig(memory_bytes=2000, least_memory_bytes=2000, disk_bytes=0)
PRINT = "for n in range(20): print('x' * 100, flush=True)"
EXECUTIONS = [f"e{number}" for number in range(8)]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with watched_service(journal=SMALL) as served:
        yield served


async def fill(client: Client, session: str) -> dict[int, int]:
    """More events than the journal holds, and the size of each, as this client was sent it."""
    assert client.socket.subprotocol == MSGPACK
    sizes: dict[int, int] = {}
    for execution in EXECUTIONS:
        # One after the other, each less than the journal holds: nothing is forgotten unseen.
        await client.send("execute", session=session, execution=execution, code=PRINT)
        kind = "accepted"
        while kind != "result":
            data = await client.socket.get_message()
            message = msgpack.unpackb(data)
            kind = message["type"]
            assert kind in ("accepted", "started", "output", "result")
            if kind != "accepted":
                sizes[message["seq"]] = len(data)
    return sizes


async def attached(client: Client, session: str, since: int) -> tuple[Message, list[Message]]:
    """The answer, and all events that there are from there on."""
    answer = await client.ask("attach", session=session, since=since)
    events = [message for message in client.told if message.get("session") == session]
    client.told.clear()
    while check_order(events, since=since) < answer["seq"]:
        events.append(await client.until(session=session))
    return answer, events


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
async def test_who_comes_back_too_late_is_told_what_is_gone(
    subprotocol: str, served: Served
) -> None:
    """Row 56: which events, and how many bytes of them."""
    async with connect(served, subprotocol=MSGPACK) as client:
        session = await open_session(client)
        sizes = await fill(client, session)
    async with connect(served, subprotocol=subprotocol) as client:
        answer, events = await attached(client, session, 0)

    gap, *rest = events
    oldest, last = answer["oldest_seq"], answer["seq"]
    assert list(sizes) == list(range(1, last + 1)), events[-2:]
    assert gap == {
        "type": "gap",
        "session": session,
        "from_seq": 1,
        "to_seq": oldest - 1,
        "bytes": sum(sizes[seq] for seq in range(1, oldest)),
    }
    assert [event["seq"] for event in rest] == list(range(oldest, last + 1))
    kept_bytes = sum(sizes[seq] for seq in range(oldest, last + 1))
    assert kept_bytes <= SMALL.memory_bytes + SMALL.disk_bytes
    assert kept_bytes > SMALL.memory_bytes  # some of it was fetched from the disk
    assert rest[-1]["type"] == "result"


async def test_a_gap_begins_behind_what_its_client_has(served: Served) -> None:
    """Row 56: from every place; and there is none where nothing is missing."""
    async with connect(served, subprotocol=MSGPACK) as client:
        session = await open_session(client)
        sizes = await fill(client, session)
        last = max(sizes)
        async with connect(served) as other:
            oldest = (await attached(other, session, last))[0]["oldest_seq"]
            for since in range(last + 1):
                await other.ask("detach", session=session)
                other.told.clear()
                _, events = await attached(other, session, since)
                if since >= oldest - 1:
                    assert [event["seq"] for event in events] == list(range(since + 1, last + 1))
                    continue
                gap, *rest = events
                assert (gap["from_seq"], gap["to_seq"]) == (since + 1, oldest - 1)
                # Its bytes count whole stretches that were forgotten at once.
                gone = sum(sizes[seq] for seq in range(since + 1, oldest))
                assert gone <= gap["bytes"] <= gone + SMALL.memory_bytes
                assert "gap" not in {event["type"] for event in rest}


async def test_who_asks_for_events_that_are_not_yet_gets_the_next_one(served: Served) -> None:
    """Row 56: as from another service's session; never silence."""
    async with connect(served) as client, connect(served) as other:
        session = await open_session(client)
        await client.run(session, "1", "e1")
        answer = await other.ask("attach", session=session, since=1_000_000)
        end = await client.run(session, "2", "e2")
        with trio.fail_after(5):
            heard = await other.outcome("e2")

    assert answer["seq"] == 2
    assert heard == end


async def test_where_nothing_is_kept_everything_is_told_to_be_gone() -> None:
    """Row 56: also the outcome, of an execution that is known by its id no more."""
    async with watched_service(journal=FORGETFUL) as served:
        async with connect(served, subprotocol=MSGPACK) as client:
            session = await open_session(client)
            sizes = await fill(client, session)
            await client.run(session, "n = globals().get('n', 0) + 1; print('y' * 3000)", "big")
        async with connect(served) as client:
            answer, events = await attached(client, session, 0)
            gap = events[0]
            again = await client.ask(
                "execute", session=session, execution=EXECUTIONS[0], code="'another now'"
            )
            end = await client.outcome(EXECUTIONS[0])

    assert (gap["from_seq"], gap["to_seq"]) == (1, answer["oldest_seq"] - 1)
    assert gap["to_seq"] >= max(sizes)
    assert (again["type"], again["again"], end["value"]) == ("accepted", False, "another now")


async def test_an_ended_session_tells_of_its_gap_too_and_of_its_end(served: Served) -> None:
    """Row 56."""
    async with connect(served, subprotocol=MSGPACK) as client:
        session = await open_session(client)
        sizes = await fill(client, session)
        await client.ask("close_session", session=session)
    async with connect(served) as client:
        answer, events = await attached(client, session, 0)

    assert events[0]["type"] == "gap"
    assert events[0]["bytes"] == sum(sizes[seq] for seq in range(1, answer["oldest_seq"]))
    assert (events[-1]["type"], events[-1]["seq"]) == ("session_closed", max(sizes) + 1)


async def test_an_execution_whose_beginning_is_gone_is_told_from_its_gap_on(served: Served) -> None:
    """Row 56, by sending it again: what is left of it, and its outcome."""
    async with connect(served) as client:
        session = await open_session(client)
        code = "for n in range(200): print(n, 'x' * 100, flush=True)\n'done'"
        first = await client.run(session, code, "e")
    async with connect(served) as client:
        again = await client.ask("execute", session=session, execution="e", code=code)
        end = await client.outcome("e")
        told = [each for each in client.told if each["type"] in ("gap", "output", "started")]

    assert (again["type"], again["again"]) == ("accepted", True)
    assert told[0]["type"] == "gap"
    assert check_order([*told, end], since=0) == first["seq"]
    assert end == first


async def test_who_reads_more_slowly_than_the_journal_forgets_misses_nothing_unawares() -> None:
    """Row 56, without any reconnecting: each event comes, or is in a gap."""
    async with watched_service(journal=SMALL) as served, connect(served) as client:
        session = await open_session(client)
        async with connect(served) as slow:
            await slow.ask("attach", session=session, since=0)
            # It reads nothing until all is over, and the sockets hold a part only.
            code = "for _ in range(2000): print('x' * 10_000, flush=True)"
            end = await client.run(session, code, "e")
            events = [message for message in slow.told if message.get("session") == session]
            while not events or events[-1] != end:
                events.append(await slow.until(session=session))

    assert check_order(events, since=0) == end["seq"]
    assert "gap" in {event["type"] for event in events}
