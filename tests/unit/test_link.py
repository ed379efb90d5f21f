"""Unit tests: a client's link to its service, over connections in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import pyrepl3
from actors.testing import assert_no_tasks_left
from pyrepl3.remote.link import Link
from tests.unit.memory_service import MemoryConnection, MemoryService, make_client, run_link


@pytest.fixture
def service() -> MemoryService:
    return MemoryService()


@pytest.fixture
async def link(service: MemoryService) -> AsyncIterator[Link]:
    async with run_link(service) as link:
        yield link


def event(seq: int, session: str = "s") -> dict[str, Any]:
    return {"type": "output", "session": session, "seq": seq}


# --- what cannot be sent ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"bytes", 2**70, float("inf"), object(), {1: 2}, {"a": [{3}]}])
async def test_what_no_message_can_hold_is_told_to_who_asks_and_to_nobody_else(
    value: object, service: MemoryService, link: Link
) -> None:
    with pytest.raises(pyrepl3.BadMessage):
        await link.ask("open_session", {"env": {"A": value}})
    connection = await service.connection(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.hear_and_answer, "ping", "pong")
        assert (await link.ask("ping", {}))["type"] == "pong"

    assert connection.asked == []


async def test_what_is_too_large_for_the_service_is_not_sent(
    service: MemoryService, link: Link
) -> None:
    """It would close the connection for it, and the client would send it again for ever."""
    with pytest.raises(pyrepl3.CodeTooLarge):
        await link.ask("execute", {"code": "x" * 10_000})
    with pytest.raises(pyrepl3.BadMessage):
        await link.ask("input_response", {"data": "x" * 10_000})

    assert (await service.connection(1)).asked == []


async def test_a_service_that_closes_for_what_it_was_sent_is_not_sent_it_again(
    service: MemoryService, link: Link
) -> None:
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(pyrepl3.ServiceUnreachable):
                await link.ask("ping", {})

        nursery.start_soon(ask)
        connection = await service.connection(1)
        await connection.hear("ping")
        await connection.lose(is_for_good=True)

    assert service.attempts == 1


# --- coming back --------------------------------------------------------------------------------


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_service_that_stays_out_of_reach_is_told_in_time_however_it_is_so(
    refuses: bool, service: MemoryService, autojump_clock: trio.abc.Clock
) -> None:
    """Also where it answers and lets nobody in, or lets in and says nothing."""
    async with run_link(service, reconnect_timeout_s=20.0) as link:
        if refuses:
            service.refusal = pyrepl3.RateLimited(what="no", why="too often", how="Wait")
        else:
            service.first = None
        await (await service.connection(1)).lose()
        lost_at = trio.current_time()
        with pytest.raises((pyrepl3.RateLimited, pyrepl3.ServiceUnreachable)):
            await link.ask("ping", {})

    assert 20.0 <= trio.current_time() - lost_at < 23.0


async def test_a_service_that_answers_nothing_at_all_is_given_up_in_time(
    service: MemoryService, autojump_clock: trio.abc.Clock
) -> None:
    """An attempt may take long, and gets no longer than there is."""
    async with run_link(service, reconnect_timeout_s=3.0) as link:
        service.is_silent = True
        await (await service.connection(1)).lose()
        lost_at = trio.current_time()
        with pytest.raises(pyrepl3.ServiceUnreachable):
            await link.ask("ping", {})

    assert trio.current_time() - lost_at == pytest.approx(3.0)


async def test_a_service_of_another_version_is_told_as_such(
    service: MemoryService, autojump_clock: trio.abc.Clock
) -> None:
    service.first = {"type": "welcome", "version": 2}
    with pytest.raises(pyrepl3.UnsupportedVersion):
        async with make_client(service):
            pytest.fail("it speaks another one")
    service.first = {"type": "pong"}
    with pytest.raises(pyrepl3.ServiceUnreachable):
        async with make_client(service, reconnect_timeout_s=1):
            pytest.fail("it is another service")


async def test_a_message_that_is_none_costs_the_connection_and_not_the_client(
    service: MemoryService, link: Link, autojump_clock: trio.abc.Clock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.ask, "ping", {})
        first = await service.connection(1)
        asked = await first.hear("ping")
        await first.answer(asked, "attached")  # without its session
        await (await service.connection(2)).hear_and_answer("ping", "pong")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("open_session", {"type": "pong"}),
        ("list_sessions", {"type": "sessions"}),
        ("list_sessions", {"type": "sessions", "sessions": None}),
        ("get_execution", {"type": "execution", "state": "ended"}),
        ("interrupt", {"type": "interrupted"}),
        ("complete", {"type": "completed", "matches": []}),
    ],
)
async def test_an_answer_that_is_not_as_it_has_to_be_is_told_to_who_asked(
    asked: str, answer: dict[str, Any], service: MemoryService, link: Link
) -> None:
    """A client that took it would fail somewhere, with an error of nobody's."""
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(pyrepl3.InternalError, match="could not be understood"):
                await link.ask(asked, {})

        nursery.start_soon(ask)
        connection = await service.connection(1)
        message = await connection.hear(asked)
        await connection.tell({**answer, "reply_to": message["id"]})


