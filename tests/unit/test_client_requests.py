"""Unit tests: which session a client's request goes to, and in which order they are carried out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from actors import Address, Inbox, open_mailbox
from pyrepl3.config import JournalConfig
from pyrepl3.endpoint.access import Principal
from pyrepl3.endpoint.client_requests import ClientRequests
from pyrepl3.errors import SessionNotFound
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosting_messages import Find, HostedMessage, HostMessage, Opened
from pyrepl3.journal.journals import Journals, open_journals
from pyrepl3.wire import client_requests as wire

ADA = Principal(name="ada")
NAME = "mine"


@attrs.define(eq=False)
class World:
    """A host that knows sessions by name, and what was done of a connection's part."""

    journals: Journals
    requests: ClientRequests
    sessions: dict[str, Opened] = attrs.field(factory=dict)
    finds: int = 0
    done: list[tuple[str, str]] = attrs.field(factory=list)

    def open(self, session: str, name: str) -> Opened:
        address: Address[HostedMessage]
        address, _ = open_mailbox(10)
        opened = Opened(
            session=session,
            template="python",
            journal=self.journals.open(),
            address=address,
            directory="/",
            pid=1,
            warm=True,
            wait_s=0.0,
        )
        self.sessions[name] = opened
        return opened

    async def answer_all(self, inbox: Inbox[HostMessage]) -> None:
        async for message in inbox:
            assert isinstance(message, Find)
            self.finds += 1
            found = self.sessions.get(message.session)
            if found is None:
                message.reply.fail(refusals.session_not_found(message.session))
            else:
                message.reply.answer(found)

    async def detached(self) -> str:
        """The session that a request by its name went to."""
        finish = await self.requests.begin(wire.Detach(id=1, session=NAME))
        return str((await finish())["session"])


async def _join(opened: Opened) -> None:
    await trio.lowlevel.checkpoint()


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    address: Address[HostMessage]
    address, inbox = open_mailbox(10)
    with open_journals(JournalConfig()) as journals:
        requests = ClientRequests(
            ADA,
            address,
            welcome=dict,
            attach=lambda opened, since: world.done.append(("attach", opened.session)),
            detach=lambda session: world.done.append(("detach", session)),
            join=_join,
            leave=lambda session: world.done.append(("leave", session)),
        )
        world = World(journals, requests)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.answer_all, inbox)
            yield world
            nursery.cancel_scope.cancel()


async def test_a_session_is_asked_for_once_while_it_goes_on() -> None:
    async with a_world() as world:
        world.open("first", NAME)
        for _ in range(3):
            assert await world.detached() == "first"

        assert world.finds == 1


async def test_a_name_that_has_gone_to_another_session_means_that_one() -> None:
    async with a_world() as world:
        first = world.open("first", NAME)
        assert await world.detached() == "first"
        first.journal.close()
        world.open("second", NAME)

        assert await world.detached() == "second"


async def test_sessions_that_have_ended_are_not_remembered() -> None:
    async with a_world() as world:
        for number in range(50):
            opened = world.open(str(number), NAME)
            await world.detached()
            opened.journal.close()
        world.sessions.clear()
        with pytest.raises(SessionNotFound):
            await world.detached()

        assert len(world.requests._known) <= 1


async def test_who_attaches_and_detaches_at_once_is_detached() -> None:
    async with a_world() as world:
        world.open("first", NAME)
        attached = await world.requests.begin(wire.Attach(id=1, session=NAME))
        detached = await world.requests.begin(wire.Detach(id=2, session=NAME))

        assert (await detached())["type"] == "detached"
        assert (await attached())["type"] == "attached"
        assert world.done == [("attach", "first"), ("detach", "first")]
