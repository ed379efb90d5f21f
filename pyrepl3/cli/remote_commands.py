"""``pyrepl3 session …`` and ``pyrepl3 exec …``: sessions of a running service, from a shell.

Owns what is printed of them, and the exit statuses. Must not know the protocol.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import attrs
import trio

from pyrepl3.cli import descriptors
from pyrepl3.cli import remote_arguments as asked
from pyrepl3.cli.connection_notes import ConnectionNotes
from pyrepl3.cli.descriptors import STDOUT
from pyrepl3.cli.endings import describe_interrupt
from pyrepl3.cli.executing import execute
from pyrepl3.cli.named_sessions import describe_end, describe_snapshot, find_named
from pyrepl3.cli.programs import ProgramUnreadable, from_standard_input
from pyrepl3.cli.prompt_history import PromptHistory
from pyrepl3.cli.statuses import FAILED, INTERRUPTED
from pyrepl3.cli.texts import HISTORY_KEPT, NO_HISTORY_IN_SHELL
from pyrepl3.config import DEFAULT_TEMPLATE
from pyrepl3.errors import ExecutionNotFound, SessionLost, SessionNotFound
from pyrepl3.remote.client import Client
from pyrepl3.remote.told_errors import NOT_KNOWN_ANY_MORE


def run(command: asked.RemoteCommand) -> int:
    """Do it; the exit status. Raises PyreplError."""
    try:
        return trio.run(_run, command)
    except ProgramUnreadable as error:
        descriptors.say(error.message + "\n")
        return error.status


async def _run(command: asked.RemoteCommand) -> int:
    connection = ConnectionNotes()
    async with Client(
        command.url, token_file=command.token_file, on_connection=connection.changed
    ) as client:
        with connection.told():
            return await _do(client, command, connection)


async def _do(client: Client, command: asked.RemoteCommand, connection: ConnectionNotes) -> int:
    match command:
        case asked.SessionCreate():
            return await _create(client, command)
        case asked.SessionList():
            sessions = await client.list_sessions()
            return _print(_as_json(sessions) if command.as_json else _table(sessions))
        case asked.SessionInfo():
            return _print(_as_json(await _found(client, command.session)))
        case asked.SessionAttach():
            return await _attach(client, command, connection)
        case asked.SessionLogs():
            return await _logs(client, command)
        case asked.SessionInterrupt():
            async with client.attach(command.session) as session:
                outcome = await session.interrupt()
            return _print(describe_interrupt(outcome) + "\n")
        case asked.SessionHistory():
            async with client.attach(command.session) as session:
                if command.keep is not None:
                    await session.keep_history(command.keep)
                history = await session.history()
            if command.as_json:
                return _print(_as_json(attrs.asdict(history)))
            if not history.count:
                return _print(NO_HISTORY_IN_SHELL.format(session=command.session))
            if command.keep is not None and not history.entries:
                return _print(HISTORY_KEPT.format(count=command.keep))
            return _print(PromptHistory().listed(history))
        case asked.SessionUndo():
            async with client.attach(command.session) as session:
                undone = await session.undo(to=command.to)
            return _print(f"{undone}\n")
        case asked.SessionRedo():
            async with client.attach(command.session) as session:
                redone = await session.redo()
            return _print(f"{redone}\n")
        case asked.SessionFork():
            async with client.attach(command.session) as session:
                branches = await session.fork(command.count)
            return _print("".join(f"{branch.id}\n" for branch in branches))
        case asked.SessionSnapshot():
            async with client.attach(command.session) as session:
                kept = await session.snapshot(command.name)
            return _print(f"{kept.name}\n")
        case asked.SnapshotList():
            snapshots = await client.snapshots()
            if command.as_json:
                return _print(_as_json([attrs.asdict(each) for each in snapshots]))
            return _print("".join(describe_snapshot(each) for each in snapshots))
        case asked.SnapshotDrop():
            await client.drop_snapshot(command.name)
            return 0
        case asked.SessionClose():
            async with client.attach(command.session) as session:
                await session.close()
            return 0
        case asked.Exec():
            code = command.code
            if code is None:
                code = (await trio.to_thread.run_sync(from_standard_input, ("-",))).code
            async with client.attach(command.session) as session:
                return await execute(
                    session,
                    code,
                    connection,
                    transaction_policy=command.policy,
                    guard=command.guard,
                    allow_copy=command.allow_copy or None,
                    report_namespace=command.report or None,
                )


async def _create(client: Client, command: asked.SessionCreate) -> int:
    template = command.template or DEFAULT_TEMPLATE
    async with client.open(
        template, name=command.name, from_snapshot=command.from_snapshot
    ) as session:
        return _print(f"{command.name or session.id}\n")


async def _found(client: Client, name: str) -> Mapping[str, Any]:
    """Raises SessionNotFound."""
    session = find_named(await client.list_sessions(), name)
    if session is not None:
        return session
    raise SessionNotFound(
        what=f"there is no session {name}",
        why="none was opened under that id or name since the service was started, or it ended too "
        "long ago",
        how="pyrepl3 session ls shows which there are",
        details={"session": name},
    )


async def _attach(client: Client, command: asked.SessionAttach, connection: ConnectionNotes) -> int:
    """From the beginning of what runs now. Raises SessionNotFound, SessionLost."""
    from pyrepl3.cli.attaching import attach

    found = await _found(client, command.session)
    since = None
    if found["standing"] != "open":
        raise SessionLost(
            what="the session is gone",
            why=describe_end(found["standing"]),
            how=f"What was printed in it: pyrepl3 session logs {command.session}",
        )
    if found["running"] is not None:
        try:
            running = await client.get_execution(found["session"], found["running"])
        except ExecutionNotFound:
            pass  # it has ended meanwhile, and was forgotten
        else:
            since = running["since"]
    return await attach(client, found["session"], command.session, since, connection)


async def _logs(client: Client, command: asked.SessionLogs) -> int:
    """What was printed, by all executions; with ``follow`` also what comes, to its end."""
    found = await _found(client, command.session)
    until = None if command.follow else found["last_seq"]
    # By its id: its name may be another one's by now.
    events = client.events(found["session"], since=command.since, until=until)
    try:
        async with aclosing(events):
            async for message in events:
                if not _log(message):
                    return FAILED
    except SessionNotFound as error:  # there was one just before
        raise SessionLost(
            what="the session is gone",
            why=NOT_KNOWN_ANY_MORE,
            how="pyrepl3 session ls shows which there are",
        ) from error
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _log(message: Mapping[str, Any]) -> bool:
    """False where nobody reads it any more."""
    if message["type"] == "output":
        stream = STDOUT if message["stream"] == "stdout" else descriptors.STDERR
        return descriptors.say(message["data"], stream)
    if message["type"] == "error":
        descriptors.say("".join(message["traceback"]) or f"{message['value']}\n")
    elif message["type"] in ("gap", "output_gap"):
        descriptors.say(f"[{message['bytes']} bytes are not there any more]\n")
    return True


def _table(sessions: list[Mapping[str, Any]]) -> str:
    heads = ("SESSION", "NAME", "TEMPLATE", "STATUS", "RUNNING", "QUEUED", "CLIENTS", "USED")
    rows = [heads, *(_row(session) for session in sessions)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _row(session: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        session["session"],
        session["name"] or "",
        session["template"],
        session["standing"],
        "yes" if session["running"] else "no",
        str(session["queued"]),
        str(session["attached"]),
        _ago(time.time() - session["last_used_at"]),
    )


def _ago(seconds: float) -> str:
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"


def _as_json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"


def _print(text: str) -> int:
    return 0 if descriptors.say(text, STDOUT) else FAILED
