"""Unit tests: what browsers ask for before they speak on a WebSocket, and how it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyrepl3.endpoint.access import AccessRules, Head, Principal, Tokens
from pyrepl3.endpoint.browser_access import BrowserAccess
from pyrepl3.endpoint.browser_requests import (
    BODY_BYTES,
    BrowserAnswer,
    BrowserRequest,
    answer,
    is_for_browsers,
)
from pyrepl3.errors import (
    BadMessage,
    ForbiddenOrigin,
    MisdirectedHost,
    NotFound,
    PyreplError,
    Unauthorized,
)

ADA = Principal(name="ada")
RULES = AccessRules(tokens=Tokens.of([("right", ADA)]), hosts=frozenset({"localhost"}))
OURS = "http://localhost:8765"


class Service:
    """One, and a browser that keeps its cookie."""

    def __init__(self) -> None:
        self.access = BrowserAccess(8765)
        self.cookie: str | None = None

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        token: str | None = None,
        host: str | None = "localhost:8765",
        origin: str | None = None,
        site: str | None = None,
        if_none_match: str | None = None,
    ) -> BrowserAnswer:
        head = Head(
            host=host,
            origin=origin,
            authorization=None if token is None else f"Bearer {token}",
            method=method,
            fetch_site=site,
        )
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = BrowserRequest(path, head, self.cookie, if_none_match, data)
        told = answer(request, self.access, RULES, now=1.0)
        if "Set-Cookie" in told.headers:
            self.cookie = told.headers["Set-Cookie"].partition(";")[0]
        return told

    def code(self) -> str:
        return str(fields(self.ask("POST", "/v1/browser/codes", token="right"))["code"])

    def refusal(self, method: str, path: str, **asked: Any) -> type[PyreplError]:
        with pytest.raises(PyreplError) as caught:
            self.ask(method, path, **asked)
        return type(caught.value)


def fields(told: BrowserAnswer) -> dict[str, Any]:
    assert told.headers["Cache-Control"] == "no-store"
    return dict(json.loads(told.body))


def test_a_code_is_given_for_a_token_and_taken_for_a_cookie() -> None:
    service = Service()
    given = service.ask("POST", "/v1/browser/codes", token="right")
    code = fields(given)["code"]

    assert given.status == 201
    assert fields(given) == {"code": code, "url": f"{OURS}/#code={code}", "expires_in_s": 300.0}
    assert fields(service.ask("GET", "/v1/browser/session")) == {"signed_in": False}
    entered = service.ask("POST", "/v1/browser/session", body={"code": code}, origin=OURS)
    assert (entered.status, entered.body) == (204, b"")
    assert fields(service.ask("GET", "/v1/browser/session")) == {
        "signed_in": True,
        "principal": "ada",
        "role": "user",
    }
    assert service.refusal("POST", "/v1/browser/session", body={"code": code}) is Unauthorized
    assert service.ask("DELETE", "/v1/browser/session", origin=OURS).status == 204
    assert fields(service.ask("GET", "/v1/browser/session")) == {"signed_in": False}
    assert service.ask("DELETE", "/v1/browser/session").status == 204


def test_a_browser_that_is_signed_in_gives_itself_no_codes() -> None:
    service = Service()
    service.ask("POST", "/v1/browser/session", body={"code": service.code()})

    refused = service.refusal("POST", "/v1/browser/codes", origin=OURS, site="same-origin")
    assert refused is Unauthorized
    assert service.refusal("POST", "/v1/browser/codes", token="wrong") is Unauthorized


def test_another_page_signs_nobody_in_or_out() -> None:
    service = Service()
    code = service.code()
    for method in ("GET", "POST", "DELETE"):
        asked: dict[str, Any] = {"body": {"code": code}}
        assert (
            service.refusal(method, "/v1/browser/session", origin="http://evil", **asked)
            is ForbiddenOrigin
        )
        assert (
            service.refusal(method, "/v1/browser/session", host="evil.example", **asked)
            is MisdirectedHost
        )
    service.ask("POST", "/v1/browser/session", body={"code": code}, origin=OURS)
    for site in ("same-site", "cross-site", "none", None):
        refused = service.refusal("DELETE", "/v1/browser/session", site=site)
        assert refused is ForbiddenOrigin
    service.ask("DELETE", "/v1/browser/session", site="same-origin")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"code", b"[]", b'{"code": 7}', b"{}", b"\xff", b"[" * 4000),
        json.dumps({"code": "A" * BODY_BYTES}).encode(),
    ],
)
def test_what_has_no_code_is_told_so(body: bytes) -> None:
    assert Service().refusal("POST", "/v1/browser/session", body=body) is BadMessage


def test_what_no_code_can_be_is_a_wrong_one() -> None:
    for code in ("", "\ud800", "\udcff", "é" * 16, "A" * 1000):
        refused = Service().refusal("POST", "/v1/browser/session", body={"code": code})
        assert refused is Unauthorized


def test_the_page_and_its_files_are_for_everybody_under_our_name() -> None:
    service = Service()
    page = service.ask("GET", "/")

    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<title>PyREPL3</title>" in page.body
    assert service.ask("HEAD", "/console/console.css").headers["ETag"] != page.headers["ETag"]
    again = service.ask("GET", "/", if_none_match=page.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert "Content-Type" not in again.headers
    assert again.headers["Content-Security-Policy"] == page.headers["Content-Security-Policy"]
    assert service.refusal("GET", "/", host="evil.example") is MisdirectedHost
    assert service.refusal("GET", "/", origin="http://evil.example") is ForbiddenOrigin


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("GET", "/console/"),
        ("GET", "/console/../files.py"),
        ("DELETE", "/console/console.css"),
        ("GET", "/v1/browser/codes"),
        ("PUT", "/v1/browser/session"),
        ("GET", "/v1/browser/"),
    ],
)
def test_nothing_else_is_there(method: str, path: str) -> None:
    assert is_for_browsers(path)
    assert Service().refusal(method, path) is NotFound


def test_other_paths_are_not_its_business() -> None:
    for path in ("/v1/ws", "/v1/sessions", "/console", "/docs", "", "//", "/v1/browsers/x"):
        assert not is_for_browsers(path)


def test_no_secret_is_shown_by_what_is_logged_of_a_request() -> None:
    service = Service()
    code = service.code()
    body = json.dumps({"code": code}).encode()
    head = Head(host="localhost", origin=None, authorization="Bearer canary", method="POST")
    request = BrowserRequest("/v1/browser/session", head, None, None, body)
    told = answer(request, service.access, RULES, now=1.0)
    value = told.headers["Set-Cookie"].partition("=")[2].partition(";")[0]

    assert code not in repr(request)
    assert value not in repr(told)
    assert "canary" not in repr(request)
    assert value not in repr(BrowserRequest("/", head, f"pyrepl3_8765={value}"))
