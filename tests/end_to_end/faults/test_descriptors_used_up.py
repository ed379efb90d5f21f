"""End-to-end tests: the service has no descriptor left in the moment that it needs one (row 67)."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from pyrepl3.transport import descriptors
from tests.end_to_end.serve_driver import serving

from .oracle import (
    SETTLE_S,
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


def descriptors_of(process: int) -> set[int]:
    """Those that it has open."""
    return {int(name) for name in os.listdir(f"/proc/{process}/fd")}


def settled_descriptors_of(process: int) -> int:
    """How many it has, once what it starts with has been started and let go of."""
    seen: list[int] = []
    while len(seen) < 30 or len(set(seen[-30:])) > 1:
        assert len(seen) < 100 * SETTLE_S
        time.sleep(0.01)
        seen.append(len(descriptors_of(process)))
    return seen[-1]


def leave_descriptors(process: int, count: int) -> None:
    """From now on it can have so many more: as many numbers are free below its limit."""
    used = descriptors_of(process)
    free = (number for number in itertools.count() if number not in used)
    limit = next(itertools.islice(free, count, None))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (limit, limit))


NOT_FOUND, BUSY = b"HTTP/1.1 404", b"HTTP/1.1 503"
FREE = 4


def test_who_finds_no_descriptor_left_is_told_so_and_the_next_one_is_served(tmp_path: Path) -> None:
    """Row 67, of connections: a reserve is kept, clients hear 503, and the service recovers."""
    words = ("--min-idle", "0", "--log-format", "console")
    with serving(tmp_path, *words) as service, ExitStack() as stack:
        process = service.process.pid
        where = ("127.0.0.1", service.served.port)
        before = settled_descriptors_of(process)
        leave_descriptors(process, FREE)

        bearer = f"Authorization: Bearer {service.token}"
        request = f"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n\r\n"

        def ask() -> bytes:
            with socket.create_connection(where, timeout=10) as connection:
                connection.sendall(request.encode())
                return connection.recv(4096)[:12]

        def wait_for_descriptors(count: int) -> None:
            deadline = time.monotonic() + SETTLE_S
            while len(descriptors_of(process)) != count:
                assert time.monotonic() < deadline
                time.sleep(0.01)

        assert ask() == NOT_FOUND
        # Gone there too, or one of those to come would be turned away in its stead.
        wait_for_descriptors(before)
        held = []
        for count in range(before + 1, before + FREE + 1):
            held.append(stack.enter_context(socket.create_connection(where, timeout=10)))
            wait_for_descriptors(count)

        assert ask() == BUSY
        assert ask() == BUSY

        held.pop().close()
        wait_for_descriptors(before + FREE - 1)

        assert ask() == NOT_FOUND
        status, said = service.end()

    assert status == 0
    assert "Traceback" not in said
    assert said.count("turned away") == 2, "nobody else came"
