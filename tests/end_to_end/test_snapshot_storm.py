"""End-to-end tests: a short storm of crashes, which guarded sessions outlive.

For a long one: ``python -m tests.end_to_end.snapshot_storm``.
"""

from __future__ import annotations

from .snapshot_storm import hold


async def test_guarded_sessions_lose_nothing_in_a_storm_and_leave_nothing_behind() -> None:
    storm = await hold(sessions=6, executions=12, seed=20261125)

    assert storm.faults == []
    assert storm.executions == 72
    assert storm.rolled_back > 10
    assert storm.canaries > 0
