"""Routes of sessions: open, list, look at, change, close, interrupt, answer, follow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
from litestar import Response, delete, get, patch, post

from pyrepl3.endpoint.client_requests import opened_fields
from pyrepl3.events import InterruptOutcome
from pyrepl3.hosting.asking import ask_host, ask_session
from pyrepl3.hosting.hosting_messages import (
    Amend,
    CloseHosted,
    Describe,
    InterruptHosted,
    KeepHistory,
    ListHosted,
    Opened,
    OpenHosted,
    Respond,
    SessionInfo,
)
from pyrepl3.rest import answers, wishes
from pyrepl3.rest.call import Call, Streamed, answered
from pyrepl3.rest.event_stream import EventStream, StreamForm, wanted_form
from pyrepl3.rest.following import Event, Following
from pyrepl3.rest.parameters import Follow, SessionPath, Since
from pyrepl3.wire import client_requests as wire

TAGS = ["sessions"]
REQUEST_ID = "rest"
"""Of requests that the host gets from here: on a WebSocket they have one of their client's."""


@post("/sessions", status_code=201, tags=TAGS, opt={"body": wishes.SessionWish, "optional": True})
async def open_session(request: Call) -> Response[answers.SessionOpened]:
    """Open a session."""
    wish = await request.read(wishes.SessionWish, may_be_empty=True)
    asked = wire.OpenSession(
        id=REQUEST_ID, traceparent=request.traceparent, **attrs.asdict(wish, recurse=False)
    )
    principal = request.principal
    opened: Opened = await ask_host(
        request.service.host,
        lambda reply: OpenHosted(principal.name, asked, reply, at_most=principal.max_sessions),
    )
    return answered(
        opened_fields(opened, wish.name),
        status=201,
        headers={"Location": request.place("sessions", opened.session)},
    )


@get("/sessions", tags=TAGS)
async def list_sessions(request: Call) -> Response[answers.Sessions]:
    """List your sessions."""
    name = request.principal.name
    infos: list[SessionInfo] = await ask_host(
        request.service.host, lambda reply: ListHosted(name, reply)
    )
    return answered({"sessions": [attrs.asdict(info) for info in infos]})


@get("/sessions/{session:str}", tags=TAGS)
async def describe_session(request: Call, session: SessionPath) -> Response[answers.Session]:
    """Look at a session."""
    return _described(await ask_session(await request.find(session), Describe))


@patch("/sessions/{session:str}", tags=TAGS, opt={"body": wishes.SessionChange})
async def change_session(request: Call, session: SessionPath) -> Response[answers.Session]:
    """Change a session's metadata, how long it may be idle, or how much of it can be undone."""
    opened = await request.find(session)
    change = await request.read(wishes.SessionChange)
    if (bounds := change.history) is not None:
        await ask_session(opened, lambda reply: KeepHistory(bounds.count, bounds.most_bytes, reply))
    return _described(
        await ask_session(
            opened, lambda reply: Amend(change.metadata, change.idle_timeout_s, reply)
        )
    )


@delete("/sessions/{session:str}", status_code=204, tags=TAGS)
async def close_session(request: Call, session: SessionPath) -> None:
    """Close a session, and end what runs in it."""
    await ask_session(await request.find(session), CloseHosted)


@post(
    "/sessions/{session:str}/interrupt",
    status_code=200,
    tags=TAGS,
    opt={"body": wishes.InterruptWish, "optional": True},
)
async def interrupt_session(request: Call, session: SessionPath) -> Response[answers.Interrupted]:
    """End what runs, or one execution."""
    opened = await request.find(session)
    wish = await request.read(wishes.InterruptWish, may_be_empty=True)
    ended: tuple[str | None, InterruptOutcome] = await ask_session(
        opened, lambda reply: InterruptHosted(wish.execution, wish.grace_s, reply)
    )
    execution, outcome = ended
    return answered(
        {
            "session": opened.session,
            "execution": execution,
            "by": outcome.by,
            "state": outcome.state,
        }
    )


@post("/sessions/{session:str}/input", status_code=200, tags=TAGS, opt={"body": wishes.InputLine})
async def answer_input(request: Call, session: SessionPath) -> Response[answers.InputTaken]:
    """Answer an `input()` that waits."""
    opened = await request.find(session)
    line = await request.read(wishes.InputLine)
    await ask_session(opened, lambda reply: Respond(line.input, line.data, reply))
    return answered({"session": opened.session, "input": line.input})


@get("/sessions/{session:str}/events", tags=TAGS, opt={"stream": True})
async def follow_session(
    request: Call, session: SessionPath, since: Since = 0, follow: Follow = False
) -> Response[Any]:
    """Read a session's events, as NDJSON or server-sent events."""
    opened = await request.find(session)
    since = min(resumed(request, since), opened.journal.last_seq)
    form = wanted_form(request.headers.get("accept", "")) or StreamForm.NDJSON
    until = None if follow else opened.journal.last_seq
    return Streamed(EventStream(form, partial(_follow, opened, since, until)))


async def _follow(
    opened: Opened, since: int, until: int | None, tell: Callable[[Event], Awaitable[None]]
) -> None:
    await Following(opened, since, tell, until=until).run()


def resumed(request: Call, since: int) -> int:
    """Where a client goes on: browsers say it by a header when they come back by themselves."""
    last = request.headers.get("last-event-id", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 16 else since


def _described(info: SessionInfo) -> Response[Any]:
    return answered(attrs.asdict(info))


ROUTES = [
    open_session,
    list_sessions,
    describe_session,
    change_session,
    close_session,
    interrupt_session,
    answer_input,
    follow_session,
]
