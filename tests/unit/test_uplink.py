"""Unit tests: a worker's bytes on their way up, and a worker that says what it must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgpack
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import Answer, Reply, open_mailbox, open_reply
from pyrepl3.effects import Uncovered
from pyrepl3.errors import Code, SessionLost
from pyrepl3.events import Display, Error, InputRequested, Output, Result, Started
from pyrepl3.messages import (
    EVENT_CAPACITY,
    AnswerInput,
    Ask,
    Ended,
    EventReceiver,
    Execute,
    Query,
    QueryKind,
    Refused,
    Run,
    SessionMessage,
    Survived,
    open_events,
)
from pyrepl3.transport.flight import ExecutionFlight, QuestionFlight
from pyrepl3.transport.output import BACKGROUND_BYTES
from pyrepl3.transport.uplink import Uplink
from pyrepl3.transport.verdicts import Cause
from pyrepl3.wire.frames import HEADER, MAX_FRAME_BYTES, encode_frame
from pyrepl3.wire.worker_messages import ProtocolViolation

READY = {"type": "ready", "protocol": [1], "language": "python", "version": "3.11.7", "pid": 7}


def result(execution: str = "e1", **fields: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "execution": execution,
        "value": 1,
        "has_value": True,
        "repr": "1",
        "data": {},
        "metadata": {},
        "execution_count": 1,
        "duration_s": 0.1,
        "usage": {},
        "state": "kept",
        **fields,
    }


def error(execution: str = "e1") -> dict[str, Any]:
    return {
        "type": "error",
        "execution": execution,
        "name": "ValueError",
        "value": "bad",
        "traceback": [],
        "code": None,
        "state": "kept",
        "execution_count": 1,
        "duration_s": 0.1,
        "usage": {},
        "exit_status": None,
    }


def output(
    text: str | bytes, execution: str | None = "e1", stream: str = "stdout"
) -> dict[str, Any]:
    data = text.encode() if isinstance(text, str) else text
    return {"type": "output", "execution": execution, "stream": stream, "data": data}


def shown(execution: str | None = "e1") -> dict[str, Any]:
    return {
        "type": "display",
        "execution": execution,
        "data": {"text/plain": "x"},
        "metadata": {},
        "display_id": None,
        "update": False,
    }


def asks(execution: str = "e1") -> dict[str, Any]:
    return {"type": "input", "input": "i", "execution": execution, "prompt": "? ", "password": True}


def completed(number: int = 2) -> dict[str, Any]:
    return {"type": "completed", "id": number, "matches": [], "cursor_start": 0, "cursor_end": 0}


def frames(*messages: dict[str, Any]) -> bytes:
    return b"".join(encode_frame(msgpack.packb(message)) for message in messages)


class World:
    """An uplink, and the ends of what it sends to."""

    def __init__(self, *, ready: bool = True) -> None:
        self.session: trio.MemoryReceiveChannel[SessionMessage]
        address, self.session = open_mailbox(100)
        self.readies: list[dict[str, Any]] = []
        self.lingering: list[ExecutionFlight] = []
        self.uplink = Uplink(address, None if ready else self.on_ready, self.lingering.append)

    def on_ready(self, message: dict[str, Any]) -> None:
        self.uplink.on_ready = None
        self.readies.append(message)

    def run(self, execution: str = "e1", *, sent: bool = True, **options: Any) -> EventReceiver:
        send, events = open_events()
        request = Execute(execution, "1", send, **options)
        flight = ExecutionFlight.of(Run(int(execution[1:]), request, None))
        flight.sent = sent
        self.uplink.launch(flight)
        return events

    def ask(self, number: int = 2, kind: QueryKind = "complete") -> Answer[Any]:
        reply: Reply[Any]
        answer: Answer[Any]
        reply, answer = open_reply()
        self.uplink.launch(QuestionFlight(Ask(number, Query(kind, {}, reply))))
        return answer

    async def take(self, *messages: dict[str, Any]) -> None:
        await self.uplink.take_frames(frames(*messages))

    def notices(self) -> list[SessionMessage]:
        return taken(self.session)


def taken(channel: trio.MemoryReceiveChannel[Any]) -> list[Any]:
    found = []
    while True:
        try:
            found.append(channel.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return found


def kinds(events: list[Any]) -> list[type]:
    return [type(event) for event in events]


# --- the plain way -------------------------------------------------------------------------------


async def test_the_first_message_is_ready() -> None:
    world = World(ready=False)
    await world.take(READY)

    assert world.readies == [READY]


async def test_an_executions_events_come_in_order_and_its_end_is_told_to_the_session() -> None:
    world = World()
    events = world.run()
    await world.take(output("a"), shown(), output("b", stream="stderr"), result())

    assert kinds(taken(events)) == [Started, Output, Display, Output, Result]
    assert world.notices() == [Ended(1)]


async def test_adjacent_output_arrives_as_one() -> None:
    world = World()
    events = world.run(wants_started=False)
    lines = [output(f"line {number}\n") for number in range(1000)]
    await world.take(*lines, result())

    printed, _ = taken(events)
    assert printed == Output("e1", "stdout", "".join(f"line {n}\n" for n in range(1000)))


async def test_what_is_behind_begins_when_the_one_before_it_ends() -> None:
    world = World()
    first, second = world.run("e1"), world.run("e2")
    assert kinds(taken(second)) == []
    await world.take(error("e1"))

    assert kinds(taken(first)) == [Started, Error]
    assert kinds(taken(second)) == [Started]


async def test_an_end_is_told_though_we_are_cancelled_while_the_session_has_no_room() -> None:
    world = World()
    world.uplink.session, _full = open_mailbox(0)
    events, answer = world.run(wants_started=False), world.ask()
    for message in (result(), completed()):
        with trio.move_on_after(0):
            await world.take(message)

    assert kinds(taken(events)) == [Result]
    assert answer.take_nowait() == completed()


async def test_a_client_that_does_not_take_its_end_holds_up_nobody() -> None:
    world = World()
    slow = world.run(wants_started=False)
    behind = world.run("e2", wants_started=False)
    await world.take(*[shown()] * EVENT_CAPACITY, result(), result("e2"))

    assert world.notices() == [Ended(1), Ended(2)]
    assert kinds(taken(behind)) == [Result]
    (flight,) = world.lingering
    assert kinds(taken(slow)) == [Display] * EVENT_CAPACITY
    await flight.finish_later()
    assert kinds(taken(slow)) == [Result]


async def test_a_question_is_answered() -> None:
    world = World()
    answer = world.ask(2)
    await world.take(completed(2))

    assert (await answer.wait())["matches"] == []
    assert world.notices() == [Ended(2)]


async def test_input_goes_up_and_its_answer_to_the_session() -> None:
    world = World()
    events = world.run(wants_started=False, allow_input=True)
    await world.take(asks())

    (request,) = taken(events)
    assert isinstance(request, InputRequested)
    assert (request.prompt, request.password) == ("? ", True)
    await request.respond("line")
    assert world.notices() == [AnswerInput("e1", "i", "line")]


async def test_an_answer_to_a_session_that_has_ended_is_refused() -> None:
    world = World()
    events = world.run(wants_started=False, allow_input=True)
    await world.take(asks())
    (request,) = taken(events)
    world.session.close()

    with pytest.raises(SessionLost):
        await request.respond("line")


async def test_output_between_executions_comes_with_the_next_one() -> None:
    world = World()
    await world.take(output("from a thread", execution=None))
    await world.uplink.print("stderr", "pipe", b"from C")
    await world.uplink.flush()

    assert taken(world.run())[1:] == [
        Output("e1", "stdout", "from a thread", background=True),
        Output("e1", "stderr", "from C", background=True),
    ]


async def test_output_between_executions_is_bounded() -> None:
    world = World()
    for _ in range(5):
        await world.take(output("x" * (BACKGROUND_BYTES // 2), execution=None))

    _, *pieces, gap = taken(world.run())
    assert sum(len(piece.data) for piece in pieces) == BACKGROUND_BYTES
    assert gap.bytes == BACKGROUND_BYTES // 2 * 3


async def test_an_execution_that_was_never_sent_does_not_begin() -> None:
    """It is refused at the death that is about to be read, and may run elsewhere."""
    world = World()
    events = world.run(sent=False)

    assert taken(events) == []
    flight = world.uplink.flights[0]
    assert isinstance(flight, ExecutionFlight)
    flight.refuse(SessionLost(what="w", why="y", how="h"))
    assert kinds(taken(events)) == [Refused]


async def test_a_heartbeat_is_information() -> None:
    world = World()
    await world.take({"type": "heartbeat", "memory_bytes": 1})

    assert world.notices() == []


async def test_a_display_from_a_thread_goes_to_what_runs_or_nowhere() -> None:
    world = World()
    await world.take(shown(None))
    events = world.run(wants_started=False)
    await world.take(shown(None))

    assert kinds(taken(events)) == [Display]


async def test_the_service_has_the_last_word_on_an_errors_code() -> None:
    world = World()
    events = world.run(wants_started=False)
    flight = world.uplink.flights[0]
    assert isinstance(flight, ExecutionFlight)
    flight.interrupt(Code.EXECUTION_TIMEOUT, 1.0)
    await world.take(error())

    assert taken(events)[0].code == Code.EXECUTION_TIMEOUT


# --- what no worker may say ----------------------------------------------------------------------

VIOLATIONS: dict[str, Callable[[], bytes]] = {
    "a second ready": lambda: frames(READY),
    "a result of another execution": lambda: frames(result("e2")),
    "an error of another execution": lambda: frames(error("e2")),
    "output of another execution": lambda: frames(output("x", "e2")),
    "a display of another execution": lambda: frames(shown("e2")),
    "input of another execution": lambda: frames(asks("e2")),
    "input that was not allowed": lambda: frames(asks()),
    "an answer to what was not asked": lambda: frames(completed(1)),
    "two results": lambda: frames(result(), result()),
    "output after the result": lambda: frames(result(), output("x")),
    "an unknown type": lambda: frames({"type": "execute"}),
    "no map": lambda: encode_frame(b"\x01"),
    "too large a frame": lambda: HEADER.pack(MAX_FRAME_BYTES + 1),
}


@pytest.mark.parametrize("what", VIOLATIONS)
async def test_while_an_execution_runs_it_is_a_violation(what: str) -> None:
    world = World()
    world.run()

    with pytest.raises(ProtocolViolation):
        await world.uplink.take_frames(VIOLATIONS[what]())


@pytest.mark.parametrize(
    "message", [result("e2"), error("e2"), output("x", "e2"), shown("e2"), asks("e2"), completed(3)]
)
async def test_while_a_question_is_answered_it_is_a_violation(message: dict[str, Any]) -> None:
    world = World()
    world.ask(2)

    with pytest.raises(ProtocolViolation):
        await world.take(message)


@pytest.mark.parametrize(
    "message", [result(), error(), output("x"), shown(), asks(), completed(), READY]
)
async def test_while_nothing_runs_it_is_a_violation(message: dict[str, Any]) -> None:
    world = World()

    with pytest.raises(ProtocolViolation):
        await world.take(message)


@pytest.mark.parametrize("message", [result(), completed(), {"type": "heartbeat"}, shown(None)])
async def test_before_its_ready_it_is_a_violation(message: dict[str, Any]) -> None:
    world = World(ready=False)

    with pytest.raises(ProtocolViolation, match="before its 'ready'"):
        await world.take(message)


async def test_what_was_printed_before_a_violation_is_delivered() -> None:
    world = World()
    events = world.run(wants_started=False)

    with pytest.raises(ProtocolViolation):
        await world.take(output("last words"), result("forged"))

    assert taken(events) == [Output("e1", "stdout", "last words")]


SAID = st.sampled_from(
    [
        *(make(name) for make in (result, error, shown, asks) for name in ("e1", "e2")),
        *(output("x", name) for name in ("e1", "e2", None)),
        *(completed(number) for number in (1, 2)),
        READY,
        {"type": "heartbeat"},
    ]
)


@given(
    st.lists(SAID, max_size=12),
    st.integers(1, 50),
    st.sampled_from(["nothing", "code", "question"]),
)
@settings(deadline=None)
def test_whatever_a_worker_says_each_job_has_at_most_one_end(
    said: list[dict[str, Any]], read_bytes: int, runs: str
) -> None:
    """In any order, in reads of any size: a violation, or events as they should be."""

    async def check() -> None:
        world = World()
        events = world.run(wants_started=False) if runs == "code" else None
        answer = world.ask(2) if runs == "question" else None
        stream = frames(*said)
        received: list[Any] = []

        async def receive() -> None:
            if events is not None:
                received.extend([event async for event in events])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            try:
                for start in range(0, len(stream), read_bytes):
                    await world.uplink.take_frames(stream[start : start + read_bytes])
            except ProtocolViolation:
                pass
            ended = [notice for notice in world.notices() if isinstance(notice, Ended)]
            assert len(ended) <= 1
            for flight in world.uplink.flights:
                if isinstance(flight, ExecutionFlight):
                    flight.drop()
        ends = [event for event in received if isinstance(event, Result | Error)]
        assert len(ends) == (len(ended) if runs == "code" else 0)
        assert not ends or received[-1] is ends[0]
        if answer is not None and ended:
            answer.take_nowait()

    trio.run(check)


# --- a snapshot that takes over ------------------------------------------------------------------

CRASH = Cause("its process was killed by SIGSEGV", signal="SIGSEGV")


async def test_what_ran_with_a_snapshot_is_told_as_undone_and_what_is_behind_it_goes_on() -> None:
    world = World()
    first, second = world.run(guard=True), world.run("e2")
    assert world.uplink.may_survive(1)
    await world.uplink.survive(CRASH, 1, 1)

    terminal = taken(first)[-1]
    assert (terminal.code, terminal.state) == ("WORKER_DIED", "rolled_back")
    assert world.notices() == [Ended(1, "rolled_back")]
    await world.take(result("e2"))
    assert kinds(taken(second)) == [Started, Result]


async def test_what_was_told_as_kept_is_not_undone_by_a_death_before_the_next_one_begins() -> None:
    world = World()
    world.run(guard=True)
    world.run("e2", guard=True)
    await world.take(result("e1"))

    assert not world.uplink.may_survive(1)
    assert world.uplink.may_survive(2)


async def test_without_a_snapshot_nothing_may_be_gone_on_from() -> None:
    world = World()
    world.run()

    assert not world.uplink.may_survive(1)
    with pytest.raises(ProtocolViolation, match="rolling back"):
        await world.take({**result("e1"), "state": "rolled_back"})


async def test_a_last_word_is_told_when_the_snapshot_has_taken_over() -> None:
    world = World()
    ended: list[bool] = []
    world.uplink.rolling_back = lambda: ended.append(True)
    events = world.run(transaction_policy="rollback_always")
    await world.take({**result("e1"), "state": "rolled_back"}, result("e1"), output("late"))
    assert kinds(taken(events)) == [Started]
    assert ended == [True]
    await world.uplink.survive(CRASH, 1, 1)

    [terminal] = taken(events)
    assert (terminal.state, terminal.value) == ("rolled_back", 1)


async def test_a_transaction_is_open_from_the_answer_to_begin_to_the_one_to_commit() -> None:
    world = World()
    world.ask(1, "begin")
    await world.take({"type": "begun", "id": 1})
    assert world.notices() == [Ended(1, "kept", is_protected=True, transaction=1)]
    assert world.uplink.may_survive(1)
    world.ask(2, "commit")
    await world.take({"type": "committed", "id": 2})

    assert world.notices() == [Ended(2)]
    assert not world.uplink.may_survive(2)


async def test_a_rollback_is_answered_when_it_is_done() -> None:
    world = World()
    world.ask(1, "begin")
    await world.take({"type": "begun", "id": 1})
    answer = world.ask(2, "rollback")
    await world.take({"type": "rolled_back", "id": 2})
    with pytest.raises(trio.WouldBlock):
        answer.take_nowait()
    await world.uplink.survive(CRASH, 2, 2)

    assert answer.take_nowait()["type"] == "rolled_back"
    assert world.notices()[-1] == Ended(2)


async def test_going_back_unasked_is_a_violation() -> None:
    world = World()
    world.ask(1, "complete")
    with pytest.raises(ProtocolViolation, match="another kind"):
        await world.take({"type": "undone", "id": 1, "execution": "e"})


async def test_an_answer_of_another_kind_than_the_question_is_a_violation() -> None:
    world = World()
    answer = world.ask(1, "inspect")
    with pytest.raises(ProtocolViolation, match="another kind"):
        await world.take(completed(1))
    with pytest.raises(trio.WouldBlock):
        answer.take_nowait()


async def test_a_death_with_nothing_to_do_in_a_transaction_is_told_to_the_session() -> None:
    world = World()
    world.ask(1, "begin")
    await world.take({"type": "begun", "id": 1})
    world.notices()
    await world.uplink.survive(CRASH, 1, 1)

    assert world.notices() == [Survived(CRASH.text)]
    assert not world.uplink.may_survive(1)


async def test_a_question_that_kills_is_not_answered() -> None:
    world = World()
    world.ask(1, "begin")
    await world.take({"type": "begun", "id": 1})
    answer = world.ask(2)
    await world.uplink.survive(CRASH, 2, 2)

    with pytest.raises(SessionLost):
        answer.take_nowait()


def ends(world: World) -> list[tuple[int, str]]:
    return [(n.number, n.state) for n in world.notices() if isinstance(n, Ended)]


async def test_what_ran_is_undone_and_what_is_behind_it_goes_on() -> None:
    world = World()
    events, behind = world.run("e1", guard=True), world.run("e2")
    assert world.uplink.may_survive(begun=1)

    await world.uplink.survive(CRASH, begun=1, taken_before=1)
    await world.take(result("e2"))

    assert [event.state for event in taken(events) if isinstance(event, Error)] == ["rolled_back"]
    assert kinds(taken(behind)) == [Started, Result]
    assert ends(world) == [(1, "rolled_back"), (2, "kept")]


async def test_without_a_snapshot_or_behind_it_nothing_survives() -> None:
    world = World()
    world.run("e1")
    assert not world.uplink.may_survive(begun=1)
    await world.take(result("e1"))
    assert not world.uplink.may_survive(begun=1)


async def test_a_snapshot_that_was_told_to_be_past_is_not_that_of_what_comes_next() -> None:
    """Its worker may have died before it let it go."""
    world = World()
    world.run("e1", guard=True)
    world.run("e2", guard=True)
    await world.take(result("e1"))

    assert not world.uplink.may_survive(begun=1)
    assert world.uplink.may_survive(begun=2)


async def test_a_snapshot_behind_an_end_that_was_not_heard_is_none_of_what_is_undone() -> None:
    world = World()
    world.run("e1", guard=True)
    world.run("e2", guard=True)

    assert not world.uplink.may_survive(begun=2)


async def test_in_a_transaction_all_that_was_begun_is_undone_also_what_ended_unheard() -> None:
    world = World()
    world.ask(1, "begin")
    await world.take({"type": "begun", "id": 1})
    first, second, third = (world.run(f"e{number}") for number in (2, 3, 4))
    assert world.uplink.may_survive(begun=3)

    noted = (Uncovered("file_written", "/x"),)
    crash = attrs.evolve(CRASH, uncovered=noted)
    await world.uplink.survive(crash, begun=3, taken_before=1)

    assert ends(world) == [(1, "kept"), (2, "rolled_back"), (3, "rolled_back")]
    last = [taken(events)[-1] for events in (first, second, third)]
    assert kinds(last) == [Error, Error, Started]
    assert [each.uncovered for each in last if isinstance(each, Error)] == [None, noted]
    assert not world.uplink.may_survive(begun=4)


async def test_behind_a_commit_that_was_not_heard_a_snapshot_is_another_one() -> None:
    world = World()
    world.ask(1, "begin")
    await world.take({"type": "begun", "id": 1})
    world.ask(2, "commit")
    world.run("e3", guard=True)

    assert world.uplink.may_survive(begun=2)
    assert not world.uplink.may_survive(begun=3)


async def test_a_death_before_what_is_next_was_begun_is_told_as_one_of_nothing() -> None:
    world = World()
    world.ask(1, "begin")
    await world.take({"type": "begun", "id": 1})
    events = world.run("e2")

    await world.uplink.survive(CRASH, begun=1, taken_before=1)
    await world.take(result("e2"))

    assert kinds(world.notices()) == [Ended, Survived, Ended]
    assert kinds(taken(events)) == [Started, Result]


# --- guard="auto": a snapshot that is older than what has ended -----------------------------------


async def told_at_risk(world: World, *numbers: int, since: int = 1) -> list[EventReceiver]:
    receivers = [world.run(f"e{number}", guard="auto") for number in numbers]
    for number in numbers:
        await world.take(result(f"e{number}", at_risk_since=since))
    return receivers


async def test_what_ended_behind_the_snapshot_is_named_by_what_crashes() -> None:
    world = World()
    await told_at_risk(world, 1, 2)
    assert world.notices() == [Ended(1, is_protected=True), Ended(2, is_protected=True)]
    events, behind = world.run("e3", guard="auto"), world.run("e4", guard="auto")
    assert world.uplink.may_survive(begun=3)
    assert world.uplink.may_go_on_from(1, begun=3)
    await world.uplink.survive(CRASH, begun=3, taken_before=1)
    await world.take(result("e4", at_risk_since=4))

    terminal = taken(events)[-1]
    assert (terminal.state, terminal.lost_since) == ("rolled_back", ("e1", "e2"))
    assert taken(behind)[-1].lost_since == ()


async def test_what_a_newer_snapshot_has_is_not_lost() -> None:
    world = World()
    await told_at_risk(world, 1, 2)
    events = world.run("e3", guard="auto")
    assert world.uplink.may_go_on_from(3, begun=3)
    await world.uplink.survive(CRASH, begun=3, taken_before=3)

    assert taken(events)[-1].lost_since == ()


@pytest.mark.parametrize("taken_before", [0, 1, 4])
async def test_a_snapshot_that_is_too_old_or_too_new_is_not_gone_on_from(
    taken_before: int,
) -> None:
    """Of the one, what was told as safe is missing; of the other, what is undone is not."""
    world = World()
    await told_at_risk(world, 1, 2, since=1)
    await told_at_risk(world, 3, since=3)
    world.run("e4", guard="auto")
    world.run("e5", guard="auto")
    assert world.uplink.may_survive(begun=5)

    assert world.uplink.may_go_on_from(taken_before, begun=5) is (taken_before == 4)
    assert world.uplink.may_go_on_from(3, begun=5)
    assert not world.uplink.may_go_on_from(5, begun=5)


async def test_a_death_with_nothing_to_do_is_told_by_the_next_end() -> None:
    world = World()
    await told_at_risk(world, 1, 2)
    world.notices()
    assert world.uplink.may_survive(begun=2)
    assert world.uplink.may_go_on_from(2, begun=2)
    await world.uplink.survive(CRASH, begun=2, taken_before=2)
    assert world.notices() == [Survived(CRASH.text)]
    first, second = world.run("e3"), world.run("e4")
    await world.take(result("e3"), result("e4"))

    assert taken(first)[-1].lost_since == ("e2",)
    assert taken(second)[-1].lost_since == ()


async def test_a_question_that_kills_leaves_the_telling_to_the_next_end() -> None:
    world = World()
    await told_at_risk(world, 1)
    answer = world.ask(2)
    await world.uplink.survive(CRASH, begun=2, taken_before=1)
    events = world.run("e3")
    await world.take(result("e3"))

    with pytest.raises(SessionLost):
        answer.take_nowait()
    assert taken(events)[-1].lost_since == ("e1",)


async def test_behind_an_end_that_leaves_none_open_nothing_is_at_risk() -> None:
    world = World()
    await told_at_risk(world, 1)
    world.run("e2", guard=True)
    await world.take(result("e2"))

    assert world.notices()[-1] == Ended(2)
    assert not world.uplink.may_survive(begun=2)


async def test_what_is_refused_leaves_all_as_it_was() -> None:
    world = World()
    await told_at_risk(world, 1)
    world.run("e2", guard=True)
    await world.take({**error("e2"), "code": "SNAPSHOT_UNAVAILABLE"})
    events = world.run("e3", guard="auto")
    await world.uplink.survive(CRASH, begun=3, taken_before=1)

    assert taken(events)[-1].lost_since == ("e1",)


async def test_a_transaction_begins_behind_all_that_was_at_risk() -> None:
    world = World()
    await told_at_risk(world, 1)
    world.ask(2, "begin")
    await world.take({"type": "begun", "id": 2})
    events = world.run("e3")
    await world.uplink.survive(CRASH, begun=3, taken_before=2)

    assert taken(events)[-1].lost_since == ()


async def test_a_risk_that_cannot_be_is_a_violation() -> None:
    world = World()
    world.run("e1", guard="auto")
    with pytest.raises(ProtocolViolation, match="cannot be open"):
        await world.take(result("e1", at_risk_since=2))


# --- allow_copy: what is undone within its process ------------------------------------------------

IN_PLACE = {"state": "rolled_back", "in_place": True, "by_reference": ["lock"]}


async def test_what_was_undone_in_place_is_told_at_once_and_its_process_goes_on() -> None:
    world = World()
    events = world.run("e1", transaction_policy="rollback_always", copy_bytes=1)
    behind = world.run("e2")
    await world.take(result("e1", **IN_PLACE), result("e2"))

    assert world.notices() == [Ended(1, "rolled_back"), Ended(2)]
    terminal = taken(events)[-1]
    assert (terminal.state, terminal.by_reference) == ("rolled_back", ("lock",))
    assert taken(behind)[-1].by_reference is None


@pytest.mark.parametrize(
    "options", [{"transaction_policy": "rollback_always"}, {"guard": True, "copy_bytes": 1}, {}]
)
async def test_undoing_in_place_what_was_not_to_be_copied_is_a_violation(
    options: dict[str, Any],
) -> None:
    world = World()
    world.run("e1", **options)
    with pytest.raises(ProtocolViolation, match="rolling back"):
        await world.take(result("e1", **IN_PLACE))


async def test_a_transaction_may_be_rolled_back_in_place() -> None:
    world = World()
    world.ask(1, "begin")
    await world.take({"type": "begun", "id": 1, "by_reference": ["lock"]})
    answer = world.ask(2, "rollback")
    await world.take({"type": "rolled_back", "id": 2, "in_place": True})

    assert answer.take_nowait()["type"] == "rolled_back"
    assert world.notices() == [Ended(1, is_protected=True, transaction=1), Ended(2)]
    assert not world.uplink.is_deaf


async def test_rolling_back_in_place_unasked_is_a_violation() -> None:
    world = World()
    world.ask(1, "complete")
    with pytest.raises(ProtocolViolation, match="another kind"):
        await world.take({"type": "rolled_back", "id": 1, "in_place": True})
