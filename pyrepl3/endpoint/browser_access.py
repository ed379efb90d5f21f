"""How browsers come in: a one-use code in exchange for a cookie that no script can read.

Pure: takes `now`. Owns the codes that wait to be used, the browsers that are signed in, and how the
cookie is written and found. Keeps digests alone, so that nothing that is stored opens anything.
Must not know how a request arrives, nor which page asks: `access.py` judges that first.

A browser cannot send `Authorization` with a WebSocket, and a token in a URL would stand in logs and
histories. So whoever has a token gets a code, the browser gives it back once, and has a cookie
then. RFC 8628's user codes are of this kind.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator

import attrs

from pyrepl3.endpoint.access import Principal
from pyrepl3.errors import PyreplError, Unauthorized

CODE_LIFETIME_S = 300.0
"""Long enough to copy a link from a terminal, or to type what stands there."""
COOKIE_LIFETIME_S = 12 * 3600.0
"""A working day."""
CODE_BYTES = 10
"""80 bits, as 16 characters that can be typed: hopeless to guess in five minutes, at whatever rate.
Who fails often is told to wait, but a right code is taken all the same."""
COOKIE_BYTES = 32
CODES_EACH = 8
"""That wait at a time, of one principal; with one more the oldest is void."""
BROWSERS_EACH = 64
"""Signed in at a time, of one principal; with one more the oldest is signed out."""
SECRET_CHARACTERS = 200
"""More than any code or cookie of ours has: what is longer is none, and is not looked at."""


MISREAD = str.maketrans("018", "OIB")
"""Digits that no code has, and the letters that they are taken for."""


def make_code() -> str:
    """A new one, in groups of four: capitals, and digits that look like none of them."""
    letters = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode()
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def make_cookie() -> str:
    """A new value."""
    return secrets.token_urlsafe(COOKIE_BYTES)


@attrs.define(eq=False, repr=False)
class _Secrets:
    """Digests of secrets that open something for their principal, each until its time is over."""

    lifetime_s: float
    at_most_each: int
    make: Callable[[], str]
    _known: OrderedDict[bytes, tuple[Principal, float]] = attrs.field(factory=OrderedDict)
    """With whose it is, and until when; the oldest first."""

    def add(self, principal: Principal, *, now: float) -> str:
        """A new one."""
        self._forget_old(now)
        own = [digest for digest, (owner, _) in self._known.items() if owner == principal]
        for digest in own[: max(0, len(own) - self.at_most_each + 1)]:
            del self._known[digest]
        secret = self.make()
        self._known[_digest(secret)] = (principal, now + self.lifetime_s)
        return secret

    def find(self, secret: str, *, now: float) -> tuple[bytes, Principal] | None:
        """Its digest, and whose it is. Takes as long for any: each is compared, and in full."""
        self._forget_old(now)
        if len(secret) > SECRET_CHARACTERS:
            return None
        digest = _digest(secret)
        found: tuple[bytes, Principal] | None = None
        for known, (principal, _) in self._known.items():
            if hmac.compare_digest(known, digest):
                found = known, principal
        return found

    def remove(self, digest: bytes) -> None:
        """It opens nothing any more."""
        self._known.pop(digest, None)

    def _forget_old(self, now: float) -> None:
        while self._known and next(iter(self._known.values()))[1] <= now:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


@attrs.define(eq=False)
class BrowserCodes:
    """Codes that wait to be used. Each is good once, and for `CODE_LIFETIME_S`."""

    _codes: _Secrets = attrs.field(factory=lambda: _Secrets(CODE_LIFETIME_S, CODES_EACH, make_code))

    def issue(self, principal: Principal, *, now: float) -> str:
        """A new code for a browser of that principal."""
        return self._codes.add(principal, now=now)

    def redeem(self, code: str, *, now: float) -> Principal | None:
        """Whose it is; it is used up then. None: it is none, was used, or is too old.

        Small letters, spaces, missing hyphens and a 0 for an O do not matter: people type it.
        """
        found = self._codes.find(_typed(code), now=now)
        if found is None:
            return None
        digest, principal = found
        self._codes.remove(digest)
        return principal

    def __len__(self) -> int:
        return len(self._codes)


@attrs.define(eq=False)
class BrowserCookies:
    """Browsers that are signed in, each for `COOKIE_LIFETIME_S`."""

    _cookies: _Secrets = attrs.field(
        factory=lambda: _Secrets(COOKIE_LIFETIME_S, BROWSERS_EACH, make_cookie)
    )

    def sign_in(self, principal: Principal, *, now: float) -> str:
        """The value of a new cookie for a browser of that principal."""
        return self._cookies.add(principal, now=now)

    def owner(self, value: str, *, now: float) -> Principal | None:
        """Whose it is; None where it is none, or no longer."""
        found = self._cookies.find(value, now=now)
        return None if found is None else found[1]

    def sign_out(self, value: str, *, now: float) -> None:
        """That cookie is nobody's any more, if it was somebody's."""
        found = self._cookies.find(value, now=now)
        if found is not None:
            self._cookies.remove(found[0])

    def __len__(self) -> int:
        return len(self._cookies)


@attrs.define(eq=False)
class BrowserAccess:
    """Both, for a service on one port: codes go in, `Set-Cookie` comes out.

    Cookies do not tell ports apart, so the port is part of the name: two services on one machine
    keep out of each other's way. Over TLS the name begins with `__Host-`, by which browsers take
    it from nobody but this very host.
    """

    port: int
    has_tls: bool = False
    codes: BrowserCodes = attrs.field(factory=BrowserCodes)
    cookies: BrowserCookies = attrs.field(factory=BrowserCookies)

    @property
    def cookie_name(self) -> str:
        """As it stands in the Cookie header."""
        return f"{'__Host-' if self.has_tls else ''}pyrepl3_{self.port}"

    def issue(self, principal: Principal, *, now: float) -> str:
        """A code for a browser of that principal."""
        return self.codes.issue(principal, now=now)

    def exchange(self, code: str, *, now: float) -> str:
        """The `Set-Cookie` header for whoever has that code. Raises Unauthorized."""
        principal = self.codes.redeem(code, now=now)
        if principal is None:
            raise _no_such_code()
        value = self.cookies.sign_in(principal, now=now)
        return self._set_cookie(value, max_age_s=int(COOKIE_LIFETIME_S))

    def signed_in(self, cookie: str | None, *, now: float) -> Principal | None:
        """Whose browser has sent that Cookie header; None: nobody's."""
        for value in self._values(cookie):
            principal = self.cookies.owner(value, now=now)
            if principal is not None:
                return principal
        return None

    def sign_out(self, cookie: str | None, *, now: float) -> str:
        """The `Set-Cookie` header by which a browser forgets its cookie; so does the service."""
        for value in self._values(cookie):
            self.cookies.sign_out(value, now=now)
        return self._set_cookie("", max_age_s=0)

    def _set_cookie(self, value: str, *, max_age_s: int) -> str:
        secure = "; Secure" if self.has_tls else ""
        return (
            f"{self.cookie_name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; "
            f"SameSite=Strict{secure}"
        )

    def _values(self, cookie: str | None) -> Iterator[str]:
        """Of all cookies of that name: a neighbour on another port may have set one too."""
        for pair in (cookie or "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.cookie_name:
                yield value


def _typed(code: str) -> str:
    letters = "".join(code.replace("-", " ").split()).upper().translate(MISREAD)
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _no_such_code() -> PyreplError:
    return Unauthorized(
        what="nobody was signed in",
        why="that code is none of this service's, was used already, or is more than "
        f"{CODE_LIFETIME_S / 60:g} minutes old",
        how="Get a new one: `pyrepl3 console`",
    )
