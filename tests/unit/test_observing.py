"""Unit tests: what observers hear of executions, over a session actor that follows a script."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
import trio
from memory_session import (
    MemoryActor,
    end_without_a_word,
    open_session,
    refusing,
    result,
    run_for_ever,
)

from actors.testing import cancel_at_each_checkpoint
from pyrepl3.errors import Code, CodeTooLarge, QueueFull, SessionLost
from pyrepl3.events import Error, Output, Result, Started
from pyrepl3.messages import Execute
from pyrepl3.telemetry.observing import (
    AdmissionRefused,
    ExecutionEnded,
    ExecutionSent,
    ExecutionStarted,
    Happening,
    ObservedExecution,
    Observers,
    outcome_of,
)


@attrs.define(eq=False)
class Listener:
    """Keeps what it hears."""

    heard: list[Happening] = attrs.field(factory=list)

    def notice(self, happening: Happening) -> None:
        self.heard.append(happening)

    @property
    def kinds(self) -> list[type]:
        return [type(happening) for happening in self.heard]

    @property
    def ended(self) -> ObservedExecution:
        (end,) = [each for each in self.heard if isinstance(each, ExecutionEnded)]
        return end.execution


@contextmanager
def listening() -> Iterator[tuple[Observers, Listener]]:
    observers, listener = Observers(), Listener()
    with observers.joined_by(listener):
        yield observers, listener


async def talk(actor: MemoryActor, request: Execute) -> None:
    await trio.sleep(2)
    await request.events.send(Started(request.execution))
    await request.events.send(Output(request.execution, "stdout", "hi ø\n"))
    await trio.sleep(3)
    await request.events.send(result(request.execution))


def failed(code: str | None) -> Error:
    return Error("e", "Name", "value", [], code, "kept")


def raising(code: str | None):  # type: ignore[no-untyped-def]
    async def fail(actor: MemoryActor, request: Execute) -> None:
        await request.events.send(Started(request.execution))
        await request.events.send(attrs.evolve(failed(code), execution=request.execution))

    return fail


def lost() -> SessionLost:
    return SessionLost(what="the session is gone", why="because", how="Open another")


def full() -> QueueFull:
    return QueueFull(what="full", why="full", how="wait")


async def test_an_execution_is_followed_from_its_request_to_its_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with listening() as (observers, listener):
        async with open_session(MemoryActor(talk), observers=observers) as world:
            execution = await world.session.run("1")

    observed = listener.ended
    assert listener.kinds == [ExecutionSent, ExecutionStarted, ExecutionEnded]
    assert (observed.session, observed.execution) == (world.session.id, execution.id)
    assert (observed.queued_s, observed.run_s) == (2, 3)
    assert observed.output_bytes == len("hi ø\n".encode())
    assert (observed.outcome, observed.code) == ("ok", None)


async def test_a_stream_is_followed_too(autojump_clock: trio.testing.MockClock) -> None:
    with listening() as (observers, listener):
        async with (
            open_session(MemoryActor(talk), observers=observers) as world,
            world.session.stream("1") as events,
        ):
            kinds = [type(event) async for event in events]

    assert kinds == [Started, Output, Result]
    assert (listener.ended.outcome, listener.ended.run_s) == ("ok", 3)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (None, "error"),
        (Code.STDIN_UNAVAILABLE, "error"),
        (Code.INTERRUPTED, "interrupted"),
        (Code.EXECUTION_TIMEOUT, "timeout"),
        (Code.WORKER_DIED, "died"),
        (Code.PROTOCOL_VIOLATION, "died"),
        (Code.RUNNER_BROKEN, "died"),
        (Code.INTERNAL_ERROR, "died"),
        (Code.SESSION_LOST, "refused"),
    ],
)
async def test_what_ended_it_decides_its_outcome(code: str | None, outcome: str) -> None:
    with listening() as (observers, listener):
        async with open_session(MemoryActor(raising(code)), observers=observers) as world:
            await world.session.run("1")

    assert outcome_of(failed(code)) == outcome
    assert (listener.ended.outcome, listener.ended.code) == (outcome, code)


async def test_what_is_not_taken_is_refused_and_has_run_for_no_time() -> None:
    with listening() as (observers, listener):
        async with open_session(MemoryActor(refusing(full())), observers=observers) as world:
            with pytest.raises(QueueFull):
                await world.session.run("1")

    assert (listener.ended.outcome, listener.ended.code) == ("refused", Code.QUEUE_FULL)
    assert listener.ended.run_s is None


async def test_code_that_is_too_large_is_refused_before_it_is_sent() -> None:
    with listening() as (observers, listener):
        async with open_session(observers=observers) as world:
            with pytest.raises(CodeTooLarge):
                await world.session.run(" " * 2**25)

    assert (listener.ended.outcome, listener.ended.code) == ("refused", Code.CODE_TOO_LARGE)


async def test_a_second_process_for_the_same_request_is_no_second_execution() -> None:
    dead, alive = MemoryActor(refusing(lost())), MemoryActor()
    with listening() as (observers, listener):
        async with open_session(dead, alive, observers=observers) as world:
            await world.session.run("1")

    assert world.renewals == 1
    assert listener.kinds.count(ExecutionSent) == 1
    assert listener.ended.outcome == "ok"


async def test_a_session_lost_under_it_is_a_death() -> None:
    async def vanish(actor: MemoryActor, request: Execute) -> None:
        await request.events.send(Started(request.execution))

    with listening() as (observers, listener):
        async with open_session(MemoryActor(vanish), observers=observers) as world:
            with pytest.raises(SessionLost):
                await world.session.run("1")
    assert (listener.ended.outcome, listener.ended.code) == ("died", Code.SESSION_LOST)

    with listening() as (observers, listener):
        async with open_session(MemoryActor(end_without_a_word), observers=observers) as world:
            with pytest.raises(SessionLost):
                await world.session.run("1")
    assert (listener.ended.outcome, listener.ended.code) == ("died", Code.SESSION_LOST)


async def test_who_leaves_a_stream_has_it_interrupted() -> None:
    with listening() as (observers, listener):
        async with (
            open_session(MemoryActor(run_for_ever), observers=observers) as world,
            world.session.stream("1") as events,
        ):
            assert isinstance(await anext(aiter(events)), Started)

    assert (listener.ended.outcome, listener.ended.code) == ("interrupted", Code.INTERRUPTED)


async def test_every_execution_ends_once_wherever_its_caller_is_cancelled() -> None:
    runs = 0
    with listening() as (observers, listener):
        async with open_session(MemoryActor(raising(None)), observers=observers) as world:
            async for run in cancel_at_each_checkpoint(lambda: world.session.run("1")):
                runs += 1
                assert listener.ended.outcome == ("interrupted" if run.cancelled else "error")
                assert listener.kinds.count(ExecutionSent) == 1
                listener.heard.clear()

    assert runs >= 3


def test_where_nobody_watches_nothing_is_made_to_be_told() -> None:
    observers, listener = Observers(), Listener()
    with observers.joined_by(listener):
        pass

    assert observers.execution(session="s", execution="e", template="python") is None
    assert not observers
    assert listener.heard == []


async def test_an_observer_that_fails_fails_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def notice(self, happening: Happening) -> None:
            raise ValueError("broken")

    with listening() as (observers, listener), observers.joined_by(Broken()):
        observers.notice(AdmissionRefused(code=Code.UNAUTHORIZED, peer="192.0.2.1"))

    assert listener.kinds == [AdmissionRefused]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "an observer failed at AdmissionRefused"
