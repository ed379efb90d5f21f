"""Every limit and timeout, with its default, validated when it is made.

Owns what an operator may choose. Must not know how any of it is carried out. All fields are
frozen; times are seconds, sizes bytes.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs

from pyrepl3.errors import ConfigInvalid

DEFAULT_TEMPLATE = "python"


def _invalid(name: str, value: object, why: str, how: str) -> ConfigInvalid:
    return ConfigInvalid(
        what=f"{name}={value!r} is not possible",
        why=why,
        how=how,
        details={"field": name, "value": repr(value)},
    )


_PREFIX_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")

GREATEST_COUNT = 2**31 - 1
"""Of anything that is counted: more is a slip, and the model checker's numbers end there."""


def _check_number(name: str, value: object, *, minimum: float, whole: bool) -> None:
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "a whole number" if whole else "a number"
        raise _invalid(name, value, f"it must be {kind}", f"Give {kind} of at least {minimum}")
    if math.isnan(value) or math.isinf(value):
        raise _invalid(name, value, "it must be finite", "Give a finite number")
    if value < minimum:
        raise _invalid(name, value, f"the least is {minimum}", f"Give {minimum} or more")


def _number(
    minimum: float,
    *,
    whole: bool = False,
    optional: bool = False,
    maximum: float = math.inf,
) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator for a finite number of at least ``minimum``; None passes where optional."""

    def validate(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and optional:
            return
        name = f"{type(instance).__name__}.{attribute.name}"
        _check_number(name, value, minimum=minimum, whole=whole)
        assert isinstance(value, int | float)
        if value > maximum:
            raise _invalid(name, value, f"the most is {maximum}", f"Give {maximum} or less")

    return validate


_count = _number(1, whole=True, maximum=GREATEST_COUNT)
_bytes = _number(1, whole=True)
_count_or_none = _number(1, whole=True, optional=True)
_seconds = _number(0.001)


def _lowered(value: Any) -> Any:
    """A tuple of names in lower case; what is something else is for the validator."""
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(name.lower() if isinstance(name, str) else name for name in value)
    return value


def _prefix(value: Any) -> Any:
    """A path as `/a/b`: with a slash in front and none behind, or nothing."""
    if not isinstance(value, str):
        raise _invalid(
            "EndpointConfig.path_prefix", value, "it is a path", 'Give one, as "/python"'
        )
    path = value.strip("/")
    if not all(_PREFIX_PART.fullmatch(part) for part in path.split("/") if path):
        raise _invalid(
            "EndpointConfig.path_prefix",
            value,
            "its parts are letters, digits, '-', '_' and '.'",
            'Give one, as "/python"',
        )
    return f"/{path}" if path else ""


def _host(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value:
        name = f"{type(instance).__name__}.{attribute.name}"
        raise _invalid(name, value, "it must be a name or an address", 'Give one, as "127.0.0.1"')


def _truth(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        name = f"{type(instance).__name__}.{attribute.name}"
        raise _invalid(name, value, "it must be True or False", "Give one of these")


def _names(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, tuple) and all(isinstance(name, str) and name for name in value):
        return
    name = f"{type(instance).__name__}.{attribute.name}"
    raise _invalid(name, value, "it must be a list of names", 'Give a list, as ["example.org"]')


@attrs.frozen(kw_only=True)
class Limits:
    """What one session may use; None lifts a limit.

    Raises ConfigInvalid.
    """

    memory_bytes: int | None = attrs.field(
        default=512 * 2**20, validator=_number(32 * 2**20, whole=True, optional=True)
    )
    """Private writable memory (RLIMIT_DATA), in bytes: beyond it the code gets MemoryError."""
    execution_timeout_s: float | None = attrs.field(
        default=30.0, validator=_number(0.001, optional=True)
    )
    """An execution's deadline where its caller names none."""
    output_bytes: int | None = attrs.field(default=100_000_000, validator=_count_or_none)
    """Output of one execution; what comes beyond is told as one `Gap`."""
    open_files: int | None = attrs.field(
        default=100, validator=_number(16, whole=True, optional=True)
    )
    """File descriptors of the process (RLIMIT_NOFILE)."""
    queued_executions: int = attrs.field(default=16, validator=_count)
    """Executions that may wait behind the running one, before QUEUE_FULL."""
    code_bytes: int = attrs.field(default=2**20, validator=_number(1, whole=True))
    """The longest code of one execution, in bytes of UTF-8, before CODE_TOO_LARGE."""

    def __attrs_post_init__(self) -> None:
        if self.code_bytes > 8 * 2**20:
            raise _invalid(
                "Limits.code_bytes", self.code_bytes, "a frame holds 10 MiB", "Give 8 MiB or less"
            )


