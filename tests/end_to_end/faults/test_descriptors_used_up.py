"""End-to-end tests: the service has no descriptor left in the moment that it needs one (row 67)."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable

import pytest

from pyrepl3.transport import descriptors

from .oracle import (
    assert_usable,
    errors_logged,
    eventually,
    small_config,
    watched_supervisor,
    workers_of,
)

FAILURES = 2


class FewerEpolls:
    """The module `select`, whose first epolls cannot be had."""

    EPOLLIN = select.EPOLLIN

    def __init__(self) -> None:
        self.failures = 0

    @property
    def epoll(self) -> Callable[[], select.epoll]:
        if self.failures < FAILURES:
            self.failures += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return select.epoll


async def test_a_worker_that_cannot_be_connected_to_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is a start that failed, not a failure of ours: its place is given to nobody twice."""
    without = FewerEpolls()
    monkeypatch.setattr(descriptors, "select", without)
    with errors_logged() as logged:
        async with watched_supervisor(small_config(min_idle=0, max_sessions=1)) as supervisor:
            async with supervisor.session(acquire_timeout_s=30.0) as session:
                await assert_usable(session)

                assert without.failures == FAILURES
                await eventually(lambda: {session.pid} == workers_of(supervisor))
            assert supervisor.statistics().pool.start_failures == FAILURES

    assert logged == []
