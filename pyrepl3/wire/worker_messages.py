"""The messages of the worker link: what the service may send, what a worker may say.

Owns their fields and the checks that make a worker's bytes safe to use (protocol.md 1). Pure:
bytes in, checked maps out. Must not know sessions, sockets or trio. A worker is trusted with
nothing: whatever is not exactly as stated here is a `ProtocolViolation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgpack

from pyrepl3.wire import worker_reports
from pyrepl3.wire.frames import encode_frame

PROTOCOL_VERSION = 1
MAX_DEPTH = 64
"""Deepest nesting of a message: protocol.md 1."""

_STRING = (str,)
_STRING_OR_NONE = (str, type(None))
_INTEGER = (int,)
_NUMBER = (int, float)
_MAP = (dict,)
_LIST = (list,)
_ANYTHING = (object,)

FIELDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "ready": {"protocol": _LIST, "language": _STRING, "version": _STRING, "pid": _INTEGER},
    "output": {"execution": _STRING_OR_NONE, "stream": _STRING, "data": (bytes,)},
    "display": {
        "execution": _STRING_OR_NONE,
        "data": _MAP,
        "metadata": _MAP,
        "display_id": _STRING_OR_NONE,
        "update": (bool,),
    },
    "input": {"input": _STRING, "execution": _STRING, "prompt": _STRING, "password": (bool,)},
    "result": {
        "execution": _STRING,
        "value": _ANYTHING,
        "has_value": (bool,),
        "repr": _STRING,
        "data": _MAP,
        "metadata": _MAP,
        "execution_count": _INTEGER,
        "duration_s": _NUMBER,
        "usage": _MAP,
        "state": _STRING,
    },
    "error": {
        "execution": _STRING,
        "name": _STRING,
        "value": _STRING,
        "traceback": _LIST,
        "code": _STRING_OR_NONE,
        "state": _STRING,
        "execution_count": _INTEGER,
        "duration_s": _NUMBER,
        "usage": _MAP,
        "exit_status": (int, type(None)),
    },
    "configured": {"id": _INTEGER},
    "failed": {"id": _INTEGER, "name": _STRING, "value": _STRING},
    "completed": {"id": _INTEGER, "matches": _LIST, "cursor_start": _INTEGER,
                  "cursor_end": _INTEGER},
    "inspected": {"id": _INTEGER, "found": (bool,), "text": _STRING},
    "completeness": {"id": _INTEGER, "status": _STRING, "indent": _STRING},
    "begun": {"id": _INTEGER},
    "committed": {"id": _INTEGER},
    "rolled_back": {"id": _INTEGER},
    "keeping": {"id": _INTEGER, "count": _INTEGER, "dropped": _LIST},
    "history": {"id": _INTEGER, "entries": _LIST, "undone": _LIST, "dropped": _INTEGER,
                "count": _INTEGER, "bytes": _INTEGER},
    "undone": {"id": _INTEGER, "execution": _STRING},
    "branched": {"id": _INTEGER, "pid": _INTEGER},
    "redone": {"id": _INTEGER, "execution": _STRING},
    "trimmed": {"execution": _STRING, "dropped": _LIST},
    "heartbeat": {},
}  # fmt: skip
"""What a worker may send, and the types of each field. A `result` and an `error` may have
``namespace`` and ``uncovered`` as well: see `worker_reports`."""

OPTIONAL_FIELDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "result": {"at_risk_since": _INTEGER, "in_place": (bool,), "by_reference": _LIST},
    "error": {"at_risk_since": _INTEGER, "in_place": (bool,), "by_reference": _LIST},
    "begun": {"by_reference": _LIST},
    "rolled_back": {"in_place": (bool,)},
}
"""What it may leave out: only a worker that keeps a snapshot open behind an execution, or that
copies variables, has anything to say there."""
MOST_BY_REFERENCE = 1000
"""Names, as in worker/copying.py."""

ERROR_CODES = frozenset(
    {
        None,
        "INTERRUPTED",
        "STDIN_UNAVAILABLE",
        "RUNNER_BROKEN",
        "TRANSACTION_ACTIVE",
        "NO_TRANSACTION",
        "SNAPSHOT_UNAVAILABLE",
    }
)
"""What a worker may say of its own failures; every other code is the service's to give."""

_STATES = frozenset({"kept", "rolled_back"})
"""What a worker may say of its state: the rest is what its death says."""
_SCALARS = frozenset({str, int, bool, type(None)})
_STREAMS = frozenset({"stdout", "stderr"})


class ProtocolViolation(Exception):
    """A worker sent what no worker may send. Its session ends; no other is touched."""


def encode_message(message: Mapping[str, Any]) -> bytes:
    """The frame that carries a message of the service.

    Raises FrameTooLarge. Lone surrogates are passed on as they are: the worker's compiler
    is the one to refuse them.
    """
    return encode_frame(msgpack.packb(message, use_bin_type=True, unicode_errors="surrogatepass"))


