"""Routes of a session's history: undo, redo, and look at what can be.

How much is kept is said when a session is opened or changed.
"""

from __future__ import annotations

from litestar import Response, get, post

from pyrepl3.client.history import History
from pyrepl3.endpoint.client_requests import history_fields
from pyrepl3.hosting.asking import ask_session
from pyrepl3.hosting.hosting_messages import Retrace, TellHistory
from pyrepl3.messages import RetraceKind
from pyrepl3.rest import answers, wishes
from pyrepl3.rest.call import Call, answered
from pyrepl3.rest.execution_routes import checked_key
from pyrepl3.rest.parameters import RequestKey, SessionPath

TAGS = ["history"]


@post(
    "/sessions/{session:str}/undo",
    status_code=200,
    tags=TAGS,
    opt={"body": wishes.UndoWish, "optional": True},
)
async def undo(
    request: Call, session: SessionPath, key: RequestKey = None
) -> Response[answers.Retraced]:
    """Undo the last execution, or all that came after one; waits for those that run."""
    wish = await request.read(wishes.UndoWish, may_be_empty=True)
    return await _retrace(request, session, "undo", wish.to, key)


@post("/sessions/{session:str}/redo", status_code=200, tags=TAGS)
async def redo(
    request: Call, session: SessionPath, key: RequestKey = None
) -> Response[answers.Retraced]:
    """Have the execution back that was undone last, until something new is executed."""
    return await _retrace(request, session, "redo", None, key)


@get("/sessions/{session:str}/history", tags=TAGS)
async def tell_history(request: Call, session: SessionPath) -> Response[answers.SessionHistory]:
    """Look at what can be undone and redone, and what it costs; waits for what runs."""
    opened = await request.find(session)
    history: History = await ask_session(opened, TellHistory)
    fields = {name: value for name, value in history_fields(history).items() if name != "type"}
    return answered({"session": opened.session, **fields})


async def _retrace(
    request: Call, session: str, kind: RetraceKind, to: str | None, key: str | None
) -> Response[answers.Retraced]:
    opened = await request.find(session)
    known = None if key is None else checked_key(key)
    execution: str = await ask_session(opened, lambda reply: Retrace(kind, to, known, reply))
    return answered({"session": opened.session, "execution": execution})


ROUTES = [undo, redo, tell_history]
