"""What the user of a command hears of its connection to a service: that it was lost, and is back.

Owns when that is told: not of the first connection, nor of the end. Must not know how a
connection is made again: the client does that by itself.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import attrs

from pyrepl3.cli import descriptors
from pyrepl3.cli.texts import CONNECTED_AGAIN, TRYING_AGAIN


@attrs.define(eq=False)
class ConnectionNotes:
    """Of one client, whose ``on_connection`` is `changed`."""

    is_connected: bool = attrs.field(default=False, init=False)
    """Whether a request would be heard now, as far as is known."""
    _is_told: bool = attrs.field(default=False, init=False)

    @contextmanager
    def told(self) -> Generator[None]:
        """For the length of the block, in which somebody waits, losses are told."""
        self._is_told = True
        try:
            yield
        finally:
            self._is_told = False

    def changed(self, is_connected: bool) -> None:
        """There is a connection, or there is none any more."""
        self.is_connected = is_connected
        if self._is_told:
            descriptors.say(CONNECTED_AGAIN if is_connected else TRYING_AGAIN)
