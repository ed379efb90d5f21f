"""Unit tests: the real session actor over a transport that exists in memory only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from actors import Address, Answer, ChildNotRunning, Reply, open_mailbox, open_reply
from pyrepl3.config import Config, Limits, Timeouts
from pyrepl3.errors import Code, SessionLost, WorkerSpawnFailed
from pyrepl3.events import Error, InterruptOutcome
from pyrepl3.messages import (
    Abandon,
    AnswerInput,
    Ask,
    Close,
    Died,
    DumpStack,
    Ended,
    EventReceiver,
    Execute,
    Interrupt,
    Kill,
    Narrow,
    PoolMessage,
    Query,
    Refused,
    Run,
    SessionMessage,
    SessionStartFailed,
    Shutdown,
    Signal,
    StartSession,
    TransportMessage,
    open_events,
)
from pyrepl3.session.session import Session
from pyrepl3.session.sessions import Sessions
from pyrepl3.transport.spawning import Spawn

Clock = trio.testing.MockClock
TIMEOUTS = Timeouts(interrupt_grace_s=2.0, stack_dump_s=0.5, close_grace_s=1.0)


@attrs.define(eq=False)
class World:
    """A session that runs, and both sides of it."""

    address: Address[SessionMessage]
    transport: trio.MemoryReceiveChannel[TransportMessage]
    fate: Answer[str]
    scope: trio.CancelScope

    async def execute(self, name: str, **options: Any) -> EventReceiver:
        send, events = open_events()
        await self.address.send(Execute(name, "1", send, **options))
        await trio.testing.wait_all_tasks_blocked()
        return events

    async def ask(self, make_message: Any) -> Answer[Any]:
        reply: Reply[Any]
        answer: Answer[Any]
        reply, answer = open_reply()
        await self.address.send(make_message(reply))
        await trio.testing.wait_all_tasks_blocked()
        return answer

    async def tell(self, message: SessionMessage) -> None:
        await self.address.send(message)
        await trio.testing.wait_all_tasks_blocked()

    def sent(self) -> list[TransportMessage]:
        found = []
        while True:
            try:
                found.append(self.transport.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                return found


@asynccontextmanager
async def open_session(**limits: Any) -> AsyncIterator[World]:
    transport, commands = open_mailbox(32)
    address, inbox = Session.open_mailbox()
    fate: Reply[str]
    fate, answer = open_reply()
    session = Session(Limits(**limits), TIMEOUTS, address, inbox, transport, fate)
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
        yield World(address, commands, answer, nursery.cancel_scope)
        nursery.cancel_scope.cancel()


def only(events: EventReceiver) -> Any:
    """The one event of an execution whose channel has ended."""
    event = events.receive_nowait()
    with pytest.raises(trio.EndOfChannel):
        events.receive_nowait()
    return event


async def test_an_execution_goes_down_with_its_channel_and_its_limit() -> None:
    async with open_session(output_bytes=7) as world:
        await world.execute("a")

        (run,) = world.sent()
        assert isinstance(run, Run)
        assert (run.number, run.request.execution, run.output_bytes) == (1, "a", 7)


async def test_questions_answers_and_limits_go_their_ways() -> None:
    async with open_session() as world:
        await world.execute("a", allow_input=True)
        await world.ask(lambda reply: Query("complete", {"code": ""}, reply))
        await world.tell(AnswerInput("a", "i", "line"))
        await world.tell(Narrow(Limits(output_bytes=9)))
        await world.tell(Ended(1))
        await world.tell(Ended(2))
        await world.execute("b")

        run, line, question, narrowed = world.sent()
        assert isinstance(run, Run)
        assert line == AnswerInput("a", "i", "line")
        assert isinstance(question, Ask)
        assert isinstance(narrowed, Run)
        assert narrowed.output_bytes == 9


async def test_the_ladder_is_climbed_on_time(autojump_clock: Clock) -> None:
    async with open_session() as world:
        await world.execute("a", timeout_s=10.0)
        climbed = []
        for _ in range(4):
            message = await world.transport.receive()
            climbed.append((trio.current_time(), type(message)))

        assert climbed == [(0.0, Run), (10.0, Signal), (12.0, DumpStack), (12.5, Kill)]


async def test_a_deadline_ends_with_its_job(autojump_clock: Clock) -> None:
    async with open_session() as world:
        await world.execute("a", timeout_s=10.0)
        await world.tell(Ended(1))
        await trio.sleep(100)

        assert [type(message) for message in world.sent()] == [Run]


async def test_an_interrupt_is_answered_when_its_job_ends() -> None:
    async with open_session() as world:
        await world.execute("a")
        answer = await world.ask(lambda reply: Interrupt(None, None, reply))
        with pytest.raises(trio.WouldBlock):
            answer.take_nowait()
        await world.tell(Ended(1))

        assert answer.take_nowait() == InterruptOutcome("kept", "signal")


async def test_closing_asks_and_then_kills(autojump_clock: Clock) -> None:
    async with open_session() as world:
        await world.tell(Close())
        asked = await world.transport.receive()
        killed = await world.transport.receive()

        assert (asked, killed, trio.current_time()) == (Shutdown(1.0), Kill(), 1.0)


async def test_at_a_death_whoever_waits_is_told_and_the_fate_is_known() -> None:
    async with open_session() as world:
        await world.execute("a", allow_input=True)
        waiting = await world.execute("b")
        question = await world.ask(lambda reply: Query("complete", {}, reply))
        interrupt = await world.ask(lambda reply: Interrupt(None, None, reply))
        await world.tell(Died("it was killed by SIGSEGV"))

        end = only(waiting)
        assert isinstance(end, Error)
        assert end.code == Code.SESSION_LOST
        with pytest.raises(SessionLost):
            question.take_nowait()
        assert interrupt.take_nowait() == InterruptOutcome("lost", "kill")
        assert await world.fate.wait() == "it was killed by SIGSEGV"


async def test_what_came_too_late_is_refused_with_the_cause() -> None:
    async with open_session() as world:
        send, events = open_events()
        world.address.send_nowait(Died("it ended"))
        world.address.send_nowait(Execute("late", "1", send))
        await trio.testing.wait_all_tasks_blocked()

        refused = only(events)
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, SessionLost)
        with pytest.raises(trio.ClosedResourceError):
            await world.address.send(Abandon("late"))


async def test_what_the_transport_does_not_take_any_more_is_refused() -> None:
    """It has ended, and its notice is on its way: nobody else will end these."""
    async with open_session() as world:
        world.transport.close()
        events = await world.execute("a")
        question = await world.ask(lambda reply: Query("complete", {}, reply))
        await world.tell(Close(graceful=False))

        assert isinstance(only(events), Refused)
        with pytest.raises(SessionLost):
            question.take_nowait()


async def test_a_session_that_is_cancelled_leaves_nobody_waiting() -> None:
    async with open_session() as world:
        await world.execute("a", allow_input=True)
        waiting = await world.execute("b")
        interrupt = await world.ask(lambda reply: Interrupt("a", None, reply))
        world.scope.cancel()

    assert isinstance(only(waiting), Error)
    assert interrupt.take_nowait() == InterruptOutcome("lost", "kill")
    assert world.fate.take_nowait() == "it was closed"


async def test_a_client_that_has_gone_is_not_told() -> None:
    async with open_session() as world:
        await world.execute("a", allow_input=True)
        events = await world.execute("b")
        events.close()
        await world.tell(Died("it ended"))

        assert world.fate.take_nowait() == "it ended"


# --- their supervisor ----------------------------------------------------------------------------


async def start(sessions: Sessions, nursery: trio.Nursery) -> Any:
    """What becomes of one start."""
    notices, inbox = open_mailbox(1)
    address: Address[Any] = await nursery.start(sessions.run)
    pool: Address[PoolMessage] = notices
    await address.send(StartSession("s1", "python", pool))
    return await inbox.receive()


async def test_while_a_spawner_restarts_its_starts_fail_and_all_else_goes_on() -> None:
    def restarting(template: str) -> Address[Spawn]:
        raise ChildNotRunning(template)

    async with trio.open_nursery() as nursery:
        failed = await start(Sessions(Config(), restarting, Config().limits_of), nursery)

        assert isinstance(failed, SessionStartFailed)
        assert isinstance(failed.error, WorkerSpawnFailed)
        assert isinstance(failed.error.__cause__, ChildNotRunning)
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("how", ["gone", "drops it", "refuses"])
async def test_a_place_is_free_at_once_when_no_process_comes_of_a_start(
    how: str, autojump_clock: Clock
) -> None:
    spawner, inbox = open_mailbox(0)
    refusal = WorkerSpawnFailed(what="no process", why="no memory", how="Buy some")

    async def serve() -> None:
        async for spawn in inbox:
            if how == "refuses":
                spawn.reply.fail(refusal)
            else:
                spawn.reply.close()
            spawn.exit.close()

    async with trio.open_nursery() as nursery:
        if how == "gone":
            inbox.close()
        else:
            nursery.start_soon(serve)
        failed = await start(Sessions(Config(), lambda _: spawner, Config().limits_of), nursery)

        assert isinstance(failed, SessionStartFailed)
        assert failed.error is refusal or how != "refuses"
        assert trio.current_time() == 0.0
        nursery.cancel_scope.cancel()


async def test_a_start_that_takes_too_long_fails_at_its_deadline(autojump_clock: Clock) -> None:
    spawner, inbox = open_mailbox(1)
    async with trio.open_nursery() as nursery:
        failed = await start(Sessions(Config(), lambda _: spawner, Config().limits_of), nursery)

        assert "10 s" in failed.error.what
        # And as long again as a process may take to be reaped, as there may be one.
        assert trio.current_time() == 11.0
        inbox.close()
        nursery.cancel_scope.cancel()


async def test_a_fault_of_our_own_fails_one_start_and_is_told_as_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spawner, inbox = open_mailbox(0)

    async def serve() -> None:
        async for spawn in inbox:
            spawn.exit.close()
            spawn.reply.answer("no worker at all")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        failed = await start(Sessions(Config(), lambda _: spawner, Config().limits_of), nursery)

        assert isinstance(failed, SessionStartFailed)
        assert failed.error.code == Code.INTERNAL_ERROR
        assert "failed; the others go on" in caplog.text
        nursery.cancel_scope.cancel()


async def test_a_deadline_that_passes_in_the_moment_of_the_death_is_no_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The transport closes the address behind its Died, and the alarm may ring just then.

    Which of two tasks of one moment trio takes first is chance; in twenty, both orders come.
    """
    for _ in range(20):
        async with open_session() as world:
            await world.execute("a", timeout_s=1.0)
            await trio.sleep(1.0)
            world.address.send_nowait(Died("it was killed"))
            world.address.close()
            await trio.testing.wait_all_tasks_blocked()

            assert await world.fate.wait() == "it was killed"
