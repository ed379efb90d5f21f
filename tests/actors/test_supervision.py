"""Unit tests: OTP's rules of who stops and who starts, as a pure function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Restart, Strategy
from actors.supervision import STAY_DOWN, ChildView, Decision, decide, is_restarted

NAMES = "abcdef"


def view(name: str, restart: Restart = Restart.PERMANENT, *, running: bool = True) -> ChildView:
    return ChildView(name, restart, running=running)


@st.composite
def families(draw: st.DrawFn) -> tuple[list[ChildView], str]:
    """A family of which one child has ended, and that child's name."""
    count = draw(st.integers(1, len(NAMES)))
    ended = draw(st.sampled_from(NAMES[:count]))
    children = [
        ChildView(
            name,
            draw(st.sampled_from(Restart)),
            running=name != ended and draw(st.booleans()),
        )
        for name in NAMES[:count]
    ]
    return children, ended


@pytest.mark.parametrize(
    ("restart", "crashed", "expected"),
    [
        (Restart.PERMANENT, True, True),
        (Restart.PERMANENT, False, True),
        (Restart.TRANSIENT, True, True),
        (Restart.TRANSIENT, False, False),
        (Restart.TEMPORARY, True, False),
        (Restart.TEMPORARY, False, False),
    ],
)
def test_which_ends_are_followed_by_a_restart(
    restart: Restart, crashed: bool, expected: bool
) -> None:
    assert is_restarted(restart, crashed=crashed) is expected


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, Decision(stop=(), start=("b",))),
        (Strategy.ALL_FOR_ONE, Decision(stop=("d", "c", "a"), start=("a", "b", "c", "d"))),
        (Strategy.REST_FOR_ONE, Decision(stop=("d", "c"), start=("b", "c", "d"))),
    ],
)
def test_each_strategy_stops_right_to_left_and_starts_left_to_right(
    strategy: Strategy, expected: Decision
) -> None:
    children = [view("a"), view("b", running=False), view("c"), view("d")]

    assert decide(strategy, children, ended="b", crashed=True) == expected


def test_a_temporary_sibling_is_stopped_with_the_group_but_not_started_again() -> None:
    children = [view("a", running=False), view("b", Restart.TEMPORARY), view("c")]

    decision = decide(Strategy.ALL_FOR_ONE, children, ended="a", crashed=True)

    assert decision == Decision(stop=("c", "b"), start=("a", "c"))


def test_a_transient_sibling_that_had_ended_well_is_started_again_with_the_group() -> None:
    children = [view("a", running=False), view("b", Restart.TRANSIENT, running=False)]

    decision = decide(Strategy.ALL_FOR_ONE, children, ended="a", crashed=True)

    assert decision == Decision(stop=(), start=("a", "b"))


@given(families(), st.sampled_from(Strategy), st.booleans())
def test_a_child_that_stays_down_leaves_its_siblings_alone(
    family: tuple[list[ChildView], str], strategy: Strategy, crashed: bool
) -> None:
    children, ended = family
    restart = next(child.restart for child in children if child.name == ended)

    decision = decide(strategy, children, ended=ended, crashed=crashed)

    assert decision.restarts is is_restarted(restart, crashed=crashed)
    if not decision.restarts:
        assert decision == STAY_DOWN


@given(families(), st.sampled_from(Strategy))
def test_only_running_children_are_stopped_and_every_group_has_whoever_ended(
    family: tuple[list[ChildView], str], strategy: Strategy
) -> None:
    children, ended = family
    decision = decide(strategy, children, ended=ended, crashed=True)
    running = {child.name for child in children if child.running}
    temporary = {child.name for child in children if child.restart is Restart.TEMPORARY}

    assert set(decision.stop) <= running
    assert list(decision.stop) == sorted(decision.stop, reverse=True)
    assert list(decision.start) == sorted(decision.start)
    assert not set(decision.start) & temporary
    if decision.restarts:
        assert ended in decision.start
        # Nobody who runs is started a second time, and nobody is stopped and forgotten.
        assert set(decision.start) & running <= set(decision.stop)
        assert set(decision.stop) - temporary <= set(decision.start)


@given(families())
def test_wider_strategies_restart_more(family: tuple[list[ChildView], str]) -> None:
    children, ended = family
    one, rest, everybody = (
        decide(wider, children, ended=ended, crashed=True)
        for wider in (Strategy.ONE_FOR_ONE, Strategy.REST_FOR_ONE, Strategy.ALL_FOR_ONE)
    )

    assert set(one.start) <= set(rest.start) <= set(everybody.start)
    assert set(one.stop) <= set(rest.stop) <= set(everybody.stop)
