"""Unit tests: the two formats of clients' messages say the same, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.errors import BadMessage
from pyrepl3.wire.client_codec import (
    MAX_DEPTH,
    decode_json,
    decode_msgpack,
    encode_json,
    encode_msgpack,
)

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text
)
messages = st.dictionaries(
    _text, st.recursive(_scalars, lambda t: st.lists(t, max_size=3) | st.dictionaries(_text, t))
)


@given(messages)
def test_what_is_encoded_is_decoded_again_in_either_format(message: dict[str, Any]) -> None:
    assert decode_json(encode_json(message)) == message
    assert decode_json(encode_json(message).encode()) == message
    assert decode_msgpack(encode_msgpack(message)) == message


@given(st.binary())
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    for decode in (decode_json, decode_msgpack):
        with suppress(BadMessage):
            assert isinstance(decode(data), dict)


def nested(depth: int) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for _ in range(depth - 1):
        message = {"a": message}
    return message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "it is a list, and no map"),
        ("1", "it is a int"),
        ('{"a":1,"a":2}', "a key is there twice"),
        ('{"a":{"b":1,"b":1}}', "a key is there twice"),
        ('{"a":NaN}', "NaN is no number"),
        ('{"a":-Infinity}', "-Infinity is no number"),
        ('{"a":1e400}', "1e400 is too large"),
        ('{"a":-1e999999}', "too large"),
        ('{"a":' + "1" * 5000 + "}", "not JSON"),
        (f'{{"a":{2**64}}}', "more than 64 bits"),
        (f'{{"a":[{-(2**63) - 1}]}}', "more than 64 bits"),
        ("[" * 100_000, "nested more deeply than 64"),
        (json.dumps(nested(MAX_DEPTH + 1)), "nested more deeply than 64"),
        (b"\xff\xfe{}", "not JSON"),
    ],
)
def test_bad_json_is_refused_with_the_reason(text: str | bytes, why: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode_json(text)

    assert why in caught.value.why


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not msgpack"),
        (b"\xc1", "not msgpack"),
        (b"\x93", "not msgpack"),
        (msgpack.packb([]), "it is a list"),
        (msgpack.packb({}) + b"\x00", "not msgpack"),
        (b"\x82\xa1a\x01\xa1a\x02", "a key is there twice"),
        (msgpack.packb({1: 2}), "not msgpack"),
        (msgpack.packb({b"a": 2}), "a key is no string"),
        (msgpack.packb({"a": b"b"}), "a bytes is in it"),
        (msgpack.packb({"a": float("nan")}), "nan is no number"),
        (msgpack.packb({"a": [float("inf")]}), "inf is no number"),
        (msgpack.packb({"a": msgpack.ExtType(5, b"")}), "a ExtType is in it"),
        (msgpack.packb({"a": msgpack.Timestamp(5)}), "a Timestamp is in it"),
        (b"\x81\xa1a" * 3000, "nested more deeply than 64"),
        (msgpack.packb(nested(MAX_DEPTH + 1)), "nested more deeply than 64"),
        (b"\x81\xa1\xff\x01", "not msgpack"),
    ],
)
def test_bad_msgpack_is_refused_with_the_reason(body: bytes, why: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode_msgpack(body)

    assert why in caught.value.why


def test_what_is_nested_as_deeply_as_may_be_is_taken() -> None:
    message = nested(MAX_DEPTH)

    assert decode_json(json.dumps(message)) == message
    assert decode_msgpack(msgpack.packb(message)) == message


def test_a_lone_surrogate_can_be_told() -> None:
    message = {"data": "é\ud800"}

    assert encode_json(message) == '{"data":"\\u00e9\\ud800"}'
    assert decode_msgpack(encode_msgpack(message)) == {"data": "é\\ud800"}
    assert encode_json({"data": "é"}) == '{"data":"é"}'
