"""How connections ask hosted sessions: a message sent, and what waits for its answer.

Owns what is told where a session or the host is not there any more. Must not know what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from actors import Address, Answer, Gone, Reply, ask, open_reply
from pyrepl3.errors import SessionNotFound
from pyrepl3.hosting import refusals
from pyrepl3.hosting.hosting_messages import Find, HostedMessage, HostMessage, Opened

T = TypeVar("T")


async def send_to(opened: Opened, make_message: Callable[[Reply[T]], HostedMessage]) -> Answer[T]:
    """What waits for the answer, once the session has the message. Raises SessionNotFound."""
    reply: Reply[T]
    answer: Answer[T]
    reply, answer = open_reply()
    try:
        await hand_to(opened, make_message(reply))
    except SessionNotFound:
        reply.close()
        raise
    return answer


async def hand_to(opened: Opened, message: HostedMessage) -> None:
    """Once the session has the message. Raises SessionNotFound, and leaves it as it is then."""
    try:
        try:
            opened.address.send_nowait(message)
        except trio.WouldBlock:
            await opened.address.send(message)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise refusals.session_not_found(opened.session) from None


async def ask_session(opened: Opened, make_message: Callable[[Reply[T]], HostedMessage]) -> T:
    """The answer of that session. Raises what it refuses with, SessionNotFound, SessionLost."""
    answer = await send_to(opened, make_message)
    try:
        return await answer.wait()
    except Gone:
        raise refusals.session_over("gone") from None


async def ask_host(
    host: Address[HostMessage], make_message: Callable[[Reply[T]], HostMessage]
) -> T:
    """The answer of the host. Raises what it refuses with, and ShuttingDown."""
    try:
        found: T = await ask(host, make_message)
    except Gone:
        raise refusals.service_ending() from None
    return found


async def find(host: Address[HostMessage], principal: str, session: str) -> Opened:
    """The session of that id or name. Raises SessionNotFound, ShuttingDown."""
    return await ask_host(host, lambda reply: Find(principal, session, reply))
