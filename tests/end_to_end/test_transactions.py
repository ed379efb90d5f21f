"""End-to-end tests: executions that are undone, and sessions that outlive their own crash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import psutil
import pytest
import trio
import trio.testing

import pyrepl3

from .faults.oracle import eventually

SEGFAULT = "import ctypes; ctypes.string_at(0)"
EXIT = "import os; os._exit(3)"
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
GARBAGE = "import os; os.write(3, b'\\xff' * 64)\nwhile True: pass"
IN_C = "sum(range(10**15))"

CRASHES = {
    "segfault": (SEGFAULT, "WORKER_DIED"),
    "exit": (EXIT, "WORKER_DIED"),
    "kill": (KILL, "WORKER_DIED"),
    "garbage": (GARBAGE, "PROTOCOL_VIOLATION"),
}


@pytest.fixture
async def session() -> AsyncIterator[pyrepl3.Session]:
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=2),
        timeouts=pyrepl3.Timeouts(interrupt_grace_s=0.2),
    )
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        supervisor.session() as session,
    ):
        await session.run("kept = 'before'")
        yield session


@pytest.fixture
def busy() -> Iterator[int]:
    """The pid of a process that always has something to do."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process.pid
        process.kill()


async def value(session: pyrepl3.Session, code: str) -> object:
    execution = await session.run(code)
    execution.raise_for_error()
    return execution.value


async def test_a_failed_cell_is_undone_and_says_so(session: pyrepl3.Session) -> None:
    ended = await session.run("kept = 'after'; 1 / 0", transaction_policy="rollback_on_failure")

    assert ended.error is not None
    assert (ended.error.name, ended.error.state) == ("ZeroDivisionError", "rolled_back")
    assert await value(session, "kept") == "before"


async def test_a_cell_that_succeeds_stays(session: pyrepl3.Session) -> None:
    await session.run("kept = 'after'", transaction_policy="rollback_on_failure")

    assert await value(session, "kept") == "after"


async def test_a_dry_run_gives_its_value_and_leaves_nothing(session: pyrepl3.Session) -> None:
    ended = await session.run(
        "kept = 'after'; print('x'); kept", transaction_policy="rollback_always"
    )

    assert (ended.value, ended.state, ended.logs.stdout) == ("after", "rolled_back", "x\n")
    assert await value(session, "kept") == "before"


@pytest.mark.parametrize("policy", ["guard", "rollback_on_failure", "rollback_always"])
@pytest.mark.parametrize("crash", list(CRASHES))
async def test_a_session_outlives_its_crash(
    session: pyrepl3.Session, crash: str, policy: str
) -> None:
    code, told = CRASHES[crash]
    before = session.pid
    code = f"kept = 'after'; print('said')\n{code}"
    if policy == "guard":
        ended = await session.run(code, guard=True)
    else:
        ended = await session.run(code, transaction_policy=policy)  # type: ignore[arg-type]

    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == (told, "rolled_back")
    assert ended.logs.stdout == "said\n"
    assert await value(session, "kept") == "before"
    assert await value(session, "import os; os.getpid()") != before


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)", IN_C])
async def test_what_passes_its_deadline_is_undone(session: pyrepl3.Session, code: str) -> None:
    ended = await session.run(
        f"kept = 'after'\n{code}", timeout_s=0.2, transaction_policy="rollback_on_failure"
    )

    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == ("EXECUTION_TIMEOUT", "rolled_back")
    assert await value(session, "kept") == "before"


@pytest.mark.parametrize("attempt", range(3))
async def test_threads_that_a_cell_has_started_end_with_it(
    session: pyrepl3.Session, busy: int, attempt: int
) -> None:
    """The kernel tells the snapshot of the death of each: all of that waits for it, and its leave
    to speak too, where it is not given the processor meanwhile."""
    cpus = os.sched_getaffinity(0)
    starved: list[int] = []

    def schedule(policy: int, on: set[int]) -> None:
        for pid in starved:
            os.sched_setaffinity(pid, on)
            os.sched_setscheduler(pid, policy, os.sched_param(0))

    def starve_the_snapshot(_: str) -> str:
        [keeper] = psutil.Process(session.pid).children()
        starved.append(keeper.pid)
        schedule(os.SCHED_IDLE, {min(cpus)})
        os.sched_setaffinity(busy, {min(cpus)})
        return ""

    code = (
        "import os, threading, time\n"
        "for _ in range(5): threading.Thread(target=time.sleep, args=(60,)).start()\n"
        f"input()\n{EXIT}"
    )
    ended = await session.run(code, guard=True, on_input=starve_the_snapshot)
    with suppress(ProcessLookupError):  # that it has died is for the next lines to say
        schedule(os.SCHED_OTHER, cpus)

    assert ended.state == "rolled_back"
    assert await value(session, "import threading; threading.active_count()") == 1


