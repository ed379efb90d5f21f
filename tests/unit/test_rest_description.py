"""Unit tests: what REST says of itself: bodies, parameters, the OpenAPI document, its page."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import Any, cast

import attrs
import msgspec
import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from openapi_spec_validator import OpenAPIV31SpecValidator

import pyrepl3
from pyrepl3.errors import BadMessage
from pyrepl3.rest import answers, wishes
from pyrepl3.rest.application import DESCRIBED_AT, OPEN_PATHS, litestar_of
from pyrepl3.rest.call import Service
from pyrepl3.rest.docs_page import render
from pyrepl3.rest.examples import EXAMPLES
from pyrepl3.rest.openapi import document
from pyrepl3.telemetry.observing import Observers
from pyrepl3.wire import client_requests as wire

UNDESCRIBED = {*OPEN_PATHS, "/metrics"}
"""The description and its page, and what machines watch: that has a form of its own."""


@pytest.fixture(scope="module")
def application() -> Litestar:
    """One that is asked nothing but what it looks like."""
    nobody = cast(Any, None)
    return litestar_of(Service(pyrepl3.Config(), nobody, nobody, nobody, nobody, Observers()))


@pytest.fixture(scope="module")
def described(application: Litestar) -> dict[str, Any]:
    return copy.deepcopy(dict(document(application, "/prefix")))


# --- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_is_one(kind: type[Any]) -> None:
    assert isinstance(msgspec.convert(dict(EXAMPLES[kind]), kind), kind)


@pytest.mark.parametrize(
    ("body", "request_kind", "others"),
    [
        # A trace is a header's; a client of REST says that it sends again by its Idempotency-Key.
        (wishes.SessionWish, wire.OpenSession, {"id", "traceparent"}),
        (
            wishes.ExecutionWish,
            wire.Execute,
            {"id", "session", "execution", "traceparent", "again_since"},
        ),
        (wishes.InterruptWish, wire.Interrupt, {"id", "session"}),
        (wishes.InputLine, wire.InputResponse, {"id", "session", "again"}),
    ],
)
def test_rest_may_say_what_the_websocket_may(
    body: type[Any], request_kind: type[Any], others: set[str]
) -> None:
    """With the same defaults, so that neither is behind."""

    def told(kind: type[Any]) -> dict[str, Any]:
        fields = {field.name: field.default for field in attrs.fields(kind)}
        return {
            name: default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
            for name, default in fields.items()
        }

    expected = {name: default for name, default in told(request_kind).items() if name not in others}
    assert told(body) == expected


def test_fields_that_are_not_known_are_ignored_and_wrong_ones_are_told() -> None:
    assert wishes.read({"code": "1", "new": 1}, wishes.ExecutionWish).code == "1"
    for wrong in ({}, {"code": 1}, {"code": "1", "timeout_s": 0}, {"code": "1", "silent": "yes"}):
        with pytest.raises(BadMessage):
            wishes.read(wrong, wishes.ExecutionWish)


# --- the document -------------------------------------------------------------------------------


def test_the_document_is_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1.")
    assert described["servers"] == [{"url": "/prefix"}]
    OpenAPIV31SpecValidator(described).validate()


def test_every_route_is_in_it(application: Litestar, described: dict[str, Any]) -> None:
    routes = {
        (re.sub(r":\w+", "", route.path_format), method)
        for route in application.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler)
        for method in handler.http_methods - {"OPTIONS"}
        if route.path not in UNDESCRIBED and not route.path.startswith(DESCRIBED_AT)
    }
    told = {
        (path, method.upper())
        for path, operations in described["paths"].items()
        for method in operations
    }

    assert told == routes
    assert len(told) >= 17


def test_every_operation_says_what_it_does_and_how_it_fails(described: dict[str, Any]) -> None:
    names = set()
    for operations in described["paths"].values():
        for operation in operations.values():
            names.add(operation["operationId"])
            assert operation["summary"]
            assert operation["tags"]
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], parameter
    assert len(names) == sum(len(each) for each in described["paths"].values())


def test_bounds_that_are_checked_are_told(described: dict[str, Any]) -> None:
    run = described["paths"]["/v1/sessions/{session}/executions"]["post"]
    parameters = {each["name"]: each["schema"] for each in run["parameters"]}
    schemas = described["components"]["schemas"]

    assert parameters["Idempotency-Key"]["maxLength"] == wire.NAME_CHARACTERS
    assert (parameters["wait_s"]["minimum"], parameters["wait_s"]["maximum"]) == (0, 86_400)
    assert set(run["responses"]) == {"200", "202", "default"}
    assert schemas["ExecutionWish"]["required"] == ["code"]
    assert set(schemas) >= {kind.__name__ for kind in (*wishes.WISHES, *answers.ANSWERS)}


# --- the page -----------------------------------------------------------------------------------


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]


def read(page: bytes) -> Tags:
    tags = Tags()
    tags.feed(page.decode())
    return tags


def test_the_page_shows_all_of_it_and_loads_nothing(described: dict[str, Any]) -> None:
    page = render(described)
    seen = read(page)

    assert not {"script", "img", "link", "iframe"} & set(seen.tags)
    assert all(each == "openapi.json" or each.startswith("#") for each in seen.sources)
    for path in described["paths"]:
        assert path in page.decode()
    for target in (each[1:] for each in seen.sources if each.startswith("#")):
        assert f"id='{target}'" in page.decode()


def test_whatever_the_document_says_is_text_on_the_page(described: dict[str, Any]) -> None:
    """Each string of it, with markup added to it."""
    bad = "<script>'\"&`</td>"

    def spoil(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: spoil(each) for name, each in part.items()}
        if isinstance(part, list):
            return [spoil(each) for each in part]
        return part + bad if isinstance(part, str) else part

    spoiled = spoil(described)
    spoiled["paths"] = {path + bad: each for path, each in spoiled["paths"].items()}

    assert read(render(spoiled)).tags.count("script") == 0
    assert read(render(spoiled)).tags.count("details") == read(render(described)).tags.count(
        "details"
    )
