"""The route for code that needs no session: run in a fresh one, which ends with it.

With an `Idempotency-Key` its session has a name made of that, so that whoever sends the same again
finds it, and its outcome for as long as ended sessions are kept. Without one nobody could: where
its client leaves, it is interrupted.
"""

from __future__ import annotations

import hashlib
import json

import attrs
import trio
from litestar import Response, post

from pyrepl3.errors import IdConflict, PyreplError, SessionLost, SessionNotFound
from pyrepl3.hosting import refusals
from pyrepl3.hosting.asking import ask_host, ask_session
from pyrepl3.hosting.hosting_messages import (
    Accepted,
    CloseHosted,
    Describe,
    Opened,
    OpenHosted,
    SessionInfo,
)
from pyrepl3.rest import answers, wishes
from pyrepl3.rest.call import Call, answered
from pyrepl3.rest.execution_routes import outcome_of, submit
from pyrepl3.rest.parameters import Key
from pyrepl3.rest.session_routes import REQUEST_ID
from pyrepl3.wire import client_requests as wire

TAGS = ["executions"]
EXECUTION = "once"
NAME = "once-{}"
SETTINGS = "settings"
"""In the metadata of such a session: what says that a request with its key is the same one."""
LEFT_IDLE_S = 10.0
"""After its client has left and it has ended: then its session is closed."""
AGAIN_S = 0.05
"""Between two looks for a session that another request with the same key is opening."""
CLOSE_S = 5.0


@post("/executions", status_code=200, tags=TAGS, opt={"body": wishes.OneShot})
async def execute_once(request: Call, key: Key = None) -> Response[answers.Outcome]:
    """Run code in a session of its own, and wait for its end."""
    wish = await request.read(wishes.OneShot)
    opened, accepted = await _begin(request, wish, None if key is None else NAME.format(key))
    fold = await outcome_of(opened, accepted)
    assert fold is not None
    await _close(opened)
    return answered(fold.answer())


async def _begin(request: Call, wish: wishes.OneShot, name: str | None) -> tuple[Opened, Accepted]:
    """In the session of that name, or in a new one. Raises what opening and submitting raise."""
    execution = wishes.ExecutionWish(
        code=wish.code,
        timeout_s=wish.timeout_s,
        transaction_policy=wish.transaction_policy,
        guard=wish.guard,
        report_namespace=wish.report_namespace,
        allow_input=False,
    )
    while True:
        found = None if name is None else await _found(request, wish, name)
        if found is not None:
            try:
                return found, await _submitted(request, found, execution)
            except SessionLost:
                pass  # it ended before anything ran in it
        try:
            opened = await _open(request, wish, name)
        except IdConflict:
            pass  # the same request, a moment earlier: it has it soon
        else:
            return opened, await _submitted_or_closed(request, opened, execution)
        await trio.sleep(AGAIN_S)


async def _submitted_or_closed(
    request: Call, opened: Opened, execution: wishes.ExecutionWish
) -> Accepted:
    try:
        return await _submitted(request, opened, execution)
    except PyreplError:
        await _close(opened)  # noqa: ASYNC120  # shielded and bounded inside
        raise


async def _submitted(request: Call, opened: Opened, execution: wishes.ExecutionWish) -> Accepted:
    return await submit(opened, execution, EXECUTION, request.traceparent)


async def _found(request: Call, wish: wishes.OneShot, name: str) -> Opened | None:
    """Raises IdConflict where its key is that of another request."""
    try:
        opened = await request.find(name)
        info: SessionInfo = await ask_session(opened, Describe)
    except SessionNotFound:
        return None
    if info.metadata.get(SETTINGS) != _settings(wish):
        raise refusals.key_taken(name.removeprefix(NAME.format("")))
    return opened


async def _open(request: Call, wish: wishes.OneShot, name: str | None) -> Opened:
    principal = request.principal
    asked = wire.OpenSession(
        id=REQUEST_ID,
        name=name,
        traceparent=request.traceparent,
        idle_timeout_s=LEFT_IDLE_S,
        template=wish.template,
        env=wish.env,
        limits=wish.limits,
        acquire_timeout_s=wish.acquire_timeout_s,
        on_disconnect="interrupt" if name is None else "continue",
        metadata={SETTINGS: _settings(wish)},
    )
    return await ask_host(
        request.service.host,
        lambda reply: OpenHosted(principal.name, asked, reply, at_most=principal.max_sessions),
    )


def _settings(wish: wishes.OneShot) -> str:
    """Of all that is not the execution's own; as a digest, as there may be secrets in it."""
    parts = (wish.template, sorted(wish.env.items()), attrs.asdict(wish.limits))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


async def _close(opened: Opened) -> None:
    with trio.CancelScope(deadline=trio.current_time() + CLOSE_S, shield=True):
        await ask_session(opened, CloseHosted)


ROUTES = [execute_once]