async def test_an_interrupt_tells_what_became_of_the_state(session: pyrepl3.Session) -> None:
    outcomes: list[pyrepl3.InterruptOutcome] = []

    async def interrupt() -> None:
        await trio.sleep(0.1)
        outcomes.append(await session.interrupt())

    for code, by in (("while True: pass", "signal"), (IN_C, "kill")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupt)
            await session.run(f"kept = 1\n{code}", transaction_policy="rollback_on_failure")
        assert outcomes.pop() == pyrepl3.InterruptOutcome("rolled_back", by)  # type: ignore[arg-type]

    assert await value(session, "kept") == "before"


async def test_those_behind_a_crash_run_after_it(session: pyrepl3.Session) -> None:
    ended: dict[int, pyrepl3.Execution] = {}

    async def run(number: int, code: str, guard: bool) -> None:
        ended[number] = await session.run(code, guard=guard)

    async with trio.open_nursery() as nursery:
        for number, code in enumerate(
            ["import time; time.sleep(0.1)", EXIT, "kept + '!'", "kept = 2", "kept"]
        ):
            nursery.start_soon(run, number, code, number == 1)
            await trio.testing.wait_all_tasks_blocked(0.005)

    assert ended[1].error is not None
    assert ended[1].error.state == "rolled_back"
    assert ended[2].value == "before!"
    assert ended[4].value == 2
    counts = [ended[number].execution_count for number in (0, 2, 3, 4)]
    assert counts == [2, 4, 5, 6]


async def test_a_transaction_is_committed_at_the_end_of_its_block(
    session: pyrepl3.Session,
) -> None:
    async with session.transaction():
        await session.run("kept = 1")
        await session.run("kept += 1")

    assert await value(session, "kept") == 2
    with pytest.raises(pyrepl3.NoTransaction):
        await session.rollback()


async def test_a_transaction_is_rolled_back_where_its_block_raises(
    session: pyrepl3.Session,
) -> None:
    async def fail() -> None:
        async with session.transaction():
            await session.run("kept = 1")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()

    assert await value(session, "kept") == "before"


async def test_a_transaction_is_rolled_back_where_its_block_is_cancelled(
    session: pyrepl3.Session,
) -> None:
    with trio.move_on_after(0.2):
        async with session.transaction():
            await session.run("kept = 1")
            await session.run("while True: pass")

    assert await value(session, "kept") == "before"


async def test_a_crash_in_a_transaction_goes_back_to_its_beginning(
    session: pyrepl3.Session,
) -> None:
    await session.begin()
    await session.run("kept = 1")
    ended = await session.run(EXIT)

    assert ended.error is not None
    assert ended.error.state == "rolled_back"
    assert await value(session, "kept") == "before"
    with pytest.raises(pyrepl3.NoTransaction):
        await session.commit()


async def test_a_process_that_dies_idle_in_a_transaction_goes_back_to_its_beginning(
    session: pyrepl3.Session,
) -> None:
    await session.begin()
    await session.run("kept = 1")
    psutil.Process(session.pid).kill()
    with trio.fail_after(5):
        while True:
            ended = await session.run("kept")
            if ended.error is None and ended.value == "before":
                break
            await trio.sleep(0.01)
    with pytest.raises(pyrepl3.NoTransaction):
        await session.commit()


DIES = """
import os, signal, sys
def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
worker = sys.modules['_pyrepl3.worker.main']._prepared
"""
DIES_BEFORE_ITS_WORD = f"{DIES}worker.snapshots.note_begun = die"
DIES_WITHIN_A_MESSAGE = f"""{DIES}
link = worker.link
def read(count, original=link._read):
    if link._incoming:
        original(1)
        die()
    original(count)
link._read = read
"""


@pytest.mark.parametrize("death", [DIES_BEFORE_ITS_WORD, DIES_WITHIN_A_MESSAGE])
async def test_who_dies_between_its_reading_and_its_word_that_it_has_leaves_all_to_who_takes_over(
    session: pyrepl3.Session, death: str
) -> None:
    """Nothing of what it was sent has run, and it is the process before that was rolled back."""
    await session.begin()
    await session.run("kept = 'changed'")
    (await session.run(death)).raise_for_error()
    told: dict[str, object] = {}

    async def run(code: str) -> None:
        ended = await session.run(code, timeout_s=20)
        told[code] = ended.error and ended.error.code

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "kept = 'by one of them'")
        nursery.start_soon(run, "kept = 'by the other'")

    assert set(told.values()) == {"NO_TRANSACTION"}
    assert await value(session, "kept") == "before"


