"""End-to-end tests: a plain WebSocket client drives sessions on real workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed

from pyrepl3.serving import Served

from .websocket_driver import JSON, LIMITED, MSGPACK, OTHER, Client, connect, serve


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as (_, served):
        yield served


async def opened(client: Client, **fields: Any) -> str:
    answer = await client.ask("open_session", **fields)
    assert answer["type"] == "session_opened", answer
    return str(answer["session"])


def refused(answer: dict[str, Any]) -> str:
    """Its code."""
    assert answer["type"] == "refused", answer
    assert answer["what"]
    assert answer["why"]
    assert answer["how"]
    return str(answer["code"])


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK, None])
async def test_a_session_is_opened_used_and_closed(served: Served, subprotocol: str) -> None:
    async with connect(served, subprotocol=subprotocol) as client:
        assert client.welcome["type"] == "welcome"
        assert client.welcome["version"] == 1
        opened = await client.ask("open_session")
        session = opened["session"]
        assert opened["type"] == "session_opened"
        end = await client.run(session, "print('é'); 6 * 7", "e1")
        assert (end["type"], end["value"], end["session"]) == ("result", 42, session)
        closed = await client.ask("close_session", session=session)
        last = await client.until(type="session_closed")

    assert [(message["type"], message["seq"]) for message in [*client.told, end, last]] == [
        ("started", 1),
        ("output", 2),
        ("result", 3),
        ("session_closed", 4),
    ]
    assert closed["type"] == "session_ended"


async def test_the_status_of_an_exit_and_that_of_a_process_are_told_apart(
    served: Served,
) -> None:
    async with connect(served) as client:
        session = (await client.ask("open_session"))["session"]
        asked = await client.run(session, "import sys; sys.exit(3)", "e1")
        ended = await client.run(session, "import os; os._exit(4)", "e2")
        other = (await client.ask("open_session"))["session"]
        killed = await client.run(other, "import os; os.kill(os.getpid(), 9)", "e3")

    assert (asked["exit_status"], asked["details"], asked["state"]) == (3, {}, "kept")
    assert (ended["exit_status"], ended["details"]["exit_status"]) == (None, 4)
    assert (killed["exit_status"], killed["details"]["exit_status"]) == (None, None)
    assert killed["details"]["signal"] == "SIGKILL"


# --- requests -----------------------------------------------------------------------------------


async def test_requests_of_one_session_are_taken_in_the_order_in_which_they_came(
    served: Served,
) -> None:
    async with connect(served) as client:
        session = await opened(client)
        await client.run(session, "told = []", "e0")
        for number in range(1, 15):
            code = f"told.append({number})"
            await client.send("execute", session=session, execution=f"e{number}", code=code)
        end = await client.run(session, "told", "e15")

    assert end["value"] == list(range(1, 15))


async def test_an_input_is_answered_and_only_once(served: Served) -> None:
    async with connect(served) as client, connect(served) as other:
        session = await opened(client)
        await other.ask("attach", session=session)
        await client.send("execute", session=session, execution="e", code="input('who? ')")
        asked = [await each.until(type="input") for each in (client, other)]
        answer = {"session": session, "input": asked[0]["input"]}
        first = await client.ask("input_response", data="Ada", **answer)
        second = await other.ask("input_response", data="Eve", **answer)
        end = await other.until(type="result")

    assert asked[0] == asked[1]
    assert (first["type"], refused(second)) == ("input_taken", "ALREADY_ANSWERED")
    assert end["value"] == "Ada"


async def test_an_interrupt_is_answered_with_what_came_of_it(served: Served) -> None:
    async with connect(served) as client:
        session = await opened(client)
        await client.send("execute", session=session, execution="e", code="while True: pass")
        await client.until(type="started")
        answer = await client.ask("interrupt", session=session)
        end = await client.until(type="error")
        nothing = await client.ask("interrupt", session=session, execution="e")

    assert (answer["type"], answer["execution"], answer["state"]) == ("interrupted", "e", "kept")
    assert end["code"] == "INTERRUPTED"
    assert refused(nothing) == "EXECUTION_NOT_FOUND"


async def test_an_editor_is_helped(served: Served) -> None:
    async with connect(served) as client:
        session = await opened(client)
        completed = await client.ask("complete", session=session, code="impor")
        inspected = await client.ask("inspect", session=session, code="len")
        whole = await client.ask("is_complete", session=session, code="if True:")

    assert "import" in completed["matches"]
    assert inspected["found"]
    assert whole["status"] == "incomplete"


async def test_a_principal_has_no_more_sessions_than_it_may(served: Served) -> None:
    """Also where it asks for all of them at once, and over several connections."""
    async with connect(served, token=LIMITED) as client, connect(served, token=LIMITED) as again:
        numbers = [await client.send("open_session", name=f"s{n}") for n in range(3)]
        answers = [await client.until(reply_to=number) for number in numbers]
        (third,) = [answer for answer in answers if answer["type"] == "refused"]
        opened = [answer["session"] for answer in answers if answer["type"] != "refused"]
        fourth = await again.ask("open_session")

        assert [refused(answer) for answer in (third, fourth)] == ["RATE_LIMITED"] * 2
        assert third["details"] == {"limit": 2}
        await again.ask("close_session", session=opened[0])
        assert (await again.ask("open_session"))["type"] == "session_opened"
        async with connect(served) as other:
            assert (await other.ask("open_session"))["type"] == "session_opened"


async def test_sessions_are_listed_for_their_principal_alone(served: Served) -> None:
    async with connect(served) as client, connect(served, token=OTHER) as other:
        session = await opened(client, name="mine", metadata={"purpose": "test"})
        mine = (await client.ask("list_sessions"))["sessions"]
        theirs = (await other.ask("list_sessions"))["sessions"]
        answers = [
            await other.ask(kind, session=named, **fields)
            for named in (session, "mine", "nothing")
            for kind, fields in (
                ("attach", {}),
                ("execute", {"execution": "e", "code": "1"}),
                ("interrupt", {}),
                ("close_session", {}),
                ("complete", {"code": ""}),
            )
        ]

    assert [(each["session"], each["metadata"]) for each in mine] == [
        (session, {"purpose": "test"})
    ]
    assert theirs == []
    assert {refused(answer) for answer in answers} == {"SESSION_NOT_FOUND"}


async def test_a_ping_is_answered_and_the_versions_are_agreed_on(served: Served) -> None:
    async with connect(served) as client:
        pong = await client.ask("ping")
        hello = await client.ask("hello", versions=[2, 1])
        too_new = await client.ask("hello", versions=[2, 3])

    assert pong["type"] == "pong"
    assert hello == {**client.welcome, "reply_to": 2}
    assert refused(too_new) == "UNSUPPORTED_VERSION"
    assert too_new["details"] == {"supported": [1]}


async def test_a_session_that_has_died_says_so_and_is_told_of_as_it_was(served: Served) -> None:
    async with connect(served) as client:
        session = await opened(client)
        end = await client.run(session, "import os; os._exit(3)", "e1")
        died = await client.until(type="session_died")
        answer = await client.ask("execute", session=session, execution="e2", code="1")
        again = await client.ask(
            "execute", session=session, execution="e1", code="import os; os._exit(3)"
        )

    assert (end["code"], end["state"]) == ("WORKER_DIED", "lost")
    assert died["seq"] == end["seq"] + 1
    assert refused(answer) == "SESSION_LOST"
    assert (again["type"], again["again"]) == ("accepted", True)


# --- connections that come and go ---------------------------------------------------------------


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(served: Served) -> None:
    code = "for n in range(50): print(n, flush=True)"
    async with connect(served) as client:
        session = await opened(client)
        await client.send("execute", session=session, execution="e", code=code)
        seen = [await client.until(type="started")]
    async with connect(served, subprotocol=MSGPACK) as client:
        answer = await client.ask("attach", session=session, since=seen[-1]["seq"])
        while seen[-1]["type"] != "result":
            seen.append(await client.until(session=session))

    assert answer["type"] == "attached"
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    printed = "".join(event["data"] for event in seen if event["type"] == "output")
    assert printed == "".join(f"{n}\n" for n in range(50))


async def test_an_execution_that_is_sent_again_elsewhere_runs_once(served: Served) -> None:
    async with connect(served) as client:
        session = await opened(client)
        await client.run(session, "n = 0", "e0")
        await client.send("execute", session=session, execution="e1", code="n += 1; n")
        await client.until(type="accepted", execution="e1")
    async with connect(served) as client:
        # Not attached: it is from its first event on.
        end = await client.run(session, "n += 1; n", "e1")
        last = await client.run(session, "n", "e2")
        conflict = await client.ask("execute", session=session, execution="e1", code="n")

    assert (end["value"], last["value"]) == (1, 1)
    assert refused(conflict) == "ID_CONFLICT"


async def test_who_detaches_hears_no_more_and_may_come_back(served: Served) -> None:
    async with connect(served) as client:
        session = await opened(client)
        await client.ask("detach", session=session)
        await client.ask("ping")
        async with connect(served) as other:
            end = await other.run(session, "1", "e")
        await client.ask("ping")
        told = list(client.told)
        await client.ask("attach", session=session, since=end["seq"] - 1)
        again = await client.until(type="result")

    assert told == []
    assert again == end


async def test_a_session_outlives_its_connection_unless_it_was_asked_not_to(
    served: Served,
) -> None:
    sessions = {}
    for on_disconnect in ("continue", "interrupt"):
        async with connect(served) as client:
            session = sessions[on_disconnect] = await opened(client, on_disconnect=on_disconnect)
            code = "import time; time.sleep(0.5); 'slept'"
            await client.send("execute", session=session, execution="e", code=code)
            await client.until(type="started")
    async with connect(served) as client:
        for session in sessions.values():
            await client.ask("attach", session=session, since=0)
        slept = await client.until(session=sessions["continue"], type="result")
        ended = await client.until(session=sessions["interrupt"], type="error")

    assert slept["value"] == "slept"
    assert (ended["code"], ended["state"]) == ("INTERRUPTED", "kept")


async def test_the_end_of_the_service_is_told_to_who_is_connected() -> None:
    async with trio.open_nursery() as nursery, serve() as (_, served):
        client = await nursery.start(stay_connected, served)
    assert client.socket.closed is not None

    assert (client.socket.closed.code, client.socket.closed.reason) == (1001, "SHUTTING_DOWN")


async def stay_connected(served: Served, *, task_status: trio.TaskStatus[Client]) -> None:
    async with connect(served) as client:
        task_status.started(client)
        with pytest.raises(ConnectionClosed):
            await client.receive()
