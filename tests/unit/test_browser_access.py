"""Unit tests: one-use codes, the cookies that browsers get for them, and what a cookie opens."""

from __future__ import annotations

from itertools import product
from textwrap import wrap

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyrepl3.endpoint.access import AccessRules, Head, Principal, Tokens, admit, check_site
from pyrepl3.endpoint.browser_access import (
    BROWSERS_EACH,
    CODE_LIFETIME_S,
    CODES_EACH,
    COOKIE_LIFETIME_S,
    BrowserAccess,
    BrowserCodes,
    BrowserCookies,
)
from pyrepl3.errors import ForbiddenOrigin, MisdirectedHost, PyreplError, Unauthorized

ADA = Principal(name="ada")
EVE = Principal(name="eve", role="admin")
RULES = AccessRules(
    tokens=Tokens.of([("right", ADA), ("other", EVE)]),
    hosts=frozenset({"localhost"}),
    origins=frozenset({"https://friend.example"}),
)


# --- codes --------------------------------------------------------------------------------------


def test_a_code_is_good_once() -> None:
    codes = BrowserCodes()
    code = codes.issue(ADA, now=5.0)

    assert codes.redeem(code, now=6.0) == ADA
    assert codes.redeem(code, now=6.0) is None
    assert len(codes) == 0


def test_a_code_is_good_for_five_minutes() -> None:
    codes = BrowserCodes()
    first, second = codes.issue(ADA, now=0.0), codes.issue(ADA, now=1.0)

    assert codes.redeem(first, now=CODE_LIFETIME_S) is None
    assert codes.redeem(second, now=CODE_LIFETIME_S) == ADA


def test_a_code_may_be_typed_as_people_type() -> None:
    codes = BrowserCodes()
    for typed in (str.lower, lambda code: code.replace("-", " "), lambda code: f" {code}\n"):
        assert codes.redeem(typed(codes.issue(ADA, now=0.0)), now=0.0) == ADA
    for made, typed in (("OOII-BB22-3344-5566", "0oi1-8b22-3344-5566"), ("A" * 16, "a" * 16)):
        codes._codes.make = lambda made=made: "-".join(wrap(made.replace("-", ""), 4))
        codes.issue(ADA, now=0.0)
        assert codes.redeem(typed, now=0.0) == ADA
    codes = BrowserCodes()
    code = codes.issue(ADA, now=0.0)
    assert len(code) == 19
    assert codes.redeem(code.replace("-", ""), now=0.0) == ADA


@pytest.mark.parametrize("wrong", ["", "-", "AAAA-AAAA-AAAA-AAAA", "\udcff", "é", "A" * 10**6])
def test_what_is_no_code_is_nobodys(wrong: str) -> None:
    codes = BrowserCodes()
    codes.issue(ADA, now=0.0)

    assert codes.redeem(wrong, now=0.0) is None
    assert len(codes) == 1


def test_too_many_codes_of_one_make_void_their_own_oldest_alone() -> None:
    codes = BrowserCodes()
    eves = codes.issue(EVE, now=0.0)
    adas = [codes.issue(ADA, now=0.0) for _ in range(CODES_EACH + 1)]

    assert codes.redeem(adas[0], now=0.0) is None
    assert [codes.redeem(code, now=0.0) for code in adas[1:]] == [ADA] * CODES_EACH
    assert codes.redeem(eves, now=0.0) == EVE


def test_neither_codes_nor_cookies_are_kept_or_shown() -> None:
    access = BrowserAccess(8765)
    code = access.issue(ADA, now=0.0)
    value = _value(access.exchange(access.issue(ADA, now=0.0), now=0.0))

    shown = repr(access)
    for secret in (code, code.replace("-", ""), value):
        assert secret not in shown
    for kept in (access.codes._codes._known, access.cookies._cookies._known):
        assert all(len(digest) == 32 for digest in kept)


# --- cookies ------------------------------------------------------------------------------------


