"""Unit tests: a session on a service, over connections in memory that are cut and lose events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import pyrepl3
from pyrepl3.remote.session import RemoteSession
from tests.unit.memory_service import MemoryConnection, MemoryService, make_client


@attrs.define
class Desk:
    """A session of a client, and the service's end of it."""

    service: MemoryService
    client: pyrepl3.Client
    session: RemoteSession
    connection: MemoryConnection
    nursery: trio.Nursery
    outcomes: list[Any] = attrs.field(factory=list)

    def run(self, code: str = "1") -> None:
        """Have it run, and what comes of it noted."""

        async def run() -> None:
            try:
                self.outcomes.append(await self.session.run(code))
            except pyrepl3.PyreplError as error:
                self.outcomes.append(error)

        self.nursery.start_soon(run)

    async def accept(self) -> str:
        """The id of the next execution, which is taken."""
        asked = await self.connection.hear_and_answer("execute", "accepted")
        return str(asked["execution"])

    async def reconnect(self) -> None:
        await self.connection.lose()
        self.connection = await self.service.connection(2)
        await self.connection.hear_and_answer("attach", "attached", session="s", seq=0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with opened() as desk:
        yield desk


@asynccontextmanager
async def opened() -> AsyncIterator[Desk]:
    service = MemoryService()
    async with trio.open_nursery() as nursery, make_client(service) as client:
        connection = await service.connection(1)
        nursery.start_soon(
            lambda: connection.hear_and_answer("open_session", "session_opened", session="s")
        )
        async with client.open() as session:
            yield Desk(service, client, session, connection, nursery)
            nursery.cancel_scope.cancel()


def error(execution: str, seq: int) -> dict[str, Any]:
    return {
        "type": "error",
        "session": "s",
        "seq": seq,
        "execution": execution,
        "name": "ValueError",
        "value": "",
        "traceback": [],
        "code": None,
        "state": "kept",
    }


def gap(to_seq: int, from_seq: int = 1) -> dict[str, Any]:
    return {"type": "gap", "session": "s", "from_seq": from_seq, "to_seq": to_seq, "bytes": 7}


# --- after a gap --------------------------------------------------------------------------------


async def test_what_ended_in_a_gap_has_one_honest_outcome(desk: Desk) -> None:
    desk.run()
    id = await desk.accept()
    await desk.connection.tell(gap(9))
    asked = await desk.connection.hear_and_answer(
        "get_execution", "execution", execution=id, state="ended", since=0, last_seq=9
    )
    await wait_all_tasks_blocked()

    assert asked["execution"] == id
    (outcome,) = desk.outcomes
    assert (outcome.error.code, outcome.error.state) == ("OUTPUT_GAP", "unknown")
    assert outcome.omitted_bytes == 7


async def test_what_the_service_does_not_remember_has_the_same_and_is_not_sent_again(
    desk: Desk,
) -> None:
    desk.run()
    await desk.accept()
    await desk.connection.tell(gap(9))
    await desk.connection.hear_and_answer("get_execution", "refused", code="EXECUTION_NOT_FOUND")
    await wait_all_tasks_blocked()

    assert [each.error.code for each in desk.outcomes] == ["OUTPUT_GAP"]
    assert desk.connection.asked == []


@pytest.mark.parametrize(
    "stands",
    [
        {"state": "queued", "last_seq": None},
        {"state": "running", "last_seq": None},
        {"state": "ended", "last_seq": 10},
    ],
)
async def test_what_is_not_over_or_has_its_end_to_come_is_waited_for(
    stands: dict[str, Any], desk: Desk
) -> None:
    desk.run()
    id = await desk.accept()
    await desk.connection.tell(gap(9))
    await desk.connection.hear_and_answer(
        "get_execution", "execution", execution=id, since=0, **stands
    )
    await wait_all_tasks_blocked()
    assert desk.outcomes == []
    await desk.connection.tell(error(id, 10))
    await wait_all_tasks_blocked()

    assert [each.error.name for each in desk.outcomes] == ["ValueError"]


async def test_the_question_is_asked_again_where_its_answer_was_lost(desk: Desk) -> None:
    desk.run()
    id = await desk.accept()
    await desk.connection.tell(gap(9))
    await desk.connection.hear("get_execution")
    await desk.reconnect()
    await desk.connection.hear_and_answer(
        "get_execution", "execution", execution=id, state="ended", since=0, last_seq=3
    )
    await wait_all_tasks_blocked()

    assert [each.error.code for each in desk.outcomes] == ["OUTPUT_GAP"]


async def test_a_gap_behind_an_outcome_is_nothing_to_it(desk: Desk) -> None:
    """Nor to the client: its reader may not have left the stream yet."""
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            id = await desk.accept()
            await desk.connection.tell(error(id, 1), gap(9, 2))

        nursery.start_soon(serve)
        async with desk.session.stream("1") as events:
            await wait_all_tasks_blocked()
            kinds = [type(event).__name__ async for event in events]

    assert kinds == ["Error"]
    assert desk.connection.asked == []


async def test_what_may_have_run_twice_is_told_so_and_does_not(desk: Desk) -> None:
    desk.run()
    first = await desk.connection.hear("execute")
    await desk.reconnect()
    again = await desk.connection.hear_and_answer("execute", "refused", code="EXECUTION_NOT_FOUND")
    await wait_all_tasks_blocked()

    assert first.get("again_since") is None
    assert (again["execution"], again["again_since"]) == (first["execution"], 0)
    assert [each.error.code for each in desk.outcomes] == ["OUTPUT_GAP"]


# --- what nobody waits for any more -------------------------------------------------------------


async def test_what_was_left_without_a_connection_is_interrupted_on_the_next(
    desk: Desk, autojump_clock: trio.abc.Clock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.accept)
        async with desk.session.stream("while True: pass"):
            desk.service.refusal = pyrepl3.ShuttingDown(what="no", why="not now", how="Wait")
            await desk.connection.lose()
    desk.service.refusal = None
    again = await desk.service.connection(2)

    assert (await again.hear("interrupt"))["execution"] is not None


async def test_what_was_not_accepted_in_time_is_interrupted(
    desk: Desk, autojump_clock: trio.abc.Clock
) -> None:
    desk.session._request_timeout_s = 10.0
    desk.run()
    id = (await desk.connection.hear("execute"))["execution"]

    assert (await desk.connection.hear("interrupt"))["execution"] == id
    await trio.sleep(10)
    (outcome,) = desk.outcomes
    assert isinstance(outcome, pyrepl3.ServiceUnreachable)


# --- what is not as it has to be ----------------------------------------------------------------


async def test_an_event_that_cannot_be_understood_ends_the_session_and_not_the_client(
    desk: Desk,
) -> None:
    desk.run()
    await desk.accept()
    await desk.connection.tell({"type": "result", "session": "s", "seq": 1})
    await wait_all_tasks_blocked()

    assert [each.code for each in desk.outcomes] == ["INTERNAL_ERROR"]
    desk.nursery.start_soon(
        lambda: desk.connection.hear_and_answer("list_sessions", "sessions", sessions=[])
    )
    assert await desk.client.list_sessions() == []


async def test_times_without_end_and_paths_are_sent_as_json_can_say_them(desk: Desk) -> None:
    async with trio.open_nursery() as nursery:

        async def open_another() -> None:
            async with desk.client.open(acquire_timeout_s=float("inf")):
                pytest.fail("it is refused")

        async def serve() -> None:
            asked = await desk.connection.hear("open_session")
            assert asked["acquire_timeout_s"] > 10**8
            await desk.connection.answer(asked, "refused", code="POOL_EXHAUSTED")

        nursery.start_soon(serve)
        with pytest.raises(pyrepl3.PoolExhausted):
            await open_another()
    with pytest.raises(pyrepl3.ConfigInvalid):
        async with desk.client.open(idle_timeout_s=-1):
            pytest.fail("it is impossible")
    with pytest.raises(TypeError):
        await desk.session.run("1", filename=7)  # type: ignore[arg-type]


async def test_who_reads_on_when_the_block_was_left_is_told_that_it_is_over(desk: Desk) -> None:
    ends: list[type[Exception]] = []

    async def read(events: Any) -> None:
        try:
            await anext(events)
        except (pyrepl3.PyreplError, StopAsyncIteration) as error:
            ends.append(type(error))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.accept)
            async with desk.session.stream("while True: pass") as events:
                nursery.start_soon(read, events)  # noqa: ASYNC111  # that is it
                await wait_all_tasks_blocked()
                nursery.start_soon(desk.connection.hear_and_answer, "interrupt", "interrupted")
        await read(events)

    assert ends == [pyrepl3.ServiceUnreachable, StopAsyncIteration]
