"""Unit tests: what the service says of its health, from the pool's figures alone."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from pyrepl3.config import PoolConfig
from pyrepl3.pool.pool_statistics import PoolStatistics
from pyrepl3.telemetry.health import liveness, readiness, unready_reasons

CONFIG = PoolConfig(min_idle=1, max_sessions=4)
NOTHING = PoolStatistics(
    **{
        field.name: () if field.name == "open_breakers" else 0
        for field in attrs.fields(PoolStatistics)
    }
)


def reasons(*, templates: tuple[str, ...] = ("python",), **figures: Any) -> tuple[str, ...]:
    is_draining = figures.pop("is_draining", False)
    pool = attrs.evolve(NOTHING, **figures)
    return unready_reasons(pool, CONFIG, templates=templates, is_draining=is_draining)


def test_who_answers_lives() -> None:
    assert (liveness().status, liveness().body) == (200, b"ok\n")


@pytest.mark.parametrize(
    "figures",
    [
        {"starting": 1},  # warming up
        {"idle": 1, "leased": 3},
        {"leased": 3},
        {"idle": 4},
        {"leased": 2, "stopping": 1},
        {"open_breakers": ("other",)},
    ],
)
def test_a_pool_that_can_serve_is_ready(figures: dict[str, Any]) -> None:
    assert reasons(**figures) == ()
    assert readiness(reasons(**figures)).status == 200


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"is_draining": True, "idle": 1}, "ending"),
        ({"open_breakers": ("python",), "idle": 1}, "fail to start"),
        ({"leased": 4}, "no room"),
        ({"leased": 2, "starting": 1, "stopping": 1}, "no room"),
    ],
)
def test_a_pool_that_cannot_serve_is_not_ready(figures: dict[str, Any], reason: str) -> None:
    (only,) = reasons(**figures)

    assert reason in only
    assert readiness((only,)).status == 503


def test_without_the_default_template_one_that_starts_is_enough() -> None:
    both = ("fast", "slow")

    assert reasons(templates=both, open_breakers=("slow",)) == ()
    assert reasons(templates=both, open_breakers=("fast", "slow")) == ("sessions fail to start",)


def test_the_answers_tell_nothing_but_yes_or_no() -> None:
    """They need no token."""
    assert readiness(("the service is ending", "secret")).body == b"not ready\n"
    assert readiness(()).body == b"ok\n"
