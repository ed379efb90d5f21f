"""Unit tests: which requests for input wait, and which have their answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.events import InputRequested
from pyrepl3.hosting.inputs import REMEMBERED, Inputs


async def nowhere(line: str | None) -> None:
    """Where the lines of these tests go."""


def asked(number: str, execution: str = "e1") -> InputRequested:
    return InputRequested(execution, number, "? ", False, nowhere)


def test_what_has_its_line_waits_no_more_and_knows_that_line_again() -> None:
    inputs = Inputs()
    inputs.ask(asked("i1"))
    assert inputs.waiting("i1") is not None
    inputs.took("i1", "Ada")

    assert inputs.waiting("i1") is None
    assert inputs.is_answered("i1")
    assert inputs.was_given("i1", "Ada")
    assert not inputs.was_given("i1", "Eve")
    assert not inputs.was_given("i2", "Ada")


def test_the_end_of_the_input_is_a_line_of_its_own() -> None:
    inputs = Inputs()
    inputs.took("i1", None)

    assert inputs.was_given("i1", None)
    assert not inputs.was_given("i1", "None")


def test_what_an_execution_asked_waits_no_longer_than_it_runs() -> None:
    inputs = Inputs()
    inputs.ask(asked("i1"))
    inputs.ask(asked("i2", "e2"))
    inputs.execution_ended("e1")

    assert inputs.waiting("i1") is None
    assert not inputs.is_answered("i1")
    assert inputs.waiting("i2") is not None


@given(st.integers(0, 3 * REMEMBERED))
def test_a_flood_is_remembered_up_to_a_bound_the_newest_of_it(count: int) -> None:
    inputs = Inputs()
    for number in range(count):
        inputs.took(str(number), "x")

    remembered = [number for number in range(count) if inputs.is_answered(str(number))]
    assert remembered == list(range(max(0, count - REMEMBERED), count))
