"""End-to-end tests: a service with clients on its port, and the oracle around both.

Owns what is checked when its clients have gone: each execution that was accepted has exactly one
terminal event in its session's journal, a canary answers, the pool is at its target, and nothing is
left behind. Must not know any one fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

import pyrepl3
from pyrepl3.serving import Served, open_endpoint

from ..websocket_driver import TOKENS, Client, connect
from .oracle import CANARY_S, assert_at_target, nothing_left_behind, small_config

Message = dict[str, Any]
TERMINAL = ("result", "error")
LAST = ("session_closed", "session_died")


@asynccontextmanager
async def watched_service(
    *, journal: pyrepl3.JournalConfig | None = None, **options: Any
) -> AsyncGenerator[Served]:
    """``options`` are those of `small_config`."""
    config = attrs.evolve(
        small_config(**options),
        endpoint=pyrepl3.EndpointConfig(port=0),
        hosting=pyrepl3.HostingConfig(journal=journal or pyrepl3.JournalConfig()),
    )
    with nothing_left_behind(config) as marked:
        async with (
            pyrepl3.open_supervisor(marked) as supervisor,
            open_endpoint(supervisor, TOKENS) as served,
        ):
            yield served
            async with connect(served) as client:
                await answer_as_a_canary(client)
                await close_all(client)
            await assert_at_target(supervisor)


async def answer_as_a_canary(client: Client) -> None:
    """A new session runs code."""
    session = (await client.ask("open_session"))["session"]
    with trio.fail_after(CANARY_S):
        assert (await client.run(session, "6 * 7", "canary"))["value"] == 42


async def close_all(client: Client) -> None:
    """This principal's sessions; of what each told, every execution has one terminal event."""
    for info in (await client.ask("list_sessions"))["sessions"]:
        await client.ask("close_session", session=info["session"])
        check_outcomes(await all_events(client, info["session"]))


async def open_session(client: Client, **fields: Any) -> str:
    answer = await client.ask("open_session", **fields)
    assert answer["type"] == "session_opened", answer
    return str(answer["session"])


async def all_events(client: Client, session: str) -> list[Message]:
    """What a session that has ended tells from its beginning, in order: gaps too."""
    await client.ask("detach", session=session)
    client.told.clear()
    await client.ask("attach", session=session, since=0)
    events = [message for message in client.told if message.get("session") == session]
    client.told.clear()
    while not events or events[-1]["type"] not in LAST:
        events.append(await client.until(session=session))
    return events


def check_outcomes(events: Iterable[Message]) -> None:
    """Each execution has exactly one terminal event, its last; where no event is missing."""
    events = list(events)
    check_order(events, since=0)
    if any(event["type"] == "gap" for event in events):
        return
    ends = Counter(event["execution"] for event in events if event["type"] in TERMINAL)
    seen = {event["execution"] for event in events if "execution" in event}
    assert ends == dict.fromkeys(seen, 1)
    for execution in seen:
        own = [event for event in events if event.get("execution") == execution]
        assert own[-1]["type"] in TERMINAL
    running = None
    for event in events:
        if event["type"] == "started":
            assert running is None, f"{event['execution']} began before {running} had ended"
            running = event["execution"]
        elif event["type"] in TERMINAL and event["execution"] == running:
            running = None


def check_order(events: Iterable[Message], *, since: int) -> int:
    """Every number from behind ``since`` on comes once, in order, or is in a gap; the last one."""
    for event in events:
        assert event.get("seq", event.get("from_seq")) == since + 1, (since, event)
        since = event["to_seq"] if event["type"] == "gap" else event["seq"]
    return since
