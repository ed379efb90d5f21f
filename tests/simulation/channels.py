"""What the service puts into the channels of events that its clients give it.

Owns the observed end of each such channel, and the claims about what goes into it. Must not know
what is executed. A client's own view is not enough: it reads no further than to the first end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import attrs
import trio

from pyrepl3.client import leased as client_leased
from pyrepl3.events import Error, Event, Result
from pyrepl3.messages import EventReceiver, Refused, open_events

from .replacing import replaced

Accuse = Callable[[str], None]


@attrs.define(eq=False)
class ObservedChannel:
    """The sending end of one execution's events, with all that a `MemorySendChannel` does here."""

    channel: trio.MemorySendChannel[Event | Refused]
    accuse: Accuse
    ended: bool = False
    closed: bool = False

    @property
    def has_reader(self) -> bool:
        """Whether somebody may still wait for what comes."""
        return self.channel.statistics().open_receive_channels > 0

    def send_nowait(self, event: Event | Refused) -> None:
        """Send, and note it."""
        self.channel.send_nowait(event)
        self._note(event)

    async def send(self, event: Event | Refused) -> None:
        """Send, and note it."""
        await self.channel.send(event)
        self._note(event)

    def close(self) -> None:
        """Nothing comes any more."""
        self.closed = True
        self.channel.close()

    def __enter__(self) -> ObservedChannel:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _note(self, event: Event | Refused) -> None:
        if self.ended:
            self.accuse(f"after the end of its execution comes {event}")
        self.ended = isinstance(event, Result | Error | Refused)


@contextmanager
def observed_channels(accuse: Accuse) -> Iterator[list[ObservedChannel]]:
    """Within the block, clients open channels that are observed; gives all that were opened."""
    opened: list[ObservedChannel] = []

    def open_observed() -> tuple[ObservedChannel, EventReceiver]:
        send, receive = open_events()
        opened.append(ObservedChannel(send, accuse))
        return opened[-1], receive

    with replaced(client_leased, "open_events", open_observed):
        yield opened
