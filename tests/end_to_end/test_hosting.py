"""End-to-end tests: hosted sessions on real workers, as connections would use them."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
import trio
import trio.testing

import pyrepl3
from actors import Address, NoReply, Reply, ask
from pyrepl3.errors import (
    AlreadyAnswered,
    CodeTooLarge,
    ConfigInvalid,
    ExecutionNotFound,
    IdConflict,
    InternalError,
    NoTransaction,
    PoolExhausted,
    QueueFull,
    SessionLost,
    SessionNotFound,
    TransactionActive,
)
from pyrepl3.events import InterruptOutcome
from pyrepl3.hosting.host import Host
from pyrepl3.hosting.hosting_messages import (
    Accepted,
    Attached,
    CloseHosted,
    Describe,
    Detached,
    Edit,
    ExecutionInfo,
    Find,
    FindExecution,
    HostMessage,
    InterruptHosted,
    ListHosted,
    Opened,
    OpenHosted,
    Respond,
    SessionInfo,
    Submit,
    Transact,
)
from pyrepl3.journal.journal_state import Entry
from pyrepl3.journal.journal_store import JournalStore
from pyrepl3.wire import client_requests as wire
from pyrepl3.wire.client_codec import decode_msgpack

T = TypeVar("T")
OWNER = "ada"


@attrs.define
class Desk:
    """What a connection would do, shorter."""

    supervisor: pyrepl3.Supervisor
    host: Address[HostMessage]

    async def open(self, principal: str = OWNER, **fields: Any) -> Opened:
        request = wire.OpenSession(id=1, **fields)
        return await ask(self.host, lambda reply: OpenHosted(principal, request, reply))

    async def find(self, session: str, principal: str = OWNER) -> Opened:
        return await ask(self.host, lambda reply: Find(principal, session, reply))

    async def list(self, principal: str = OWNER) -> list[SessionInfo]:
        return await ask(self.host, lambda reply: ListHosted(principal, reply))


async def submit(opened: Opened, code: str, execution: str = "e1", **fields: Any) -> Accepted:
    request = wire.Execute(id=1, session=opened.session, execution=execution, code=code, **fields)
    return await ask(opened.address, lambda reply: Submit(request, reply))


async def interrupt(opened: Opened, execution: str | None = None) -> tuple[str | None, Any]:
    return await ask(opened.address, lambda reply: InterruptHosted(execution, None, reply))


async def transact(
    opened: Opened, kind: Any, key: str | None = None, *, of: str | None = None
) -> None:
    def message(reply: Reply[None]) -> Transact:
        return Transact(kind, key, reply, of=of)

    await ask(opened.address, message)


async def close(opened: Opened) -> None:
    def message(reply: Reply[None]) -> CloseHosted:
        return CloseHosted(reply)

    await ask(opened.address, message)


async def info(opened: Opened) -> SessionInfo:
    return await ask(opened.address, Describe)


async def find_execution(opened: Opened, execution: str) -> ExecutionInfo:
    return await ask(opened.address, lambda reply: FindExecution(execution, reply))


async def told(opened: Opened, since: int = 0) -> AsyncGenerator[dict[str, Any]]:
    while (batch := await opened.journal.read(since)) is not None:
        for entry in batch.entries:
            yield decode_msgpack(entry.body)
            since = entry.seq


async def first(opened: Opened, kind: str) -> dict[str, Any]:
    async with aclosing(told(opened)) as events:
        async for event in events:
            if event["type"] == kind:
                return event
    raise AssertionError("the journal ended first")


async def outcome(opened: Opened, execution: str = "e1") -> dict[str, Any]:
    async with aclosing(told(opened)) as events:
        async for event in events:
            if event["type"] in ("result", "error") and event["execution"] == execution:
                return event
    raise AssertionError("the journal ended first")


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    with trio.fail_after(2):
        while not await reached():  # noqa: ASYNC110  # it is looked at from outside
            await trio.sleep(0.01)


async def all_of(opened: Opened) -> list[dict[str, Any]]:
    return [event async for event in told(opened)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=1, max_sessions=2, acquire_timeout_s=1.0),
        hosting=pyrepl3.HostingConfig(max_ended=2, transaction_idle_s=0.2),
    )
    async with pyrepl3.open_supervisor(config) as supervisor, trio.open_nursery() as nursery:
        host = Host(config, supervisor.session, supervisor.snapshot_desk)
        yield Desk(supervisor, await nursery.start(host.run))
        nursery.cancel_scope.cancel()


# --- executions ---------------------------------------------------------------------------------


async def test_what_runs_is_told_in_the_journal_from_started_to_its_result(desk: Desk) -> None:
    opened = await desk.open()
    accepted = await submit(opened, "print('a'); 6 * 7")
    end = await outcome(opened)

    assert accepted == Accepted(execution="e1", position=0, again=False, since=0)
    assert (end["type"], end["value"]) == ("result", 42)
    await close(opened)
    events = await all_of(opened)
    assert [event["type"] for event in events] == [
        "started",
        "output",
        "result",
        "session_closed",
    ]
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert {event["session"] for event in events} == {opened.session}


async def test_the_same_id_runs_once_and_is_told_where_its_events_begin(desk: Desk) -> None:
    opened = await desk.open()
    await submit(opened, "n = 1", "e0")
    await outcome(opened, "e0")
    first = await submit(opened, "n += 1")
    await outcome(opened)
    again = await submit(opened, "n += 1")
    await submit(opened, "n", "e2")

    assert again == attrs.evolve(first, again=True)
    assert (await outcome(opened, "e2"))["value"] == 2


async def test_the_same_id_for_another_request_is_a_conflict(desk: Desk) -> None:
    opened = await desk.open()
    await submit(opened, "1")

    with pytest.raises(IdConflict):
        await submit(opened, "2")
    with pytest.raises(IdConflict):
        await submit(opened, "1", timeout_s=5.0)


async def test_executions_run_in_order_and_too_many_are_refused(desk: Desk) -> None:
    opened = await desk.open(limits=wire.LimitsWish(queued_executions=2))
    await submit(opened, "input()")
    positions = [(await submit(opened, "0", f"q{n}")).position for n in range(2)]

    assert positions == [1, 2]
    with pytest.raises(QueueFull):
        await submit(opened, "0", "q2")
    stands = await info(opened)
    assert (stands.running, stands.queued) == ("e1", 2)
    await interrupt(opened)
    assert (await outcome(opened, "q1"))["type"] == "result"
    # Its id was not used: nothing of it ran.
    assert not (await submit(opened, "1", "q2")).again


async def test_an_input_is_answered_once(desk: Desk) -> None:
    opened = await desk.open()
    await submit(opened, "input('who? ')")
    asked = await first(opened, "input")
    number = asked["input"]

    assert asked["prompt"] == "who? "
    await ask(opened.address, lambda reply: Respond(number, "Ada", reply))
    assert (await outcome(opened))["value"] == "Ada"
    with pytest.raises(AlreadyAnswered):
        await ask(opened.address, lambda reply: Respond(number, "Eve", reply))
    with pytest.raises(ExecutionNotFound):
        await ask(opened.address, lambda reply: Respond("i99", "Eve", reply))


async def test_an_answer_that_is_sent_again_is_taken_if_it_is_the_same(desk: Desk) -> None:
    opened = await desk.open()
    await submit(opened, "input('who? ')")
    number = (await first(opened, "input"))["input"]
    with pytest.raises(CodeTooLarge):
        await ask(opened.address, lambda reply: Respond(number, "x" * (2**20 + 1), reply))
    for again in (False, True):
        await ask(opened.address, lambda reply, again=again: Respond(number, "A", reply, again))

    assert (await outcome(opened))["value"] == "A"
    with pytest.raises(AlreadyAnswered):
        await ask(opened.address, lambda reply: Respond(number, None, reply, again=True))


async def test_an_interrupt_says_what_it_ended(desk: Desk) -> None:
    opened = await desk.open()
    await submit(opened, "while True: pass")
    execution, ended = await interrupt(opened)

    assert (execution, ended.state, ended.by) == ("e1", "kept", "signal")
    assert (await outcome(opened))["code"] == "INTERRUPTED"
    with pytest.raises(ExecutionNotFound):
        await interrupt(opened, "nobody")


async def test_an_execution_is_found_queued_running_ended_and_after_the_sessions_end(
    desk: Desk,
) -> None:
    opened = await desk.open()
    await submit(opened, "input()")
    await submit(opened, "0", "e2")
    await first(opened, "input")
    runs, waits = await find_execution(opened, "e1"), await find_execution(opened, "e2")

    assert runs == ExecutionInfo(execution="e1", state="running", since=0, last_seq=None)
    assert (waits.state, waits.last_seq) == ("queued", None)
    await interrupt(opened)
    end = await outcome(opened, "e2")
    ended = await find_execution(opened, "e2")
    assert (ended.state, ended.last_seq) == ("ended", end["seq"])
    with pytest.raises(ExecutionNotFound):
        await find_execution(opened, "e3")
    await close(opened)
    assert await find_execution(opened, "e2") == ended
    with pytest.raises(ExecutionNotFound):
        await find_execution(opened, "e3")


async def test_an_editors_questions_are_answered(desk: Desk) -> None:
    opened = await desk.open()
    request = wire.Complete(id=1, session=opened.session, code="impor")
    completion = await ask(opened.address, lambda reply: Edit(request, reply))

    assert "import" in completion.matches


# --- transactions -------------------------------------------------------------------------------

EXIT = "import os; os._exit(3)"


@pytest.fixture
async def attached(desk: Desk) -> Opened:
    """A session that somebody is attached to, and that has a variable."""
    opened = await desk.open()
    await opened.address.send(Attached())
    await submit(opened, "x = 1", "e0")
    await outcome(opened, "e0")
    return opened


async def test_a_policy_and_a_guard_are_passed_on_and_a_result_tells_the_state(
    attached: Opened,
) -> None:
    await submit(attached, "x = 2; x", "e1", transaction_policy="rollback_always")
    await submit(attached, EXIT, "e2", guard=True)
    await submit(attached, "x", "e3")
    ends = [await outcome(attached, name) for name in ("e1", "e2", "e3")]

    assert [end["state"] for end in ends] == ["rolled_back", "rolled_back", "kept"]
    assert (ends[0]["value"], ends[2]["value"]) == (2, 1)


async def test_what_a_crash_undid_with_it_is_told_as_an_event_of_the_session_too(
    attached: Opened,
) -> None:
    await submit(attached, "held = bytearray(2**27)", "e1", guard="auto")
    await submit(attached, "x = 2", "e2", guard="auto")
    await submit(attached, EXIT, "e3", guard="auto")
    end = await outcome(attached, "e3")
    told = await first(attached, "session_rolled_back")

    assert end["state"] == "rolled_back"
    assert list(end["lost_since"])[-1] == "e2"
    assert (told["cause"], told["lost_since"]) == ("crashed", end["lost_since"])
    assert told["seq"] > end["seq"]


async def test_a_transaction_is_in_order_with_executions_and_its_end_is_told(
    attached: Opened,
) -> None:
    """All is sent before anything of it has ended."""
    async with trio.open_nursery() as nursery:
        await submit(attached, "import time; time.sleep(0.1); x = 2", "e1")
        nursery.start_soon(transact, attached, "begin")
        await trio.testing.wait_all_tasks_blocked()
        await submit(attached, "x = 3", "e2")
        nursery.start_soon(transact, attached, "rollback")
        await trio.testing.wait_all_tasks_blocked()
        await submit(attached, "x", "e3")

    assert (await outcome(attached, "e3"))["value"] == 2
    assert (await first(attached, "session_rolled_back"))["cause"] == "requested"
    assert not (await info(attached)).in_transaction


async def test_what_names_the_beginning_that_it_ends_ends_no_other_transaction(
    attached: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyrepl3.hosting.keyed_requests.REMEMBERED", 3)
    with pytest.raises(NoTransaction, match="k0"):
        await transact(attached, "rollback", of="k0")
    await transact(attached, "begin", "k1")
    await transact(attached, "commit", "k2", of="k1")
    with pytest.raises(IdConflict):
        await transact(attached, "commit", "k2")
    await transact(attached, "begin", "k3")
    with pytest.raises(NoTransaction):
        await transact(attached, "rollback", "k4", of="k1")
    for number in range(4):  # more than are remembered
        with pytest.raises(TransactionActive):
            await transact(attached, "begin", f"more{number}")
    assert (await info(attached)).in_transaction

    await transact(attached, "rollback", "k5", of="k3")
    assert not (await info(attached)).in_transaction


async def test_what_comes_again_under_its_key_is_answered_as_it_was(attached: Opened) -> None:
    for _ in range(2):
        await transact(attached, "begin", "k1")
    assert (await info(attached)).in_transaction
    with pytest.raises(TransactionActive):
        await transact(attached, "begin", "k2")
    for _ in range(2):
        await transact(attached, "commit", "k3")
    await transact(attached, "begin", "k4")
    with pytest.raises(TransactionActive):  # as it was, though it could be otherwise by now
        await transact(attached, "begin", "k2")
    with pytest.raises(IdConflict):
        await transact(attached, "rollback", "k3")
    await close(attached)

    await transact(attached, "commit", "k3")
    with pytest.raises(SessionLost):
        await transact(attached, "commit", "k5")


async def test_a_crash_ends_a_transaction(attached: Opened) -> None:
    await transact(attached, "begin")
    await submit(attached, EXIT)

    assert (await outcome(attached))["state"] == "rolled_back"
    assert not (await info(attached)).in_transaction
    with pytest.raises(NoTransaction):
        await transact(attached, "commit")


async def test_a_transaction_whose_clients_have_gone_is_rolled_back(attached: Opened) -> None:
    await transact(attached, "begin")
    await submit(attached, "x = 2", "e1")
    await outcome(attached, "e1")
    await trio.sleep(0.4)  # somebody is there
    assert (await info(attached)).in_transaction
    await attached.address.send(Detached())
    told = await first(attached, "session_rolled_back")
    await submit(attached, "x", "e2")

    assert told["cause"] == "abandoned"
    assert (await outcome(attached, "e2"))["value"] == 1


async def test_a_transaction_is_not_rolled_back_under_what_runs_in_it(desk: Desk) -> None:
    opened = await desk.open()
    await transact(opened, "begin")
    await submit(opened, "import time; time.sleep(0.5); x = 2")
    await outcome(opened)
    await transact(opened, "commit")
    await submit(opened, "x", "e2")

    assert (await outcome(opened, "e2"))["value"] == 2


# --- its end ------------------------------------------------------------------------------------


async def test_a_death_is_told_after_all_that_was_under_way(desk: Desk) -> None:
    opened = await desk.open()
    await submit(opened, "print('last words'); import os; os._exit(3)")
    await submit(opened, "1", "e2")
    events = await all_of(opened)

    assert [event["type"] for event in events][:2] == ["started", "output"]
    assert events[-1]["type"] == "session_died"
    ends = {event["execution"]: event["code"] for event in events if event["type"] == "error"}
    assert ends.keys() == {"e1", "e2"}
    assert ends["e1"] == "WORKER_DIED"
    with pytest.raises(SessionLost):
        await submit(opened, "1", "e3")
    # What ran can be asked for as before.
    assert (await submit(opened, "1", "e2")).again


async def test_closing_ends_what_runs_and_gives_the_session_back(desk: Desk) -> None:
    opened = await desk.open()
    await submit(opened, "import time; time.sleep(100)")
    await submit(opened, "1", "e2")
    await close(opened)
    events = await all_of(opened)

    assert [event["type"] for event in events if "execution" in event].count("error") == 2
    assert (events[-1]["type"], events[-1]["reason"]) == ("session_closed", "closed")
    assert (await info(opened)).standing == "closed"
    assert desk.supervisor.statistics().pool.leased == 0
    await close(opened)  # once more does no harm


async def test_an_idle_session_expires_but_not_while_somebody_is_there(desk: Desk) -> None:
    opened = await desk.open(idle_timeout_s=0.2)
    await opened.address.send(Attached())
    await submit(opened, "1")
    await outcome(opened)
    await trio.sleep(0.4)
    assert (await info(opened)).standing == "open"
    await opened.address.send(Detached())
    events = await all_of(opened)

    assert (events[-1]["type"], events[-1]["reason"]) == ("session_closed", "expired")


@pytest.mark.parametrize("on_disconnect", ["continue", "interrupt"])
async def test_when_the_last_client_leaves_executions_go_on_or_end_as_it_asked(
    desk: Desk, on_disconnect: str
) -> None:
    opened = await desk.open(on_disconnect=on_disconnect)
    for _ in range(2):
        await opened.address.send(Attached())
    await submit(opened, "import time; time.sleep(0.5); 'done'")
    await submit(opened, "'next'", "e2")
    await opened.address.send(Detached())
    assert (await info(opened)).running == "e1"
    await opened.address.send(Detached())
    ends = [(await outcome(opened, execution)) for execution in ("e1", "e2")]

    if on_disconnect == "continue":
        assert [end["value"] for end in ends] == ["done", "next"]
    else:
        assert [end["code"] for end in ends] == ["INTERRUPTED", "INTERRUPTED"]


async def test_the_events_of_two_executions_do_not_mingle(desk: Desk) -> None:
    """However fast one comes behind the other: each begins when those before it have ended."""
    opened = await desk.open()
    names = [f"e{number}" for number in range(120)]
    for first in range(0, len(names), 12):
        for name in names[first : first + 12]:
            await submit(opened, "print('up')", name)
        await outcome(opened, names[first + 11])
    await close(opened)

    told = [(event["type"], event.get("execution")) for event in await all_of(opened)]
    assert told[:-1] == [(kind, name) for name in names for kind in ("started", "output", "result")]


async def test_what_is_dropped_from_the_queue_is_told_while_what_is_before_it_runs(
    desk: Desk,
) -> None:
    opened = await desk.open()
    for name, code in (("e1", "input()"), ("e2", "1"), ("e3", "1"), ("e4", "2")):
        await submit(opened, code, name)
    for name in ("e2", "e3"):
        await interrupt(opened, name)
    dropped = [await outcome(opened, name) for name in ("e2", "e3")]
    asked = await first(opened, "input")
    await ask(opened.address, lambda reply: Respond(asked["input"], "", reply))
    await outcome(opened, "e4")
    await close(opened)

    told = [(event["type"], event.get("execution")) for event in await all_of(opened)]
    assert [each["code"] for each in dropped] == ["INTERRUPTED"] * 2
    assert told[-4:-1] == [("result", "e1"), ("started", "e4"), ("result", "e4")]


# --- whose it is --------------------------------------------------------------------------------


async def test_a_session_is_found_by_its_principal_alone(desk: Desk) -> None:
    opened = await desk.open(name="mine")

    assert (await desk.find(opened.session)).journal is opened.journal
    assert (await desk.find("mine")).session == opened.session
    for session in (opened.session, "mine", "nothing"):
        with pytest.raises(SessionNotFound) as caught:
            await desk.find(session, "eve")
        told = "since the service was started, or it ended too long ago"
        assert caught.value.why == f"none was opened under that id {told}"
    assert [each.session for each in await desk.list()] == [opened.session]
    assert await desk.list("eve") == []


async def test_a_name_is_one_sessions_until_that_has_ended(desk: Desk) -> None:
    opened = await desk.open(name="mine")
    with pytest.raises(IdConflict):
        await desk.open(name="mine")
    others = await desk.open("eve", name="mine")
    await close(others)
    await close(opened)
    newer = await desk.open(name="mine")

    assert (await desk.find("mine")).session == newer.session


async def test_two_who_ask_for_one_name_at_once_get_one_session(desk: Desk) -> None:
    results: list[object] = []

    async def one() -> None:
        try:
            results.append((await desk.open(name="mine")).session)
        except IdConflict as error:
            results.append(error.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        nursery.start_soon(one)

    assert results.count("ID_CONFLICT") == 1


async def test_a_name_is_free_again_when_who_asked_has_gone_before_the_session_came(
    desk: Desk,
) -> None:
    """As where a connection is lost, and its client asks again on the next one."""
    blocking = [await desk.open() for _ in range(2)]
    outcomes: list[Opened] = []

    async def ask_again() -> None:
        outcomes.append(await desk.open(name="mine", acquire_timeout_s=20.0))

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0.05):
            await desk.open(name="mine", acquire_timeout_s=20.0)
        nursery.start_soon(ask_again)
        await trio.testing.wait_all_tasks_blocked()
        await close(blocking[0])
    (opened,) = outcomes

    assert (await desk.find("mine")).session == opened.session
    assert (await submit(opened, "6 * 7")).position == 0
    assert [each.name for each in await desk.list() if each.standing == "open"] == [None, "mine"]


async def test_who_waits_for_a_name_may_give_up_too(desk: Desk) -> None:
    """Cancelled while it waits, it leaves the name as it was."""
    blocking = [await desk.open() for _ in range(2)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(desk.open, name="mine", acquire_timeout_s=20.0))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.05):
            await desk.open(name="mine", acquire_timeout_s=20.0)
        await close(blocking[0])
    with pytest.raises(IdConflict):
        await desk.open(name="mine")


async def test_what_the_pool_refuses_is_refused(desk: Desk) -> None:
    for _ in range(2):
        await desk.open()

    with pytest.raises(PoolExhausted):
        await desk.open(acquire_timeout_s=0.1)
    with pytest.raises(ConfigInvalid):
        await desk.open(template="cobol")
    with pytest.raises(ConfigInvalid):
        await desk.open(limits=wire.LimitsWish(memory_bytes=2**40))


async def test_who_left_before_the_session_came_holds_none(desk: Desk) -> None:
    for _ in range(2):
        opened = await desk.open()
    with trio.move_on_after(0.1):
        await desk.open()
    await close(opened)

    async def settled() -> bool:
        return desk.supervisor.statistics().pool.leased == 1

    await until(settled)
    assert [each.standing for each in await desk.list()] == ["open", "closed"]


async def test_of_sessions_that_ended_some_are_kept(desk: Desk) -> None:
    opened = [await desk.open() for _ in range(2)]
    for each in opened:
        await close(each)
    opened.append(await desk.open())
    await close(opened[-1])

    async def settled() -> bool:
        return len(await desk.list()) == 2

    await until(settled)
    with pytest.raises(SessionNotFound):
        await desk.find(opened[0].session)
    assert (await desk.find(opened[1].session)).journal.last_seq == 1


DIES_LOUDLY = """
try:
    print("runs")
    while True: pass
