"""Unit tests: how many connections a principal may have, and a peer before it says who it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pyrepl3.endpoint.access import Principal
from pyrepl3.endpoint.connection_limits import ConnectionLimits, Place, peer_of
from pyrepl3.errors import RateLimited

ADA = Principal(name="ada")
BOB = Principal(name="bob", max_connections=1)
EVE = Principal(name="eve", max_connections=5)


def never() -> None:
    raise AssertionError("it was given up")


def test_a_principal_that_has_its_share_is_refused_until_one_ends() -> None:
    limits = ConnectionLimits(per_principal=2, strangers_per_peer=9)
    with ExitStack() as others, limits.connected("a", never) as late:
        for _ in range(2):
            others.enter_context(limits.connected("b", never)).admit(ADA)
        with pytest.raises(RateLimited) as caught:
            late.admit(ADA)

        assert caught.value.details == {"limit": 2, "retry_after_s": 1}
        assert (late.principal, limits.strangers_of("a")) == (None, 1)
        others.close()
        late.admit(ADA)
        assert (late.principal, limits.strangers_of("a")) == ("ada", 0)


def test_a_bound_of_its_own_is_what_counts_for_a_principal() -> None:
    limits = ConnectionLimits(per_principal=2, strangers_per_peer=9)
    with ExitStack() as stack:
        places = [stack.enter_context(limits.connected("a", never)) for _ in range(8)]
        places[0].admit(BOB)
        with pytest.raises(RateLimited, match="you may have 1 at a time"):
            places[1].admit(BOB)
        for place in places[2:7]:
            place.admit(EVE)
        with pytest.raises(RateLimited, match="you may have 5 at a time"):
            places[7].admit(EVE)


def test_a_connection_that_is_kept_alive_counts_once_and_may_change_hands() -> None:
    limits = ConnectionLimits(per_principal=1, strangers_per_peer=1)
    with limits.connected("a", never) as place:
        place.admit(ADA)
        place.admit(ADA)
        assert limits.of_principal("ada") == 1
        place.admit(BOB)
        assert (limits.of_principal("ada"), limits.of_principal("bob")) == (0, 1)
        with limits.connected("a", never) as other:
            with pytest.raises(RateLimited):
                other.admit(BOB)
            other.admit(ADA)
            with pytest.raises(RateLimited):
                place.admit(ADA)
            assert place.principal == "bob"
    assert (limits.of_principal("ada"), limits.of_principal("bob")) == (0, 0)


def test_of_a_peers_strangers_the_one_that_has_waited_longest_makes_room() -> None:
    limits = ConnectionLimits(per_principal=9, strangers_per_peer=2)
    given_up: list[int] = []
    with ExitStack() as stack:
        stack.enter_context(limits.connected("elsewhere", never))

        def arrive(number: int) -> Place:
            return stack.enter_context(limits.connected("a", lambda: given_up.append(number)))

        arrive(0).admit(ADA)  # so it makes no room: it is no stranger
        for number in range(1, 5):
            arrive(number)

        assert given_up == [1, 2]
        assert limits.strangers_of("a") == 2


def test_one_that_was_given_up_may_still_be_let_in_and_leaves_nothing_behind() -> None:
    """Its task hears of it a moment later, when it may have read the token."""
    limits = ConnectionLimits(per_principal=9, strangers_per_peer=1)
    with limits.connected("a", lambda: None) as first, limits.connected("a", never) as second:
        first.admit(ADA)
        assert (limits.of_principal("ada"), limits.strangers_of("a")) == (1, 1)
        assert second.principal is None
    assert (limits.of_principal("ada"), limits.strangers_of("a")) == (0, 0)


def test_who_breaks_off_is_counted_no_more() -> None:
    limits = ConnectionLimits(per_principal=1, strangers_per_peer=1)

    def break_off() -> None:
        with limits.connected("a", never) as place:
            place.admit(ADA)
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    with limits.connected("a", never) as place:
        place.admit(ADA)


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("gone", "gone"),
    ],
)
def test_addresses_that_one_customer_has_are_one_peer(address: str, peer: str) -> None:
    assert peer_of(address) == peer


class Connections(RuleBasedStateMachine):
    """Connections that come, say who they are, and go, in any order; and a plain count of them."""

    places = Bundle("places")
    PER_PRINCIPAL = 2
    STRANGERS = 2

    def __init__(self) -> None:
        super().__init__()
        self.limits = ConnectionLimits(self.PER_PRINCIPAL, self.STRANGERS)
        self.open: dict[Place, ExitStack] = {}
        self.waiting: list[Place] = []
        """Strangers that were not given up, the oldest first."""
        self.given_up: list[Place] = []

    @rule(target=places, peer=st.sampled_from("ab"))
    def arrive(self, peer: str) -> Place:
        stack = ExitStack()
        given_up_before = len(self.given_up)
        place = stack.enter_context(self.limits.connected(peer, self._note_given_up(lambda: place)))
        self.open[place] = stack
        waiting = [each for each in self.waiting if each.peer == peer]
        expected = waiting[:1] if len(waiting) == self.STRANGERS else []
        assert self.given_up[given_up_before:] == expected
        self.waiting = [each for each in self.waiting if each not in expected] + [place]
        return place

    def _note_given_up(self, which: Callable[[], Place]) -> Callable[[], None]:
        return lambda: self.given_up.append(which())

    @rule(place=places, principal=st.sampled_from([ADA, BOB, EVE]))
    def admit(self, place: Place, principal: Principal) -> None:
        before = place.principal
        most = principal.max_connections or self.PER_PRINCIPAL
        have = sum(each.principal == principal.name for each in self.open)
        if before == principal.name or have < most:
            place.admit(principal)
            assert place.principal == principal.name
            self.waiting = [each for each in self.waiting if each is not place]
        else:
            with pytest.raises(RateLimited):
                place.admit(principal)
            assert place.principal == before

    @rule(place=consumes(places))
    def leave(self, place: Place) -> None:
        self.open.pop(place).close()
        self.waiting = [each for each in self.waiting if each is not place]

    @invariant()
    def counts_are_right(self) -> None:
        for principal in (ADA, BOB, EVE):
            have = sum(each.principal == principal.name for each in self.open)
            assert self.limits.of_principal(principal.name) == have
            assert have <= (principal.max_connections or self.PER_PRINCIPAL)
        for peer in "ab":
            waiting = sum(each.peer == peer for each in self.waiting)
            assert self.limits.strangers_of(peer) == waiting <= self.STRANGERS

    def teardown(self) -> None:
        for stack in self.open.values():
            stack.close()
        assert not self.limits._of_principal  # a peer that has gone costs no memory
        assert not self.limits._strangers


TestConnections = Connections.TestCase
