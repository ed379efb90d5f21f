"""Unit tests: output on its way: merged, made text, limited, and none of it lost untold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.events import Gap, Output, Stream
from pyrepl3.transport.output import (
    BACKGROUND_BYTES,
    LAST_OUTPUT_CHARACTERS,
    Allowance,
    Background,
    Merger,
    Source,
)

streams: st.SearchStrategy[Stream] = st.sampled_from(["stdout", "stderr"])
sources: st.SearchStrategy[Source] = st.sampled_from(["link", "pipe", "background"])
texts = st.text(st.characters(codec="utf-8"), max_size=12)


def size_of(events: list[Output | Gap]) -> int:
    """Bytes that were printed, and bytes that a gap tells of."""
    return sum(
        event.bytes if isinstance(event, Gap) else len(event.data.encode()) for event in events
    )


def printed(events: list[Output | Gap]) -> str:
    return "".join(event.data for event in events if isinstance(event, Output))


# --- merging -------------------------------------------------------------------------------------


def merge(pieces: list[tuple[Stream, Source, bytes]]) -> list[tuple[Stream, str]]:
    """What comes out when nobody takes anything before it must."""
    merger = Merger()
    taken = []
    for stream, source, data in pieces:
        if not merger.belongs(stream, source):
            taken.append(merger.take())
        merger.add(stream, source, data)
    if merger:
        taken.append(merger.take())
    return taken + merger.finish()


def test_adjacent_pieces_of_one_origin_are_one_text() -> None:
    assert merge([("stdout", "link", b"a"), ("stdout", "link", b"b")]) == [("stdout", "ab")]


@pytest.mark.parametrize("other", [("stderr", "link", b"b"), ("stdout", "pipe", b"b")])
def test_pieces_of_different_origins_stay_apart_and_in_order(
    other: tuple[Stream, Source, bytes],
) -> None:
    merged = merge([("stdout", "link", b"a"), other, ("stdout", "link", b"c")])

    assert [text for _, text in merged] == ["a", "b", "c"]


def test_an_empty_merger_takes_pieces_of_any_origin() -> None:
    merger = Merger()
    merger.add("stdout", "link", b"a")
    merger.add_more(b"b")
    assert merger.take() == ("stdout", "ab")

    assert not merger
    assert merger.belongs("stderr", "pipe")


@given(st.lists(st.tuples(streams, sources, texts), max_size=12), st.data())
def test_characters_that_are_cut_anywhere_are_joined_within_their_origin(
    sent: list[tuple[Stream, Source, str]], data: st.DataObject
) -> None:
    """Each origin's text is cut into single bytes, and these come in between each other."""
    whole: dict[tuple[Stream, Source], bytes] = {}
    for stream, source, text in sent:
        whole[stream, source] = whole.get((stream, source), b"") + text.encode()
    rest = dict(whole)
    pieces = []
    while rest:
        origin = data.draw(st.sampled_from(sorted(rest)))
        size = data.draw(st.integers(1, 3))
        pieces.append((*origin, rest[origin][:size]))
        rest[origin] = rest[origin][size:]
        if not rest[origin]:
            del rest[origin]

    merged = merge(pieces)

    for stream in ("stdout", "stderr"):
        assert sum(len(text) for name, text in merged if name == stream) == sum(
            len(content.decode()) for (name, _), content in whole.items() if name == stream
        )
    assert "\ufffd" not in "".join(text for _, text in merged) or any(
        "\ufffd" in text for _, _, text in sent
    )


def test_a_character_that_never_comes_whole_is_replaced_at_the_end() -> None:
    merged = merge([("stderr", "pipe", "a€".encode()[:-1])])

    assert merged == [("stderr", "a"), ("stderr", "\ufffd")]


def test_a_character_that_was_left_over_does_not_reach_into_the_next_execution() -> None:
    merger = Merger()
    merger.add("stdout", "link", "€".encode()[:-1])
    merger.take()
    merger.finish()
    merger.add("stdout", "link", b"next")

    assert merger.take() == ("stdout", "next")
    assert merger.finish() == []


