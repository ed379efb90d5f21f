"""For unit tests: a client's session over a session actor that follows a script, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
import trio.testing

from actors import Address, Reply, open_mailbox, open_reply
from pyrepl3.client.session import Session
from pyrepl3.client.settings import SessionSettings
from pyrepl3.config import Limits
from pyrepl3.events import (
    InterruptOutcome,
    Result,
    Started,
    Usage,
)
from pyrepl3.messages import (
    Abandon,
    AnswerInput,
    Close,
    Execute,
    Interrupt,
    Lease,
    Narrow,
    PoolMessage,
    Query,
    Refused,
    SessionMessage,
)
from pyrepl3.telemetry.observing import Observers

Clock = trio.testing.MockClock
Script = Callable[["MemoryActor", Execute], Any]


def result(execution: str) -> Result:
    return Result(execution, 42, True, "42", {"text/plain": "42"}, {}, 1, 0.1, Usage(0.0, 0))


async def just_a_result(actor: MemoryActor, request: Execute) -> None:
    await request.events.send(result(request.execution))


@attrs.define(eq=False)
class MemoryActor:
    """Takes every message of a session's actor, and runs a script for each execution."""

    script: Script = just_a_result
    answers: dict[str, Any] = attrs.field(factory=dict)
    messages: list[SessionMessage] = attrs.field(factory=list)
    answered: dict[str, str | None] = attrs.field(factory=dict)

    def open(self, nursery: trio.Nursery, number: int) -> Lease:
        address, inbox = open_mailbox(2)
        fate: Reply[str]
        fate, answer = open_reply()
        nursery.start_soon(self.serve, inbox, fate)
        pool: Address[PoolMessage]
        pool, _ = open_mailbox(0)
        name = f"s{number}"
        return Lease(number, name, "python", 100 + number, address, answer, True, 0.0, pool)

    async def serve(self, inbox: trio.MemoryReceiveChannel[Any], fate: Reply[str]) -> None:
        async with trio.open_nursery() as nursery:
            with inbox, fate:
                async for message in inbox:
                    self.messages.append(message)
                    if isinstance(message, Close):
                        fate.answer("it was closed")
                        return  # noqa: ASYNC121  # ends the nursery's body alone
                    self.handle(message, nursery)

    def handle(self, message: SessionMessage, nursery: trio.Nursery) -> None:
        match message:
            case Execute():
                nursery.start_soon(self.execute, message)
            case Query():
                message.reply.answer(self.answers[message.kind])
            case Interrupt():
                message.reply.answer(InterruptOutcome("kept", "signal"))
            case AnswerInput():
                self.answered[message.input] = message.data
            case Abandon() | Narrow():
                pass

    async def execute(self, request: Execute) -> None:
        with request.events:
            try:
                await self.script(self, request)
            except trio.BrokenResourceError:
                return

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


@attrs.define(eq=False)
class World:
    session: Session
    actors: list[MemoryActor]
    renewals: int = 0


@asynccontextmanager
async def open_session(
    *actors: MemoryActor, observers: Observers | None = None, **settings: Any
) -> AsyncIterator[World]:
    """A session on the first actor; each renewal goes to the next one."""
    chosen = list(actors) or [MemoryActor()]
    overrides = {"cwd": None, "env": None, "limits": None, **settings}
    async with trio.open_nursery() as nursery:
        leases = [actor.open(nursery, number) for number, actor in enumerate(chosen)]
        opened: list[World] = []

        async def renew() -> Lease:
            await trio.lowlevel.checkpoint()
            opened[0].renewals += 1
            return leases[opened[0].renewals]

        session_settings = SessionSettings.of(Limits(), **overrides)
        session = Session(leases[0], session_settings, renew, observers)
        opened.append(World(session, chosen))
        yield opened[0]
        nursery.cancel_scope.cancel()


def refusing(error: Exception) -> Script:
    async def refuse(actor: MemoryActor, request: Execute) -> None:
        await request.events.send(Refused(error))  # type: ignore[arg-type]

    return refuse


async def end_without_a_word(actor: MemoryActor, request: Execute) -> None:
    await trio.lowlevel.checkpoint()


async def run_for_ever(actor: MemoryActor, request: Execute) -> None:
    await request.events.send(Started(request.execution))
    await trio.sleep_forever()