async def test_transactions_do_not_nest(session: pyrepl3.Session) -> None:
    await session.begin()
    with pytest.raises(pyrepl3.TransactionActive):
        await session.begin()
    ended = await session.run("kept = 1", transaction_policy="rollback_always")
    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == ("TRANSACTION_ACTIVE", "kept")
    await session.rollback()

    assert await value(session, "kept") == "before"


async def test_a_thread_keeps_a_process_from_being_copied(session: pyrepl3.Session) -> None:
    await session.run(
        "import threading; stop = threading.Event()\n"
        "thread = threading.Thread(target=stop.wait, name='busy'); thread.start()"
    )
    ended = await session.run("kept = 1", transaction_policy="rollback_on_failure")
    assert ended.error is not None
    assert ended.error.code == "SNAPSHOT_UNAVAILABLE"
    assert "busy" in ended.error.value
    with pytest.raises(pyrepl3.SnapshotUnavailable, match="busy"):
        await session.begin()
    await session.run("stop.set(); thread.join()")
    await session.run("kept = 2", guard=True)

    assert await value(session, "kept") == 2


async def test_what_a_file_object_stands_at_is_restored(
    session: pyrepl3.Session, tmp_path: object
) -> None:
    await session.run(f"file = open({str(tmp_path) + '/text'!r}, 'w+'); file.write('one')")
    await session.run("file.flush()")
    await session.run("file.write('two'); file.flush(); 1 / 0",
                      transaction_policy="rollback_on_failure")  # fmt: skip

    assert await value(session, "file.tell()") == 3


async def test_background_tasks_go_on_in_who_has_taken_over(session: pyrepl3.Session) -> None:
    await session.run(
        "import asyncio\nticks = 0\n"
        "async def tick():\n    global ticks\n    while True:\n"
        "        await asyncio.sleep(0.01); ticks += 1\n"
        "task = asyncio.create_task(tick())\nawait asyncio.sleep(0.05)"
    )
    await session.run(EXIT, guard=True)
    before = await value(session, "ticks")
    await session.run("await asyncio.sleep(0.1)")

    assert await value(session, f"ticks > {before}") is True


async def test_nothing_is_left_of_snapshots(session: pyrepl3.Session) -> None:
    worker = psutil.Process(session.pid)
    zygote = worker.parent()
    assert zygote is not None
    for _ in range(5):
        await session.run("1", guard=True)
        await session.run("1 / 0", transaction_policy="rollback_on_failure")
        await session.run(EXIT, guard=True)
    await session.begin()
    await session.rollback()

    def processes() -> list[psutil.Process]:
        return zygote.children(recursive=True)

    await eventually(lambda: len(processes()) <= 2)  # it, and a spare one perhaps


async def test_a_snapshot_ends_with_its_zygote(session: pyrepl3.Session) -> None:
    worker = psutil.Process(session.pid)
    zygote = worker.parent()
    assert zygote is not None
    await session.begin()
    [keeper] = worker.children()
    zygote.kill()

    await eventually(lambda: not keeper.is_running())


async def test_a_session_that_ends_in_a_transaction_leaves_no_snapshot() -> None:
    async with pyrepl3.open_supervisor() as supervisor:
        async with supervisor.session() as session:
            await session.begin()
            [keeper] = psutil.Process(session.pid).children()
        await eventually(lambda: not keeper.is_running())


async def test_a_worker_that_was_started_by_exec_takes_snapshots_too() -> None:
    config = pyrepl3.Config(templates={"python": pyrepl3.Template(spawn="exec")})
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        supervisor.session() as session,
    ):
        await session.run("kept = 1")
        ended = await session.run(f"kept = 2\n{EXIT}", guard=True)
        assert ended.state == "rolled_back"
        assert await value(session, "kept") == 1


async def test_where_trio_runs_a_snapshot_is_refused_with_a_reason() -> None:
    config = pyrepl3.Config(templates={"python": pyrepl3.Template(async_library="trio")})
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        supervisor.session() as session,
    ):
        await session.run("import trio\nawait trio.sleep(0)")
        with pytest.raises(pyrepl3.SnapshotUnavailable, match="trio"):
            await session.begin()