def _value(set_cookie: str) -> str:
    return set_cookie.partition("=")[2].partition(";")[0]


def test_a_code_is_exchanged_for_a_cookie_that_no_script_reads() -> None:
    access = BrowserAccess(8765)
    header = access.exchange(access.issue(ADA, now=0.0), now=1.0)

    name, *attributes = header.split("; ")
    assert name.startswith("pyrepl3_8765=")
    assert attributes == ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]
    assert access.signed_in(f"a=b; {name}; c", now=2.0) == ADA
    assert access.signed_in(name, now=1.0 + COOKIE_LIFETIME_S) is None


def test_over_tls_the_cookie_goes_over_tls_alone() -> None:
    access = BrowserAccess(8765, has_tls=True)
    header = access.exchange(access.issue(ADA, now=0.0), now=1.0)

    assert header.startswith("__Host-pyrepl3_8765=")
    assert header.endswith("; Secure")


def test_a_code_that_is_none_is_told_with_what_helps() -> None:
    access = BrowserAccess(8765)
    with pytest.raises(Unauthorized) as caught:
        access.exchange("AAAA-BBBB", now=0.0)

    assert "AAAA" not in str(caught.value)
    assert "pyrepl3 console" in caught.value.how


def test_who_signs_out_is_out_and_others_are_not() -> None:
    access = BrowserAccess(8765)
    first, second = (
        f"pyrepl3_8765={_value(access.exchange(access.issue(ADA, now=0.0), now=0.0))}"
        for _ in range(2)
    )

    header = access.sign_out(first, now=0.0)
    assert header.startswith("pyrepl3_8765=; Path=/; Max-Age=0; HttpOnly")
    assert access.signed_in(first, now=0.0) is None
    assert access.signed_in(second, now=0.0) == ADA
    access.sign_out(None, now=0.0)
    assert access.signed_in(second, now=0.0) == ADA


def test_a_cookie_of_the_same_name_from_elsewhere_is_no_hindrance() -> None:
    access = BrowserAccess(8765)
    cookie = f"pyrepl3_8765={_value(access.exchange(access.issue(ADA, now=0.0), now=0.0))}"

    assert access.signed_in(f"pyrepl3_8765=junk; {cookie}", now=0.0) == ADA
    assert access.signed_in(f"pyrepl3_8766={_value(cookie)}", now=0.0) is None
    for nothing in (None, "", ";", "=", "pyrepl3_8765", "pyrepl3_8765="):
        assert access.signed_in(nothing, now=0.0) is None


def test_too_many_browsers_of_one_sign_out_their_own_oldest_alone() -> None:
    cookies = BrowserCookies()
    eves = cookies.sign_in(EVE, now=0.0)
    adas = [cookies.sign_in(ADA, now=0.0) for _ in range(BROWSERS_EACH + 1)]

    assert cookies.owner(adas[0], now=0.0) is None
    assert all(cookies.owner(value, now=0.0) == ADA for value in adas[1:])
    assert cookies.owner(eves, now=0.0) == EVE


