"""How the service listens and what it keeps for its clients, with defaults, validated when made.

Owns what an operator may choose of that. Must not know how any of it is carried out.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from pyrepl3.config_checks import (
    byte_count,
    check_path,
    count,
    host_name,
    instance_of,
    invalid,
    lowered,
    names,
    number,
    path_text,
    seconds,
    truth,
)

_PREFIX_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def _prefix(value: Any) -> Any:
    """A path as `/a/b`: with a slash in front and none behind, or nothing."""
    if not isinstance(value, str):
        raise invalid("EndpointConfig.path_prefix", value, "it is a path", 'Give one, as "/python"')
    path = value.strip("/")
    if not all(_PREFIX_PART.fullmatch(part) for part in path.split("/") if path):
        raise invalid(
            "EndpointConfig.path_prefix",
            value,
            "its parts are letters, digits, '-', '_' and '.'",
            'Give one, as "/python"',
        )
    return f"/{path}" if path else ""


@attrs.frozen(kw_only=True)
class JournalConfig:
    """How much of what its sessions told the service keeps, for clients that come back.

    What goes over the bounds for memory goes to disk; what goes over those for the disk is
    forgotten, the oldest first, and told as a gap. Raises ConfigInvalid.
    """

    memory_bytes: int = attrs.field(default=2**20, validator=byte_count)
    """Of one session."""
    total_memory_bytes: int = attrs.field(default=64 * 2**20, validator=byte_count)
    least_memory_bytes: int = attrs.field(default=64 * 2**10, validator=byte_count)
    """Of one session, when all together are over their bound."""
    disk_bytes: int = attrs.field(default=256 * 2**20, validator=number(0, whole=True))
    """Of one session: the output of a long job that can be had in full afterwards."""
    total_disk_bytes: int = attrs.field(default=4 * 2**30, validator=number(0, whole=True))
    directory: str | None = attrs.field(default=None, converter=path_text, validator=check_path)
    """Where the disk is; None: the system's directory for temporary files."""


@attrs.frozen(kw_only=True)
class HostingConfig:
    """How long the service keeps sessions whose clients may come back. Raises ConfigInvalid."""

    idle_timeout_s: float = attrs.field(default=3600.0, validator=seconds)
    """A session in which nothing ran for so long, and that nobody is attached to, is closed."""
    transaction_idle_s: float = attrs.field(default=60.0, validator=seconds)
    """A transaction in which nothing ran for so long, and in whose session nobody is attached, is
    rolled back: whoever began it has gone."""
    retention_s: float = attrs.field(default=300.0, validator=seconds)
    """How long the events of a session that has ended can still be read."""
    max_ended: int = attrs.field(default=1000, validator=count)
    """Ended sessions that are kept at most; the oldest are forgotten first."""
    journal: JournalConfig = attrs.field(
        factory=JournalConfig, validator=instance_of(JournalConfig)
    )


@attrs.frozen(kw_only=True)
class EndpointConfig:
    """How the service listens, and what it expects of its clients. Raises ConfigInvalid."""

    host: str = attrs.field(default="127.0.0.1", validator=host_name)
    port: int = attrs.field(default=8765, validator=number(0, whole=True, maximum=65_535))
    """0: any that is free."""
    allowed_hosts: tuple[str, ...] = attrs.field(default=(), converter=lowered, validator=names)
    """Names, without port, that the service goes by beside ``host`` and those of loopback: what a
    browser or a proxy has in its Host header."""
    allowed_origins: tuple[str, ...] = attrs.field(default=(), converter=lowered, validator=names)
    """Origins whose pages may use the service beside its own, as `https://example.org:8443`."""
    tls_cert: str | None = attrs.field(default=None, converter=path_text, validator=check_path)
    """A file with the certificate chain, PEM. With ``tls_key``: TLS; None: none."""
    tls_key: str | None = attrs.field(default=None, converter=path_text, validator=check_path)
    """A file with its private key, PEM."""
    insecure_bind: bool = attrs.field(default=False, validator=truth)
    """Whether other machines may be let in without TLS, as where a proxy in front of it has TLS."""
    path_prefix: str = attrs.field(default="", converter=_prefix)
    """Where a proxy has it, as `/python`: left in front of a path or not, both are understood."""
    max_connections: int = attrs.field(default=1000, validator=count)
    max_connections_per_principal: int = attrs.field(default=200, validator=count)
    """Where a token file gives a principal no bound of its own."""
    max_strangers_per_peer: int = attrs.field(default=100, validator=count)
    """Connections from one address on which nobody has authorized themselves yet. Of more, the one
    that has waited longest is closed: idle sockets cannot keep anybody else out."""
    upload_bytes: int = attrs.field(default=2**30, validator=byte_count)
    """Of one file that is written over REST."""
    failures_per_peer: int = attrs.field(default=10, validator=count)
    """Attempts without a right token that an address has, before it must wait for the next."""
    head_timeout_s: float = attrs.field(default=10.0, validator=seconds)
    """From the first byte of a request to the end of its headers."""
    keep_alive_s: float = attrs.field(default=75.0, validator=seconds)
    """How long a connection may wait for its next request."""
    slow_client_s: float = attrs.field(default=30.0, validator=seconds)
    """How long one message may wait for its client to take it, before the client is left."""
    ping_every_s: float = attrs.field(default=20.0, validator=seconds)
    pong_within_s: float = attrs.field(default=15.0, validator=seconds)
    """Together less than 40 s: so soon is it found that a client has gone without a word."""

    def __attrs_post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = "tls_cert", "tls_key"
            if self.tls_cert is None:
                given, missing = missing, given
            raise invalid(
                f"EndpointConfig.{missing}",
                None,
                f"there is a {given}, and TLS needs both",
                f"Give {missing} too, or neither",
            )
        if not (self.is_loopback or self.has_tls or self.insecure_bind):
            raise invalid(
                "EndpointConfig.host",
                self.host,
                "other machines can reach it, and without TLS whoever is between can read tokens "
                "and code",
                "Give tls_cert and tls_key, stay on 127.0.0.1, or set insecure_bind where a proxy "
                "has the TLS",
            )

    @property
    def has_tls(self) -> bool:
        """Whether it speaks TLS, and nothing else."""
        return self.tls_cert is not None

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can reach it."""
        if self.host.lower() in ("127.0.0.1", "localhost"):
            return True
        import ipaddress  # who stays on loopback pays nothing

        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
