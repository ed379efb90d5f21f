"""What is asked about a session's history, in order with its executions.

Owns how each request is sent, and what its answer means. Must not know how anything is undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from actors import Answer, Gone, Outcome, Reply, open_reply, reply_to
from pyrepl3.client.history import History
from pyrepl3.client.transactions import transaction_refused
from pyrepl3.config import HISTORY_BYTES, HISTORY_EXECUTIONS
from pyrepl3.errors import ConfigInvalid, PyreplError, SessionLost
from pyrepl3.events import DroppedEntry, dropped_entries
from pyrepl3.messages import HistoryKind, Query, RetraceKind

Told = Mapping[str, Any]


@attrs.define(eq=False)
class HistoryRequests:
    """Those of one session."""

    _send: Callable[[Query], Awaitable[None]]
    """To the session's actor, behind all that was sent before. Raises SessionLost."""
    _lost: Callable[[], SessionLost]
    _retraced: Callable[[RetraceKind], None]
    """Called where something was undone or redone that was asked for here, and not by `request`."""

    async def request(self, kind: HistoryKind, fields: Told, reply: Reply[Told]) -> None:
        """Send it, and do not wait. ``reply`` is answered with the worker's checked answer, or
        fails with what it is refused with, SessionLost too."""
        query = Query(kind, fields, reply_to(partial(self._answered, reply)))
        try:
            await self._send(query)
        except SessionLost as error:
            query.reply.fail(error)
        except BaseException:
            query.reply.close()
            raise

    async def keep(self, count: int, most_bytes: int = HISTORY_BYTES) -> Sequence[DroppedEntry]:
        """New bounds; what gives way to them. Raises ConfigInvalid, SessionLost."""
        told = await self._ask("keep_history", kept_fields(count, most_bytes))
        return dropped_entries(told["dropped"])

    async def tell(self) -> History:
        """What can be undone and redone. Raises SessionLost."""
        return History.of(await self._ask("history", {}))

    async def undo(self, to: str | None) -> str:
        """Raises ExecutionNotFound, TransactionActive, SessionLost."""
        return await self._retrace("undo", {"to": to})

    async def redo(self) -> str:
        """Raises ExecutionNotFound, TransactionActive, SessionLost."""
        return await self._retrace("redo", {})

    async def _retrace(self, kind: RetraceKind, fields: Told) -> str:
        execution = str((await self._ask(kind, fields))["execution"])
        self._retraced(kind)
        return execution

    async def _ask(self, kind: HistoryKind, fields: Told) -> Told:
        reply: Reply[Told]
        answer: Answer[Told]
        reply, answer = open_reply()
        await self.request(kind, fields, reply)
        try:
            return await answer.wait()
        except Gone as error:
            raise self._lost() from error

    def _answered(self, reply: Reply[Told], outcome: Outcome[Told]) -> None:
        try:
            told = outcome.unwrap()
        except PyreplError as error:
            reply.fail(error)
        except Gone:
            reply.fail(self._lost())
        else:
            if told["type"] == "failed":
                reply.fail(transaction_refused(told["name"], told["value"]))
            else:
                reply.answer(told)


def kept_fields(count: int, most_bytes: int) -> Told:
    """What the worker is told of new bounds. Raises ConfigInvalid."""
    if type(count) is not int or not 0 <= count <= HISTORY_EXECUTIONS:
        raise ConfigInvalid(
            what=f"a history of {count!r} executions cannot be kept",
            why=f"it is a whole number from 0 to {HISTORY_EXECUTIONS}",
            how="Give 10, say; 0 for none",
        )
    if type(most_bytes) is not int or not 0 <= most_bytes < 2**63:
        raise ConfigInvalid(
            what=f"a history cannot be kept in {most_bytes!r} bytes",
            why="it is a whole number from 0",
            how="Give 256 * 2**20, say, which is the default",
        )
    return {"count": count, "bytes": most_bytes}
