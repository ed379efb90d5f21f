"""Unit tests: what a worker that takes over throws away of its socket, and what it leaves there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.transport.spawning import MARK_BYTES
from pyrepl3.wire.worker_messages import encode_message
from pyrepl3.worker.interrupts import Interrupts
from pyrepl3.worker.link import Link

FRAME = encode_message({"type": "shutdown", "reason": "closed", "grace_s": 1.0})
marks = st.binary(min_size=MARK_BYTES, max_size=MARK_BYTES)


@contextmanager
def open_link() -> Iterator[tuple[Link, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(Interrupts())
        link.attach(theirs.fileno(), theirs.fileno())
        yield link, ours
        link.close()


@given(mark=marks, left=st.lists(st.binary(max_size=60)), cuts=st.lists(st.integers(1, 7)))
def test_all_up_to_the_mark_is_thrown_away_and_nothing_behind_it(
    mark: bytes, left: list[bytes], cuts: list[int]
) -> None:
    """Also where what was left looks like the mark's beginning."""
    rest = b"".join([*left, *(mark[:cut] for cut in cuts)])
    with open_link() as (link, service):
        if mark in rest + mark[:-1]:
            return  # by chance, which the service makes as good as none
        service.sendall(rest + mark + FRAME + FRAME)
        link.skip_past(mark)

        assert link.receive()["type"] == "shutdown"
        assert link.is_readable(0)
        assert link.receive()["type"] == "shutdown"
        assert not link.is_readable(0)


def test_a_message_that_was_read_in_part_is_not_gone_on_with() -> None:
    mark = b"\x00the-mark"[:MARK_BYTES]
    with open_link() as (link, service):
        service.sendall(FRAME[:7])
        link._read(3)  # where it was interrupted
        service.sendall(mark + FRAME)
        link.skip_past(mark)

        assert link.receive()["type"] == "shutdown"


def test_descriptors_that_came_with_what_is_thrown_away_are_closed() -> None:
    mark = b"a-mark-1"
    with open_link() as (link, service):
        ours, theirs = socket.socketpair()
        with ours:
            socket.send_fds(service, [FRAME], [theirs.fileno()])
            theirs.close()
            service.sendall(mark)
            link.skip_past(mark)

            assert ours.recv(1) == b""  # nobody has the other end any more
            assert link.take_passed() == []
