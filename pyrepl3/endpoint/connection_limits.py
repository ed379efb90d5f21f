"""How many connections there may be: of one principal, and of one peer before it says who it is.

Pure: counts, and says who is to go. Must not know sockets, nor how a principal is found.

A principal that has its share is refused another one. A peer's strangers, connections on which
nobody has authorized themselves yet, are never refused: the one that has waited longest is given
up instead. So sockets that are opened and left idle cost their own peer's places alone, and whoever
comes with a token comes in, also from the same address: on loopback, and behind a proxy, all have
one.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from pyrepl3.endpoint.access import Principal
from pyrepl3.errors import PyreplError, RateLimited

RETRY_AFTER_S = 1
"""Told to a principal that has its share: nobody knows when it closes one of its connections."""
SAME_NETWORK_BITS = 64
"""Of an address of IPv6, what is one customer's: the rest can be chosen anew for each socket."""


def peer_of(address: str) -> str:
    """Who is counted as one: an address of IPv4, or a network of IPv6. Other words as they are."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, SAME_NETWORK_BITS), strict=False))


@attrs.define(eq=False)
class Place:
    """One connection's, from its arrival to its end. Made by `ConnectionLimits.connected`."""

    peer: str
    give_up: Callable[[], object]
    _limits: ConnectionLimits
    principal: str | None = attrs.field(default=None, init=False)
    """Whose it is; None: nobody has authorized themselves on it."""

    def admit(self, principal: Principal) -> None:
        """From now on it is that principal's, and no stranger's. To be said of each request:
        another principal may come on a connection that was kept alive.

        Raises RateLimited, which leaves it whose it was.
        """
        self._limits.admit(self, principal)


@attrs.define(eq=False)
class ConnectionLimits:
    """Of one endpoint. ``per_principal`` holds for principals that have no bound of their own."""

    per_principal: int
    strangers_per_peer: int
    _of_principal: Counter[str] = attrs.field(factory=Counter, init=False)
    _strangers: dict[str, OrderedDict[Place, None]] = attrs.field(factory=dict, init=False)
    """Of each peer that has any, the oldest first."""

    @contextmanager
    def connected(self, peer: str, give_up: Callable[[], object]) -> Iterator[Place]:
        """A connection from that peer, for the length of the block.

        ``give_up`` is called, at most once, when it is to end for a newer one of its peer's.
        """
        place = Place(peer, give_up, self)
        self._arrive(place)
        try:
            yield place
        finally:
            self._leave(place)

    def admit(self, place: Place, principal: Principal) -> None:
        """As `Place.admit`."""
        if place.principal == principal.name:
            return
        most = principal.max_connections or self.per_principal
        if self._of_principal[principal.name] >= most:
            raise _too_many(most)
        self._leave(place)
        place.principal = principal.name
        self._of_principal[principal.name] += 1

    def of_principal(self, name: str) -> int:
        """How many connections it has."""
        return self._of_principal.get(name, 0)

    def strangers_of(self, peer: str) -> int:
        """On how many of that peer's connections nobody has authorized themselves."""
        return len(self._strangers.get(peer, ()))

    def _arrive(self, place: Place) -> None:
        strangers = self._strangers.setdefault(place.peer, OrderedDict())
        strangers[place] = None
        if len(strangers) > self.strangers_per_peer:
            oldest, _ = strangers.popitem(last=False)
            oldest.give_up()

    def _leave(self, place: Place) -> None:
        if place.principal is None:
            strangers = self._strangers.get(place.peer, OrderedDict())
            strangers.pop(place, None)  # not there when it was given up
            if not strangers:
                self._strangers.pop(place.peer, None)
            return
        self._of_principal[place.principal] -= 1
        if not self._of_principal[place.principal]:
            del self._of_principal[place.principal]


def _too_many(most: int) -> PyreplError:
    return RateLimited(
        what="this connection was not let in",
        why=f"you may have {most} at a time, and you have",
        how="Close one of them, or use one for several sessions",
        details={"limit": most, "retry_after_s": RETRY_AFTER_S},
    )