finally:
    raise ValueError("x" * 20_000)
"""


@pytest.mark.parametrize("has_ended", [False, True])
async def test_a_large_last_event_does_not_leave_the_journal_above_its_bound(
    has_ended: bool, tmp_path: Path
) -> None:
    journal = pyrepl3.JournalConfig(memory_bytes=10_000, directory=str(tmp_path))
    config = pyrepl3.Config(hosting=pyrepl3.HostingConfig(journal=journal))
    async with pyrepl3.open_supervisor(config) as supervisor, trio.open_nursery() as nursery:
        host = Host(config, supervisor.session, supervisor.snapshot_desk)
        desk = Desk(supervisor, await nursery.start(host.run))
        opened = await desk.open()
        if has_ended:
            await submit(opened, DIES_LOUDLY)
            await first(opened, "output")
            await close(opened)
        else:
            await submit(opened, "'x' * 20_000")

        async def has_room() -> bool:
            return host.statistics().journal_disk_bytes > 20_000 and opened.journal.has_room

        await until(has_room)
        nursery.cancel_scope.cancel()


class StuckStore(JournalStore):
    """On a disk that answers when a test says so."""

    answers = threading.Event()

    def write(self, journal: int, entries: Iterable[Entry]) -> None:
        assert self.answers.wait(10)
        super().write(journal, entries)


async def test_a_disk_that_does_not_answer_holds_up_no_interrupt(tmp_path: Path) -> None:
    """Else it would look like code that does not end, and be killed."""
    journal = pyrepl3.JournalConfig(memory_bytes=100_000, directory=str(tmp_path))
    config = pyrepl3.Config(hosting=pyrepl3.HostingConfig(journal=journal))
    async with pyrepl3.open_supervisor(config) as supervisor, trio.open_nursery() as nursery:
        host = Host(config, supervisor.session, supervisor.snapshot_desk)
        desk = Desk(supervisor, await nursery.start(host.run))
        opened = await desk.open()
        opened.journal._disk._store = StuckStore.open(str(tmp_path))
        try:
            await submit(opened, "while True: print('x' * 1000)")

            async def is_full() -> bool:
                return opened.journal._spilling

            await until(is_full)
            with trio.fail_after(1.5):
                _, came_to = await interrupt(opened)
        finally:
            StuckStore.answers.set()
        assert came_to.state == "kept"
        with trio.fail_after(5):
            assert (await outcome(opened))["name"] == "KeyboardInterrupt"
        nursery.cancel_scope.cancel()


async def test_what_fails_in_the_hosting_of_one_session_ends_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(session: pyrepl3.Session, message: Edit) -> None:
        with message.reply:
            raise KeyError("planted")

    monkeypatch.setattr("pyrepl3.hosting.hosted_session.edit", fail)
    other, opened = await desk.open(), await desk.open()
    await submit(opened, "import time; time.sleep(30)")
    await first(opened, "started")
    question = wire.IsComplete(id=1, session=opened.session, code="1")
    with pytest.raises(NoReply):
        await ask(opened.address, lambda reply: Edit(question, reply))

    assert (await outcome(opened))["state"] in ("lost", "unknown")
    end = (await all_of(opened))[-1]
    assert (end["type"], end["state"]) == ("session_died", "lost")
    assert "PyREPL3 itself failed" in end["cause"]
    assert any("planted" in (record.exc_text or "") for record in caplog.records)
    await submit(other, "1")
    assert (await outcome(other))["value"] == 1
    await until_none_is_leased(desk, but=1)


async def test_a_session_that_cannot_be_opened_for_no_known_reason_ends_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await desk.open()
    monkeypatch.setattr("pyrepl3.hosting.host.Host._directory", planted)
    with pytest.raises(InternalError, match="log"):
        await desk.open()
    monkeypatch.undo()
    await until_none_is_leased(desk, but=1)
    await submit(other, "1")

    assert (await outcome(other))["value"] == 1


def planted(*_: object) -> str:
    raise FileNotFoundError("planted")


async def test_what_fails_behind_the_end_of_one_session_ends_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, opened = await desk.open(), await desk.open()
    monkeypatch.setattr("pyrepl3.hosting.hosted_session.HostedSession.ended", fail_at_the_end)
    with pytest.raises(NoReply):
        await close(opened)
    monkeypatch.undo()
    await submit(other, "1")

    assert (await outcome(other))["value"] == 1


def fail_at_the_end(hosted: object) -> None:
    raise ValueError("planted")


async def test_an_interrupt_of_a_question_names_no_execution(desk: Desk) -> None:
    opened = await desk.open()
    await submit(
        opened, "import time\nclass Hangs:\n  def __dir__(self): time.sleep(60)\nh = Hangs()"
    )
    await outcome(opened)
    question = wire.Complete(id=1, session=opened.session, code="h.")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, opened.address, lambda reply: Edit(question, reply))
        await trio.sleep(0.1)
        await submit(opened, "2", "e2")
        assert await interrupt(opened) == (None, InterruptOutcome("kept", "signal"))

    assert (await outcome(opened, "e2"))["value"] == 2


async def until_none_is_leased(desk: Desk, *, but: int) -> None:
    async def reached() -> bool:
        return desk.supervisor.statistics().pool.leased == but

    await until(reached)
