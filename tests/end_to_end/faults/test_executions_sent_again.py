"""End-to-end tests: one execution under one id, and a queue that has an end (rows 53 and 54)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pyrepl3.serving import Served

from ..websocket_driver import JSON, MSGPACK, Client, connect
from .watched_service import all_events, check_order, open_session, watched_service

COUNT = "n = globals().get('n', 0) + 1; print('run', n); n"
WAIT = "input()"
"""It runs until it is answered: as long as a test wants."""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with watched_service() as served:
        yield served


async def send_again(client: Client, session: str, execution: str, **fields: Any) -> Any:
    request = {"session": session, "execution": execution, "code": COUNT, **fields}
    return await client.ask("execute", **request)


async def finish(client: Client, session: str, execution: str) -> None:
    """Let one that waits end."""
    asked = await client.until(type="input", execution=execution)
    await client.ask("input_response", session=session, input=asked["input"], data="go")
    await client.outcome(execution)


# --- row 53 -------------------------------------------------------------------------------------


async def test_an_id_that_is_sent_again_is_the_first_one_and_its_events_come_once(
    served: Served,
) -> None:
    """Row 53, on the connection that has its events already."""
    async with connect(served) as client:
        session = await open_session(client)
        first = await client.run(session, COUNT, "e")
        answers = [await send_again(client, session, "e") for _ in range(3)]
        last = await client.run(session, "n", "last")
        told = [message for message in client.told if message.get("execution") == "e"]

    assert (first["value"], last["value"]) == (1, 1)
    assert [(answer["type"], answer["again"]) for answer in answers] == [("accepted", True)] * 3
    assert [message["type"] for message in told] == ["accepted", "started", "output"][1:]


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
async def test_from_another_connection_the_first_outcome_comes_whole(
    subprotocol: str, served: Served
) -> None:
    """Row 53."""
    async with connect(served) as client:
        session = await open_session(client)
        await client.run(session, "'before'", "before")
        first = await client.run(session, COUNT, "e")
        async with connect(served, subprotocol=subprotocol) as other:
            again = await send_again(other, session, "e")
            outcome = await other.outcome("e")
            told = [message for message in other.told if message.get("session") == session]

    assert (again["type"], again["again"], again["position"]) == ("accepted", True, 0)
    assert outcome == first
    assert check_order([*told, outcome], since=2) == first["seq"]


async def test_whoever_follows_from_later_on_gets_the_first_outcome_all_the_same(
    served: Served,
) -> None:
    """Row 53: the events from before this connection came are those that it has not had."""
    async with connect(served) as client:
        session = await open_session(client)
        first = await client.run(session, COUNT, "e")
        middle = await client.run(session, COUNT, "middle")
        async with connect(served) as other:
            await other.ask("attach", session=session)
            assert (await send_again(other, session, "e"))["again"]
            outcome = await other.outcome("e")
            # What lay between has come too, and nothing comes twice.
            assert await other.outcome("middle") == middle
            assert (await send_again(other, session, "middle"))["again"]
            assert (await send_again(other, session, "e"))["again"]
            last = await other.run(session, "n", "last")
            told = [message for message in other.told if "seq" in message and "session" in message]

    assert outcome == first
    assert last["value"] == 2
    numbers = sorted(m["seq"] for m in [*told, outcome, middle, last] if m["type"] != "attached")
    assert numbers == list(range(1, last["seq"] + 1))


async def test_one_that_still_runs_or_waits_is_not_run_beside_itself(served: Served) -> None:
    """Row 53."""
    async with connect(served) as client, connect(served) as other:
        session = await open_session(client)
        for execution in ("running", "queued"):
            await client.ask("execute", session=session, execution=execution, code=WAIT)
        running, queued = [
            await other.ask("execute", session=session, execution=execution, code=WAIT)
            for execution in ("running", "queued")
        ]
        for execution in ("running", "queued"):
            await finish(client, session, execution)
        ends = [(await other.outcome(execution))["value"] for execution in ("running", "queued")]
        infos = (await client.ask("list_sessions"))["sessions"]

    assert (running["again"], running["position"]) == (True, 0)
    assert (queued["again"], queued["position"]) == (True, 1)
    assert ends == ["go", "go"]
    assert (infos[0]["running"], infos[0]["queued"]) == (None, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"code": COUNT + " "},
        {"timeout_s": 5.0},
        {"filename": "other.py"},
        {"silent": True},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_an_id_with_another_body_is_a_conflict_and_nothing_of_it_runs(
    other: dict[str, Any], served: Served
) -> None:
    """Row 53: while the first one waits, when it has ended, and when its session has."""
    async with connect(served) as client, connect(served) as elsewhere:
        session = await open_session(client)
        await client.ask("execute", session=session, execution="blocking", code=WAIT)
        await send_again(client, session, "e")
        queued = await send_again(client, session, "e", **other)
        await finish(client, session, "blocking")
        first = await client.outcome("e")
        ended = await send_again(elsewhere, session, "e", **other)
        last = await client.run(session, "n", "last")
        await client.ask("close_session", session=session)
        closed = await send_again(elsewhere, session, "e", **other)

    for refused in (queued, ended, closed):
        assert (refused["type"], refused["code"]) == ("refused", "ID_CONFLICT")
        assert (refused["details"], refused["retryable"]) == ({"execution": "e"}, False)
        assert refused["how"]
    assert (first["value"], last["value"]) == (1, 1)


@pytest.mark.parametrize("how", ["closed", "died"])
async def test_an_outcome_outlives_its_session(how: str, served: Served) -> None:
    """Row 53: also that of the execution with which the session ended."""
    fatal = "import os; os._exit(3)"
    async with connect(served) as client:
        session = await open_session(client)
        first = await client.run(session, COUNT, "e")
        if how == "closed":
            await client.ask("close_session", session=session)
            await client.until(type="session_closed")
        else:
            died = await client.run(session, fatal, "fatal")
            await client.until(type="session_died")
    async with connect(served) as client:
        again = await send_again(client, session, "e")
        outcome = await client.outcome("e")
        new = await send_again(client, session, "new")
        if how == "died":
            await send_again(client, session, "fatal", code=fatal)
            assert await client.outcome("fatal") == died
        events = await all_events(client, session)

    assert (again["type"], again["again"]) == ("accepted", True)
    assert outcome == first
    assert (new["type"], new["code"]) == ("refused", "SESSION_LOST")
    assert [event["type"] for event in events].count("started") == (1 if how == "closed" else 2)


async def test_ids_are_one_sessions_own(served: Served) -> None:
    """Row 53: the same id in another session is another execution."""
    async with connect(served) as client:
        first, second = [await open_session(client) for _ in range(2)]
        await client.run(first, COUNT, "e")
        answer = await client.ask("execute", session=second, execution="e", code="'another'")
        end = await client.until(type="result", session=second)

    assert (answer["again"], end["value"]) == (False, "another")


# --- row 54 -------------------------------------------------------------------------------------


async def test_sixteen_wait_in_order_and_the_seventeenth_is_refused(served: Served) -> None:
    """Row 54, from two connections."""
    async with connect(served) as client, connect(served) as other:
        session = await open_session(client)
        await client.ask("execute", session=session, execution="blocking", code=WAIT)
        answers = []
        for number in range(1, 19):
            sender = client if number % 2 else other
            code = f"order = [*globals().get('order', []), {number}]; order"
            answers.append(
                await sender.ask("execute", session=session, execution=f"e{number}", code=code)
            )
        (info,) = (await client.ask("list_sessions"))["sessions"]
        again = await other.ask(
            "execute", session=session, execution="e1", code=code.replace("18", "1")
        )
        await finish(client, session, "blocking")
        orders = [(await client.outcome(f"e{number}"))["value"] for number in range(1, 17)]
        # There is room again, and the id of what was refused is free: nothing of it ran.
        late = await client.run(session, "order", "e17")

    assert [answer["type"] for answer in answers] == ["accepted"] * 16 + ["refused"] * 2
    assert [answer["position"] for answer in answers[:16]] == list(range(1, 17))
    for refused in answers[16:]:
        assert (refused["code"], refused["details"]) == ("QUEUE_FULL", {"limit": 16})
        assert refused["retryable"]
    assert (info["running"], info["queued"]) == ("blocking", 16)
    assert (again["type"], again["again"], again["position"]) == ("accepted", True, 1)
    assert orders == [list(range(1, number + 1)) for number in range(1, 17)]
    assert late["value"] == list(range(1, 17))


async def test_a_session_may_be_given_a_shorter_queue(served: Served) -> None:
    """Row 54."""
    async with connect(served) as client:
        session = await open_session(client, limits={"queued_executions": 1})
        await client.ask("execute", session=session, execution="e0", code=WAIT)
        answers = [
            await client.ask("execute", session=session, execution=f"e{number}", code="1")
            for number in (1, 2)
        ]
        # What is dropped from the queue makes room as well.
        await client.ask("interrupt", session=session, execution="e1")
        third = await client.ask("execute", session=session, execution="e3", code="'three'")
        dropped = await client.outcome("e1")
        await finish(client, session, "e0")
        end = await client.outcome("e3")

    assert [answer["type"] for answer in answers] == ["accepted", "refused"]
    assert answers[1]["details"] == {"limit": 1}
    assert (dropped["type"], dropped["code"]) == ("error", "INTERRUPTED")
    assert (third["type"], end["value"]) == ("accepted", "three")
