"""Unit tests: the packets of a zygote's control socket, and descriptors sent along."""

import array
import os
import socket
from typing import Any

import attrs
import msgpack
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.transport import zygote_link
from pyrepl3.transport.zygote_link import (
    ConfigurationTooLarge,
    Exited,
    Started,
    StartFailed,
    ZygoteBroke,
    ZygoteFailed,
    ZygoteLink,
    ZygoteReady,
    decode_packet,
)

NUMBERS = st.integers(1, 2**63 - 1)
TEXTS = st.text(max_size=20)
MESSAGES = st.one_of(
    st.builds(ZygoteReady, NUMBERS, TEXTS),
    st.builds(ZygoteFailed, TEXTS, TEXTS, TEXTS),
    st.builds(Started, NUMBERS, NUMBERS, st.none()),
    st.builds(StartFailed, NUMBERS, NUMBERS, TEXTS),
    st.builds(Exited, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS, st.booleans()),
)
TYPES = {
    ZygoteReady: "zygote_ready",
    ZygoteFailed: "zygote_failed",
    Started: "started",
    StartFailed: "start_failed",
    Exited: "exited",
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(["id", "pid", "errno", "message", "status", "signal", "stopped", "name"])


def fields_of(message: Any) -> dict[str, Any]:
    fields = attrs.asdict(message)
    fields.pop("pidfd", None)
    return {"type": TYPES[type(message)], **fields}


@given(MESSAGES)
def test_every_message_of_a_zygote_is_understood(message: Any) -> None:
    assert decode_packet(msgpack.packb(fields_of(message)), []) == message


@given(MESSAGES, st.dictionaries(st.text(min_size=8), ANYTHING))
def test_unknown_fields_are_ignored(message: Any, more: dict[str, Any]) -> None:
    assert decode_packet(msgpack.packb(more | fields_of(message)), []) == message


@given(st.binary(max_size=100))
def test_bytes_that_are_no_message_break_nothing_else(packet: bytes) -> None:
    with pytest.raises(ZygoteBroke):
        decode_packet(packet, [])


@given(
    st.sampled_from([*TYPES.values(), "start", None, 7]),
    st.dictionaries(FIELDS, ANYTHING),
    st.lists(st.just(99), max_size=2),
)
def test_wrong_fields_are_a_broken_zygote_or_a_checked_message(
    kind: object, fields: dict[str, Any], descriptors: list[int]
) -> None:
    try:
        message = decode_packet(msgpack.packb({**fields, "type": kind}), descriptors)
    except ZygoteBroke:
        return
    for name in ("id", "pid", "errno", "status", "signal"):
        value = getattr(message, name, None)
        assert value is None or (type(value) is int and value >= 0)


def test_a_pid_that_would_mean_a_group_is_refused() -> None:
    for pid in (0, -1):
        with pytest.raises(ZygoteBroke):
            decode_packet(msgpack.packb({"type": "started", "id": 1, "pid": pid}), [])


def test_a_configuration_that_fits_into_no_packet_is_refused_with_its_size() -> None:
    limit = zygote_link.MAX_CONFIGURATION_BYTES
    assert len(zygote_link.encode_configuration({"warmup_code": "x" * (limit - 100)})) <= limit
    with pytest.raises(ConfigurationTooLarge) as caught:
        zygote_link.encode_configuration({"warmup_code": "x" * limit})
    assert caught.value.size_bytes > limit


async def test_descriptors_arrive_with_their_packet_and_are_not_inherited() -> None:
    link, peer = open_link()
    read, write = os.pipe()
    with peer:
        send(peer, {"type": "started", "id": 1, "pid": 2}, [read])
        message = await link.receive()
        assert isinstance(message, Started)
        assert message.pidfd is not None
        os.write(write, b"x")
        assert os.read(message.pidfd, 1) == b"x"
        assert not os.get_inheritable(message.pidfd)
        for descriptor in (read, write, message.pidfd):
            os.close(descriptor)
    link.close()


@pytest.mark.parametrize("fields", [{"type": "exited", "pid": 2}, {"type": "nonsense"}])
async def test_descriptors_of_a_refused_packet_are_closed(fields: dict[str, Any]) -> None:
    link, peer = open_link()
    read, write = os.pipe()
    with peer:
        send(peer, fields, [write])
        os.close(write)
        with pytest.raises(ZygoteBroke):
            await link.receive()
    # Every copy of the other end is closed.
    assert os.read(read, 1) == b""
    os.close(read)
    link.close()


async def test_what_is_sent_arrives_with_copies_of_its_descriptors() -> None:
    link, peer = open_link()
    read, write = os.pipe()
    with peer:
        await link.send(zygote_link.encode_start(5), [write])
        data, descriptors, _, _ = socket.recv_fds(peer, 4096, 4)
        assert msgpack.unpackb(data) == {"type": "start", "id": 5}
        assert len(descriptors) == 1
    for descriptor in (read, write, *descriptors):
        os.close(descriptor)
    link.close()


async def test_a_zygote_that_has_gone_is_told_apart() -> None:
    link, peer = open_link()
    peer.close()

    assert await link.receive() is None
    with pytest.raises(trio.BrokenResourceError):
        await link.send(zygote_link.encode_kill(7))
    link.close()


def open_link() -> tuple[ZygoteLink, socket.socket]:
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ZygoteLink(trio.socket.from_stdlib_socket(ours)), peer


def send(peer: socket.socket, fields: dict[str, Any], descriptors: list[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    peer.sendmsg([msgpack.packb(fields)], ancillary)