def _string_tuple(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        raise _invalid("Template.preload", value, "it must be a tuple of names", "Write (name,)")
    if not isinstance(value, Iterable):
        raise _invalid("Template.preload", value, "it must be a tuple of names", "Write (name,)")
    names: tuple[str, ...] = tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise _invalid("Template.preload", value, "each must be a module's name", "Give strings")
    return names


def _check_environment(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Mapping):
        raise _invalid("Template.env", value, "it maps names to values", "Give a dict of strings")
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise _invalid_variable(name, "names and values are strings", "Give strings")
        if not name or "=" in name or "\0" in name + text:
            raise _invalid_variable(name, "no variable can have this", "Change it")


def _invalid_variable(name: object, why: str, how: str) -> ConfigInvalid:
    """Its value is not repeated: variables hold secrets, and errors stand in logs."""
    field = f"Template.env[{name!r}]"
    return ConfigInvalid(
        what=f"{field} is not possible", why=why, how=how, details={"field": field}
    )


def _path_text(value: Any) -> Any:
    """A `Path` as the string it stands for; what is none is left for the check."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _check_path(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    name = f"{type(instance).__name__}.{attribute.name}"
    if not isinstance(value, str):
        raise _invalid(name, value, "a path is a string or a Path", "Give one of these")
    if not value or "\0" in value:
        raise _invalid(name, value, "no file can have this path", "Change it")


def _check_code(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise _invalid(f"Template.{attribute.name}", value, "code is a string", "Give a string")


def _a(
    kind: type[Any], *, optional: bool = False
) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator for a part that has a class of its own."""

    def validate(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not (isinstance(value, kind) or (optional and value is None)):
            name = f"{type(instance).__name__}.{attribute.name}"
            made = f"pyrepl3.{kind.__name__}(...)"
            raise _invalid(name, value, f"it must be a {made}", f"Give {made}")

    return validate


def _check_templates(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    name = f"{type(instance).__name__}.{attribute.name}"
    if not isinstance(value, Mapping):
        raise _invalid(name, value, "it maps names to templates", "Give a dict")
    for key, template in value.items():
        if not isinstance(key, str) or not isinstance(template, Template):
            raise _invalid(
                f"{name}[{key!r}]",
                template,
                "a name is a string, and a template a pyrepl3.Template(...)",
                "Give these",
            )


def _one_of(*choices: str) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def validate(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            name = f"{type(instance).__name__}.{attribute.name}"
            raise _invalid(name, value, "there is no such choice", f"Choose of {choices}")

    return validate


@attrs.frozen(kw_only=True)
class Template:
    """What sessions of one kind start from.

    ``python`` is the path of an interpreter (3.11 or newer; PyREPL3 need not be installed for
    it), None for the service's own. ``preload`` names modules to import, ``warmup_code`` runs
    after them, both once for all sessions of the template (with ``spawn="exec"``: in each).
    ``env`` is added to the allow-listed environment. ``async_library`` says what runs a
    top-level ``await``.
    """

    python: str | None = attrs.field(default=None, converter=_path_text, validator=_check_path)
    preload: tuple[str, ...] = attrs.field(default=(), converter=_string_tuple)
    warmup_code: str = attrs.field(default="", validator=_check_code)
    env: Mapping[str, str] = attrs.field(factory=dict, validator=_check_environment)
    cwd: str | None = attrs.field(default=None, converter=_path_text, validator=_check_path)
    spawn: Literal["fork", "exec"] = attrs.field(default="fork", validator=_one_of("fork", "exec"))
    async_library: Literal["asyncio", "trio"] = attrs.field(
        default="asyncio", validator=_one_of("asyncio", "trio")
    )
    limits: Limits | None = attrs.field(default=None, validator=_a(Limits, optional=True))
    """None: the limits of the `Config`."""


@attrs.frozen(kw_only=True)
class PoolConfig:
    """How many sessions there are, and how long things may take.

    Raises ConfigInvalid.
    """

    min_idle: int = attrs.field(default=2, validator=_number(0, whole=True, maximum=GREATEST_COUNT))
    """Idle sessions to keep ready, for each template."""
    max_sessions: int = attrs.field(default=100, validator=_count)
    """All of them: starting, idle, leased and stopping, of every template."""
    acquire_timeout_s: float = attrs.field(default=5.0, validator=_seconds)
    idle_lifetime_s: float = attrs.field(default=600.0, validator=_seconds)
    """An idle session is replaced by a new one after this, give or take a tenth by chance."""
    start_timeout_s: float = attrs.field(default=10.0, validator=_seconds)
    """From the start of a process to its `ready`."""
    backoff_initial_s: float = attrs.field(default=0.1, validator=_seconds)
    backoff_max_s: float = attrs.field(default=5.0, validator=_seconds)
    """Pauses between starts that fail: doubled from the initial one up to this, with jitter."""
    breaker_failures: int = attrs.field(default=3, validator=_count)
    """Failed starts of a template in a row that open its breaker."""
    breaker_reset_s: float = attrs.field(default=5.0, validator=_seconds)
    """How long an open breaker refuses before one start is tried."""


@attrs.frozen(kw_only=True)
class Timeouts:
    """Bounds of the ladder and of shutting down."""

    interrupt_grace_s: float = attrs.field(default=2.0, validator=_seconds)
    """From SIGINT to the next rung: a stack dump, then SIGKILL."""
    stack_dump_s: float = attrs.field(default=0.05, validator=_seconds)
    """From SIGUSR1 to SIGKILL: time for the interpreter to write its stack."""
    close_grace_s: float = attrs.field(default=1.0, validator=_seconds)
    """For a closed session to run its exit handlers, before SIGKILL."""
    drain_s: float = attrs.field(default=0.25, validator=_seconds)
    """For output that is still in the pipes when a process has ended."""
    shutdown_s: float = attrs.field(default=5.0, validator=_seconds)
    """For each part of the tree to end by itself, before it is cancelled."""


@attrs.frozen(kw_only=True)
class JournalConfig:
    """How much of what its sessions told the service keeps, for clients that come back.

    What goes over the bounds for memory goes to disk; what goes over those for the disk is
    forgotten, the oldest first, and told as a gap. Raises ConfigInvalid.
    """

    memory_bytes: int = attrs.field(default=2**20, validator=_bytes)
    """Of one session."""
    total_memory_bytes: int = attrs.field(default=64 * 2**20, validator=_bytes)
    least_memory_bytes: int = attrs.field(default=64 * 2**10, validator=_bytes)
    """Of one session, when all together are over their bound."""
    disk_bytes: int = attrs.field(default=256 * 2**20, validator=_number(0, whole=True))
    """Of one session: the output of a long job that can be had in full afterwards."""
    total_disk_bytes: int = attrs.field(default=4 * 2**30, validator=_number(0, whole=True))
    directory: str | None = attrs.field(default=None, converter=_path_text, validator=_check_path)
    """Where the disk is; None: the system's directory for temporary files."""


@attrs.frozen(kw_only=True)
class HostingConfig:
    """How long the service keeps sessions whose clients may come back. Raises ConfigInvalid."""

    idle_timeout_s: float = attrs.field(default=3600.0, validator=_seconds)
    """A session in which nothing ran for so long, and that nobody is attached to, is closed."""
    retention_s: float = attrs.field(default=300.0, validator=_seconds)
    """How long the events of a session that has ended can still be read."""
    max_ended: int = attrs.field(default=1000, validator=_count)
    """Ended sessions that are kept at most; the oldest are forgotten first."""
    journal: JournalConfig = attrs.field(factory=JournalConfig, validator=_a(JournalConfig))


@attrs.frozen(kw_only=True)
class EndpointConfig:
    """How the service listens, and what it expects of its clients. Raises ConfigInvalid."""

    host: str = attrs.field(default="127.0.0.1", validator=_host)
    port: int = attrs.field(default=8765, validator=_number(0, whole=True, maximum=65_535))
    """0: any that is free."""
    allowed_hosts: tuple[str, ...] = attrs.field(default=(), converter=_lowered, validator=_names)
    """Names, without port, that the service goes by beside ``host`` and those of loopback: what a
    browser or a proxy has in its Host header."""
    allowed_origins: tuple[str, ...] = attrs.field(default=(), converter=_lowered, validator=_names)
    """Origins whose pages may use the service beside its own, as `https://example.org:8443`."""
    tls_cert: str | None = attrs.field(default=None, converter=_path_text, validator=_check_path)
    """A file with the certificate chain, PEM. With ``tls_key``: TLS; None: none."""
    tls_key: str | None = attrs.field(default=None, converter=_path_text, validator=_check_path)
    """A file with its private key, PEM."""
    insecure_bind: bool = attrs.field(default=False, validator=_truth)
    """Whether other machines may be let in without TLS, as where a proxy in front of it has TLS."""
    path_prefix: str = attrs.field(default="", converter=_prefix)
    """Where a proxy has it, as `/python`: left in front of a path or not, both are understood."""
    max_connections: int = attrs.field(default=1000, validator=_count)
    max_connections_per_principal: int = attrs.field(default=200, validator=_count)
    """Where a token file gives a principal no bound of its own."""
    max_strangers_per_peer: int = attrs.field(default=100, validator=_count)
    """Connections from one address on which nobody has authorized themselves yet. Of more, the one
    that has waited longest is closed: idle sockets cannot keep anybody else out."""
    upload_bytes: int = attrs.field(default=2**30, validator=_bytes)
    """Of one file that is written over REST."""
    failures_per_peer: int = attrs.field(default=10, validator=_count)
    """Attempts without a right token that an address has, before it must wait for the next."""
    head_timeout_s: float = attrs.field(default=10.0, validator=_seconds)
    """From the first byte of a request to the end of its headers."""
    keep_alive_s: float = attrs.field(default=75.0, validator=_seconds)
    """How long a connection may wait for its next request."""
    slow_client_s: float = attrs.field(default=30.0, validator=_seconds)
    """How long one message may wait for its client to take it, before the client is left."""
    ping_every_s: float = attrs.field(default=20.0, validator=_seconds)
    pong_within_s: float = attrs.field(default=15.0, validator=_seconds)
    """Together less than 40 s: so soon is it found that a client has gone without a word."""

    def __attrs_post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = "tls_cert", "tls_key"
            if self.tls_cert is None:
                given, missing = missing, given
            raise _invalid(
                f"EndpointConfig.{missing}",
                None,
                f"there is a {given}, and TLS needs both",
                f"Give {missing} too, or neither",
            )
        if not (self.is_loopback or self.has_tls or self.insecure_bind):
            raise _invalid(
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


@attrs.frozen(kw_only=True)
class Config:
    """Everything `open_supervisor` may be told; each part has its defaults.

    Raises ConfigInvalid.
    """

    pool: PoolConfig = attrs.field(factory=PoolConfig, validator=_a(PoolConfig))
    templates: Mapping[str, Template] = attrs.field(
        factory=lambda: {DEFAULT_TEMPLATE: Template()}, validator=_check_templates
    )
    limits: Limits = attrs.field(factory=Limits, validator=_a(Limits))
    timeouts: Timeouts = attrs.field(factory=Timeouts, validator=_a(Timeouts))
    endpoint: EndpointConfig = attrs.field(factory=EndpointConfig, validator=_a(EndpointConfig))
    hosting: HostingConfig = attrs.field(factory=HostingConfig, validator=_a(HostingConfig))
    record_trace: str | None = attrs.field(
        default=None, converter=_path_text, validator=_check_path
    )
    """A file for a recording of what the pool and its sessions do (ids and numbers, no code and no
    output), for `pyrepl3 spec check`. It is overwritten. None: nothing is recorded.

    It belongs on a local disk: the event loop writes it, in batches, and waits for each. It says
    what happened, and does not show that the sessions which a killed service left were reaped."""

    def __attrs_post_init__(self) -> None:
        if not self.templates:
            raise _invalid(
                "Config.templates", {}, "sessions start from a template", "Give at least one"
            )
        wanted = self.pool.min_idle * len(self.templates)
        if wanted > self.pool.max_sessions:
            raise _invalid(
                "PoolConfig.min_idle",
                self.pool.min_idle,
                f"{len(self.templates)} template(s) would keep {wanted} idle sessions, and "
                f"max_sessions is {self.pool.max_sessions}",
                "Lower min_idle or raise max_sessions",
            )

    def template(self, name: str) -> Template:
        """The template of that name.

        Raises ConfigInvalid when there is none.
        """
        try:
            return self.templates[name]
        except KeyError:
            known = ", ".join(sorted(self.templates))
            raise ConfigInvalid(
                what=f"there is no template {name!r}",
                why=f"the configuration has: {known}",
                how="Name one of these, or add it to Config.templates",
                details={"template": name, "templates": sorted(self.templates)},
            ) from None

    def limits_of(self, name: str) -> Limits:
        """The limits of sessions of that template."""
        return self.template(name).limits or self.limits


def check_timeout(name: str, timeout_s: float | None) -> None:
    """A caller's timeout: positive seconds, or infinite for none; None is the default.

    Raises ConfigInvalid.
    """
    if timeout_s is None or timeout_s == math.inf:
        return
    _check_number(name, timeout_s, minimum=0.001, whole=False)
