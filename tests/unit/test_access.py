"""Unit tests: who may come in, for every Host, Origin and token that can come together."""

from __future__ import annotations

from itertools import product

import pytest

from pyrepl3.endpoint.access import AccessRules, Head, Principal, Tokens, admit, doubled
from pyrepl3.endpoint.failures import (
    FORGIVEN_EVERY_S,
    PEERS_REMEMBERED,
    FailureLimits,
)
from pyrepl3.errors import BadMessage, ForbiddenOrigin, MisdirectedHost, PyreplError, Unauthorized

ADA = Principal(name="ada")
EVE = Principal(name="eve", role="admin")
RULES = AccessRules(
    tokens=Tokens.of([("right", ADA), ("other", EVE)]),
    hosts=frozenset({"localhost", "127.0.0.1", "::1", "box.example"}),
    origins=frozenset({"https://friend.example"}),
)

HOSTS = {
    "localhost": True,
    "localhost:8765": True,
    "LOCALHOST:8765": True,
    "127.0.0.1:8765": True,
    "[::1]:8765": True,
    "box.example": True,
    None: False,
    "": False,
    "evil.example": False,
    "localhost.evil.example": False,
    "localhost@evil.example": False,
    "evil.example@localhost": False,
    "localhost/evil.example": False,
    "localhost:port": False,
    "localhost:99999": False,
    "localhost:0": False,
    "[::1": False,
    "evil.example[::1]:8765": False,
    "[::1]evil.example:8765": False,
    "[::1].evil.example": False,
    "127.1": False,
    "localhost ": False,
}
ORIGINS = {
    None: True,
    "same": True,
    "https://friend.example": True,
    "null": False,
    "": False,
    "http://evil.example": False,
    "https://friend.example.evil": False,
    "http://friend.example": False,
    "https://same": False,
    "file://": False,
}
TOKENS = {
    "Bearer right": ADA,
    "bearer right": ADA,
    "Bearer  right ": ADA,
    "Bearer other": EVE,
    None: None,
    "": None,
    "Bearer": None,
    "Bearer ": None,
    "Bearer wrong": None,
    "Bearer right2": None,
    "Bearer righ": None,
    "right": None,
    "Basic right": None,
    "Basic cmlnaHQ=": None,
    "Bearer right right": None,
    "Bearer \udcff": None,
}


def expected(host: bool, origin: bool, principal: Principal | None) -> object:
    if not host:
        return MisdirectedHost
    if not origin:
        return ForbiddenOrigin
    return Unauthorized if principal is None else principal


def came_to(head: Head) -> object:
    try:
        return admit(head, RULES)
    except PyreplError as error:
        return type(error)


def test_every_host_origin_and_token_together() -> None:
    for (host, host_fits), (origin, origin_fits), (token, owner) in product(
        HOSTS.items(), ORIGINS.items(), TOKENS.items()
    ):
        if origin is not None:
            origin = origin.replace("same", host or "") if origin != "same" else f"http://{host}"
        head = Head(host=host, origin=origin, authorization=token)

        assert came_to(head) == expected(host_fits, origin_fits, owner), head


def test_a_page_served_over_tls_is_of_the_same_origin_over_tls() -> None:
    head = Head(host="box.example", origin="https://box.example", authorization="Bearer right")

    assert came_to(head) is ForbiddenOrigin
    assert (
        admit(
            Head(
                host="box.example",
                origin="https://box.example",
                authorization="Bearer right",
                scheme="https",
            ),
            RULES,
        )
        == ADA
    )


def test_of_two_headers_that_decide_neither_counts_and_others_may_be_there_twice() -> None:
    assert doubled(["host", "authorization", "cookie", "cookie", "origin"]) is None
    for name in ("authorization", "origin"):
        found = doubled([name, "host", name])
        assert found == name
        for host, expected_error in (("localhost", BadMessage), ("evil.example", MisdirectedHost)):
            head = Head(host=host, origin=None, authorization="Bearer right", doubled=found)
            assert came_to(head) is expected_error


def test_who_is_refused_is_told_nothing_of_what_would_do() -> None:
    for head in (
        Head(host="evil.example", origin=None, authorization=None),
        Head(host="localhost", origin="http://evil.example", authorization=None),
        Head(host="localhost", origin=None, authorization="Bearer wrong"),
    ):
        with pytest.raises(PyreplError) as caught:
            admit(head, RULES)
        told = f"{caught.value} {caught.value.details}"
        for secret in ("box.example", "friend.example", "right", "wrong", "evil", "ada"):
            assert secret not in told


def test_tokens_are_not_shown() -> None:
    assert "right" not in repr(RULES)


# --- those who fail often -----------------------------------------------------------------------


def test_after_some_failures_a_peer_waits_and_others_do_not() -> None:
    limits = FailureLimits()
    for _ in range(FailureLimits().allowed):
        assert limits.wait_s("a", now=5.0) == 0
        limits.failed("a", now=5.0)

    assert limits.wait_s("a", now=5.0) == FORGIVEN_EVERY_S
    assert limits.wait_s("b", now=5.0) == 0
    assert limits.wait_s("a", now=5.0 + FORGIVEN_EVERY_S) == 0
    limits.failed("a", now=5.0 + FORGIVEN_EVERY_S)
    assert limits.wait_s("a", now=5.0 + FORGIVEN_EVERY_S) == FORGIVEN_EVERY_S


def test_of_very_many_peers_the_latest_are_remembered() -> None:
    limits = FailureLimits()
    for number in range(PEERS_REMEMBERED + 1):
        for _ in range(FailureLimits().allowed):
            limits.failed(str(number), now=0.0)

    assert limits.wait_s("0", now=0.0) == 0
    assert limits.wait_s("1", now=0.0) > 0
