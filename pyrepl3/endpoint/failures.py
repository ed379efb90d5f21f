"""How often somebody may fail to come in: a bucket for each peer that did.

Pure: takes `now`. Must not know what failed. A token has 256 bits, so guessing is hopeless as it
is; this spares logs and the machine a flood of attempts. Whoever has a right token is let in
whatever others do from its address: on loopback all have the same.
"""

from __future__ import annotations

from collections import OrderedDict

import attrs

FORGIVEN_EVERY_S = 6.0
PEERS_REMEMBERED = 10_000
"""So that a flood from many addresses cannot fill the memory."""


@attrs.define(eq=False)
class FailureLimits:
    """Of all peers that failed lately. ``allowed``: at once, before a peer must wait; then one more
    each `FORGIVEN_EVERY_S`."""

    allowed: int = 10
    _failed: OrderedDict[str, tuple[float, float]] = attrs.field(factory=OrderedDict)
    """For each peer how many failures count against it, and when that was so."""

    def failed(self, peer: str, *, now: float) -> None:
        """Once more."""
        self._failed[peer] = (self._level(peer, now) + 1, now)
        self._failed.move_to_end(peer)
        if len(self._failed) > PEERS_REMEMBERED:
            self._failed.popitem(last=False)

    def wait_s(self, peer: str, *, now: float) -> float:
        """How long it must wait before its next attempt; 0 when it need not."""
        surplus = self._level(peer, now) + 1 - self.allowed
        return max(0.0, surplus * FORGIVEN_EVERY_S)

    def _level(self, peer: str, now: float) -> float:
        level, since = self._failed.get(peer, (0.0, now))
        return max(0.0, level - (now - since) / FORGIVEN_EVERY_S)
