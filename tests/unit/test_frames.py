"""Unit tests: frames of the worker link, whatever the boundaries of the reads."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.wire.frames import (
    HEADER,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    FrameDecoder,
    FrameTooLarge,
    encode_frame,
)

bodies = st.lists(st.binary(max_size=40), max_size=8)


def all_frames(decoder: FrameDecoder) -> list[bytes]:
    frames = []
    while (frame := decoder.next_frame()) is not None:
        frames.append(frame)
    return frames


@st.composite
def split_streams(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Bodies, and the reads that their frames arrive in: cut anywhere, also into nothing."""
    sent = draw(bodies)
    stream = b"".join(map(encode_frame, sent))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    reads = [stream[start:end] for start, end in itertools.pairwise(edges)]
    return sent, reads


@given(split_streams())
def test_any_split_of_the_bytes_gives_the_same_frames(
    case: tuple[list[bytes], list[bytes]],
) -> None:
    sent, reads = case
    decoder = FrameDecoder()

    received = []
    for read in reads:
        decoder.receive(read)
        received.extend(all_frames(decoder))

    assert sent == received
    assert decoder.pending_bytes == 0


@given(split_streams())
def test_frames_may_be_taken_at_any_time_after_their_bytes(
    case: tuple[list[bytes], list[bytes]],
) -> None:
    sent, reads = case
    decoder = FrameDecoder()

    received = []
    for number, read in enumerate(reads):
        decoder.receive(read)
        if number % 3 == 1 and (frame := decoder.next_frame()) is not None:
            received.append(frame)
    received.extend(all_frames(decoder))

    assert sent == received
    assert all(type(frame) is bytes for frame in received)


@given(bodies, st.binary(min_size=1, max_size=40), st.data())
def test_a_partial_frame_stays_pending(sent: list[bytes], last: bytes, data: st.DataObject) -> None:
    """At a worker's death: what came whole counts, the rest is dropped."""
    frame = encode_frame(last)
    part = frame[: data.draw(st.integers(0, len(frame) - 1))]
    decoder = FrameDecoder()
    decoder.receive(b"".join(map(encode_frame, sent)) + part)

    assert sent == all_frames(decoder)
    assert len(part) == decoder.pending_bytes


def test_a_body_of_exactly_the_limit_passes() -> None:
    decoder = FrameDecoder()
    decoder.receive(encode_frame(bytes(MAX_FRAME_BYTES)))

    assert [bytes(MAX_FRAME_BYTES)] == all_frames(decoder)


@given(st.integers(MAX_FRAME_BYTES + 1, 2**32 - 1))
def test_a_frame_that_is_too_large_is_refused_before_its_body(announced: int) -> None:
    decoder = FrameDecoder()
    decoder.receive(HEADER.pack(announced))

    with pytest.raises(FrameTooLarge) as caught:
        decoder.next_frame()

    assert announced == caught.value.body_bytes
    assert decoder.pending_bytes == HEADER_BYTES


def test_a_body_that_is_too_large_is_not_encoded() -> None:
    with pytest.raises(FrameTooLarge) as caught:
        encode_frame(bytes(MAX_FRAME_BYTES + 1))

    assert caught.value.body_bytes == MAX_FRAME_BYTES + 1


def test_a_large_frame_that_drips_in_costs_no_more_than_its_bytes() -> None:
    """A worker that sends byte by byte must not have us copy all that came before, each time."""
    body = bytes(4 * 2**20)
    frame = encode_frame(body)
    drops = 20_000
    decoder = FrameDecoder()
    decoder.receive(frame[:-drops])
    started = time.perf_counter()

    for position in range(len(frame) - drops, len(frame)):
        assert decoder.next_frame() is None
        decoder.receive(frame[position : position + 1])

    assert body == decoder.next_frame()
    # Copying it all each time takes some 2 s here, this takes some 10 ms.
    assert time.perf_counter() - started < 0.5


@given(split_streams())
def test_frames_may_be_taken_all_at_once(case: tuple[list[bytes], list[bytes]]) -> None:
    sent, reads = case
    decoder = FrameDecoder()

    received = []
    for read in reads:
        decoder.receive(read)
        received.extend(decoder.frames())

    assert sent == received
    assert all(type(frame) is bytes for frame in received)


def test_frames_before_one_that_is_too_large_are_taken_first() -> None:
    decoder = FrameDecoder()
    decoder.receive(encode_frame(b"good") + HEADER.pack(MAX_FRAME_BYTES + 1) + b"bad")

    assert decoder.frames() == [b"good"]
    with pytest.raises(FrameTooLarge):
        decoder.frames()


def test_a_frame_that_is_too_large_is_refused_even_if_its_body_is_there() -> None:
    decoder = FrameDecoder()
    decoder.receive(HEADER.pack(MAX_FRAME_BYTES + 1) + bytes(MAX_FRAME_BYTES + 1))

    with pytest.raises(FrameTooLarge):
        decoder.next_frame()
