"""Unit tests: what a worker may say, and that nothing else gets through."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.wire.frames import HEADER_BYTES, MAX_FRAME_BYTES, FrameTooLarge
from pyrepl3.wire.worker_messages import (
    ERROR_CODES,
    FIELDS,
    MAX_DEPTH,
    OutputShortcut,
    ProtocolViolation,
    decode_message,
    encode_message,
)

DROPPED = {"execution": "d", "bytes": 4096, "reason": "count"}

VALID: dict[str, dict[str, Any]] = {
    "ready": {"protocol": [1], "language": "python", "version": "3.11.7", "pid": 7},
    "output": {"execution": "e", "stream": "stdout", "data": b"hello"},
    "display": {
        "execution": None,
        "data": {"text/plain": "x"},
        "metadata": {},
        "display_id": None,
        "update": False,
    },
    "input": {"input": "i", "execution": "e", "prompt": "? ", "password": False},
    "result": {
        "execution": "e",
        "value": [1, {"a": None}],
        "has_value": True,
        "repr": "x",
        "data": {},
        "metadata": {},
        "execution_count": 1,
        "duration_s": 0.5,
        "usage": {},
        "state": "kept",
    },
    "begun": {"id": 1},
    "committed": {"id": 1},
    "rolled_back": {"id": 1},
    "keeping": {"id": 1, "count": 1, "dropped": [DROPPED]},
    "history": {
        "id": 1,
        "entries": [{"execution": "e", "private_bytes": 4096, "taken_at": 1.5}],
        "undone": [{"execution": "f", "private_bytes": 4096, "taken_at": 2.5}],
        "dropped": 0,
        "count": 10,
        "bytes": 2**20,
    },
    "undone": {"id": 1, "execution": "e"},
    "branched": {"id": 1, "pid": 1},
    "redone": {"id": 1, "execution": "e"},
    "trimmed": {"execution": "e", "dropped": [DROPPED]},
    "error": {
        "execution": "e",
        "name": "ValueError",
        "value": "v",
        "traceback": ["a\n", "b\n"],
        "code": None,
        "state": "kept",
        "execution_count": 1,
        "duration_s": 1,
        "usage": {},
        "exit_status": None,
    },
    "configured": {"id": 1},
    "failed": {"id": 1, "name": "OSError", "value": "v"},
    "completed": {"id": 1, "matches": ["print"], "cursor_start": 0, "cursor_end": 2},
    "inspected": {"id": 1, "found": True, "text": "t"},
    "completeness": {"id": 1, "status": "complete", "indent": ""},
    "heartbeat": {},
}

REPORT: dict[str, Any] = {
    "added": [{"name": "x", "type": "int", "size_bytes": 28}],
    "changed": [{"name": "y", "type": "X", "size_bytes": None, "is_modified": True}],
    "removed": [],
    "omitted": 0,
    "is_undone": False,
}
UNCOVERED: list[Any] = [{"kind": "file_written", "detail": "/x"}, {"kind": "more", "detail": "2"}]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=12))
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
near_misses = st.sampled_from(sorted(VALID)).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"type": st.just(kind)},
        optional={
            name: st.just(value) | st.just(value) | anything for name, value in VALID[kind].items()
        },
    )
)


def pack(message: object) -> bytes:
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return packed


def decodes_or_violates(body: bytes) -> dict[str, Any] | None:
    try:
        return decode_message(body)
    except ProtocolViolation:
        return None


def assert_safe(message: dict[str, Any] | None) -> None:
    """What was let through has each field that is stated, of a type that is stated."""
    if message is None:
        return
    for name, types in FIELDS[message["type"]].items():
        assert isinstance(message[name], types)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_a_violation(body: bytes) -> None:
    assert_safe(decodes_or_violates(body))


@given(anything)
def test_random_msgpack_raises_nothing_but_a_violation(value: object) -> None:
    assert_safe(decodes_or_violates(pack(value)))


@given(near_misses)
def test_messages_with_random_fields_raise_nothing_but_a_violation(message: dict[str, Any]) -> None:
    assert_safe(decodes_or_violates(pack(message)))


@given(st.sampled_from(sorted(VALID)), st.data())
def test_a_damaged_message_raises_nothing_but_a_violation(kind: str, data: st.DataObject) -> None:
    body = bytearray(pack({"type": kind, **VALID[kind]}))
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(0, len(body))) :]

    assert_safe(decodes_or_violates(bytes(body)))


def test_the_samples_are_of_every_kind() -> None:
    assert sorted(FIELDS) == sorted(VALID)


@pytest.mark.parametrize("kind", VALID)
def test_a_message_as_stated_gets_through_with_its_unknown_fields(kind: str) -> None:
    message = {"type": kind, **VALID[kind], "from_the_future": [1]}

    assert message == decode_message(pack(message))


@pytest.mark.parametrize(
    ("kind", "missing"), [(kind, name) for kind, fields in FIELDS.items() for name in fields]
)
def test_a_message_without_one_of_its_fields_is_a_violation(kind: str, missing: str) -> None:
    message = {"type": kind, **VALID[kind]}
    del message[missing]

    with pytest.raises(ProtocolViolation, match=missing):
        decode_message(pack(message))


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("output", "stream", "stdin"),
        ("output", "data", "text, not bytes"),
        ("output", "execution", 1),
        ("error", "traceback", ["a", 1]),
        ("error", "code", "WORKER_DIED"),
        ("error", "state", "lost"),
        ("result", "state", "lost"),
        ("history", "entries", [{"execution": 1}]),
        ("history", "undone", [{"execution": "e", "private_bytes": 1}]),
        ("keeping", "dropped", ["e"]),
        ("trimmed", "dropped", [{"execution": "e", "bytes": 1, "reason": "mood"}]),
        ("trimmed", "dropped", [{"execution": "e", "bytes": True, "reason": "count"}]),
        ("history", "entries", [{"execution": "e", "private_bytes": True, "taken_at": 1.5}]),
        ("error", "exit_status", 1.5),
        ("completed", "matches", [b"print"]),
        ("ready", "pid", "7"),
        ("result", "has_value", 1),
    ],
)
def test_a_field_that_is_not_as_stated_is_a_violation(kind: str, name: str, value: object) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(pack({"type": kind, **VALID[kind], name: value}))


@pytest.mark.parametrize("code", sorted(ERROR_CODES - {None}))
def test_a_worker_may_name_its_own_failures(code: str) -> None:
    message = {"type": "error", **VALID["error"], "code": code}

    assert code == decode_message(pack(message))["code"]


@pytest.mark.parametrize("value", [None, 1, "x", [], [{"type": "ready"}], b"\x80"])
def test_what_is_no_map_is_a_violation(value: object) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(pack(value))


@pytest.mark.parametrize("kind", [None, 1, b"ready", ["ready"], {}, "execute", "", "x" * 10_000])
def test_an_unknown_type_is_a_violation_told_in_a_few_words(kind: object) -> None:
    with pytest.raises(ProtocolViolation, match="unknown type") as caught:
        decode_message(pack({"type": kind}))

    assert len(str(caught.value)) <= 200


def test_a_type_that_nests_as_deep_as_msgpack_goes_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(pack({"type": nested(500)}))


def test_an_integer_as_key_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(pack({"type": "heartbeat", 1: 2}))


def test_invalid_utf_8_in_a_string_is_a_violation() -> None:
    message = pack({"type": "inspected", **VALID["inspected"], "text": "bad!"})

    with pytest.raises(ProtocolViolation):
        decode_message(message.replace(b"bad!", b"ba\xff!"))


def test_bytes_after_the_map_are_a_violation() -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(pack({"type": "heartbeat"}) + b"\x00")


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",  # never used by msgpack
        b"\xdf\xff\xff\xff\xff",  # a map of four billion
        b"\xdd\xff\xff\xff\xff",  # a list of as many
        b"\xc6\xff\xff\xff\xff",  # bytes
        b"\x81\xa4type\xc7\xff\xff",  # an extension
        b"\x91" * 100_000,  # lists in lists, for ever
        b"",
    ],
)
def test_a_bomb_is_a_violation(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(body)


def test_nesting_as_deep_as_allowed_passes() -> None:
    message = {"type": "result", **VALID["result"], "value": nested(MAX_DEPTH - 1)}

    assert message == decode_message(pack(message))


@pytest.mark.parametrize("field", ["value", "data", "unknown"])
def test_nesting_deeper_than_allowed_is_a_violation(field: str) -> None:
    deep: object = nested(MAX_DEPTH - 1)
    deep = {"deeper": deep} if field == "data" else [deep]
    message = {"type": "result", **VALID["result"], field: deep}

    with pytest.raises(ProtocolViolation, match="deeper"):
        decode_message(pack(message))


def test_a_message_of_the_service_travels_whole() -> None:
    message = {"type": "execute", "code": "é\ud800", "data": b"\xff", "limit": None}
    frame = encode_message(message)

    assert message == msgpack.unpackb(frame[HEADER_BYTES:], unicode_errors="surrogatepass")


def test_a_message_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(FrameTooLarge):
        encode_message({"type": "execute", "code": "x" * MAX_FRAME_BYTES})


# --- the shortcut for a flood of output --------------------------------------------------------

lines = st.lists(st.binary(max_size=300), min_size=1, max_size=8)


def output_body(data: bytes, execution: str | None = "e", stream: str = "stdout") -> bytes:
    return pack({"type": "output", "execution": execution, "stream": stream, "data": data})


@given(lines)
def test_the_shortcut_finds_what_decoding_finds(sent: list[bytes]) -> None:
    shortcut = OutputShortcut()
    shortcut.learn(output_body(sent[0]), sent[0])

    for data in sent:
        assert shortcut.data_of(output_body(data)) in (data, None)


def test_the_shortcut_takes_short_lines() -> None:
    shortcut = OutputShortcut()
    shortcut.learn(output_body(b"first"), b"first")

    assert shortcut.data_of(output_body(b"second")) == b"second"


@given(lines, st.binary(max_size=60))
def test_the_shortcut_takes_nothing_that_decoding_would_refuse(
    sent: list[bytes], end: bytes
) -> None:
    first = sent[0]
    prefix = output_body(first)[: -len(first) - 2] if len(first) < 256 else b""
    shortcut = OutputShortcut()
    shortcut.learn(output_body(first), first)

    data = shortcut.data_of(prefix + end)

    if data is not None:
        assert data == decode_message(prefix + end)["data"]


@pytest.mark.parametrize(
    "other",
    [
        output_body(b"x", execution="f"),
        output_body(b"x", stream="stderr"),
        output_body(b"x", execution=None),
        pack({"type": "heartbeat"}),
        b"",
    ],
)
def test_the_shortcut_leaves_what_begins_otherwise_to_decoding(other: bytes) -> None:
    shortcut = OutputShortcut()
    shortcut.learn(output_body(b"first"), b"first")

    assert shortcut.data_of(other) is None


def test_a_shortcut_that_was_told_to_forget_takes_nothing() -> None:
    shortcut = OutputShortcut()
    shortcut.learn(output_body(b"first"), b"first")
    shortcut.forget()

    assert shortcut.data_of(output_body(b"second")) is None


@pytest.mark.parametrize(
    "value",
    [b"bytes", math.nan, math.inf, msgpack.ExtType(1, b"x"), {b"key": 1}],
    ids=["bytes", "nan", "infinity", "extension", "key"],
)
def test_a_value_that_json_cannot_say_is_refused(value: object) -> None:
    message = {"type": "result", **VALID["result"], "value": [{"deep": value}]}

    with pytest.raises(ProtocolViolation):
        decode_message(pack(message))


def test_a_worker_that_speaks_another_protocol_is_refused() -> None:
    message = {"type": "ready", **VALID["ready"], "protocol": [99]}

    with pytest.raises(ProtocolViolation, match="another protocol"):
        decode_message(pack(message))


@pytest.mark.parametrize("kind", ["result", "error"])
def test_the_end_of_an_execution_may_tell_what_it_did(kind: str) -> None:
    message = {"type": kind, **VALID[kind], "namespace": REPORT, "uncovered": UNCOVERED}
    silent = {"type": kind, **VALID[kind], "namespace": None, "uncovered": None}

    assert decode_message(pack(message)) == message
    assert decode_message(pack(silent)) == silent


WRONG_REPORTS: list[Any] = [
    5,
    [],
    {},
    {**REPORT, "omitted": -1},
    {**REPORT, "omitted": True},
    {**REPORT, "is_undone": 0},
    {**REPORT, "removed": None},
    {**REPORT, "removed": [5]},
    {**REPORT, "added": [{"name": "x", "type": "int"}]},
    {**REPORT, "added": [{"name": 5, "type": "int", "size_bytes": 28}]},
    {**REPORT, "added": [{"name": "x", "type": None, "size_bytes": 28}]},
    {**REPORT, "added": [{"name": "x", "type": "int", "size_bytes": "28"}]},
    {**REPORT, "added": [{"name": "x", "type": "int", "size_bytes": 28, "is_modified": 1}]},
]
WRONG_UNCOVERED: list[Any] = [
    5,
    {},
    [5],
    [{"kind": "file_written"}],
    [{"kind": "other", "detail": "/x"}],
    [{"kind": [], "detail": "/x"}],
    [{"kind": "file_written", "detail": 5}],
]


@pytest.mark.parametrize("kind", ["result", "error"])
@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("namespace", each) for each in WRONG_REPORTS),
        *(("uncovered", each) for each in WRONG_UNCOVERED),
    ],
)
def test_what_it_did_is_told_as_it_has_to_be_or_not_at_all(
    kind: str, field: str, wrong: Any
) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(pack({"type": kind, **VALID[kind], field: wrong}))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("result", {"at_risk_since": 3, "in_place": True, "by_reference": ["a", "b"]}),
        ("error", {"at_risk_since": 0, "in_place": False, "by_reference": []}),
        ("begun", {"by_reference": ["a"]}),
        ("rolled_back", {"in_place": True}),
        ("committed", {"by_reference": 7}),  # a field that it has not means nothing
    ],
)
def test_what_may_be_left_out_may_be_said(kind: str, fields: dict[str, Any]) -> None:
    message = {"type": kind, **VALID[kind], **fields}

    assert decode_message(msgpack.packb(message)) == message


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("result", {"at_risk_since": "3"}),
        ("error", {"in_place": 1}),
        ("begun", {"by_reference": "a"}),
        ("begun", {"by_reference": [7]}),
        ("result", {"by_reference": ["a"] * 1001}),
        ("rolled_back", {"in_place": None}),
    ],
)
def test_what_may_be_left_out_is_checked_where_it_is_said(
    kind: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(msgpack.packb({"type": kind, **VALID[kind], **fields}))
