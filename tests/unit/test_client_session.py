"""Unit tests: a session as programs use it, over a session actor that follows a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from memory_session import (
    MemoryActor,
    open_session,
    refusing,
    result,
    run_for_ever,
)

from actors.testing import cancel_at_each_checkpoint
from pyrepl3.client.settings import SessionSettings
from pyrepl3.config import Limits
from pyrepl3.errors import (
    AlreadyAnswered,
    CodeTooLarge,
    ConfigInvalid,
    QueueFull,
    SessionLost,
)
from pyrepl3.events import (
    Display,
    Error,
    Event,
    InputRequested,
    InterruptOutcome,
    Output,
    Result,
    Started,
)
from pyrepl3.messages import (
    Abandon,
    Close,
    Execute,
    Interrupt,
    Query,
)


async def test_a_run_gives_what_came_of_the_code() -> None:
    async with open_session() as world:
        execution = await world.session.run("6 * 7", timeout_s=5.0, filename="cell", silent=True)

        (request,) = world.actors[0].of(Execute)
        assert (execution.value, execution.text) == (42, "42")
        assert execution.id == request.execution
        assert (request.code, request.timeout_s) == ("6 * 7", 5.0)
        assert (request.filename, request.silent) == ("cell", True)
        assert (request.allow_input, request.wants_started) == (False, False)


async def test_each_execution_has_an_id_of_its_own() -> None:
    async with open_session() as world:
        ids = {(await world.session.run("1")).id for _ in range(3)}

        assert len(ids) == 3


async def test_callbacks_get_what_they_asked_for_plain_or_async() -> None:
    async def talk(actor: MemoryActor, request: Execute) -> None:
        name = request.execution

        async def send(data: str | None) -> None:
            actor.answered["i"] = data

        await request.events.send(Output(name, "stdout", "a"))
        await request.events.send(Display(name, {}, {}))
        await request.events.send(InputRequested(name, "i", "who? ", False, send))
        await request.events.send(result(name))

    seen: list[Event] = []

    async def show(event: Display) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(event)

    async with open_session(MemoryActor(talk)) as world:
        await world.session.run(
            "1", on_output=seen.append, on_display=show, on_input=lambda prompt: prompt + "me"
        )

        assert [type(event) for event in seen] == [Output, Display]
        assert world.actors[0].answered == {"i": "who? me"}
        assert world.actors[0].of(Execute)[0].allow_input


async def test_an_end_of_file_in_the_callback_is_the_end_of_the_input() -> None:
    async def ask(actor: MemoryActor, request: Execute) -> None:
        async def send(data: str | None) -> None:
            actor.answered["i"] = data

        await request.events.send(InputRequested(request.execution, "i", "", False, send))
        await request.events.send(result(request.execution))

    def end(prompt: str) -> str:
        raise EOFError

    async with open_session(MemoryActor(ask)) as world:
        await world.session.run("1", on_input=end)

        assert world.actors[0].answered == {"i": None}


async def test_an_execution_that_ends_while_its_input_is_awaited_is_told_as_it_ended() -> None:
    """Not as lost: that would say that nothing of it ran, and it would be sent again."""

    async def end(actor: MemoryActor, request: Execute) -> None:
        name = request.execution

        async def send(data: str | None) -> None:
            raise SessionLost(what="the answer was not taken", why="it has ended", how="Go on")

        await request.events.send(InputRequested(name, "i", "?", False, send))
        await request.events.send(Error(name, "WorkerDied", "", [], "WORKER_DIED", "lost"))

    async with open_session(MemoryActor(end)) as world:
        execution = await world.session.run("1", on_input=lambda prompt: "a line")

        assert execution.error is not None
        assert execution.error.code == "WORKER_DIED"


async def test_a_callback_that_raises_ends_the_run_and_interrupts_the_code() -> None:
    async def print_for_ever(actor: MemoryActor, request: Execute) -> None:
        while True:
            await request.events.send(Output(request.execution, "stdout", "x"))

    def fail(event: Output) -> None:
        raise KeyError("mine")

    async with open_session(MemoryActor(print_for_ever)) as world:
        with pytest.raises(KeyError, match="mine"):
            await world.session.run("1", on_output=fail)
        await trio.testing.wait_all_tasks_blocked()

        assert len(world.actors[0].of(Abandon)) == 1


async def test_a_run_that_is_cancelled_at_any_checkpoint_interrupts_what_it_started() -> None:
    async def two_events(actor: MemoryActor, request: Execute) -> None:
        await request.events.send(Output(request.execution, "stdout", "x"))
        await trio.lowlevel.checkpoint()
        await request.events.send(result(request.execution))

    async with open_session(MemoryActor(two_events)) as world:
        actor = world.actors[0]
        async for run in cancel_at_each_checkpoint(lambda: world.session.run("1")):
            await trio.testing.wait_all_tasks_blocked()
            if run.cancelled:
                begun = {request.execution for request in actor.of(Execute)}
                assert begun <= {abandoned.execution for abandoned in actor.of(Abandon)}
            actor.messages.clear()


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), "5"])
async def test_an_impossible_timeout_is_refused_before_anything_is_sent(timeout_s: Any) -> None:
    async with open_session() as world:
        with pytest.raises(ConfigInvalid):
            await world.session.run("1", timeout_s=timeout_s)

        assert not world.session.touched
        assert world.actors[0].messages == []


@pytest.mark.parametrize("code", ["x" * 101, "é" * 51, "\ud800" * 34])
async def test_code_over_the_limit_in_bytes_is_refused_before_it_is_sent(code: str) -> None:
    async with open_session(limits=Limits(code_bytes=100)) as world:
        with pytest.raises(CodeTooLarge) as caught:
            await world.session.run(code)

        assert caught.value.details["size_bytes"] > 100
        assert world.actors[0].messages == []


async def test_code_of_the_limit_in_bytes_is_taken() -> None:
    async with open_session(limits=Limits(code_bytes=100)) as world:
        assert (await world.session.run("é" * 50)).value == 42


async def test_code_that_is_no_string_is_refused_before_it_is_sent() -> None:
    async with open_session() as world:
        with pytest.raises(TypeError, match="bytes"):
            await world.session.run(b"1")  # type: ignore[arg-type]

        assert world.actors[0].messages == []


@pytest.mark.parametrize(
    ("filename", "error"), [("x" * 4097, ConfigInvalid), (42, TypeError)], ids=["long", "no path"]
)
async def test_a_file_name_that_no_frame_can_carry_is_refused_before_it_is_sent(
    filename: Any, error: type[Exception]
) -> None:
    async with open_session() as world:
        with pytest.raises(error):
            await world.session.run("1", filename=filename)

        assert world.actors[0].messages == []


async def test_only_what_a_frame_can_carry_reaches_the_transport() -> None:
    async with open_session() as world:
        await world.session.run("1", filename=b"cell.py", silent=object())  # type: ignore[arg-type]

        (request,) = world.actors[0].of(Execute)
        assert (request.filename, request.silent) == ("cell.py", True)


@pytest.mark.parametrize(("cursor_pos", "sent"), [(2**70, 2), (-(2**70), 0), (1, 1)])
async def test_a_cursor_is_within_the_code(cursor_pos: int, sent: int) -> None:
    answer = {"type": "completed", "matches": [], "cursor_start": 0, "cursor_end": 0}
    async with open_session(MemoryActor(answers={"complete": answer})) as world:
        await world.session.complete("pr", cursor_pos)
        with pytest.raises(TypeError, match="cursor_pos"):
            await world.session.complete("pr", "1")  # type: ignore[arg-type]

        assert [query.fields["cursor_pos"] for query in world.actors[0].of(Query)] == [sent]


def test_an_environment_that_no_frame_can_carry_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="1048577"):
        SessionSettings.of(Limits(), cwd=None, env={"A": "x" * 2**20}, limits=None)


async def test_a_file_name_may_be_a_path() -> None:
    async with open_session() as world:
        await world.session.run("1", filename=Path("cell.py"))  # type: ignore[arg-type]

        assert world.actors[0].of(Execute)[0].filename == "cell.py"


async def test_a_refusal_is_raised() -> None:
    full = QueueFull(what="w", why="y", how="h")
    async with open_session(MemoryActor(refusing(full))) as world:
        with pytest.raises(QueueFull):
            await world.session.run("1")

        assert world.renewals == 0


# --- streams -------------------------------------------------------------------------------------


async def test_a_stream_ends_after_the_last_event() -> None:
    async def talk(actor: MemoryActor, request: Execute) -> None:
        await request.events.send(Started(request.execution))
        await request.events.send(result(request.execution))

    async with open_session(MemoryActor(talk)) as world:
        async with world.session.stream("1") as events:
            kinds = [type(event) async for event in events]
            assert [event async for event in events] == []

        assert kinds == [Started, Result]
        assert world.actors[0].of(Abandon) == []
        assert world.actors[0].of(Execute)[0].wants_started


async def test_leaving_a_stream_early_interrupts_its_code() -> None:
    async with open_session(MemoryActor(run_for_ever)) as world:
        async with world.session.stream("1") as events:
            assert isinstance(await anext(events), Started)
        await trio.testing.wait_all_tasks_blocked()

        assert len(world.actors[0].of(Abandon)) == 1


async def test_a_stream_whose_session_vanishes_raises_that_it_is_lost() -> None:
    async def start_and_vanish(actor: MemoryActor, request: Execute) -> None:
        await request.events.send(Started(request.execution))

    async with (
        open_session(MemoryActor(start_and_vanish)) as world,
        world.session.stream("1") as events,
    ):
        await anext(events)
        with pytest.raises(SessionLost):
            await anext(events)


async def test_an_input_takes_one_answer() -> None:
    sent: list[str | None] = []

    async def send(data: str | None) -> None:
        sent.append(data)

    request = InputRequested("e", "i", "", False, send)
    await request.respond("first")
    with pytest.raises(AlreadyAnswered):
        await request.respond("second")

    assert sent == ["first"]


@pytest.mark.parametrize(("data", "error"), [("x" * (2**20 + 1), CodeTooLarge), (42, TypeError)])
async def test_an_answer_that_is_no_line_is_refused_and_another_may_follow(
    data: Any, error: type[Exception]
) -> None:
    sent: list[str | None] = []

    async def send(line: str | None) -> None:
        sent.append(line)

    request = InputRequested("e", "i", "", False, send)
    with pytest.raises(error):
        await request.respond(data)
    await request.respond(None)

    assert sent == [None]


# --- the rest ------------------------------------------------------------------------------------


async def test_an_interrupt_of_what_is_no_id_is_refused_before_the_session_hears_of_it() -> None:
    async with open_session() as world:
        for execution in (b"e", 1, ["e"]):
            with pytest.raises(TypeError, match="an execution's id is a str"):
                await world.session.interrupt(execution)  # type: ignore[arg-type]

        assert world.actors[0].of(Interrupt) == []


async def test_an_interrupt_tells_what_came_of_it() -> None:
    async with open_session() as world:
        assert await world.session.interrupt("e", grace_s=0.5) == InterruptOutcome("kept", "signal")
        (request,) = world.actors[0].of(Interrupt)
        assert (request.execution, request.grace_s) == ("e", 0.5)
        with pytest.raises(ConfigInvalid):
            await world.session.interrupt(grace_s=-1)


async def test_editors_are_answered() -> None:
    answers = {
        "complete": {
            "type": "completed",
            "matches": ["print"],
            "cursor_start": 0,
            "cursor_end": 2,
        },
        "inspect": {"type": "inspected", "found": True, "text": "doc"},
        "is_complete": {"type": "completeness", "status": "incomplete", "indent": "    "},
    }
    async with open_session(MemoryActor(answers=answers)) as world:
        assert (await world.session.complete("pr")).matches == ("print",)
        assert (await world.session.inspect("print", 2)).text == "doc"
        assert (await world.session.is_complete("if x:")).indent == "    "
        assert [q.fields.get("cursor_pos") for q in world.actors[0].of(Query)] == [2, 2, None]
        assert world.session.touched


async def test_questions_over_the_limit_in_bytes_are_refused_before_they_are_sent() -> None:
    async with open_session(limits=Limits(code_bytes=10)) as world:
        for ask in (world.session.complete, world.session.inspect, world.session.is_complete):
            with pytest.raises(CodeTooLarge):
                await ask("x" * 11)

        assert world.actors[0].messages == []


async def test_a_session_that_has_ended_says_why() -> None:
    async with open_session() as world:
        await world.session.run("1")
        await world.session.lease.address.send(Close())
        await trio.testing.wait_all_tasks_blocked()

        for _ in range(2):
            with pytest.raises(SessionLost, match="it was closed"):
                await world.session.run("1")


def test_an_error_is_an_event_too() -> None:
    assert Error("e", "N", "v", [], None, "kept").details == {}
