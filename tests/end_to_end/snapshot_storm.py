"""`python -m tests.end_to_end.snapshot_storm`: guarded executions that crash in random ways.

Owns the storm and what it is held to: nothing that was committed is lost and nothing that was
rolled back is seen, no process is left behind, and a canary answers throughout. Each session counts
in a variable, and the storm keeps the ids of those that were counted, but for those that it is told
are lost; after each execution both must agree.
"""

from __future__ import annotations

import argparse
import sys
from random import Random

import attrs
import psutil
import trio

import pyrepl3

from .snapshot_matrix import CAUSES, GUARDS, Cause, Policy

SESSIONS = 20
EXECUTIONS_A_SESSION = 50
CANARY_S = 5.0
"""A second on an idle machine; this is a bound for a loaded one."""
GRACE_S = 0.2
SETTLE_S = 10.0
STORM_CAUSES = tuple(cause for cause in CAUSES if cause.name not in ("memory", "interrupt"))
"""Those that take no second each."""
STORM_POLICIES: tuple[Policy, ...] = (
    "guard",
    "auto",
    "rollback_on_failure",
    "rollback_always",
)


@attrs.define(eq=False)
class Storm:
    """What all sessions share."""

    random: Random
    executions: int = 0
    rolled_back: int = 0
    lost: int = 0
    """Told as kept, and later as lost."""
    canaries: int = 0
    faults: list[str] = attrs.field(factory=list)

    async def rage(self, supervisor: pyrepl3.Supervisor, executions: int) -> None:
        """One session, from its opening to its end."""
        async with supervisor.session() as session:
            await session.run("count = 0")
            counted: list[str] = []
            for _ in range(executions):
                cause = self.random.choice(STORM_CAUSES)
                policy = self.random.choice(STORM_POLICIES)
                counted = await self._once(session, cause, policy, counted)

    async def _once(
        self, session: pyrepl3.Session, cause: Cause, policy: Policy, counted: list[str]
    ) -> list[str]:
        code = f"count += 1\nprint(count)\n{cause.code}"
        name = f"{session.id} {cause.name}, {policy}"
        timeout_s = cause.timeout_s and GRACE_S
        if policy in GUARDS:
            ended = await session.run(code, guard=GUARDS[policy], timeout_s=timeout_s)
        else:
            ended = await session.run(code, transaction_policy=policy, timeout_s=timeout_s)
        self.executions += 1
        if ended.logs.stdout != f"{len(counted) + 1}\n":
            self.faults.append(f"{name}: it printed {ended.logs.stdout!r} behind {len(counted)}")
        self.lost += len(set(counted).intersection(ended.lost_since))
        counted = [each for each in counted if each not in ended.lost_since]
        if ended.state == "kept":
            counted.append(ended.id)
        elif ended.state == "rolled_back":
            self.rolled_back += 1
        else:
            self.faults.append(f"{name}: its state is {ended.state}: {ended.error}")
        seen = await session.run("count")
        if seen.value != len(counted):
            told = f"{seen.value} where {len(counted)} were committed"
            self.faults.append(f"{name}: {told}: {seen.error}")
        return counted

    async def watch(self, canary: pyrepl3.Session) -> None:
        """For ever: the canary, which has to do with nothing of it, answers."""
        while True:
            with trio.move_on_after(CANARY_S) as scope:
                await canary.run("1 + 1")
                self.canaries += 1
            if scope.cancelled_caught:
                self.faults.append(f"the canary did not answer within {CANARY_S} s")
            await trio.sleep(0.05)


async def hold(*, sessions: int, executions: int, seed: int) -> Storm:
    """The storm, over."""
    storm = Storm(Random(seed))
    before = set(psutil.Process().children(recursive=True))
    config = pyrepl3.Config(
        pool=pyrepl3.PoolConfig(min_idle=1, max_sessions=2 * sessions + 2, acquire_timeout_s=60.0),
        timeouts=pyrepl3.Timeouts(interrupt_grace_s=GRACE_S),
    )
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        supervisor.session() as canary,
        trio.open_nursery() as watching,
    ):
        watching.start_soon(storm.watch, canary)
        async with trio.open_nursery() as nursery:
            for _ in range(sessions):
                nursery.start_soon(storm.rage, supervisor, executions)
        await _check_processes(storm, supervisor, canary)
        watching.cancel_scope.cancel()
    left = set(psutil.Process().children(recursive=True)) - before
    storm.faults += [f"a process is left: {each}" for each in left]
    return storm


async def _check_processes(
    storm: Storm, supervisor: pyrepl3.Supervisor, canary: pyrepl3.Session
) -> None:
    """No keeper outlives its session: the zygote has as many children as there are sessions."""
    zygote = psutil.Process(canary.pid).parent()
    assert zygote is not None
    with trio.move_on_after(SETTLE_S) as scope:
        while True:
            pool = supervisor.statistics().pool
            there_are = len(zygote.children(recursive=True))
            if not pool.starting and not pool.stopping and there_are <= pool.idle + pool.leased:
                break
            await trio.sleep(0.05)
    if scope.cancelled_caught:
        storm.faults.append(f"{there_are} processes for {pool}")


def main() -> int:
    """As a program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--executions", type=int, default=EXECUTIONS_A_SESSION, help="of each")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()

    async def run() -> Storm:
        return await hold(sessions=chosen.sessions, executions=chosen.executions, seed=chosen.seed)

    storm = trio.run(run)
    for fault in storm.faults:
        print(fault)
    print(
        f"{storm.executions} executions, {storm.rolled_back} rolled back, {storm.lost} with them, "
        f"{storm.canaries} canaries: {len(storm.faults)} faults"
    )
    return bool(storm.faults)


if __name__ == "__main__":
    sys.exit(main())
