"""Unit tests: an execution's events, collected into one object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.client.editing import Completeness, Completion, Inspection
from pyrepl3.client.execution import Execution
from pyrepl3.errors import ExecutionFailed
from pyrepl3.events import (
    Display,
    Error,
    Event,
    Gap,
    InputRequested,
    Output,
    Result,
    Started,
    Stream,
    Usage,
)

USAGE = Usage(0.5, 2**20)
RESULT = Result("e", 42, True, "42", {"text/plain": "42"}, {}, 3, 0.25, USAGE)
NOTHING = Result("e", None, False, "", {}, {}, 4, 0.25, USAGE)
ERROR = Error("e", "ValueError", "bad", ["ValueError: bad\n"], None, "kept", 5, 0.125)


async def no_answer(data: str | None) -> None:
    """Nobody asks in these tests."""


def shown(text: str, display_id: str | None = None, *, update: bool = False) -> Display:
    return Display("e", {"text/plain": text}, {}, display_id, update)


def collected(*events: Event) -> Execution:
    execution = Execution("e")
    for event in events:
        execution.add(event)
    return execution


def test_only_a_result_or_an_error_is_the_last_event() -> None:
    others: list[Event] = [
        Started("e"),
        Output("e", "stdout", "x"),
        shown("x"),
        Gap("e", 1),
        InputRequested("e", "i", "? ", False, no_answer),
    ]

    assert [Execution("e").add(event) for event in others] == [False] * 5
    assert Execution("e").add(RESULT)
    assert Execution("e").add(ERROR)


def test_a_value_is_there_as_value_as_text_and_as_the_last_result() -> None:
    execution = collected(shown("figure"), RESULT)

    assert (execution.value, execution.text) == (42, "42")
    assert [(result.text, result.is_value) for result in execution.results] == [
        ("figure", False),
        ("42", True),
    ]
    assert (execution.execution_count, execution.duration_s) == (3, 0.25)
    assert execution.usage == USAGE
    assert execution.error is None


def test_code_without_a_value_has_no_text_and_no_result() -> None:
    execution = collected(NOTHING)

    assert (execution.value, execution.text, execution.results) == (None, None, [])
    execution.raise_for_error()


def test_an_error_is_kept_and_raises_only_when_asked_to() -> None:
    execution = collected(Output("e", "stdout", "before"), ERROR)

    assert execution.error is ERROR
    assert execution.logs.stdout == "before"
    assert (execution.execution_count, execution.duration_s) == (5, 0.125)
    with pytest.raises(ExecutionFailed, match="bad") as caught:
        execution.raise_for_error()
    assert caught.value.error is ERROR


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(max_size=5))))
def test_logs_join_the_pieces_of_each_stream(pieces: list[tuple[Stream, str]]) -> None:
    execution = Execution("e")
    for number, (stream, text) in enumerate(pieces):
        execution.add(Output("e", stream, text))
        if number == 2:
            assert execution.logs.stdout is not None

    for stream in ("stdout", "stderr"):
        expected = "".join(text for name, text in pieces if name == stream)
        assert getattr(execution.logs, stream) == expected


def test_gaps_add_up() -> None:
    assert collected(Gap("e", 3), Gap("e", 4)).omitted_bytes == 7
    assert collected(RESULT).omitted_bytes == 0


def test_an_update_replaces_all_that_was_shown_under_its_id() -> None:
    execution = collected(
        shown("a", "1"), shown("b", "2"), shown("c", "1"), shown("new", "1", update=True)
    )

    assert [result.text for result in execution.results] == ["new", "b", "new"]


@pytest.mark.parametrize("display_id", ["unknown", None])
def test_an_update_of_what_was_not_shown_shows_nothing(display_id: str | None) -> None:
    execution = collected(shown("a"), shown("new", display_id, update=True))

    assert [result.text for result in execution.results] == ["a"]


def test_a_result_without_plain_text_has_none() -> None:
    execution = collected(Display("e", {"image/png": "aGk="}, {}), Display("e", {}, {}))

    assert [result.text for result in execution.results] == [None, None]


# --- for editors ---------------------------------------------------------------------------------


def test_answers_for_editors_are_made_from_a_workers_messages() -> None:
    completed = {"matches": ["print"], "cursor_start": 0, "cursor_end": 2}

    assert Completion.of(completed) == Completion(("print",), 0, 2)
    assert Inspection.of({"found": True, "text": "doc"}) == Inspection(True, "doc")


@pytest.mark.parametrize(
    ("said", "expected"),
    [("complete", "complete"), ("incomplete", "incomplete"), ("whatever", "invalid")],
)
def test_a_completeness_that_is_none_is_invalid(said: str, expected: str) -> None:
    assert Completeness.of({"status": said, "indent": "  "}) == Completeness(expected, "  ")  # type: ignore[arg-type]


def test_logs_show_what_was_printed_but_not_megabytes_of_it() -> None:
    execution = collected(Output("e", "stdout", "a\n"), Output("e", "stderr", "b" * 10**6), RESULT)

    shown = repr(execution.logs)

    assert shown.startswith("Logs(stdout='a\\n', stderr='bbb")
    assert shown.endswith("b' and 999800 more)")
    assert shown in repr(execution)
