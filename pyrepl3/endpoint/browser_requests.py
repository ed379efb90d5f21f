"""What browsers ask for before they speak on a WebSocket: the console's files, and to be let in.

    GET    /, /console/…         the files; no token, as they hold no secret
    POST   /v1/browser/codes     a one-use code, for whoever has a token
    GET    /v1/browser/session   whether this browser is signed in, and whose it is
    POST   /v1/browser/session   {"code": …} in exchange for a cookie
    DELETE /v1/browser/session   signs out

Pure: takes `now`, a request in, an answer or a refusal out. Owns who may do which of these. Must
not know how a request arrives, nor count who fails: whoever calls it does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import attrs

from pyrepl3.console import files
from pyrepl3.endpoint.access import SAFE_METHODS, AccessRules, Head, admit, check_site
from pyrepl3.endpoint.browser_access import CODE_LIFETIME_S, BrowserAccess
from pyrepl3.errors import BadMessage, NotFound, PyreplError

CODES = "/v1/browser/codes"
SESSION = "/v1/browser/session"
BODY_BYTES = 4096
"""Of a request here: a code in JSON, and some air."""


@attrs.frozen
class BrowserRequest:
    """One of those above. ``head`` has what admission needs, ``cookie`` the Cookie header."""

    path: str
    head: Head
    cookie: str | None = attrs.field(default=None, repr=False)
    if_none_match: str | None = None
    body: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class BrowserAnswer:
    """What is sent back."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=False)


def is_for_browsers(path: str) -> bool:
    """Whether `answer` knows what is there."""
    return path == "/" or path.startswith((files.PREFIX, "/v1/browser/"))


def answer(
    request: BrowserRequest,
    access: BrowserAccess,
    rules: AccessRules,
    *,
    now: float,
    prefix: str = "",
) -> BrowserAnswer:
    """What a browser is answered. ``prefix``: where a proxy has the service, as `/python`.

    Raises MisdirectedHost, ForbiddenOrigin, Unauthorized, BadMessage, NotFound."""
    method = request.head.method
    if request.path == CODES and method == "POST":
        return _issue(request, access, rules, now=now, prefix=prefix)
    check_site(request.head, rules)
    if request.path == SESSION:
        if method == "POST":
            set_cookie = access.exchange(_code(request.body), now=now)
            return _done(set_cookie)
        if method == "DELETE":
            return _sign_out(request, access, rules, now=now)
        if method in SAFE_METHODS:
            return _who(request, access, now=now)
    elif method in SAFE_METHODS:
        file = files.find(request.path)
        if file is not None:
            return _file(file, request.if_none_match)
    raise _not_found(request)


def moved(path: str) -> BrowserAnswer:
    """The page is there: what it loads has addresses that are relative to its own."""
    headers = {"Location": path, "Cache-Control": "no-store"}
    return BrowserAnswer(HTTPStatus.PERMANENT_REDIRECT, headers)


def _issue(
    request: BrowserRequest, access: BrowserAccess, rules: AccessRules, *, now: float, prefix: str
) -> BrowserAnswer:
    # By a token alone: a browser that is signed in cannot stay so by giving itself codes.
    code = access.issue(admit(request.head, rules), now=now)
    url = f"{request.head.scheme}://{request.head.host}{prefix}/#code={code}"
    return _json({"code": code, "url": url, "expires_in_s": CODE_LIFETIME_S}, HTTPStatus.CREATED)


def _sign_out(
    request: BrowserRequest, access: BrowserAccess, rules: AccessRules, *, now: float
) -> BrowserAnswer:
    signed_in = access.signed_in(request.cookie, now=now)
    if signed_in is not None:
        head = attrs.evolve(request.head, authorization=None)
        admit(head, rules, signed_in)  # another page cannot sign anybody out
    return _done(access.sign_out(request.cookie, now=now))


def _who(request: BrowserRequest, access: BrowserAccess, *, now: float) -> BrowserAnswer:
    principal = access.signed_in(request.cookie, now=now)
    if principal is None:
        # No refusal: a page that asks this has done nothing wrong.
        return _json({"signed_in": False})
    return _json({"signed_in": True, "principal": principal.name, "role": principal.role})


def _file(file: files.StaticFile, if_none_match: str | None) -> BrowserAnswer:
    if file.is_known_to(if_none_match):
        headers = {name: value for name, value in file.headers.items() if name != "Content-Type"}
        return BrowserAnswer(HTTPStatus.NOT_MODIFIED, headers)
    return BrowserAnswer(HTTPStatus.OK, file.headers, file.body)


def _json(fields: Mapping[str, Any], status: int = HTTPStatus.OK) -> BrowserAnswer:
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return BrowserAnswer(status, headers, json.dumps(fields).encode())


def _done(set_cookie: str) -> BrowserAnswer:
    headers = {"Set-Cookie": set_cookie, "Cache-Control": "no-store"}
    return BrowserAnswer(HTTPStatus.NO_CONTENT, headers)


def _code(body: bytes) -> str:
    try:
        fields = json.loads(body) if len(body) <= BODY_BYTES else None
    except (ValueError, RecursionError):
        fields = None
    code = fields.get("code") if isinstance(fields, dict) else None
    if not isinstance(code, str):
        raise BadMessage(
            what="nobody was signed in",
            why="the request has no code",
            how='Send JSON, {"code": "…"}, with the code that `pyrepl3 console` prints',
        )
    return code


def _not_found(request: BrowserRequest) -> PyreplError:
    return NotFound(
        what=f"there is nothing at {request.path[:200]} for {request.head.method}",
        why="the console is at /, with its files under /console/",
        how="Open /",
    )
