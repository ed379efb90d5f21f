"""The API's description as OpenAPI 3.1, made from the routes and from the attrs classes.

Owns what the framework does not know: bodies and their bounds as msgspec checks them, examples,
problems, streams, and how to be authorized. Must not know any single route: each says in its `opt`
what is special about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import attrs
import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from pyrepl3 import __version__
from pyrepl3.endpoint.problems import PROBLEM_JSON
from pyrepl3.rest import answers, wishes
from pyrepl3.rest.examples import EXAMPLES
from pyrepl3.rest.parameters import SCHEMAS

VERSION = "3.1.0"
DESCRIPTION = (
    "Stateful sessions, each in a process of its own. Everything but this description needs "
    "`Authorization: Bearer TOKEN`. Errors are problems (RFC 9457) that say what went wrong, why, "
    "and how to mend it."
)
_REF = "#/components/schemas/{name}"
_EVENT = {"type": "object", "description": "An event: docs/protocol.md has them."}
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def document(app: Litestar, prefix: str) -> Mapping[str, Any]:
    """The description. Shared: not to be changed."""
    return _made(app, prefix)


def encoded(app: Litestar, prefix: str) -> bytes:
    """Its JSON."""
    return json.dumps(document(app, prefix)).encode()


@lru_cache(maxsize=4)
def _made(app: Litestar, prefix: str) -> Mapping[str, Any]:
    made = app.openapi_schema.to_schema()
    made["openapi"] = VERSION
    made["info"] = {"title": "PyREPL3", "version": __version__, "description": DESCRIPTION}
    made["servers"] = [{"url": prefix or "/"}]
    made["security"] = [{"token": []}]
    made["components"] = {
        "schemas": _schemas(),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "responses": {
            "Problem": {
                "description": "What went wrong, why, and how to mend it",
                "content": {PROBLEM_JSON: {"schema": {"$ref": _REF.format(name="Problem")}}},
            }
        },
    }
    for operation, handler in _operations(app, made):
        _complete(operation, handler)
    return made


def _operations(
    app: Litestar, made: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], HTTPRouteHandler]]:
    handlers = {
        handler.handler_name: handler
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler)
    }
    for path in made["paths"].values():
        for operation in path.values():
            yield operation, handlers[operation["operationId"]]


def _complete(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    described = (handler.fn.__doc__ or "").strip()
    operation["summary"], _, more = described.partition("\n")
    operation["summary"] = operation["summary"].rstrip(".")
    operation["description"] = " ".join(more.split()) or operation["summary"]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in SCHEMAS:
            parameter["schema"] = dict(SCHEMAS[parameter["name"]])
    body = handler.opt.get("body")
    if body is not None:
        operation["requestBody"] = {
            "required": not handler.opt.get("optional", False),
            "content": {"application/json": {"schema": {"$ref": _REF.format(name=body.__name__)}}},
        }
    responses = operation["responses"]
    responses.pop("400", None)  # the framework's, which nobody is told
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    for response in responses.values():
        if isinstance(response, dict) and not response.get("headers", True):
            del response["headers"]
    _complete_special(operation, handler.opt)


def _complete_special(operation: dict[str, Any], opt: Mapping[str, Any]) -> None:
    responses = operation["responses"]
    if opt.get("upload"):
        operation["requestBody"] = {"required": False, "content": _BINARY}
        for name in ("Repr-Digest", "Content-Digest"):
            operation.setdefault("parameters", []).append(
                {
                    "name": name,
                    "in": "header",
                    "required": False,
                    "schema": {"type": "string"},
                    "description": "`sha-256=:BASE64:`, checked before the file is there.",
                }
            )
    if opt.get("download"):
        directory = {"application/json": {"schema": {"$ref": _REF.format(name="Directory")}}}
        responses["200"] = {
            "description": "The file, or its entries",
            "content": _BINARY | directory,
        }
    if opt.get("stream"):
        outcome: dict[str, Any] = {}
        if opt.get("body"):
            outcome = {"application/json": {"schema": {"$ref": _REF.format(name="Outcome")}}}
        stream = {"text/event-stream": {"schema": {"type": "string"}}}
        lines = {"application/x-ndjson": {"schema": {"type": "string"}}}
        responses["200"] = {
            "description": "How it ended, or its events as they come",
            "content": {**outcome, **lines, **stream},
        }
    elif opt.get("body") is wishes.OneShot:
        responses["200"] = _answer("How it ended", "Outcome")
    if opt.get("later"):
        responses["202"] = _answer("It goes on", "Execution")


def _answer(description: str, name: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=name)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _schemas() -> dict[str, Any]:
    """Of every body, with the bounds that are checked."""
    _, schemas = msgspec.json.schema_components(
        [*wishes.WISHES, *answers.ANSWERS], ref_template=_REF
    )
    for kind, example in EXAMPLES.items():
        schemas[kind.__name__]["examples"] = [dict(example)]
    for kind in answers.ANSWERS:
        if kind is not answers.Problem:
            _require_all(schemas[kind.__name__], kind)
    return dict(sorted(schemas.items()))


def _require_all(schema: dict[str, Any], kind: type[Any]) -> None:
    """What is answered has each field that has no default, whatever it holds."""
    schema["required"] = [
        field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING
    ]