async def test_dice_fall_as_they_would_have_without_the_cell(session: pyrepl3.Session) -> None:
    await session.run("import random; random.seed(1)")
    await session.run("random.random(); 1 / 0", transaction_policy="rollback_on_failure")

    assert await value(session, "random.random() == random.Random(1).random()") is True


async def test_what_was_sent_into_a_transaction_that_crashed_does_not_run_outside_of_it(
    session: pyrepl3.Session,
) -> None:
    await session.begin()
    ended: dict[str, pyrepl3.Execution] = {}

    async def run(name: str, code: str) -> None:
        ended[name] = await session.run(code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "crash", f"import time; time.sleep(0.1)\n{EXIT}")
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.start_soon(run, "behind", "kept = 'by it'")

    behind = ended["behind"].error
    assert behind is not None
    assert (behind.code, behind.state) == ("NO_TRANSACTION", "kept")
    assert await value(session, "kept") == "before"


# --- what holds where nothing is named ------------------------------------------------------------


@pytest.fixture
async def supervisor() -> AsyncIterator[pyrepl3.Supervisor]:
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=2),
        templates={
            "python": pyrepl3.Template(),
            "careful": pyrepl3.Template(transaction_policy="rollback_on_failure", guard=True),
        },
    )
    async with pyrepl3.open_supervisor(config) as supervisor:
        yield supervisor


