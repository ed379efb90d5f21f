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


def leave_descriptors(process: int, count: int) -> None:
    """From now on it can have so many more: as many numbers are free below its limit."""
    used = {int(name) for name in os.listdir(f"/proc/{process}/fd")}
    free = (number for number in itertools.count() if number not in used)
    limit = next(itertools.islice(free, count, None))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (limit, limit))


NOT_FOUND, BUSY = b"HTTP/1.1 404", b"HTTP/1.1 503"


def test_who_finds_no_descriptor_left_is_told_so_and_the_next_one_is_served(tmp_path: Path) -> None:
    """Row 67, of connections: a reserve is kept, clients hear 503, and the service recovers."""
    with serving(tmp_path) as service, ExitStack() as stack:
        leave_descriptors(service.process.pid, 4)
        where = ("127.0.0.1", service.served.port)

        request = (
            f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.token}\r\n\r\n"
        )

        def ask() -> bytes:
            with socket.create_connection(where, timeout=10) as connection:
                connection.sendall(request.encode())
                return connection.recv(4096)[:12]

        held = []
        while (answer := ask()) != BUSY:
            assert answer == NOT_FOUND
            held.append(stack.enter_context(socket.create_connection(where, timeout=10)))
            assert len(held) < 10
        held.pop().close()
        deadline = time.monotonic() + SETTLE_S
        while (answer := ask()) == BUSY:
            assert time.monotonic() < deadline

        assert answer == NOT_FOUND
        status, said = service.end()

    assert status == 0
    assert "Traceback" not in said
