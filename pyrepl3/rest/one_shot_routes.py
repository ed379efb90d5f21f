"""The route for code that needs no session: run in a fresh one, which ends with it.

With an `Idempotency-Key` its session has a name made of that, so that whoever sends the same again
finds it, and its outcome for as long as ended sessions are kept.
"""

from __future__ import annotations

import secrets

import trio
from litestar import Response, post

from pyrepl3.errors import IdConflict, SessionNotFound
from pyrepl3.hosting.asking import ask_host, ask_session
from pyrepl3.hosting.hosting_messages import CloseHosted, Opened, OpenHosted
from pyrepl3.rest import bodies
from pyrepl3.rest.call import Call, answered
from pyrepl3.rest.execution_routes import ID_BYTES, outcome_of, submit
from pyrepl3.rest.parameters import Key
from pyrepl3.rest.session_routes import REQUEST_ID
from pyrepl3.wire import client_requests as wire

TAGS = ["executions"]
EXECUTION = "once"
NAME = "once-{}"
KEY_CHARACTERS = wire.NAME_CHARACTERS - len(NAME)
LEFT_IDLE_S = 10.0
"""After its client has left and it has ended: then its session is closed."""
AGAIN_S = 0.05
"""Between two looks for a session that another request with the same key is opening."""
CLOSE_S = 5.0


@post("/executions", status_code=200, tags=TAGS, opt={"body": bodies.OneShot})
async def execute_once(request: Call, key: Key = None) -> Response[bodies.Outcome]:
    """Run code in a session of its own, and wait for its end."""
    wish = await request.read(bodies.OneShot)
    opened = await _session(request, wish, NAME.format(key or secrets.token_hex(ID_BYTES)))
    execution = bodies.ExecutionWish(code=wish.code, timeout_s=wish.timeout_s, allow_input=False)
    accepted = await submit(opened, execution, EXECUTION, request.traceparent)
    fold = await outcome_of(opened, accepted)
    assert fold is not None
    with trio.CancelScope(deadline=trio.current_time() + CLOSE_S, shield=True):
        await ask_session(opened, CloseHosted)
    return answered(fold.answer())


async def _session(request: Call, wish: bodies.OneShot, name: str) -> Opened:
    asked = wire.OpenSession(
        id=REQUEST_ID,
        name=name,
        traceparent=request.traceparent,
        idle_timeout_s=LEFT_IDLE_S,
        template=wish.template,
        env=wish.env,
        limits=wish.limits,
        acquire_timeout_s=wish.acquire_timeout_s,
    )
    principal = request.principal
    while True:
        try:
            return await request.find(name)
        except SessionNotFound:
            pass
        try:
            return await ask_host(
                request.service.host,
                lambda reply: OpenHosted(
                    principal.name, asked, reply, at_most=principal.max_sessions
                ),
            )
        except IdConflict:
            await trio.sleep(AGAIN_S)  # the same request, a moment earlier: it has it soon


ROUTES = [execute_once]
