"""Routes of branches and snapshots: fork a session, keep its state, list and drop what is kept.

A session is opened from a snapshot as any other is: `from_snapshot` of `POST /v1/sessions`.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from litestar import Response, delete, get, post

from pyrepl3.endpoint.client_requests import branch_fields
from pyrepl3.hosting.asking import ask_host, ask_session
from pyrepl3.hosting.hosting_messages import (
    DropSnapshot,
    Fork,
    KeepSnapshot,
    ListSnapshots,
    Opened,
)
from pyrepl3.rest import answers, wishes
from pyrepl3.rest.call import Call, answered
from pyrepl3.rest.execution_routes import checked_key
from pyrepl3.rest.parameters import RequestKey, SessionPath, SnapshotPath
from pyrepl3.snapshots.snapshot_messages import SnapshotInfo

TAGS = ["branches"]


@post("/sessions/{session:str}/fork", status_code=201, tags=TAGS, opt={"body": wishes.ForkWish})
async def fork_session(
    request: Call, session: SessionPath, key: RequestKey = None
) -> Response[answers.Forked]:
    """Open sessions with this one's state, each in a process of its own; waits for what runs."""
    opened = await request.find(session)
    wish = await request.read(wishes.ForkWish)
    known = None if key is None else checked_key(key)
    most = request.principal.max_sessions
    branches: Sequence[Opened] = await ask_session(
        opened, lambda reply: Fork(wish.count, wish.names, known, reply, most)
    )
    told = branch_fields(branches, wish.names)
    return answered({"session": opened.session, "sessions": told}, status=201)


@post(
    "/sessions/{session:str}/snapshot",
    status_code=201,
    tags=TAGS,
    opt={"body": wishes.SnapshotWish},
)
async def keep_snapshot(
    request: Call, session: SessionPath, key: RequestKey = None
) -> Response[answers.Snapshot]:
    """Keep this session's state under a name, to open others from; waits for what runs."""
    opened = await request.find(session)
    wish = await request.read(wishes.SnapshotWish)
    known = None if key is None else checked_key(key)
    info: SnapshotInfo = await ask_session(
        opened,
        lambda reply: KeepSnapshot(wish.name, known, reply, request.principal.max_sessions),
    )
    return answered(attrs.asdict(info), status=201)


@get("/snapshots", tags=TAGS)
async def list_snapshots(request: Call) -> Response[answers.Snapshots]:
    """List the snapshots that you keep."""
    name = request.principal.name
    infos: Sequence[SnapshotInfo] = await ask_host(
        request.service.host, lambda reply: ListSnapshots(name, reply)
    )
    return answered({"snapshots": [attrs.asdict(info) for info in infos]})


@delete("/snapshots/{snapshot:str}", status_code=204, tags=TAGS)
async def drop_snapshot(request: Call, snapshot: SnapshotPath) -> None:
    """Keep a snapshot no longer. Sessions that were opened from it go on."""
    name = request.principal.name
    await ask_host(request.service.host, lambda reply: DropSnapshot(name, snapshot, reply))


ROUTES = [fork_session, keep_snapshot, list_snapshots, drop_snapshot]
