"""End-to-end tests: variables that are copied where the process cannot be (`allow_copy`)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio

import pyrepl3

THREAD = (
    "import threading; stop = threading.Event()\n"
    "thread = threading.Thread(target=stop.wait, name='busy', daemon=True); thread.start()"
)
FAILS: dict[str, Any] = {"transaction_policy": "rollback_on_failure"}
DRY: dict[str, Any] = {"transaction_policy": "rollback_always"}


@pytest.fixture
async def supervisor() -> AsyncIterator[pyrepl3.Supervisor]:
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=2),
        timeouts=pyrepl3.Timeouts(interrupt_grace_s=0.2),
    )
    async with pyrepl3.open_supervisor(config) as supervisor:
        yield supervisor


@pytest.fixture
async def session(supervisor: pyrepl3.Supervisor) -> AsyncIterator[pyrepl3.Session]:
    async with supervisor.session(allow_copy=True) as session:
        (await session.run(THREAD)).raise_for_error()
        yield session


async def value(session: pyrepl3.Session, code: str) -> object:
    execution = await session.run(code)
    execution.raise_for_error()
    return execution.value


async def test_what_failed_is_undone_in_the_same_process(session: pyrepl3.Session) -> None:
    pid = await value(session, "import os; held = {'n': 1}; os.getpid()")
    ended = await session.run("held['n'] = 2; other = 3; del thread; 1 / 0", **FAILS)

    assert (ended.error and ended.error.name, ended.state) == ("ZeroDivisionError", "rolled_back")
    assert await value(session, "[held['n'], 'other' in vars(), thread.is_alive()]") == [
        1,
        False,
        True,
    ]
    assert await value(session, "os.getpid()") == pid


async def test_a_dry_run_has_its_value_and_leaves_nothing(session: pyrepl3.Session) -> None:
    await session.run("held = [1]")
    ended = await session.run("held.append(2); held", **DRY)

    assert (ended.value, ended.state) == ([1, 2], "rolled_back")
    assert await value(session, "held") == [1]


async def test_what_succeeds_stays(session: pyrepl3.Session) -> None:
    await session.run("held = [1]")
    ended = await session.run("held.append(2)", **FAILS)

    assert ended.state == "kept"
    assert await value(session, "held") == [1, 2]


async def test_names_of_one_object_are_names_of_one_copy(session: pyrepl3.Session) -> None:
    await session.run("a = [1]; b = a; c = {'a': a}; c['c'] = c")
    await session.run("a.append(2); b = None; 1 / 0", **FAILS)

    assert await value(session, "[a is b is c['a'], c['c'] is c, a]") == [True, True, [1]]


async def test_functions_see_the_names_that_were_restored(session: pyrepl3.Session) -> None:
    await session.run("held = 1\ndef look(): return held")
    await session.run("held = 2; 1 / 0", **FAILS)

    assert await value(session, "look()") == 1


async def test_what_cannot_be_copied_is_named_and_stays_what_the_code_made_of_it(
    session: pyrepl3.Session,
) -> None:
    await session.run(
        "class Proud:\n"
        "    n = 1\n"
        "    def __deepcopy__(self, memo): raise ValueError('unique')\n"
        "import sys, threading as t\n"
        "def function(): pass\n"
        "proud = Proud(); numbers = (n for n in (1, 2)); plain = [1]; module = sys"
    )
    ended = await session.run("proud.n = 2; plain.append(2); 1 / 0", **FAILS)

    assert ended.by_reference == ("stop", "thread", "proud", "numbers")
    assert await value(session, "[proud.n, plain]") == [2, [1]]


async def test_half_a_copy_is_no_part_of_another_one(session: pyrepl3.Session) -> None:
    """The list is remembered as copied, empty, before what is in it refuses to be."""
    await session.run(
        "import threading; part = [1]; whole = [part, threading.Lock()]; again = part"
    )
    ended = await session.run("part.append(2); again.append(3); 1 / 0", **FAILS)

    assert ended.by_reference is not None
    assert "whole" in ended.by_reference
    assert "again" not in ended.by_reference
    assert await value(session, "[part, again, part is again]") == [[1], [1], True]
    assert await value(session, "whole[0]") == [1, 2, 3]


async def test_the_last_values_go_on(session: pyrepl3.Session) -> None:
    await session.run("[1]")
    await session.run("_.append(2); 1 / 0", **FAILS)
    assert await value(session, "_") == [1]
    await session.run("'next'")

    assert await value(session, "_") == "next"


async def test_a_transaction_is_rolled_back_or_committed(session: pyrepl3.Session) -> None:
    await session.run("held = [1]")
    await session.begin()
    inside = await session.run("held.append(2)")
    await session.run("held.append(3)")
    assert inside.by_reference == ("stop", "thread")
    await session.rollback()
    assert await value(session, "held") == [1]
    async with session.transaction():
        await session.run("held.append(4)")
    outside = await session.run("held")

    assert (outside.value, outside.by_reference) == ([1, 4], None)
    with pytest.raises(pyrepl3.NoTransaction):
        await session.rollback()


async def test_transactions_do_not_nest_either(session: pyrepl3.Session) -> None:
    await session.begin()
    with pytest.raises(pyrepl3.TransactionActive):
        await session.begin()
    ended = await session.run("1", **DRY)

    assert ended.error is not None
    assert ended.error.code == "TRANSACTION_ACTIVE"


@pytest.mark.parametrize("protection", [FAILS, DRY, {}], ids=["policy", "dry", "transaction"])
async def test_a_crash_is_not_covered(session: pyrepl3.Session, protection: dict[str, Any]) -> None:
    if not protection:
        await session.begin()
    ended = await session.run("import os; os._exit(3)", **protection)

    assert ended.state == "lost"
    with pytest.raises(pyrepl3.SessionLost):
        await session.run("1")


@pytest.mark.parametrize("guard", [True, "auto"])
async def test_a_guard_is_refused(session: pyrepl3.Session, guard: Any) -> None:
    ended = await session.run("held = 1", guard=guard, **FAILS)

    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == ("SNAPSHOT_UNAVAILABLE", "kept")
    assert await value(session, "'held' in vars()") is False


async def test_under_a_snapshot_from_before_the_threads_a_policy_is_by_copy(
    supervisor: pyrepl3.Supervisor,
) -> None:
    async with supervisor.session(allow_copy=True, guard="auto") as session:
        await session.run("held = [1]")
        await session.run(THREAD)
        ended = await session.run("held.append(2); 1 / 0", **FAILS)
        assert ended.by_reference is not None
        assert (ended.state, await value(session, "held")) == ("rolled_back", [1])
        ended = await session.run("import os; os._exit(3)", **FAILS)
        assert ended.error is not None
        assert (ended.state, len(ended.error.lost_since)) == ("rolled_back", 3)


@pytest.mark.parametrize(
    "make",
    ["held = bytearray(2**20)", "held = [[n] for n in range(20_000)]", "held = [bytearray(2**20)]"],
)
async def test_more_than_the_limit_is_refused_with_both_figures(
    supervisor: pyrepl3.Supervisor, make: str
) -> None:
    limits = pyrepl3.Limits(copied_bytes=2**20)
    async with supervisor.session(limits=limits, allow_copy=True) as session:
        await session.run(f"{THREAD}\n{make}")
        ended = await session.run("held = None", **FAILS)
        assert ended.error is not None
        assert (ended.error.code, ended.error.state) == ("SNAPSHOT_UNAVAILABLE", "kept")
        assert str(2**20) in ended.error.value
        assert "busy" in ended.error.value
        with pytest.raises(pyrepl3.SnapshotUnavailable, match=str(2**20)):
            await session.begin()
        assert await value(session, "held is None") is False


async def test_where_the_memory_does_not_suffice_it_is_refused(
    supervisor: pyrepl3.Supervisor,
) -> None:
    limits = pyrepl3.Limits(memory_bytes=2**27, copied_bytes=2**30)
    async with supervisor.session(limits=limits, allow_copy=True) as session:
        await session.run(f"{THREAD}\nheld = bytearray(75 * 2**20)")
        ended = await session.run("held = None", **FAILS)

        assert ended.error is not None
        assert ended.error.code == "SNAPSHOT_UNAVAILABLE"
        assert await value(session, "held is None") is False


HANGS = "import time\nclass Slow:\n    def __deepcopy__(self, memo): time.sleep(60)\nslow = Slow()"
LONG = "def nest(n): return [nest(n - 1) for _ in range(9)] if n else []\nslow = nest(6)"


@pytest.mark.parametrize("make", [HANGS, LONG], ids=["hangs", "long"])
async def test_copying_is_within_the_deadline_of_the_execution(
    session: pyrepl3.Session, make: str
) -> None:
    await session.run(make)
    started_s = time.monotonic()
    ended = await session.run("ran = True", timeout_s=0.2, **FAILS)

    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == ("EXECUTION_TIMEOUT", "kept")
    assert time.monotonic() - started_s < 5
    assert await value(session, "'ran' in vars()") is False


async def test_copying_can_be_interrupted(session: pyrepl3.Session) -> None:
    await session.run(HANGS)
    outcomes: list[pyrepl3.InterruptOutcome] = []

    async def interrupt() -> None:
        await trio.sleep(0.2)
        outcomes.append(await session.interrupt())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt)
        ended = await session.run("ran = True", **FAILS)

    assert ended.error is not None
    assert (ended.error.code, ended.error.state) == ("INTERRUPTED", "kept")
    assert outcomes == [pyrepl3.InterruptOutcome("kept", "signal")]


async def test_the_copying_of_a_transaction_ends_at_a_deadline_too(
    supervisor: pyrepl3.Supervisor,
) -> None:
    limits = pyrepl3.Limits(execution_timeout_s=0.3)
    async with supervisor.session(limits=limits, allow_copy=True) as session:
        await session.run(f"{THREAD}\n{HANGS}")
        with trio.fail_after(5), pytest.raises(pyrepl3.SnapshotUnavailable, match="interrupted"):
            await session.begin()
        assert await value(session, "1 + 1") == 2


async def test_it_is_by_the_callers_choice_alone(supervisor: pyrepl3.Supervisor) -> None:
    async with supervisor.session() as session:
        await session.run(f"{THREAD}\nheld = [1]")
        refused = await session.run("held.append(2)", **DRY)
        assert refused.error is not None
        assert refused.error.code == "SNAPSHOT_UNAVAILABLE"
        allowed = await session.run("held.append(2)", allow_copy=True, **DRY)
        assert allowed.state == "rolled_back"
        with pytest.raises(pyrepl3.SnapshotUnavailable):
            await session.begin()
        assert await value(session, "held") == [1]


async def test_where_the_process_can_be_copied_it_is(supervisor: pyrepl3.Supervisor) -> None:
    async with supervisor.session(allow_copy=True) as session:
        ended = await session.run("1", **DRY)
        assert (ended.state, ended.by_reference) == ("rolled_back", None)
        ended = await session.run("import os; os._exit(3)", **DRY)
        assert ended.state == "rolled_back"


async def test_a_template_may_allow_it_and_exec_started_workers_do_it() -> None:
    template = pyrepl3.Template(spawn="exec", allow_copy=True)
    async with (
        pyrepl3.open_supervisor(pyrepl3.Config(templates={"python": template})) as supervisor,
        supervisor.session() as session,
    ):
        await session.run(f"{THREAD}\nheld = [1]")
        ended = await session.run("held.append(2)", **DRY)
        assert (ended.state, ended.by_reference) == ("rolled_back", ("stop", "thread"))
        assert await value(session, "held") == [1]


@pytest.mark.parametrize("wrong", [1, "copy"])
async def test_what_is_no_choice_is_refused(supervisor: pyrepl3.Supervisor, wrong: object) -> None:
    with pytest.raises(pyrepl3.ConfigInvalid, match="allow_copy"):
        pyrepl3.Template(allow_copy=wrong)  # type: ignore[arg-type]
    async with supervisor.session() as session:
        with pytest.raises(pyrepl3.ConfigInvalid, match="allow_copy"):
            await session.run("1", allow_copy=wrong)  # type: ignore[arg-type]


SLOW = (
    "import time\n"
    "class Slow:\n"
    "    def __deepcopy__(self, memo): time.sleep(0.4); return self\n"
    "slow, x = Slow(), 1"
)


async def test_a_beginning_that_is_cancelled_while_it_copies_is_rolled_back_behind_it(
    session: pyrepl3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyrepl3.client.transactions.ROLLBACK_S", 0.05)
    await session.run(SLOW)
    with trio.move_on_after(0.1) as scope:
        await session.begin()
    assert scope.cancelled_caught

    ended = await session.run("x = 2")
    assert ended.by_reference is None, "it is in a transaction"
    assert not session.transactions.is_open
    with pytest.raises(pyrepl3.NoTransaction):
        await session.rollback()
    assert await value(session, "x") == 2


async def test_a_beginning_is_interrupted_as_it_copies(session: pyrepl3.Session) -> None:
    await session.run(SLOW.replace("0.4", "60"))
    async with trio.open_nursery() as nursery:
        refused = Refused(session.begin)
        nursery.start_soon(refused.run)
        await trio.sleep(0.1)
        outcome = await session.interrupt()

    assert (outcome.state, outcome.by) == ("kept", "signal")
    assert isinstance(refused.error, pyrepl3.SnapshotUnavailable)
    assert "interrupted" in refused.error.why
    with pytest.raises(pyrepl3.NoTransaction):
        await session.rollback()
    assert await value(session, "x") == 1


class Refused:
    """What a request of another task is refused with."""

    def __init__(self, request: Callable[[], Awaitable[object]]) -> None:
        self._request = request
        self.error: pyrepl3.PyreplError | None = None

    async def run(self) -> None:
        try:
            await self._request()
        except pyrepl3.PyreplError as error:
            self.error = error