# --- who follows --------------------------------------------------------------------------------


async def follow(link: Link, connection: MemoryConnection, session: str = "s") -> Any:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: connection.hear_and_answer("attach", "attached", session=session, seq=0)
        )
        _, inbox = await link.follow("attach", {"session": session})
    return inbox


async def test_two_who_follow_one_session_are_both_told_everything(
    service: MemoryService, link: Link
) -> None:
    connection = await service.connection(1)
    first, second = await follow(link, connection), await follow(link, connection)
    await connection.tell(event(1), event(2))

    for inbox in (first, second):
        assert [await anext(inbox) for _ in range(2)] == [event(1), event(2)]
    link.unfollow("s", first)
    await wait_all_tasks_blocked()
    assert connection.asked == []
    await connection.tell(event(3))
    assert await anext(second) == event(3)
    link.unfollow("s", second)


async def test_a_session_that_nobody_follows_any_more_is_detached_from(
    service: MemoryService, link: Link
) -> None:
    """Or it would never be idle, and its events would come for nobody."""
    connection = await service.connection(1)
    link.unfollow("s", await follow(link, connection))

    assert (await connection.hear("detach"))["session"] == "s"


async def test_an_interrupt_that_may_have_been_heard_is_not_sent_for_what_runs_by_now(
    service: MemoryService, link: Link
) -> None:
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            with pytest.raises(pyrepl3.ServiceUnreachable, match="not known whether"):
                await link.ask("interrupt", {"session": "s", "execution": None})

        nursery.start_soon(interrupt)
        first = await service.connection(1)
        await first.hear("interrupt")
        await first.lose()
        second = await service.connection(2)

    assert second.asked == []


async def test_an_answer_that_has_come_counts_though_the_link_ends_before_it_is_taken(
    service: MemoryService, link: Link
) -> None:
    """Of a session that was opened nobody would know otherwise, and it would go on."""
    answers: list[Any] = []

    async def open_session() -> None:
        answers.append(await link.follow("open_session", {"name": "a"}))

    connection = await service.connection(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_session)
        asked = await connection.hear("open_session")
        link._take({"type": "session_opened", "reply_to": asked["id"], "session": "s"})
        link._fail(pyrepl3.ServiceUnreachable(what="it", why="is", how="gone"))

    [(answer, inbox)] = answers
    inbox.close()

    assert answer["session"] == "s"


# --- leaving ------------------------------------------------------------------------------------


async def test_a_client_is_connected_once_and_asked_nothing_before(
    service: MemoryService, autojump_clock: trio.abc.Clock
) -> None:
    client = make_client(service)
    with pytest.raises(RuntimeError):
        await client.list_sessions()
    async with client:
        pass
    with pytest.raises(RuntimeError):
        async with client:
            pytest.fail("it was connected")


async def test_a_client_that_is_cancelled_closes_its_session_over_its_connection(
    service: MemoryService, autojump_clock: trio.abc.Clock
) -> None:
    """Also where all around it is cancelled, as by Ctrl-C: the link says goodbye first."""
    with assert_no_tasks_left():
        async with trio.open_nursery() as nursery:

            async def use() -> None:
                async with make_client(service) as client, client.session():
                    await trio.sleep_forever()

            nursery.start_soon(use)
            connection = await service.connection(1)
            await connection.hear_and_answer("open_session", "session_opened", session="s")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await connection.hear_and_answer("close_session", "session_ended", session="s")

    assert not connection.is_open


async def test_a_session_whose_answer_comes_when_its_client_leaves_is_closed(
    service: MemoryService, autojump_clock: trio.abc.Clock
) -> None:
    async with trio.open_nursery() as nursery:

        async def use() -> None:
            with trio.move_on_after(1):
                async with make_client(service) as client, client.session():
                    pytest.fail("there is none yet")

        nursery.start_soon(use)
        connection = await service.connection(1)
        asked = await connection.hear("open_session")
        await trio.sleep(2)
        await connection.answer(asked, "session_opened", session="s")
        assert (await connection.hear("close_session"))["session"] == "s"

    assert not connection.is_open


async def test_a_service_that_never_answers_holds_up_nobody_who_leaves(
    service: MemoryService, autojump_clock: trio.abc.Clock
) -> None:
    with trio.move_on_after(1):
        async with make_client(service) as client, client.session():
            pytest.fail("there is none")

    assert trio.current_time() < 4
