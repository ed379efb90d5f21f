"""The history of a session on a service, as that of a session of one's own.

Owns the requests, and what their answers mean. Must not know connections. What changes the session
has a key of its own, so that it is carried out once, however often the connection is lost.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from pyrepl3.client.history import History
from pyrepl3.client.history_requests import kept_fields
from pyrepl3.events import DroppedEntry, dropped_entries
from pyrepl3.messages import HistoryKind, RetraceKind


@attrs.define(eq=False)
class RemoteHistory:
    """That of one session. ``ask`` waits for the answer to a request."""

    ask: Callable[[HistoryKind, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
    prefix: str
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1), init=False)

    async def keep(self, count: int, most_bytes: int) -> Sequence[DroppedEntry]:
        """New bounds; what gives way to them."""
        told = await self.ask("keep_history", kept_fields(count, most_bytes))
        return dropped_entries(told["dropped"])

    async def tell(self) -> History:
        """What can be undone and redone."""
        return History.of(await self.ask("history", {}))

    async def retrace(self, kind: RetraceKind, fields: Mapping[str, Any]) -> str:
        """The execution that is undone first, or is there again."""
        key = f"{self.prefix}.h{next(self._numbers)}"
        return str((await self.ask(kind, {"key": key, **fields}))["execution"])
