"""Unit tests: random families with random crashes, held to what must hold for all of them."""

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from actors import (
    Backoff,
    ChildSpec,
    Restart,
    RestartIntensity,
    RestartIntensityExceeded,
    Strategy,
    Supervisor,
)
from actors.testing import CrashingActor, PlannedCrash, Recorder, assert_no_tasks_left

lifetimes = st.lists(st.sampled_from([0, 0.5, 1, 1, 2, 5]), max_size=4)
families = st.lists(st.tuples(st.sampled_from(Restart), lifetimes), min_size=1, max_size=5)
backoffs = st.sampled_from(
    [Backoff(initial_s=0, max_s=0), Backoff(initial_s=0.5, jitter=0), Backoff(initial_s=3)]
)


@settings(deadline=None, max_examples=60)
@given(
    families,
    st.sampled_from(Strategy),
    backoffs,
    st.integers(0, 6),
    st.sampled_from([0, 1, 3, 50]),
    st.booleans(),
    st.booleans(),
)
def test_no_child_runs_twice_at_a_time_and_none_outlives_its_supervisor(
    family: list[tuple[Restart, list[float]]],
    strategy: Strategy,
    backoff: Backoff,
    restarts: int,
    stop_after_s: float,
    can_ask: bool,
    by_cancelling: bool,
) -> None:
    async def main() -> tuple[Recorder, Supervisor]:
        recorder = Recorder()
        specs = []
        for position, (restart, lifetimes_s) in enumerate(family):
            actor = CrashingActor(str(position), recorder, lifetimes_s=lifetimes_s)
            stop = actor.stop if can_ask else None
            specs.append(ChildSpec(actor.name, actor.run, restart=restart, stop=stop))
        supervisor = Supervisor(
            specs,
            strategy=strategy,
            intensity=RestartIntensity(restarts=restarts, period_s=10),
            backoff=backoff,
            random=lambda: 0.5,
        )
        with assert_no_tasks_left():
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(supervisor.run)
                    await trio.sleep(stop_after_s)
                    if by_cancelling:
                        nursery.cancel_scope.cancel()
                    supervisor.stop()
            except* (RestartIntensityExceeded, PlannedCrash):
                # It gave up, or a child crashed just when it was asked to stop.
                recorder.record("supervisor", "raised")
        await trio.lowlevel.checkpoint()
        return recorder, supervisor

    recorder, supervisor = trio.run(main, clock=MockClock(autojump_threshold=0))

    for position, (restart, _) in enumerate(family):
        lives = [what for who, what in recorder.events if who == str(position)]
        assert lives[::2] == ["started"] * len(lives[::2])
        assert "started" not in lives[1::2]
        assert len(lives) % 2 == 0
        assert len(lives) // 2 == 1 + supervisor.statistics().restarts[str(position)]
        if restart is Restart.TEMPORARY:
            assert len(lives) == 2
    assert supervisor.statistics().children_alive == ()
