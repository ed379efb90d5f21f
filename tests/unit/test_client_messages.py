"""Unit tests: what clients may ask, and how they are told what happened."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from pyrepl3.effects import NameEntry, NamespaceReport, Uncovered
from pyrepl3.errors import BadMessage, UnknownType
from pyrepl3.events import (
    Display,
    DroppedEntry,
    Error,
    Event,
    Gap,
    HistoryTrimmed,
    InputRequested,
    Output,
    Result,
    Started,
    Usage,
)
from pyrepl3.wire.client_codec import decode_json, encode_json
from pyrepl3.wire.client_events import as_map, from_map
from pyrepl3.wire.client_requests import (
    NAME_CHARACTERS,
    NAME_IN_WORDS,
    REQUESTS,
    Execute,
    OpenSession,
    id_of,
    in_words,
    read_request,
)

EXECUTE = {"type": "execute", "id": "1", "session": "s", "execution": "e", "code": "1"}


def test_a_request_has_its_defaults() -> None:
    request = read_request({"type": "open_session", "id": 7})

    assert request == OpenSession(id=7)
    assert attrs.asdict(request)["on_disconnect"] == "continue"


def test_what_is_not_known_is_ignored() -> None:
    request = read_request({**EXECUTE, "colour": "blue"})

    assert request == Execute(id="1", session="s", execution="e", code="1")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"id": None}, "`$.id`"),
        ({"id": ""}, f"id: {NAME_IN_WORDS}"),
        ({"id": -1}, "`$.id`"),
        ({"id": 2**53}, "`$.id`"),
        ({"id": True}, "`$.id`"),
        ({"session": 5}, "`$.session`"),
        ({"execution": "a b"}, f"execution: {NAME_IN_WORDS}"),
        ({"execution": "é"}, f"execution: {NAME_IN_WORDS}"),
        ({"execution": "e\n"}, f"execution: {NAME_IN_WORDS}"),
        ({"execution": "e" * (NAME_CHARACTERS + 1)}, f"execution: {NAME_IN_WORDS}"),
        ({"code": None}, "`$.code`"),
        ({"timeout_s": 0}, "`$.timeout_s`"),
        ({"timeout_s": "1"}, "`$.timeout_s`"),
        ({"allow_input": 1}, "`$.allow_input`"),
        ({"transaction_policy": "never"}, "`$.transaction_policy`"),
    ],
)
def test_a_field_that_is_wrong_is_named(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(BadMessage) as caught:
        read_request({**EXECUTE, **changes})

    assert "execute" in caught.value.why
    assert why in caught.value.why
    assert "regex" not in caught.value.why
    assert caught.value.how == "docs/protocol.md has what may be sent"


def test_a_name_is_told_in_words_where_it_is_all_that_is_wrong() -> None:
    assert NAME_IN_WORDS == "printable ASCII characters without spaces, 1 to 128 of them"
    assert in_words("Expected `str` of length >= 1") == NAME_IN_WORDS
    assert in_words("Expected `str`, got `int` - at `$.name`").startswith("Expected")


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_every_request_needs_its_id(name: str) -> None:
    with pytest.raises(BadMessage):
        read_request({"type": name})


def test_a_type_that_is_not_known_is_told_with_those_that_are() -> None:
    with pytest.raises(UnknownType) as caught:
        read_request({"type": "fly", "id": 1})

    assert "'fly'" in caught.value.what
    assert "execute" in caught.value.how


@pytest.mark.parametrize("kind", [None, 5, [], {}])
def test_a_message_without_a_type_is_none(kind: object) -> None:
    with pytest.raises(BadMessage, match="no 'type'"):
        read_request({"type": kind, "id": 1})


@pytest.mark.parametrize(
    ("message", "expected"),
    [({"id": "a"}, "a"), ({"id": 5}, 5), ({}, None), ({"id": []}, None), ({"id": "a b"}, None)],
)
def test_what_is_no_request_is_answered_by_its_id_where_it_has_one(
    message: dict[str, Any], expected: object
) -> None:
    assert id_of(message) == expected


# --- events -------------------------------------------------------------------------------------


async def nowhere(number: str, data: str | None) -> None:
    raise AssertionError("nobody answers here")


REPORT = NamespaceReport(
    added=(NameEntry("a", "int", 28),),
    changed=(NameEntry("b", "list", 56, is_modified=True), NameEntry("c", "Odd", None)),
    removed=(NameEntry("d", "str", 50),),
    omitted=3,
    is_undone=True,
)
UNCOVERED = (Uncovered("file_written", "/a"), Uncovered("more", "2"))

EVENTS: list[Event] = [
    Started("e"),
    Output("e", "stderr", "oops\n", background=True),
    Display("e", {"text/plain": "x"}, {"a": 1}, display_id="d", update=True),
    Gap("e", 5),
    HistoryTrimmed("e", [DroppedEntry("d", 4096, "bytes")]),
    Result("e", [1], True, "[1]", {"text/plain": "[1]"}, {}, 3, 0.5, Usage(0.1, 5)),
    Error("e", "KeyError", "'a'", ["line"], None, "kept", 3, 0.5, None, {"signal": 9}),
    Result("e", None, False, "", {}, {}, 3, 0.5, Usage(0.1, 5), "kept", REPORT, ()),
    Error("e", "KeyError", "'a'", [], None, "kept", namespace=REPORT, uncovered=UNCOVERED),
]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_comes_over_the_network_as_it_was(event: Event) -> None:
    message = decode_json(encode_json({**as_map(event), "session": "s", "seq": 1}))

    assert from_map(message, nowhere) == event


async def test_a_question_comes_with_the_way_to_its_answer() -> None:
    answers: list[tuple[str, str | None]] = []

    async def respond(number: str, data: str | None) -> None:
        answers.append((number, data))

    asked = InputRequested("e", "i1", "who? ", True, lambda _: nowhere("", None))
    told = from_map(as_map(asked), respond)

    assert isinstance(told, InputRequested)
    assert (told.execution, told.input, told.prompt, told.password) == ("e", "i1", "who? ", True)
    await told.respond("Ada")
    assert answers == [("i1", "Ada")]


def test_what_is_of_no_execution_is_no_event() -> None:
    assert from_map({"type": "session_closed"}, nowhere) is None


def test_a_report_that_there_is_not_is_left_out_of_the_message() -> None:
    message = as_map(EVENTS[4])

    assert not {"namespace", "uncovered"} & message.keys()
    assert from_map({**message, "namespace": None, "uncovered": None}, nowhere) == EVENTS[4]


def test_every_event_there_is_can_be_told() -> None:
    assert {type(event) for event in EVENTS} | {InputRequested} == set(Event.__args__)
