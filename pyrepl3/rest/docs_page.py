"""The API's description as a page for people: plain HTML, that needs no script and no network.

Pure: from the OpenAPI document alone. Must not know routes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:0 auto;padding:1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{overflow:auto;padding:.6rem;border:1px solid #8885;border-radius:.4rem}
summary{cursor:pointer;padding:.4rem 0}
details{border-bottom:1px solid #8884}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;
vertical-align:top}
.method{display:inline-block;min-width:4.5rem;font-weight:600}
.quiet{opacity:.7}
"""


def render(document: Mapping[str, Any]) -> bytes:
    """The page."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} <span class=quiet>{escape(info['version'])}</span></h1>",
        f"<p>{_marked(info['description'])}",
        "<p>For programs: <a href='openapi.json'>openapi.json</a>",
    ]
    for tag, operations in _by_tag(document).items():
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_operation(*operation) for operation in operations]
    parts.append("<h2>Bodies</h2>")
    schemas = document["components"]["schemas"]
    parts += [_schema(name, schema) for name, schema in schemas.items()]
    return "".join(parts).encode()


def _by_tag(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str, Mapping[str, Any]]]]:
    found: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["other"])[0]
            found.setdefault(tag, []).append((method.upper(), path, operation))
    return found


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{escape(parameter['name'])} <span class=quiet>({escape(parameter['in'])})</span>",
            _marked(parameter.get("description", "")),
        )
        for parameter in operation.get("parameters", [])
    ]
    content = operation.get("requestBody", {}).get("content", {})
    rows += [("body", _link(media, each)) for media, each in content.items()]
    for status, response in operation["responses"].items():
        if "$ref" in response:
            rows.append((f"{status}", "<a href='#Problem'>Problem</a>"))
        for media, each in response.get("content", {}).items():
            rows.append((f"answer {status}", _link(media, each)))
    cells = "".join(f"<tr><td>{left}<td>{right}" for left, right in rows)
    return (
        f"<details><summary><span class=method>{method}</span> <code>{escape(path)}</code> "
        f"<span class=quiet>{escape(operation['summary'])}</span></summary>"
        f"<p>{_marked(operation['description'])}<table>{cells}</table></details>"
    )


def _link(media: str, each: Mapping[str, Any]) -> str:
    reference = each.get("schema", {}).get("$ref", "")
    name = reference.rpartition("/")[2]
    target = f" <a href='#{escape(name)}'>{escape(name)}</a>" if name else ""
    return f"<code>{escape(media)}</code>{target}"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{'' if field in required else ' <i>optional</i>'}"
        f"<td><code>{escape(_kind(each))}</code><td>{_marked(_description(each))}"
        for field, each in schema.get("properties", {}).items()
    )
    examples = "".join(
        f"<pre>{escape(json.dumps(example, indent=2))}</pre>"
        for example in schema.get("examples", ())
    )
    return (
        f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{_marked(schema.get('description', ''))}"
        f"<table>{rows}</table>{examples}"
    )


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(json.dumps(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


def _description(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", ""))


def _marked(text: str) -> str:
    """Escaped, with what stands between backquotes as code."""
    return "".join(_pieces(escape(text)))


def _pieces(text: str) -> Iterator[str]:
    for number, piece in enumerate(text.split("`")):
        yield f"<code>{piece}</code>" if number % 2 else piece
