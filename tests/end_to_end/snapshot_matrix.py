"""What becomes of a session: every way to fail, under every policy, with all kinds of state.

Owns the table that docs/snapshots.md promises, and the runs that hold the service to it. As a
program it does so again and again: ``python -m tests.end_to_end.snapshot_matrix --rounds 20``.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import attrs
import trio

import pyrepl3

State = Literal["kept", "rolled_back", "lost"]
Policy = Literal[
    "commit_always", "guard", "auto", "rollback_on_failure", "rollback_always", "explicit"
]
POLICIES: tuple[Policy, ...] = get_args(Policy)
GUARDS: Mapping[Policy, bool | Literal["auto"]] = {"guard": True, "auto": "auto"}
"""The two that are no policies, but go by crashes alone."""

GRACE_S = 0.3
TIMEOUT_S = 0.3
AT_ONCE = 4
WITHIN_S = 20.0


@attrs.frozen
class Cause:
    """How an execution ends. ``is_crash``: its process does not outlive it."""

    name: str
    code: str
    is_crash: bool
    told: str | None
    """The code of its error; None: it is the code's own exception, or there is none."""
    timeout_s: float | None = None
    is_interrupted: bool = False


CAUSES = (
    Cause("success", "None", False, None),
    Cause("exception", "1 / 0", False, None),
    Cause("SystemExit", "import sys; sys.exit(3)", False, None),
    Cause("os._exit", "import os; os._exit(3)", True, "WORKER_DIED"),
    Cause("segfault", "import ctypes; ctypes.string_at(0)", True, "WORKER_DIED"),
    Cause("SIGKILL", "import os, signal; os.kill(os.getpid(), 9)", True, "WORKER_DIED"),
    Cause(
        "memory",
        "import resource, os\n"
        "try:\n    x = []\n    while True: x.append(bytearray(2**24))\n"
        "except MemoryError:\n    os.abort()",
        True,
        "WORKER_DIED",
    ),
    Cause("timeout in Python", "while True: pass", False, "EXECUTION_TIMEOUT", TIMEOUT_S),
    Cause("timeout in C", "sum(range(10**15))", True, "EXECUTION_TIMEOUT", TIMEOUT_S),
    Cause("interrupt", "import time; time.sleep(60)", False, "INTERRUPTED", None, True),
    Cause(
        "garbage",
        "import os, time; os.write(3, b'\\xff' * 64); time.sleep(60)",
        True,
        "PROTOCOL_VIOLATION",
    ),
)


@attrs.frozen
class Content:
    """What a session holds: made by ``make``, changed by ``change``, and looked at by ``look``."""

    name: str
    make: str
    change: str
    look: str
    """An expression: 1 before the change, 2 after it."""
    is_forkable: bool = True
    """Whether its process can be copied."""
    allow_copy: bool = False
    """Whether its variables may be, instead."""


_THREAD = (
    "import threading; held = again = [1]; stop = threading.Event()\n"
    "thread = threading.Thread(target=stop.wait, name='waits', daemon=True); thread.start()"
)

CONTENTS = (
    Content("plain", "held = {'n': 1}", "held['n'] = 2", "held['n']"),
    Content(
        "numpy array",
        "import numpy; held = numpy.ones(100_000)",
        "held[99_999] = 2.0",
        "int(held[99_999])",
    ),
    Content(
        "open file",
        "import tempfile; held = tempfile.TemporaryFile('w+'); _ = held.write('x'); held.flush()",
        "_ = held.write('x'); held.flush()",
        "held.tell()",
    ),
    Content(
        "asyncio task",
        "import asyncio\nheld = 1; beats = 0\n"
        "async def beat():\n    global beats\n    while True:\n"
        "        beats += 1; await asyncio.sleep(0.001)\n"
        "task = asyncio.create_task(beat())\nawait asyncio.sleep(0.01)",
        "held = 2",
        "held if not task.done() else 'its task has ended'",
    ),
    Content(
        "class",
        "class Held:\n    def n(self): return 1\nheld = Held()",
        "Held.n = lambda self: 2",
        "held.n()",
    ),
    Content("thread", _THREAD, "held[0] = 2", "held[0]", is_forkable=False),
    Content(
        "thread, allow_copy",
        _THREAD,
        "held[0] = 2",
        "held[0] if again is held else 'its names are of two values'",
        is_forkable=False,
        allow_copy=True,
    ),
)


@attrs.frozen
class Expected:
    """What the table says. ``is_refused``: nothing runs, as no snapshot can be taken."""

    state: State
    is_refused: bool = False

    @property
    def look(self) -> int | None:
        """What is to be seen afterwards; None where the session is gone."""
        if self.state == "lost":
            return None
        return 1 if self.is_refused or self.state == "rolled_back" else 2


