"""Unit tests: the moments that a session can go back to, and forward again."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pyrepl3.worker.timeline import Step, Timeline


def a_timeline(*executions: str) -> Timeline[int]:
    """Moment 0 is before the first of them, 1 before the second …"""
    timeline: Timeline[int] = Timeline()
    for moment, execution in enumerate(executions):
        timeline.add(moment, Step(execution, 1, 0.0))
    return timeline


def shown(timeline: Timeline[int]) -> tuple[list[tuple[int, str]], list[tuple[str, int]]]:
    past = [(moment, step.execution) for moment, step in timeline.past]
    return past, [(step.execution, moment) for step, moment in timeline.future]


def test_going_back_leaves_a_moment_where_it_stood() -> None:
    timeline = a_timeline("a", "b", "c")
    step, moment = timeline.go_back(2, 3)

    assert (step.execution, moment) == ("b", 1)
    assert shown(timeline) == ([(0, "a")], [("b", 2), ("c", 3)])


def test_going_forward_leaves_one_too() -> None:
    timeline = a_timeline("a", "b")
    timeline.go_back(2, 2)
    step, moment = timeline.go_forward(3)

    assert (step.execution, moment) == ("a", 1)
    assert shown(timeline) == ([(3, "a")], [("b", 2)])


def test_what_is_left_without_a_moment_is_not_reached_again() -> None:
    timeline = a_timeline("a", "b", "c")
    timeline.go_back(1, 3)
    step, moment = timeline.go_back(2, None)

    assert (step.execution, moment) == ("a", 0)
    assert shown(timeline) == ([], [("a", 1)])


def test_the_place_after_an_execution_is_so_far_back() -> None:
    timeline = a_timeline("a", "b", "c")

    assert [timeline.place_after(name) for name in "abcx"] == [2, 1, None, None]


def test_the_oldest_is_forgotten_first_and_then_what_is_furthest_ahead() -> None:
    timeline = a_timeline("a", "b", "c")
    timeline.go_back(2, 3)

    assert [timeline.forget_oldest()[1] for _ in range(3)] == [0, 3, 2]


def test_a_moment_that_is_no_more_cuts_off_what_is_ahead_and_is_skipped_behind() -> None:
    timeline = a_timeline("a", "b", "c", "d")
    timeline.go_back(2, 4)

    assert timeline.forget([0, 3]) == [4]
    assert shown(timeline) == ([(1, "b")], [])


class Travels(RuleBasedStateMachine):
    """Against a plain list of the states that there were, and a place in it."""

    def __init__(self) -> None:
        super().__init__()
        self.timeline: Timeline[tuple[str, ...]] = Timeline()
        self.here: tuple[str, ...] = ()
        self.ahead: list[tuple[str, ...]] = []
        self.number = 0

    @rule()
    def execute(self) -> None:
        self.timeline.forget_future()
        self.ahead.clear()
        self.number += 1
        name = str(self.number)
        self.timeline.add(self.here, Step(name, 1, 0.0))
        self.here = (*self.here, name)

    @precondition(lambda self: self.timeline.past)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.timeline.past)))
        step, moment = self.timeline.go_back(count, self.here)
        for _ in range(count):
            self.ahead.insert(0, self.here)
            self.here = self.here[:-1]

        assert moment == self.here
        assert step.execution == self.ahead[0][-1]

    @precondition(lambda self: self.timeline.future)
    @rule()
    def redo(self) -> None:
        step, moment = self.timeline.go_forward(self.here)
        self.here = self.ahead.pop(0)

        assert moment == self.here
        assert step.execution == self.here[-1]

    @precondition(lambda self: self.timeline.steps)
    @rule()
    def forget(self) -> None:
        is_past = bool(self.timeline.past)
        _, moment = self.timeline.forget_oldest()
        if not is_past:
            assert moment == self.ahead.pop()

    @invariant()
    def what_is_ahead_is_what_was_undone(self) -> None:
        assert [moment for _, moment in self.timeline.future] == self.ahead

    @invariant()
    def each_step_leads_from_its_moment(self) -> None:
        behind = [*(moment for moment, _ in self.timeline.past), self.here]
        for (moment, step), after in zip(self.timeline.past, behind[1:], strict=True):
            assert (*moment, step.execution) == after


TestTravels = Travels.TestCase
