"""The service's end of a zygote's control socket: packets to checked messages, and back.

Owns the vocabulary of that socket and the descriptors that travel over it. Must not know what a
start is for. A zygote has run a template's preloads and warm-up code, so what it says is checked
like anything else that comes from user code; a packet that is wrong ends that zygote.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import msgpack
import trio

MAX_CONFIGURATION_BYTES = 192 * 1024
"""As in worker/zygote.py: a packet must fit into the default socket buffer (208 KiB)."""

MAX_PACKET_BYTES = 128 * 1024
"""What the zygote sends at most: a name, a text and a traceback of 16 Ki characters each."""

_INTEGER_BYTES = array.array("i").itemsize
_ANCILLARY_BYTES = socket.CMSG_SPACE(4 * _INTEGER_BYTES) if hasattr(socket, "CMSG_SPACE") else 0


class ZygoteBroke(Exception):
    """The zygote sent what no zygote sends. Its connection is of no use any more."""


class ConfigurationTooLarge(ValueError):
    """The template does not fit into one packet; ``size_bytes`` is what it would take."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"{size_bytes} bytes are over the limit of {MAX_CONFIGURATION_BYTES}")
        self.size_bytes = size_bytes


@attrs.frozen
class ZygoteReady:
    """It has preloaded everything, and takes starts."""

    pid: int
    version: str


@attrs.frozen
class ZygoteFailed:
    """A preload or the warm-up code raised; the zygote ends."""

    name: str
    value: str
    traceback: str


@attrs.frozen
class Started:
    """A worker runs. ``pidfd`` is ours to close; None: it was lost, as we have too many."""

    id: int
    pid: int
    pidfd: int | None


@attrs.frozen
class StartFailed:
    """No worker came of this start."""

    id: int
    errno: int
    message: str


@attrs.frozen
class Exited:
    """A worker is dead and reaped, and what it left is killed."""

    pid: int
    status: int | None
    signal: int | None
    stopped: bool
    survivor: int | None = None
    """Another process that is a worker now in its place, a snapshot of it."""
    pidfd: int | None = None
    """Of that one, ours to close; None: it was lost, as we have too many."""


@attrs.frozen
class Spared:
    """A copy of a worker outlives it. ``pidfd`` is ours to close; None: it was lost."""

    id: int
    pid: int
    pidfd: int | None


@attrs.frozen
class NotSpared:
    """There is no such copy, or not any more."""

    id: int


ZygoteMessage = ZygoteReady | ZygoteFailed | Started | StartFailed | Exited | Spared | NotSpared


def encode_configuration(configuration: Mapping[str, Any]) -> bytes:
    """The first packet. Raises ConfigurationTooLarge."""
    packet = _pack({"type": "configure", **configuration})
    if len(packet) > MAX_CONFIGURATION_BYTES:
        raise ConfigurationTooLarge(len(packet))
    return packet


def encode_start(start: int) -> bytes:
    """The request for a worker; four descriptors go with it."""
    return _pack({"type": "start", "id": start})


def encode_spare(request: int, worker: int, copy: int) -> bytes:
    """The request to let that child of a worker outlive it."""
    return _pack({"type": "spare", "id": request, "worker": worker, "pid": copy})


def encode_kill(pid: int) -> bytes:
    """The request to kill a worker of which we have no pidfd.

    The zygote does so only while it has not reaped it: nobody else can have the number then.
    """
    return _pack({"type": "kill", "pid": pid})


