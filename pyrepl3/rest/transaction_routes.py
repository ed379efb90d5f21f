"""Routes of a session's transaction: begin one, commit it, roll it back.

Between two requests nobody is attached: it is rolled back when none comes for as long as
`HostingConfig.transaction_idle_s`.
"""

from __future__ import annotations

from litestar import Response, post

from pyrepl3.hosting.asking import ask_session
from pyrepl3.hosting.hosting_messages import Transact
from pyrepl3.messages import TransactionKind
from pyrepl3.rest import answers
from pyrepl3.rest.call import Call, answered
from pyrepl3.rest.execution_routes import checked_key
from pyrepl3.rest.parameters import RequestKey, SessionPath

TAGS = ["transactions"]


@post("/sessions/{session:str}/begin", status_code=200, tags=TAGS)
async def begin_transaction(
    request: Call, session: SessionPath, key: RequestKey = None
) -> Response[answers.Transacted]:
    """Begin a transaction: what runs from here on is kept or undone as a whole.

    It is rolled back by a crash, and when no request comes for a minute (as the service is set up).
    """
    return await _transact(request, session, "begin", key)


@post("/sessions/{session:str}/commit", status_code=200, tags=TAGS)
async def commit_transaction(
    request: Call, session: SessionPath, key: RequestKey = None
) -> Response[answers.Transacted]:
    """Keep what ran since the transaction was begun."""
    return await _transact(request, session, "commit", key)


@post("/sessions/{session:str}/rollback", status_code=200, tags=TAGS)
async def roll_back_transaction(
    request: Call, session: SessionPath, key: RequestKey = None
) -> Response[answers.Transacted]:
    """Undo what ran since the transaction was begun."""
    return await _transact(request, session, "rollback", key)


async def _transact(
    request: Call, session: str, kind: TransactionKind, key: str | None
) -> Response[answers.Transacted]:
    opened = await request.find(session)
    known = None if key is None else checked_key(key)
    await ask_session(opened, lambda reply: Transact(kind, known, reply))
    return answered({"session": opened.session, "in_transaction": kind == "begin"})


ROUTES = [begin_transaction, commit_transaction, roll_back_transaction]
