"""Messages of clients as bytes: JSON or msgpack, and back.

Owns what either format may say, so that both say the same: one map, its keys strings and each
there once, numbers that JSON has, no nesting to exhaust anybody. Must not know any message.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, NoReturn

import msgpack

from pyrepl3.errors import BadMessage

MAX_DEPTH = 64
"""Deepest nesting of a message, as on the worker link."""

LEAST_INTEGER, GREATEST_INTEGER = -(2**63), 2**64 - 1
"""What msgpack has: JSON could say more, and what came by it is told to clients of either."""

_SCALARS = frozenset({str, bool, type(None)})
_PLAIN = _SCALARS | {int}
"""What msgpack says in no way that anybody cannot read. A float may be no number."""


class Format(enum.StrEnum):
    """The two, by the names of their subprotocols."""

    JSON = "pyrepl3.v1.json"
    MSGPACK = "pyrepl3.v1.msgpack"


def decode_json(text: str | bytes) -> dict[str, Any]:
    """The message in that text. Raises BadMessage."""
    try:
        message = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise bad_message(f"it is not JSON: {error}") from None
    return _checked(message)


def decode_msgpack(body: bytes) -> dict[str, Any]:
    """The message in those bytes. Raises BadMessage."""
    try:
        message = msgpack.unpackb(body, raw=False, strict_map_key=True, object_pairs_hook=_unique)
    except msgpack.exceptions.StackError:
        raise _too_deep() from None
    except ValueError as error:
        raise bad_message(f"it is not msgpack: {error}") from None
    return _checked(message)


def encode_json(message: Mapping[str, Any]) -> str:
    """Its text. A lone surrogate is escaped, as no text frame can hold it."""
    text = _dump(message)
    return text if text.isascii() else _dump_ascii_if_broken(text, message)


def encode_msgpack(message: Mapping[str, Any]) -> bytes:
    """Its bytes. A lone surrogate becomes its backslash escape, as msgpack's strings are UTF-8."""
    packed: bytes = msgpack.packb(message, unicode_errors="backslashreplace")
    return packed


def encode_request(message: Mapping[str, Any]) -> bytes:
    """As `encode_msgpack`, of what a caller gave: only what the other side can read.

    Raises BadMessage.
    """
    try:
        packed = encode_msgpack(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad_message(f"it cannot be encoded: {error}") from None
    if not _PLAIN.issuperset(map(type, message.values())):
        decode_msgpack(packed)
    return packed


PROTOCOL = "docs/protocol.md has what may be sent"


def bad_message(why: str, *, how: str = PROTOCOL, **details: Any) -> BadMessage:
    """A message that nobody can act on; ``how`` names what a WebSocket's client reads."""
    return BadMessage(
        what="this message cannot be understood",
        why=why,
        how=how,
        details=details,
    )


_dump = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
_dump_ascii = json.JSONEncoder(check_circular=False, allow_nan=False, separators=(",", ":")).encode


def _dump_ascii_if_broken(text: str, message: Mapping[str, Any]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _dump_ascii(message)
    return text


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key is there twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _too_deep() -> BadMessage:
    return bad_message(f"it is nested more deeply than {MAX_DEPTH}")


def _checked(message: Any) -> dict[str, Any]:
    """The message, if both formats could say it; level by level, without recursion."""
    if type(message) is not dict:
        raise bad_message(f"it is a {type(message).__name__}, and no map")
    level: list[Any] = [message]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for container in level:
            children = container
            if type(container) is dict:
                children = container.values()
                if not all(type(key) is str for key in container):
                    raise bad_message("a key is no string")
            for child in children:
                child_type = type(child)
                if child_type is dict or child_type is list:
                    deeper.append(child)
                elif child_type is float:
                    if not isfinite(child):
                        raise bad_message(f"{child} is no number of JSON")
                elif child_type is int:
                    if not LEAST_INTEGER <= child <= GREATEST_INTEGER:
                        raise bad_message("a whole number in it has more than 64 bits")
                elif child_type not in _SCALARS:
                    raise bad_message(f"a {child_type.__name__} is in it")
        if not deeper:
            return message
        level = deeper
    raise _too_deep()