@given(st.binary(max_size=50))
def test_bytes_that_are_no_text_are_replaced(data: bytes) -> None:
    text = "".join(text for _, text in merge([("stdout", "link", data)]))

    assert text == data.decode("utf-8", "replace")


# --- limits --------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(streams, texts, st.booleans()), max_size=10), st.none() | st.integers(1, 60)
)
def test_what_is_printed_and_the_gaps_are_all_there_was(
    sent: list[tuple[Stream, str, bool]], limit: int | None
) -> None:
    allowance = Allowance("e", limit)
    events: list[Output | Gap] = []
    for stream, text, left_out in sent:
        if left_out:
            allowance.omit(text)
        else:
            events.extend(allowance.admit(stream, text, background=False))
    events.extend(allowance.finish())

    everything = "".join(text for _, text, _ in sent)
    assert size_of(events) == len(everything.encode())
    assert all(size_of([event]) > 0 for event in events)
    assert allowance.finish() == []
    if limit is not None:
        assert len(printed(events).encode()) <= limit


@given(st.lists(texts, max_size=10), st.integers(1, 60))
def test_what_is_printed_under_a_limit_is_the_beginning(sent: list[str], limit: int) -> None:
    allowance = Allowance("e", limit)
    events = [event for text in sent for event in allowance.admit("stdout", text, background=False)]

    everything = "".join(sent)
    assert everything.startswith(printed(events))
    if len(everything.encode()) <= limit:
        assert printed(events) == everything


def test_the_first_gap_comes_at_the_limit_and_the_rest_is_told_at_the_end() -> None:
    allowance = Allowance("e", 4)

    assert allowance.admit("stdout", "abcdef", background=False) == [
        Output("e", "stdout", "abcd"),
        Gap("e", 2),
    ]
    assert allowance.admit("stdout", "ghi", background=False) == []
    assert allowance.admit("stderr", "j", background=False) == []
    assert allowance.finish() == [Gap("e", 4)]


def test_a_character_across_the_limit_is_left_out_and_counted() -> None:
    allowance = Allowance("e", 4)

    assert allowance.admit("stdout", "ab€", background=False) == [
        Output("e", "stdout", "ab"),
        Gap("e", 3),
    ]


def test_without_a_limit_nothing_is_left_out() -> None:
    allowance = Allowance("e", None)

    assert size_of(allowance.admit("stdout", "x" * 10**6, background=True)) == 10**6
    assert allowance.finish() == []


@given(st.lists(st.text(max_size=1500), max_size=5))
def test_the_end_of_what_was_printed_is_kept_for_a_report(sent: list[str]) -> None:
    allowance = Allowance("e", None)
    for text in sent:
        allowance.admit("stdout", text, background=False)

    assert allowance.last_output == "".join(sent)[-LAST_OUTPUT_CHARACTERS:]


# --- between executions --------------------------------------------------------------------------


def test_background_output_is_told_with_the_next_execution_and_once() -> None:
    background = Background()
    background.hold("stdout", "a")
    background.hold("stderr", "b")

    assert background.take("e") == [
        Output("e", "stdout", "a", background=True),
        Output("e", "stderr", "b", background=True),
    ]
    assert background.take("f") == []


def test_a_part_of_a_character_is_no_background_output_yet() -> None:
    background = Background()
    background.hold("stdout", "")

    assert background.take("e") == []


@given(st.lists(st.integers(0, BACKGROUND_BYTES + 9), max_size=6))
def test_background_output_is_bounded_and_the_rest_is_told(sizes: list[int]) -> None:
    background = Background()
    for size in sizes:
        background.hold("stdout", "x" * size)

    events = background.take("e")

    assert size_of(events) == sum(sizes)
    assert len(printed(events)) <= BACKGROUND_BYTES


def test_the_end_of_background_output_is_kept_also_beyond_the_bound() -> None:
    background = Background()
    background.hold("stdout", "x" * BACKGROUND_BYTES)
    background.hold("stderr", "the reason")

    assert background.last().endswith("the reason")
    assert len(background.last()) <= LAST_OUTPUT_CHARACTERS
