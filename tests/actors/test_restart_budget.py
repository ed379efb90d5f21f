"""Unit tests: restart intensity and backoff, as arithmetic."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from actors import NO_BACKOFF, Backoff, RestartIntensity
from actors.restart_budget import CrashStreak, RestartBudget

times = st.lists(st.floats(0, 1000), max_size=60).map(sorted)
intensities = st.builds(RestartIntensity, restarts=st.integers(0, 5), period_s=st.floats(0, 50))
backoffs = st.builds(
    Backoff,
    initial_s=st.floats(0, 100),
    factor=st.floats(1, 10),
    max_s=st.floats(0, 1000),
    jitter=st.floats(0, 1),
)
chances = st.floats(0, 1, exclude_max=True)


def test_the_default_intensity_is_otps() -> None:
    assert RestartIntensity() == RestartIntensity(restarts=1, period_s=5.0)


def test_one_restart_more_than_the_intensity_within_the_period_is_refused() -> None:
    budget = RestartBudget(RestartIntensity(restarts=2, period_s=10))

    assert [budget.spend(now) for now in (0, 4, 10)] == [True, True, False]


def test_a_restart_is_forgotten_once_it_is_older_than_the_period() -> None:
    budget = RestartBudget(RestartIntensity(restarts=1, period_s=5))

    assert [budget.spend(now) for now in (0, 5.0, 5.5, 10.5, 10.6)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_no_restarts_allowed_refuses_the_first() -> None:
    assert not RestartBudget(RestartIntensity(restarts=0)).spend(0)


@given(intensities, times)
def test_no_period_ever_holds_more_restarts_than_the_intensity(
    intensity: RestartIntensity, crashes: list[float]
) -> None:
    budget = RestartBudget(intensity)
    granted = [now for now in crashes if budget.spend(now)]

    for begin in granted:
        within = [now for now in granted if begin <= now <= begin + intensity.period_s]
        assert len(within) <= intensity.restarts


@given(intensities, times)
def test_a_restart_is_refused_only_when_the_period_before_it_is_full(
    intensity: RestartIntensity, crashes: list[float]
) -> None:
    budget = RestartBudget(intensity)
    granted: list[float] = []
    for now in crashes:
        recent = [then for then in granted if then + intensity.period_s >= now]
        expected = len(recent) < intensity.restarts

        assert budget.spend(now) is expected
        granted += [now] if expected else []


def test_delays_grow_by_the_factor_up_to_the_limit() -> None:
    backoff = Backoff(initial_s=1, factor=3, max_s=20, jitter=0)

    assert [backoff.delay(attempt, lambda: 0.5) for attempt in range(1, 6)] == [1, 3, 9, 20, 20]


def test_jitter_takes_its_share_off_the_delay() -> None:
    backoff = Backoff(initial_s=8, factor=2, max_s=8, jitter=0.5)

    assert backoff.delay(1, lambda: 0.0) == 8
    assert backoff.delay(1, lambda: 0.5) == 6
    assert backoff.delay(1, lambda: 0.75) == 5


def test_no_backoff_never_waits() -> None:
    assert {NO_BACKOFF.delay(attempt, lambda: 0.5) for attempt in range(1, 2000)} == {0}


@given(backoffs, st.integers(1, 10**6), chances)
@example(Backoff(initial_s=1.0, factor=10.0, max_s=7.0, jitter=0.0), 10**6, 0.0)
@example(Backoff(initial_s=0.0, factor=10.0, max_s=7.0, jitter=0.0), 10**6, 0.0)
def test_every_delay_is_within_its_bounds(backoff: Backoff, attempt: int, chance: float) -> None:
    exact_s = backoff.delay(attempt, lambda: 0.0)
    delay_s = backoff.delay(attempt, lambda: chance)

    assert 0 <= delay_s <= exact_s <= backoff.max_s
    assert delay_s >= exact_s * (1 - backoff.jitter)


@given(backoffs, st.integers(1, 2000))
def test_without_chance_a_later_attempt_never_waits_less(backoff: Backoff, attempt: int) -> None:
    assert backoff.delay(attempt, lambda: 0.0) <= backoff.delay(attempt + 1, lambda: 0.0)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.1, 50))
def test_a_streak_counts_the_crashes_since_the_last_good_while(
    uptimes: list[float], good_uptime_s: float
) -> None:
    streak = CrashStreak()
    lengths = [streak.extend(uptime_s=up, good_uptime_s=good_uptime_s) for up in uptimes]
    good = [index for index, up in enumerate(uptimes) if up >= good_uptime_s]
    expected = len(uptimes) - good[-1] if good else len(uptimes)

    assert lengths[-1] == expected


@pytest.mark.parametrize(
    "field",
    [
        {"initial_s": -1},
        {"factor": 0.5},
        {"max_s": float("inf")},
        {"max_s": float("nan")},
        {"jitter": 1.5},
        {"jitter": -0.1},
    ],
)
def test_a_backoff_that_makes_no_sense_is_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        Backoff(**field)


@given(st.floats(max_value=-0.001) | st.just(float("inf")))
def test_a_period_that_makes_no_sense_is_refused(period_s: float) -> None:
    assume(period_s == period_s)
    with pytest.raises(ValueError, match="period_s"):
        RestartIntensity(period_s=period_s)
