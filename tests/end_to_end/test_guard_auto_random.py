"""End-to-end tests: random executions and crashes under `guard="auto"`, and books of what was told.

The books hold what the session was told to be: each execution adds its number to a list, and what
is told as rolled back or lost is taken off again. The session's list must be the same at any time.
"""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
import pytest

import pyrepl3

STEPS = 60
CRASH = "import os; os._exit(3)"
ENDS = ("None", "None", "None", "1 / 0", CRASH, "import time; time.sleep(0.03)")
PROTECTIONS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {},
    {"guard": False},
    {"guard": True},
    {"silent": True},
    {"transaction_policy": "rollback_on_failure"},
    {"transaction_policy": "rollback_on_failure", "guard": False},
    {"transaction_policy": "rollback_always"},
)


@attrs.define(eq=False)
class Books:
    """What one session was told to hold: the number of each execution, by its id."""

    session: pyrepl3.Session
    random: Random
    told: dict[str, int] = attrs.field(factory=dict)
    before: dict[str, int] | None = None
    """What it was when the transaction began that is open."""
    is_lost: bool = False

    async def step(self, number: int) -> None:
        """Do something, and compare."""
        choice = self.random.random()
        if choice < 0.1 and self.before is None:
            await self.session.begin()
            self.before = dict(self.told)
        elif choice < 0.2 and self.before is not None:
            if self.random.random() < 0.5:
                await self.session.commit()
            else:
                await self.session.rollback()
                self.told = self.before
            self.before = None
        else:
            await self.execute(number)

    async def execute(self, number: int) -> None:
        options = dict(self.random.choice(PROTECTIONS))
        if self.before is not None:
            options.pop("transaction_policy", None)
        end = self.random.choice(ENDS)
        ended = await self.session.run(f"numbers.append({number})\n{end}", **options)
        for each in ended.lost_since:
            self.told.pop(each, None)
        if ended.state == "kept":
            self.told[ended.id] = number
        elif ended.state == "lost":
            # Nothing has protected it, as nothing was asked for, and no snapshot was open.
            assert end == CRASH
            assert options.get("guard") is False
            self.is_lost = True
        elif self.before is not None:
            self.told, self.before = self.before, None

    async def compare(self, *, guard: bool | None) -> None:
        seen = await self.session.run("numbers", guard=guard)
        assert seen.lost_since == ()
        assert seen.value == list(self.told.values())


@pytest.mark.parametrize("held", ["None", "bytearray(2**26)"], ids=["small", "large"])
@pytest.mark.parametrize("seed", range(3))
async def test_a_session_holds_what_it_was_told_to_hold(seed: int, held: str) -> None:
    config = pyrepl3.Config(pool=pyrepl3.PoolConfig(min_idle=0, max_sessions=2))
    async with pyrepl3.open_supervisor(config) as supervisor:
        random = Random(seed)
        number = 0
        while number < STEPS:
            async with supervisor.session(guard="auto") as session:
                await session.run(f"held = {held}; numbers = []", guard=False)
                books = Books(session, random)
                while number < STEPS and not books.is_lost:
                    number += 1
                    await books.step(number)
                    if not books.is_lost:
                        await books.compare(guard=random.choice((None, False)))