def decode_packet(packet: bytes, descriptors: Sequence[int]) -> ZygoteMessage:
    """The message in a packet. The caller keeps the descriptors if this raises.

    Raises ZygoteBroke.
    """
    try:
        fields = msgpack.unpackb(packet, raw=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise ZygoteBroke(f"a packet that is no msgpack: {error}") from error
    kind = fields.get("type") if isinstance(fields, dict) else None
    decode = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decode is None:
        raise ZygoteBroke(f"a packet of the unknown type {kind!r:.100}")
    if len(descriptors) > (kind in _WITH_PIDFD or fields.get("survivor") is not None):
        raise ZygoteBroke(f"a {kind!r} packet with {len(descriptors)} descriptors")
    return decode(fields, descriptors)


def _pack(message: Mapping[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return packed


def _integer(fields: Mapping[str, Any], name: str, *, least: int = 0) -> int:
    value = fields.get(name)
    if type(value) is not int or not least <= value < 2**63:
        raise ZygoteBroke(f"{name!r} is {value!r:.100}")
    return value


def _optional_integer(fields: Mapping[str, Any], name: str) -> int | None:
    return None if fields.get(name) is None else _integer(fields, name)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ZygoteBroke(f"{name!r} is {value!r:.100}")
    return value


def _ready(fields: Mapping[str, Any], _: Sequence[int]) -> ZygoteReady:
    return ZygoteReady(_integer(fields, "pid", least=1), _text(fields, "version"))


def _failed(fields: Mapping[str, Any], _: Sequence[int]) -> ZygoteFailed:
    return ZygoteFailed(*(_text(fields, name) for name in ("name", "value", "traceback")))


def _started(fields: Mapping[str, Any], descriptors: Sequence[int]) -> Started:
    pidfd = descriptors[0] if descriptors else None
    return Started(_integer(fields, "id"), _integer(fields, "pid", least=1), pidfd)


def _spared(fields: Mapping[str, Any], descriptors: Sequence[int]) -> Spared:
    pidfd = descriptors[0] if descriptors else None
    return Spared(_integer(fields, "id"), _integer(fields, "pid", least=1), pidfd)


def _not_spared(fields: Mapping[str, Any], _: Sequence[int]) -> NotSpared:
    return NotSpared(_integer(fields, "id"))


def _start_failed(fields: Mapping[str, Any], _: Sequence[int]) -> StartFailed:
    return StartFailed(_integer(fields, "id"), _integer(fields, "errno"), _text(fields, "message"))


def _exited(fields: Mapping[str, Any], descriptors: Sequence[int]) -> Exited:
    return Exited(
        _integer(fields, "pid", least=1),
        _optional_integer(fields, "status"),
        _optional_integer(fields, "signal"),
        fields.get("stopped") is True,
        _optional_integer(fields, "survivor"),
        descriptors[0] if descriptors else None,
    )


_DECODERS: Mapping[str, Callable[[Mapping[str, Any], Sequence[int]], ZygoteMessage]] = {
    "zygote_ready": _ready,
    "zygote_failed": _failed,
    "started": _started,
    "start_failed": _start_failed,
    "exited": _exited,
    "spared": _spared,
    "not_spared": _not_spared,
}
_WITH_PIDFD = ("started", "spared")


class ZygoteLink:
    """Messages over a connected SOCK_SEQPACKET socket. One task sends, one receives."""

    def __init__(self, control: trio.socket.SocketType) -> None:
        self._control = control

    async def send(self, packet: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send one packet with copies of ``descriptors``, wholly or not at all.

        Raises trio.BrokenResourceError when the zygote has gone, OSError for other reasons.
        """
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            await self._control.sendmsg([packet], ancillary if descriptors else [])
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                raise trio.BrokenResourceError from error
            raise

    async def receive(self) -> ZygoteMessage | None:
        """The next message; None when the zygote has gone.

        Raises ZygoteBroke. No descriptor is left open by a cancelled or failed call.
        """
        try:
            packet, ancillary, flags, _ = await self._control.recvmsg(
                MAX_PACKET_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return None
        descriptors = _received_descriptors(ancillary)
        try:
            if not packet:
                return None
            if flags & socket.MSG_TRUNC:
                raise ZygoteBroke(f"a packet of more than {MAX_PACKET_BYTES} bytes")
            return decode_packet(packet, descriptors)
        except ZygoteBroke:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def close(self) -> None:
        """Hang up: the zygote kills every worker, and ends."""
        self._control.close()


def _received_descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    received = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(content[: len(content) - len(content) % _INTEGER_BYTES])
    return list(received)