def expected(cause: Cause, policy: Policy, content: Content) -> Expected:
    """The documented table, in code."""
    if policy != "commit_always" and not content.is_forkable:
        if policy in GUARDS or not content.allow_copy:
            return Expected("kept", is_refused=True)
        if cause.is_crash:
            return Expected("lost")
    if cause.is_crash:
        return Expected("lost" if policy == "commit_always" else "rolled_back")
    if policy == "rollback_always":
        return Expected("rolled_back")
    if policy == "rollback_on_failure" and cause.name != "success":
        return Expected("rolled_back")
    return Expected("kept")


async def play(supervisor: pyrepl3.Supervisor, case: Case) -> str | None:
    """What was not as the table says; None: nothing."""
    cause, policy, content = case.cause, case.policy, case.content
    told = expected(cause, policy, content)
    async with supervisor.session(allow_copy=content.allow_copy) as session:
        made = await session.run(content.make)
        if made.error is not None:
            return f"it could not be made: {made.error}"
        if policy == "explicit":
            try:
                await session.begin()
            except pyrepl3.SnapshotUnavailable:
                return None if told.is_refused else "a transaction was refused"
            if told.is_refused:
                return "a transaction was begun"
        ended = await _run(session, cause, policy, f"{content.change}\n{cause.code}")
        if told.is_refused:
            if ended.error is None or ended.error.code != "SNAPSHOT_UNAVAILABLE":
                return f"it was not refused: {ended.error}"
        elif ended.state != told.state:
            return f"its state is {ended.state}, not {told.state}: {ended.error}"
        elif cause.told is not None and (ended.error is None or ended.error.code != cause.told):
            return f"it ended with {ended.error}"
        return await _look(session, content, told)


async def _run(
    session: pyrepl3.Session, cause: Cause, policy: Policy, code: str
) -> pyrepl3.Execution:
    options: dict[str, Any] = {"timeout_s": cause.timeout_s}
    if policy in GUARDS:
        options["guard"] = GUARDS[policy]
    elif policy != "explicit":
        options["transaction_policy"] = policy
    async with trio.open_nursery() as nursery:
        if cause.is_interrupted:
            nursery.start_soon(_interrupt, session)
        ended = await session.run(code, **options)
    return ended  # noqa: RET504  # not from inside the nursery


async def _interrupt(session: pyrepl3.Session) -> None:
    await trio.sleep(TIMEOUT_S)
    await session.interrupt()


async def _look(session: pyrepl3.Session, content: Content, told: Expected) -> str | None:
    if told.state == "lost":
        try:
            await session.run("1")
        except pyrepl3.SessionLost:
            return None
        return "it goes on, and was told to be lost"
    seen = await session.run(content.look)
    if seen.error is not None or seen.value != told.look:
        return f"afterwards there is {seen.value!r}, not {told.look}: {seen.error}"
    return None


@attrs.frozen
class Case:
    """One cell of the table."""

    cause: Cause
    policy: Policy
    content: Content

    def __str__(self) -> str:
        return f"{self.cause.name}, {self.policy}, {self.content.name}"


CASES = tuple(Case(*each) for each in itertools.product(CAUSES, POLICIES, CONTENTS))


async def play_all(rounds: int = 1) -> list[str]:
    """Each case so many times; what was not as the table says."""
    config = pyrepl3.Config(
        limits=pyrepl3.Limits(memory_bytes=2**30),
        pool=pyrepl3.PoolConfig(min_idle=2, max_sessions=2 * AT_ONCE, acquire_timeout_s=60.0),
        timeouts=pyrepl3.Timeouts(interrupt_grace_s=GRACE_S),
    )
    faults: list[str] = []
    cases: Iterator[Case] = iter(CASES * rounds)

    async def play_some() -> None:
        for case in cases:
            with trio.move_on_after(WITHIN_S) as scope:
                try:
                    fault = await play(supervisor, case)
                except pyrepl3.PyreplError as error:
                    fault = str(error)
                if fault is not None:
                    faults.append(f"{case}: {fault}")
            if scope.cancelled_caught:
                faults.append(f"{case}: not over within {WITHIN_S} s")

    async with pyrepl3.open_supervisor(config) as supervisor, trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(play_some)
    return faults


def main() -> int:
    """As a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds: int = parser.parse_args().rounds
    faults = trio.run(play_all, rounds)
    for fault in faults:
        print(fault)
    print(f"{len(CASES)} cases, {rounds} times: {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
