"""Unit tests: whoever sends without waiting finds room, as spec/Tree.tla says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio
import trio.testing

from actors import open_mailbox, open_reply
from actors.mailbox import ANSWERS_A_REPLY
from pyrepl3.client.leasing import Leasing
from pyrepl3.config import Config, PoolConfig, Template
from pyrepl3.errors import ShuttingDown
from pyrepl3.messages import (
    EVENT_CAPACITY,
    PoolMessage,
    SessionDied,
    SessionEnded,
    SessionsMessage,
    SessionStarted,
    StartSession,
    StopPool,
    StopSession,
)
from pyrepl3.pool.pool import POOL_MAILBOX, Pool
from pyrepl3.session.session import SESSION_MAILBOX
from pyrepl3.session.session_state import HANDED_AT_MOST
from pyrepl3.session.sessions import MESSAGES_A_PLACE
from pyrepl3.transport.spawner import SPAWNER_MAILBOX
from pyrepl3.transport.transport import TRANSPORT_MAILBOX

TREE = Path(__file__).parents[2] / "spec" / "Tree.tla"
CAPACITY = re.compile(r"^\\\* +\w+ +([A-Z_]+) = (\d+) ", re.MULTILINE)


def test_the_capacities_in_the_spec_are_those_of_the_code() -> None:
    in_the_spec = {name: int(number) for name, number in CAPACITY.findall(TREE.read_text())}

    assert in_the_spec == {
        "POOL_MAILBOX": POOL_MAILBOX,
        "MESSAGES_A_PLACE": MESSAGES_A_PLACE,
        "SESSION_MAILBOX": SESSION_MAILBOX,
        "TRANSPORT_MAILBOX": TRANSPORT_MAILBOX,
        "HANDED_AT_MOST": HANDED_AT_MOST,
        "EVENT_CAPACITY": EVENT_CAPACITY,
        "ANSWERS_A_REPLY": ANSWERS_A_REPLY,
        "SPAWNER_MAILBOX": SPAWNER_MAILBOX,
    }


def test_a_transport_has_room_for_all_that_a_session_sends_before_it_hears_of_it() -> None:
    # The job that runs next may be on its ladder, too, before the transport knows of it.
    rungs = 3 * (HANDED_AT_MOST + 1)
    runs = HANDED_AT_MOST
    shutdown_and_kill = 2
    # One message that a turn begins with, and those that it finds; two turns before the command
    # task has its own, as trio gives each runnable task one turn in each of its rounds.
    inputs = 2 * (1 + SESSION_MAILBOX)

    assert rungs + runs + shutdown_and_kill + inputs <= TRANSPORT_MAILBOX


def test_the_models_give_a_transport_as_little_room_as_the_formula_does() -> None:
    for name in ("TreeLargeLadder", "TreeLargeSession"):
        config = (TREE.parent / "models" / f"{name}.cfg").read_text()
        constants = dict(re.findall(r"^ +(\w+) = (\d+)$", config, re.MULTILINE))

        handed = int(constants["HandedAtMost"])
        assert int(constants["TransportMailbox"]) == 3 * (handed + 1) + handed + 2


async def test_a_pool_finds_room_to_send_before_its_last_messages_are_taken() -> None:
    """The counterexample of TreeTwoPlacesASession, step by step."""
    sessions: trio.MemorySendChannel[SessionsMessage]
    sessions, sent = open_mailbox(MESSAGES_A_PLACE)
    config = Config(pool=PoolConfig(min_idle=0, max_sessions=1), templates={"a": Template()})
    async with trio.open_nursery() as nursery:
        pool: trio.MemorySendChannel[PoolMessage] = await nursery.start(Pool(config, sessions).run)
        leasing = Leasing(lambda: pool)

        async def use() -> None:
            await leasing.release(await leasing.acquire("a", 60), used=True)

        async def ask_in_vain() -> None:
            with pytest.raises(ShuttingDown):
                await leasing.acquire("a", 60)

        nursery.start_soon(use)
        first = await sent.receive()
        await pool.send(SessionStarted(first.session, 1, open_mailbox(0)[0], open_reply()[1]))
        await trio.testing.wait_all_tasks_blocked()
        # The stop is sent; from here on nobody takes any. It ends by itself, and its place goes on.
        await pool.send(SessionDied(first.session))
        await pool.send(SessionEnded(first.session, "ended"))
        nursery.start_soon(ask_in_vain)
        await trio.testing.wait_all_tasks_blocked()
        await pool.send(StopPool())
        await trio.testing.wait_all_tasks_blocked()

        kinds = [type(sent.receive_nowait()) for _ in range(MESSAGES_A_PLACE)]
        assert kinds == [StopSession, StartSession, StopSession]
        await pool.send(SessionEnded("s2", "ended"))
