"""File descriptors of the zygote and of a worker: which number means what, and who has them.

Owns the layout (0 null, 1 stdout, 2 stderr, 3 protocol, 4 control page, 5 configuration) and the
passing of descriptors over a socket. Must not know what travels in the packets.
"""

import os
import socket
from _signal import SIGKILL
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fcntl import F_GETFL, F_SETFL, F_SETOWN, F_SETSIG, fcntl
from select import POLLHUP, poll

PROTOCOL = 3
CONTROL_PAGE = 4
CONFIGURATION = 5
"""Only for exec start; a forked worker has its configuration in memory."""

FIRST_UNRESERVED = 16
"""Everything that the zygote opens is at least this, so that dup2 onto the layout above never
hits a descriptor that is still needed."""

MAX_DESCRIPTORS = 8
_INTEGER_BYTES = array("i").itemsize
_ANCILLARY_BYTES = socket.CMSG_SPACE(MAX_DESCRIPTORS * _INTEGER_BYTES)
_LAST_DESCRIPTOR = max(os.sysconf("SC_OPEN_MAX"), 65536)

Packet = tuple[bytes, list[int], bool]
"""Data, descriptors, and whether descriptors were lost because this process has too many."""


def reserve_low_descriptors() -> int:
    """Fill every gap below `FIRST_UNRESERVED` with the null device; returns one more of it."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if descriptor >= FIRST_UNRESERVED:
            return descriptor


def close_all_from(first: int) -> None:
    """Close every descriptor from ``first`` on."""
    os.closerange(first, _LAST_DESCRIPTOR)


def close_each(descriptors: Sequence[int]) -> None:
    """Close descriptors that this process holds."""
    for descriptor in descriptors:
        os.close(descriptor)


def send_packet(control: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one packet, with copies of ``descriptors``; waits while the peer is behind.

    Raises OSError (EPIPE, ECONNRESET when the peer has gone).
    """
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]
    control.sendmsg([data], ancillary if descriptors else [])


def receive_packet(control: socket.socket, max_bytes: int) -> Packet:
    """Take one packet, waiting for it; empty data is the end of the connection.

    Raises OSError, and ValueError for a packet over ``max_bytes``.
    """
    data, ancillary, flags, _ = control.recvmsg(
        max_bytes, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
    )
    received = array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(content[: len(content) - len(content) % _INTEGER_BYTES])
    if flags & socket.MSG_TRUNC:
        close_each(received)
        raise ValueError(f"a control packet has more than {max_bytes} bytes")
    return data, list(received), bool(flags & socket.MSG_CTRUNC)


@contextmanager
def killed_at_hang_up(control: socket.socket) -> Iterator[None]:
    """Within the block, the end of the connection kills this process, whatever it is doing.

    For preloads and warm-up code, which may run for ever and would never see it. A packet that
    arrives kills as well: the peer must have nothing to say before it is spoken to.
    """
    descriptor = control.fileno()
    flags = fcntl(descriptor, F_GETFL)
    fcntl(descriptor, F_SETOWN, os.getpid())
    fcntl(descriptor, F_SETSIG, SIGKILL)
    fcntl(descriptor, F_SETFL, flags | os.O_ASYNC)
    poller = poll()
    poller.register(descriptor, POLLHUP)
    if poller.poll(0):
        # It had ended before the signal was asked for.
        os._exit(0)
    try:
        yield
    finally:
        fcntl(descriptor, F_SETFL, flags)
