"""Routes of executions: run code and wait for it, follow it, or come back for it later."""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import msgspec
from litestar import Response, get, post

from pyrepl3.hosting.asking import ask_session
from pyrepl3.hosting.hosting_messages import Accepted, Opened, Submit
from pyrepl3.rest import answers, wishes
from pyrepl3.rest.call import Call, Streamed, answered
from pyrepl3.rest.event_stream import EventStream, StreamForm, wanted_form
from pyrepl3.rest.following import Event, Following, find_execution
from pyrepl3.rest.outcomes import Fold, forgotten
from pyrepl3.rest.parameters import DAY_S, ExecutionPath, Key, SessionPath, Since, WaitS
from pyrepl3.rest.session_routes import REQUEST_ID, resumed
from pyrepl3.wire import client_requests as wire
from pyrepl3.wire.client_codec import bad_message

TAGS = ["executions"]
ID_BYTES = 12


@post(
    "/sessions/{session:str}/executions",
    status_code=200,
    tags=TAGS,
    opt={"body": wishes.ExecutionWish, "stream": True, "later": True},
)
async def execute(
    request: Call, session: SessionPath, key: Key = None, wait_s: WaitS = DAY_S
) -> Any:
    """Run code.

    Waits for its end, or follows it as NDJSON or server-sent events where `Accept` asks for that.
    Whoever leaves before may come back with the same `Idempotency-Key`: it goes on meanwhile.
    """
    opened = await request.find(session)
    wish = await request.read(wishes.ExecutionWish)
    accepted = await submit(opened, wish, _id(key), request.traceparent)
    form = wanted_form(request.headers.get("accept", ""))
    if form is not None:
        produce = partial(follow, opened, accepted.execution, accepted.since, None)
        return Streamed(EventStream(form, produce))
    fold = await outcome_of(opened, accepted, wait_s=wait_s)
    if fold is not None:
        return answered(fold.answer())
    standing = await _standing(opened, accepted.execution)
    if standing["outcome"] is not None:
        return answered(standing["outcome"])
    place = request.place("sessions", opened.session, "executions", accepted.execution)
    return answered(standing, status=202, headers={"Location": place})


@get("/sessions/{session:str}/executions/{execution:str}", tags=TAGS)
async def describe_execution(
    request: Call, session: SessionPath, execution: ExecutionPath
) -> Response[answers.Execution]:
    """Look at an execution, and at its outcome once it has one."""
    return answered(await _standing(await request.find(session), execution))


@get("/sessions/{session:str}/executions/{execution:str}/events", tags=TAGS, opt={"stream": True})
async def follow_execution(
    request: Call, session: SessionPath, execution: ExecutionPath, since: Since = 0
) -> Any:
    """Follow an execution to its end, as NDJSON or server-sent events."""
    opened = await request.find(session)
    info = await find_execution(opened, execution)
    begin = min(max(info.since, resumed(request, since)), opened.journal.last_seq)
    form = wanted_form(request.headers.get("accept", "")) or StreamForm.NDJSON
    return Streamed(EventStream(form, partial(follow, opened, execution, begin, info.last_seq)))


async def submit(
    opened: Opened, wish: wishes.ExecutionWish, execution: str, traceparent: str | None
) -> Accepted:
    """Have it run, once for each id. Raises IdConflict, QueueFull, CodeTooLarge, SessionLost …"""
    asked = wire.Execute(
        id=REQUEST_ID,
        session=opened.session,
        execution=execution,
        traceparent=traceparent,
        **attrs.asdict(wish, recurse=False),
    )
    return await ask_session(opened, lambda reply: Submit(asked, reply))


async def follow(
    opened: Opened,
    execution: str,
    since: int,
    until: int | None,
    tell: Callable[[Event], Awaitable[None]],
) -> None:
    """Tell all of it, to its end; ``until`` is the number of that, where it is known."""
    await Following(opened, since, tell, execution, until).run()


async def outcome_of(
    opened: Opened, accepted: Accepted, *, wait_s: float = math.inf
) -> Fold | None:
    """What came of it; None where that takes longer."""
    fold = Fold(accepted.execution)

    async def tell(event: Event) -> None:
        if event["type"] == "gap":
            fold.miss()
        fold.add(event)

    following = Following(opened, accepted.since, tell, accepted.execution)
    has_waited = await following.run(wait_s=wait_s)
    if fold.terminal is None and has_waited:
        fold.add(forgotten(opened.session, accepted.execution, opened.journal.last_seq))
    return None if fold.terminal is None else fold


async def _standing(opened: Opened, execution: str) -> dict[str, Any]:
    info = await find_execution(opened, execution)
    outcome: dict[str, Any] | None = None
    if info.last_seq is not None:
        accepted = Accepted(execution=execution, position=0, again=True, since=info.since)
        fold = await outcome_of(opened, accepted)
        assert fold is not None
        outcome = fold.answer()
    return {
        "session": opened.session,
        "execution": execution,
        "state": info.state,
        "since": info.since,
        "outcome": outcome,
    }


def _id(key: str | None) -> str:
    """An execution's id: its client's, or one by chance. Raises BadMessage."""
    return secrets.token_hex(ID_BYTES) if key is None else checked_key(key)


def checked_key(key: str) -> str:
    """What is in `Idempotency-Key`, as an id. Raises BadMessage."""
    try:
        checked: str = msgspec.convert(key, wire.Name)
    except msgspec.ValidationError as error:
        raise bad_message(
            f"Idempotency-Key: {wire.in_words(str(error))}", how=wishes.DOCS
        ) from None
    return checked


ROUTES = [execute, describe_execution, follow_execution]