class Browsers(RuleBasedStateMachine):
    """Against a model that keeps everything: each code once and in time, each cookie until then."""

    def __init__(self) -> None:
        super().__init__()
        self.access = BrowserAccess(1)
        self.now = 0.0
        self.codes: list[tuple[str, Principal, float]] = []
        self.used: list[str] = []
        self.cookies: list[tuple[str, Principal, float]] = []

    @rule(seconds=st.sampled_from([0.5, 150.0, CODE_LIFETIME_S, COOKIE_LIFETIME_S / 2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(principal=st.sampled_from([ADA, EVE]))
    def issue(self, principal: Principal) -> None:
        self.used.extend(self.waiting(principal)[: 1 - CODES_EACH])  # void for good
        self.codes.append((self.access.issue(principal, now=self.now), principal, self.now))

    def waiting(self, principal: Principal) -> list[str]:
        """The codes that should be good, the oldest first."""
        return [
            code
            for code, owner, since in self.codes
            if owner == principal and code not in self.used and self.now < since + CODE_LIFETIME_S
        ]

    @precondition(lambda self: self.codes)
    @rule(data=st.data())
    def exchange(self, data: st.DataObject) -> None:
        code, principal, _ = data.draw(st.sampled_from(self.codes))
        if code in self.waiting(principal):
            value = _value(self.access.exchange(code, now=self.now))
            self.cookies.append((value, principal, self.now))
        else:
            with pytest.raises(Unauthorized):
                self.access.exchange(code, now=self.now)
        self.used.append(code)

    @precondition(lambda self: self.cookies)
    @rule(data=st.data())
    def sign_out(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.cookies) - 1))
        value, principal, _ = self.cookies[at]
        self.access.sign_out(f"pyrepl3_1={value}", now=self.now)
        self.cookies[at] = (value, principal, -COOKIE_LIFETIME_S)

    @invariant()
    def a_cookie_is_its_principals_for_its_time(self) -> None:
        for value, principal, since in self.cookies:
            signed_in = self.access.signed_in(f"pyrepl3_1={value}", now=self.now)
            assert signed_in == (principal if self.now < since + COOKIE_LIFETIME_S else None)

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.access.codes) <= 2 * CODES_EACH
        assert len(self.access.cookies) <= 2 * BROWSERS_EACH


TestBrowsers = Browsers.TestCase


# --- what a cookie opens ------------------------------------------------------------------------

OURS = "http://localhost:8765"
ORIGINS = [None, OURS, "https://friend.example", "http://localhost:3000", "null", "http://evil"]
SITES = [None, "same-origin", "same-site", "cross-site", "none"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


def came_to(head: Head, signed_in: Principal | None = None) -> object:
    try:
        return admit(head, RULES, signed_in)
    except PyreplError as error:
        return type(error)


def expected(method: str, origin: str | None, site: str | None, *, upgrades: bool) -> object:
    """What a cookie comes to, said otherwise than the code says it."""
    if origin not in (None, OURS, "https://friend.example"):
        return ForbiddenOrigin
    proven = origin is not None or site == "same-origin"
    harmless = method in ("GET", "HEAD") and not upgrades and site in (None, "none")
    return ADA if proven or harmless else ForbiddenOrigin


def test_a_cookie_opens_what_our_own_page_asks_for_and_nothing_else() -> None:
    for method, origin, site, upgrades in product(METHODS, ORIGINS, SITES, (False, True)):
        head = Head(
            host="localhost:8765",
            origin=origin,
            authorization=None,
            method=method,
            wants_websocket=upgrades,
            fetch_site=site,
        )

        assert came_to(head, ADA) == expected(method, origin, site, upgrades=upgrades), head
        refused = came_to(head)
        assert refused in (Unauthorized, ForbiddenOrigin)
        assert (refused is Unauthorized) == (origin in ORIGINS[:3])


def test_a_token_needs_no_page_and_counts_before_any_cookie() -> None:
    for method, site in product(METHODS, SITES):
        for token, owner in (("right", ADA), ("other", EVE), ("wrong", Unauthorized)):
            head = Head(
                host="localhost",
                origin=None,
                authorization=f"Bearer {token}",
                method=method,
                fetch_site=site,
            )

            assert came_to(head, EVE) == came_to(head) == owner


def test_another_name_and_another_page_are_told_so_also_with_a_cookie() -> None:
    misdirected = Head(host="evil.example", origin=OURS, authorization=None)
    foreign = Head(host="localhost", origin="http://evil.example", authorization=None)

    assert came_to(misdirected, ADA) is MisdirectedHost
    assert came_to(foreign, ADA) is ForbiddenOrigin
    for head, refusal in ((misdirected, MisdirectedHost), (foreign, ForbiddenOrigin)):
        with pytest.raises(refusal):
            check_site(head, RULES)
    check_site(Head(host="localhost", origin=None, authorization=None), RULES)