async def test_a_templates_policy_and_guard_hold_where_none_is_named(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session("careful") as session:
        await session.run("kept = 'before'")
        for code in ("kept = 1; 1 / 0", EXIT):
            ended = await session.run(code)
            assert ended.state == "rolled_back"
        ended = await session.run("kept = 2; 1 / 0", transaction_policy="commit_always")

        assert ended.state == "kept"
        assert await value(session, "kept") == 2


async def test_a_sessions_policy_and_guard_go_before_its_templates(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session("careful", transaction_policy="commit_always") as session:
        assert (await session.run("kept = 1; 1 / 0")).state == "kept"
        assert (await session.run(f"kept = 2\n{EXIT}")).state == "rolled_back"
        assert await value(session, "kept") == 1
    async with supervisor.session("careful", guard=False) as session:
        ended = await session.run(EXIT, transaction_policy="commit_always")
        assert ended.state == "lost"
    async with supervisor.session(guard=True) as session:
        assert (await session.run(EXIT)).state == "rolled_back"


async def test_within_a_transaction_a_sessions_policy_is_that_of_the_transaction(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session("careful") as session:
        async with session.transaction():
            assert session.transactions.is_open
            assert (await session.run("kept = 1; 1 / 0")).state == "kept"
        assert (await session.run("kept = 2; 1 / 0")).state == "rolled_back"
        await session.begin()
        assert (await session.run(f"kept = 3\n{EXIT}")).state == "rolled_back"
        assert not session.transactions.is_open
        assert (await session.run("kept = 4; 1 / 0")).state == "rolled_back"

        assert await value(session, "kept") == 1


@pytest.mark.parametrize("options", [{"transaction_policy": "never"}, {"guard": 1}])
async def test_what_is_no_policy_is_refused(
    supervisor: pyrepl3.Supervisor, options: dict[str, object]
) -> None:
    (name,) = options
    with pytest.raises(pyrepl3.ConfigInvalid, match=name):
        pyrepl3.Template(**options)  # type: ignore[arg-type]
    with pytest.raises(pyrepl3.ConfigInvalid, match=name):
        async with supervisor.session(**options):  # type: ignore[arg-type]
            raise AssertionError
    async with supervisor.session() as session:
        with pytest.raises(pyrepl3.ConfigInvalid, match=name):
            await session.run("1", **options)  # type: ignore[arg-type]


async def test_a_beginning_that_is_cancelled_leaves_no_transaction_open(
    session: pyrepl3.Session,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run, "import time; time.sleep(0.3)")
        await trio.sleep(0.1)
        with trio.move_on_after(0.01):
            await session.begin()

    assert not session.transactions.is_open
    with pytest.raises(pyrepl3.NoTransaction):
        await session.commit()


async def test_a_beginning_that_is_refused_and_cancelled_ends_no_other_transaction(
    session: pyrepl3.Session,
) -> None:
    await session.run("x = 1")
    await session.begin()
    await session.run("x = 2")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run, "import time; time.sleep(0.3)")
        await trio.sleep(0.1)
        with trio.move_on_after(0.01) as scope:
            await session.begin()

    assert scope.cancelled_caught
    await session.commit()
    assert await value(session, "x") == 2


async def test_a_block_ends_no_transaction_but_its_own(session: pyrepl3.Session) -> None:
    async def outlive(*, failing: bool) -> None:
        """Its own transaction is undone by a crash, and another one is begun."""
        async with session.transaction():
            await session.run(EXIT)
            await session.begin()
            await session.run("x = 1")
            if failing:
                raise ValueError("left")

    for failing, error in ((False, pyrepl3.NoTransaction), (True, ValueError)):
        with pytest.raises(error):
            await outlive(failing=failing)
        await session.commit()
        assert await value(session, "x") == 1
        await session.run("x = 0")


async def test_what_is_left_when_the_queue_is_full_is_rolled_back_before_anything_else(
    supervisor: pyrepl3.Supervisor,
) -> None:
    limits = pyrepl3.Limits(queued_executions=2)
    async with supervisor.session(limits=limits) as session, trio.open_nursery() as nursery:
        await session.run("import time; x = 1")
        with trio.CancelScope() as scope:
            async with session.transaction():
                for _ in range(3):
                    nursery.start_soon(session.run, "x = 2; time.sleep(0.2)")
                await trio.sleep(0.1)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert session.transactions.is_open, "there was room"
        await trio.sleep(0.7)

        assert await value(session, "x") == 1
        with pytest.raises(pyrepl3.NoTransaction):
            await session.commit()


async def test_a_block_that_cannot_be_committed_is_rolled_back(
    supervisor: pyrepl3.Supervisor,
) -> None:
    limits = pyrepl3.Limits(queued_executions=2)
    async with supervisor.session(limits=limits) as session, trio.open_nursery() as nursery:
        await session.run("import time; x = 1")
        with pytest.raises(pyrepl3.QueueFull):
            await fill_the_queue_of_a_block(session, nursery)
        await trio.sleep(0.7)

        assert await value(session, "x") == 1


async def fill_the_queue_of_a_block(session: pyrepl3.Session, nursery: trio.Nursery) -> None:
    async with session.transaction():
        for _ in range(3):
            nursery.start_soon(session.run, "x = 2; time.sleep(0.2)")
        await trio.sleep(0.1)


async def test_each_of_several_blocks_ends_its_own_transaction_or_was_refused(
    supervisor: pyrepl3.Supervisor,
) -> None:
    """More is sent in one turn than the session's mailbox has room for."""
    ends: list[str] = []

    async def block(session: pyrepl3.Session) -> None:
        try:
            async with session.transaction():
                await trio.sleep(0.01)
            ends.append("committed")
        except pyrepl3.PyreplError as error:
            ends.append(type(error).__name__)

    async with supervisor.session(limits=pyrepl3.Limits(queued_executions=100)) as session:
        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for _ in range(40):
                    nursery.start_soon(session.run, "1")
                for _ in range(2):
                    nursery.start_soon(block, session)
            with pytest.raises(pyrepl3.NoTransaction):
                await session.rollback()
    assert set(ends) <= {"committed", "TransactionActive"}
    assert ends.count("committed") >= 10


async def test_what_is_sent_behind_the_end_of_a_transaction_runs_after_it(
    session: pyrepl3.Session,
) -> None:
    await session.run("x = 1")
    for end, expected in ((session.commit, 2), (session.rollback, 2)):
        await session.begin()
        await session.run("x = 2" if end == session.commit else "x = 3")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run, "import time; time.sleep(0.1)")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(end)
            await trio.testing.wait_all_tasks_blocked()
            assert await value(session, "x") == expected


async def test_beginnings_that_are_refused_leave_the_sessions_policy(
    supervisor: pyrepl3.Supervisor,
) -> None:
    limits = pyrepl3.Limits(queued_executions=1)
    policy: pyrepl3.TransactionPolicy = "rollback_on_failure"
    async with supervisor.session(limits=limits, transaction_policy=policy) as session:
        await session.run("import time; x = 1")
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(session.run, "time.sleep(0.2)")
            await trio.sleep(0.1)
            for _ in range(2):
                nursery.start_soon(begin_in_vain, session)
        ended = await session.run("x = 2; 1 / 0")

        assert ended.state == "rolled_back"
        assert await value(session, "x") == 1


async def begin_in_vain(session: pyrepl3.Session) -> None:
    with pytest.raises(pyrepl3.QueueFull):
        await session.begin()


async def test_a_snapshot_is_no_child_for_whose_output_each_line_has_to_wait(
    session: pyrepl3.Session,
) -> None:
    await session.run("1", guard=True)
    assert await value(session, "import sys; sys.stdout.before_line is None") is True
    await session.run("import subprocess; subprocess.run(['true'])")
    assert await value(session, "sys.stdout.before_line is None") is False
