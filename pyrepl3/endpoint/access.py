"""Who may come in: the decision on one request's head, before anything else is done with it.

Pure: host, origin and token in, a principal or a refusal out. Must not know where tokens are kept,
nor how a request arrives. In this order: a page of another site that had its name resolved to us
(DNS rebinding) is told so by its Host, a page of another site by its Origin, a stranger by the
missing token; and none of them anything else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import urlsplit

import attrs

from pyrepl3.errors import ForbiddenOrigin, MisdirectedHost, PyreplError, Unauthorized

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""What a service on loopback is called, unless its configuration knows other names."""

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
    authorization: str | None
    scheme: Literal["http", "https"] = "http"


def admit(head: Head, rules: AccessRules) -> Principal:
    """Whose request it is.

    Raises MisdirectedHost, ForbiddenOrigin, Unauthorized.
    """
    check_site(head, rules)
    principal = rules.tokens.owner(_bearer(head.authorization))
    if principal is None:
        raise _unauthorized()
    return principal


def check_site(head: Head, rules: AccessRules) -> None:
    """All that is asked of who reads what is no secret: that no page of another site sent them.

    Raises MisdirectedHost, ForbiddenOrigin.
    """
    if _host_name(head.host) not in rules.hosts:
        raise _misdirected()
    if head.origin is not None and not _is_ours(head.origin, head, rules):
        raise _forbidden_origin()


def _host_name(host: str | None) -> str | None:
    """The name in a Host header, without the port; None where it has no such form."""
    if not host:
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


def _forbidden_origin() -> PyreplError:
    return ForbiddenOrigin(
        what="pages of that origin may not use this service",
        why="the Origin header is neither its own nor one that it is configured with",
        how="Open the service's own page, or add it to EndpointConfig.allowed_origins",
    )


def _unauthorized() -> PyreplError:
    return Unauthorized(
        what="this request is not authorized",
        why="it has no token, or one that is not known here",
        how="Send 'Authorization: Bearer TOKEN', with a token of this service",
    )
