"""Who may come in: the decision on one request's head, before anything else is done with it.

Pure: host, origin and token in, a principal or a refusal out. Must not know where tokens are kept,
nor how a request arrives. In this order: a page of another site that had its name resolved to us
(DNS rebinding) is told so by its Host, a page of another site by its Origin, a stranger by the
missing token; and none of them anything else.

A token is sent by whoever knows it. A cookie is sent by a browser whoever's page made it ask, so a
request that comes by cookie must also show that it is of our own page's making.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import urlsplit

import attrs

from pyrepl3.errors import BadMessage, ForbiddenOrigin, MisdirectedHost, PyreplError, Unauthorized

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""What a service on loopback is called, unless its configuration knows other names."""

SAFE_METHODS = frozenset({"GET", "HEAD"})
"""Those that change nothing, so that it is harmless who had a browser ask; what is answered, other
pages cannot read."""

ONCE = frozenset({"authorization", "origin"})
"""Headers that a request has once: of two, a proxy in front may have looked at the other one."""

_BRACKETED = re.compile(r"\[[0-9a-f:.]+\](:[0-9]*)?", re.ASCII | re.IGNORECASE)
"""An address of IPv6, and nothing before or behind it, which `urlsplit` would pass over."""

Role = Literal["user", "admin"]


@attrs.frozen(kw_only=True)
class Principal:
    """Whoever a token belongs to. Sessions are theirs; an admin sees the pool's figures too."""

    name: str
    role: Role = "user"
    max_sessions: int | None = None
    """None: as many as the pool has."""
    max_connections: int | None = None
    """None: as many as any principal."""


@attrs.frozen(repr=False)
class Tokens:
    """Digests of the tokens that are known, each with its principal. Holds no token itself."""

    _principals: Mapping[bytes, Principal]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Principal]]) -> Tokens:
        """From tokens and whose they are."""
        return cls({_digest(token): principal for token, principal in pairs})

    def owner(self, token: str) -> Principal | None:
        """Whose it is. Takes as long for any token: each digest is compared, and in full."""
        digest = _digest(token)
        found: Principal | None = None
        for known, principal in self._principals.items():
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def __repr__(self) -> str:
        return f"<{len(self._principals)} tokens>"


@attrs.frozen(kw_only=True)
class AccessRules:
    """What the decision rests on."""

    tokens: Tokens
    hosts: frozenset[str] = frozenset(LOOPBACK_HOSTS)
    """Names, in lower case and without port, under which the service is asked for."""
    origins: frozenset[str] = frozenset()
    """Further origins whose pages may speak to it, as `https://example.org:8443`."""


@attrs.frozen(kw_only=True)
class Head:
    """What of a request's head the decision needs; None: it is not there."""

    host: str | None
    origin: str | None
    authorization: str | None = attrs.field(repr=False)
    scheme: Literal["http", "https"] = "http"
    method: str = "GET"
    wants_websocket: bool = False
    fetch_site: str | None = None
    """`Sec-Fetch-Site`, which browsers set and no page can: where the page is that asks."""
    doubled: str | None = None
    """A header of `ONCE` that is there more than once."""


def doubled(names: Iterable[str]) -> str | None:
    """Of the names of a request's headers, in lower case, one of `ONCE` that is there twice."""
    counts = Counter(name for name in names if name in ONCE)
    return next((name for name, times in counts.items() if times > 1), None)


def admit(head: Head, rules: AccessRules, signed_in: Principal | None = None) -> Principal:
    """Whose request it is. ``signed_in``: whose cookie it has.

    Where it has `Authorization`, that counts and nothing else.
    Raises MisdirectedHost, BadMessage, ForbiddenOrigin, Unauthorized.
    """
    check_site(head, rules)
    if head.authorization is not None or signed_in is None:
        principal = rules.tokens.owner(_bearer(head.authorization))
        if principal is None:
            raise _unauthorized()
        return principal
    if not _shows_its_page(head):
        raise _from_nowhere()
    return signed_in


def _shows_its_page(head: Head) -> bool:
    """Whether a request that a browser sent is known to be of a page that may use the service.

    Its Origin, if there is one, was found to be that of such a page.
    """
    if head.origin is not None or head.fetch_site == "same-origin":
        return True
    if head.method not in SAFE_METHODS or head.wants_websocket:
        return False
    # None: an old browser, and not a page's doing where it says `none`: an address that was typed.
    return head.fetch_site in (None, "none")


def check_site(head: Head, rules: AccessRules) -> None:
    """All that is asked of who reads what is no secret: that no page of another site sent them.

    Raises MisdirectedHost, BadMessage, ForbiddenOrigin.
    """
    if _host_name(head.host) not in rules.hosts:
        raise _misdirected()
    if head.doubled is not None:
        raise _doubled(head.doubled)
    if head.origin is not None and not _is_ours(head.origin, head, rules):
        raise _forbidden_origin()


def _host_name(host: str | None) -> str | None:
    """The name in a Host header, without the port; None where it has no such form."""
    if not host or ("[" in host and not _BRACKETED.fullmatch(host)):
        return None
    try:
        parts = urlsplit(f"//{host}")
        if parts.netloc != host or parts.username is not None or parts.port == 0:
            return None
    except ValueError:
        return None
    return parts.hostname


def _is_ours(origin: str, head: Head, rules: AccessRules) -> bool:
    """A page that this service itself served, under the name that it is asked for."""
    assert head.host is not None
    return origin in rules.origins or origin.lower() == f"{head.scheme}://{head.host.lower()}"


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _misdirected() -> PyreplError:
    return MisdirectedHost(
        what="this service does not go by that name",
        why="the Host header is not one of those it is configured with",
        how="Ask for it under its own name, or add the name to EndpointConfig.allowed_hosts",
    )


def _doubled(name: str) -> PyreplError:
    return BadMessage(
        what="this request was not looked at",
        why=f"it has more than one {name.title()} header, and it is not said which one counts",
        how="Send one",
    )


def _forbidden_origin() -> PyreplError:
    return ForbiddenOrigin(
        what="pages of that origin may not use this service",
        why="the Origin header is neither its own nor one that it is configured with",
        how="Open the service's own page, or add it to EndpointConfig.allowed_origins",
    )


def _from_nowhere() -> PyreplError:
    return ForbiddenOrigin(
        what="this request may be another page's doing",
        why="it comes by cookie, and neither Origin nor Sec-Fetch-Site shows that it is the "
        "service's own page that asks",
        how="Use the service's own page, or send 'Authorization: Bearer TOKEN'",
    )


def _unauthorized() -> PyreplError:
    return Unauthorized(
        what="this request is not authorized",
        why="it has no token, or one that is not known here",
        how="Send 'Authorization: Bearer TOKEN', with a token of this service",
    )