def decode_message(body: bytes) -> dict[str, Any]:
    """The checked message of one frame's body.

    Raises ProtocolViolation. Unknown fields are left in, and mean nothing.
    """
    try:
        message = msgpack.unpackb(body, raw=False, strict_map_key=True)
    except (ValueError, msgpack.exceptions.StackError) as error:
        raise ProtocolViolation(f"a frame that is no msgpack map: {error}") from error
    if type(message) is not dict:
        raise ProtocolViolation(f"a frame that holds a {type(message).__name__}, not a map")
    kind = message.get("type")
    if not isinstance(kind, str) or (fields := FIELDS.get(kind)) is None:
        raise ProtocolViolation(f"a message of the unknown type {kind!r}"[:200])
    for name, types in fields.items():
        if name not in message or not isinstance(message[name], types):
            raise ProtocolViolation(f"a {kind!r} message whose {name!r} is missing or wrong")
    for name, types in OPTIONAL_FIELDS.get(kind, {}).items():
        if name in message and not isinstance(message[name], types):
            raise ProtocolViolation(f"a {kind!r} message whose {name!r} is wrong")
    if kind == "output":
        if message["stream"] not in _STREAMS:
            raise ProtocolViolation("output of an unknown stream")
    else:
        _check_rest(kind, message)
    return message


class OutputShortcut:
    """Takes the data out of output frames that begin like the last one, without decoding them.

    A flood of lines differs in nothing but its data: that is told by comparing bytes, at a third
    of the cost of decoding. Only exact matches count; everything else is decoded and checked.
    """

    __slots__ = ("_prefix", "_prefix_bytes")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """What comes next is not more of the same."""
        self._prefix = b""
        self._prefix_bytes = 0

    def learn(self, body: bytes, data: bytes) -> None:
        """Frames that begin like this one carry output of the same execution and stream."""
        header = _bin_header(len(data))
        if body.endswith(header + data):
            self._prefix = body[: len(body) - len(header) - len(data)]
            self._prefix_bytes = len(self._prefix)

    def data_of(self, body: bytes) -> bytes | None:
        """The data of a frame like the one that was learnt, else None."""
        start = self._prefix_bytes
        if not start or not body.startswith(self._prefix):
            return None
        size = len(body) - start
        # msgpack's bin 8, with one byte for the length; longer data is worth decoding.
        if size >= 2 and body[start] == 0xC4 and body[start + 1] == size - 2:
            return body[start + 2 :]
        return None


def _bin_header(size: int) -> bytes:
    packed: bytes = msgpack.packb(bytes(size), use_bin_type=True)
    return packed[: len(packed) - size]


def _check_rest(kind: str, message: dict[str, Any]) -> None:
    _check_json(kind, message)
    names = message["by_reference"] if _tells_names(kind, message) else ()
    if len(names) > MOST_BY_REFERENCE or not all(isinstance(name, str) for name in names):
        raise ProtocolViolation("too many names that are kept by reference, or what is none")
    if kind == "ready" and PROTOCOL_VERSION not in message["protocol"]:
        raise ProtocolViolation(f"speaking another protocol than version {PROTOCOL_VERSION}")
    if kind in ("error", "result"):
        complaint = worker_reports.complaint(message)
        if complaint is not None:
            raise ProtocolViolation(complaint)
    if kind == "error":
        if not all(isinstance(line, str) for line in message["traceback"]):
            raise ProtocolViolation("a traceback that is no list of strings")
        if message["code"] not in ERROR_CODES or message["state"] not in _STATES:
            raise ProtocolViolation("an error whose code or state is not a worker's to say")
    elif kind == "result" and message["state"] not in _STATES:
        raise ProtocolViolation("a result whose state is not a worker's to say")
    elif kind == "history" and not all(
        map(_is_history_entry, [*message["entries"], *message["undone"]])
    ):
        raise ProtocolViolation("a history whose entries are not as they have to be")
    elif kind in ("keeping", "trimmed") and not all(map(_is_dropped, message["dropped"])):
        raise ProtocolViolation("parts of a history that gave way and are not as they have to be")
    elif kind == "completed" and not all(isinstance(match, str) for match in message["matches"]):
        raise ProtocolViolation("completions that are no strings")


def _tells_names(kind: str, message: Mapping[str, Any]) -> bool:
    return "by_reference" in OPTIONAL_FIELDS.get(kind, {}) and "by_reference" in message


def _is_history_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("execution"), str)
        and type(entry.get("private_bytes")) is int
        and isinstance(entry.get("taken_at"), float)
    )


def _is_dropped(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("execution"), str)
        and type(entry.get("bytes")) is int
        and entry.get("reason") in ("count", "bytes")
    )


def _check_json(kind: str, message: dict[str, Any]) -> None:
    """Refuse what JSON cannot say, or what nests too deep; level by level, without recursion."""
    level: list[Any] = [message]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for container in level:
            children = container
            if type(container) is dict:
                children = container.values()
                if bytes in map(type, container):  # the only other kind of key that msgpack lets in
                    raise ProtocolViolation(f"a {kind!r} message with a key that is no string")
            for child in children:
                child_type = type(child)
                if child_type is dict or child_type is list:
                    deeper.append(child)
                elif child_type is float:
                    if not isfinite(child):
                        raise ProtocolViolation(f"a {kind!r} message with {child} in it")
                elif child_type not in _SCALARS:
                    raise ProtocolViolation(f"a {kind!r} message with a {child_type.__name__}")
        if not deeper:
            return
        level = deeper
    raise ProtocolViolation(f"a {kind!r} message nested deeper than {MAX_DEPTH}")
