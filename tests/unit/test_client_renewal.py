"""Unit tests: what a session has of its own, and its second process where the first died."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from memory_session import (
    MemoryActor,
    end_without_a_word,
    open_session,
    refusing,
)

from pyrepl3.client.leased import ATTEMPTS
from pyrepl3.client.settings import SessionSettings
from pyrepl3.config import Limits
from pyrepl3.errors import (
    ConfigInvalid,
    SessionLost,
)
from pyrepl3.events import (
    Result,
)
from pyrepl3.messages import (
    Close,
    Narrow,
    Query,
)
from pyrepl3.transport import verdicts


async def test_a_first_run_that_was_refused_by_a_dead_process_runs_on_a_new_one() -> None:
    dead = MemoryActor(refusing(verdicts.never_sent()))
    async with open_session(dead, MemoryActor()) as world:
        execution = await world.session.run("1")

        assert execution.value == 42
        assert (world.renewals, world.session.id, world.session.pid) == (1, "s0", 101)


async def test_a_mailbox_that_is_closed_is_a_dead_process_too() -> None:
    async with open_session(MemoryActor(), MemoryActor()) as world:
        await world.session.lease.address.send(Close())
        await trio.testing.wait_all_tasks_blocked()

        assert (await world.session.run("1")).value == 42
        assert world.renewals == 1


async def test_a_stream_too_runs_on_a_new_process() -> None:
    dead = MemoryActor(refusing(verdicts.never_sent()))
    async with (
        open_session(dead, MemoryActor()) as world,
        world.session.stream("1") as events,
    ):
        assert [type(event) async for event in events] == [Result]


async def test_not_every_process_can_die_unused() -> None:
    dead = [MemoryActor(refusing(verdicts.never_sent())) for _ in range(ATTEMPTS + 1)]
    async with open_session(*dead) as world:
        with pytest.raises(SessionLost):
            await world.session.run("1")

        assert world.renewals == ATTEMPTS - 1


async def test_what_may_have_run_never_runs_again_by_itself() -> None:
    """The channel ended without an event: nobody knows how far the code got."""
    async with open_session(MemoryActor(end_without_a_word), MemoryActor()) as world:
        with pytest.raises(SessionLost):
            await world.session.run("launch_rocket()")

        assert world.renewals == 0


async def test_a_session_that_was_used_is_not_replaced() -> None:
    async with open_session(MemoryActor(), MemoryActor()) as world:
        await world.session.run("x = 1")
        world.actors[0].script = refusing(verdicts.never_sent())

        with pytest.raises(SessionLost):
            await world.session.run("x")


async def test_a_session_with_settings_of_its_own_has_its_second_process_set_up_alike() -> None:
    configured = {"configure": {"type": "configured", "id": 1}}
    dead = MemoryActor(refusing(verdicts.never_sent()), configured)
    alive = MemoryActor(answers=configured)
    async with open_session(dead, alive, cwd="/tmp") as world:
        await world.session.open()

        assert (await world.session.run("1")).value == 42
        assert [query.fields["cwd"] for query in alive.of(Query)] == ["/tmp"]


# --- settings ------------------------------------------------------------------------------------


async def test_a_session_like_its_template_is_sent_nothing_and_stays_untouched() -> None:
    async with open_session() as world:
        await world.session.open()

        assert world.actors[0].messages == []
        assert not world.session.touched


async def test_a_session_whose_limits_were_changed_is_touched() -> None:
    """Else the next caller would get it with these limits."""
    async with open_session(limits=Limits(execution_timeout_s=1.0)) as world:
        await world.session.open()
        await trio.testing.wait_all_tasks_blocked()

        assert [narrow.limits.execution_timeout_s for narrow in world.actors[0].of(Narrow)] == [1.0]
        assert world.session.touched


async def test_settings_that_the_worker_cannot_apply_are_refused_in_words() -> None:
    failed = {"type": "failed", "id": 1, "name": "FileNotFoundError", "value": "no /nowhere"}
    async with open_session(MemoryActor(answers={"configure": failed}), cwd="/nowhere") as world:
        with pytest.raises(ConfigInvalid, match="no /nowhere"):
            await world.session.open()


@pytest.mark.parametrize(
    "settings",
    [
        {"cwd": b"/tmp"},
        {"cwd": ""},
        {"env": {"A": 1}},
        {"limits": Limits(memory_bytes=2**40)},
        {"limits": Limits(memory_bytes=None)},
        {"limits": Limits(open_files=None)},
        {"limits": {"memory_bytes": 2**20}},
    ],
)
def test_impossible_settings_are_refused_before_a_lease(settings: dict[str, Any]) -> None:
    overrides = {"cwd": None, "env": None, "limits": None, **settings}
    with pytest.raises(ConfigInvalid):
        SessionSettings.of(Limits(), **overrides)


def test_only_what_differs_from_the_template_is_told_to_the_worker() -> None:
    lower = Limits(open_files=50)
    settings = SessionSettings.of(Limits(), cwd=None, env={"A": "1"}, limits=lower)

    assert settings.worker_fields() == {
        "cwd": None,
        "env": {"A": "1"},
        "limits": {"open_files": 50},
    }
