"""Every limit and timeout, with its default, validated when it is made.

Owns what an operator may choose, with the endpoint's and the journals' part in `service_config.py`.
Must not know how any of it is carried out. All fields are frozen; times are seconds, sizes bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import attrs

from pyrepl3.config_checks import (
    GREATEST_COUNT,
    check_number,
    check_path,
    count,
    count_or_none,
    instance_of,
    invalid,
    number,
    one_of,
    path_text,
    seconds,
    truth,
)
from pyrepl3.errors import ConfigInvalid
from pyrepl3.service_config import EndpointConfig as EndpointConfig
from pyrepl3.service_config import HostingConfig as HostingConfig
from pyrepl3.service_config import JournalConfig as JournalConfig

DEFAULT_TEMPLATE = "python"

HISTORY_EXECUTIONS = 63
"""The most that can be undone: a session's control page names so many snapshots."""
HISTORY_BYTES = 256 * 2**20
"""Of one session's history, if it is not said otherwise: half of what its process may have."""
TransactionPolicy = Literal["commit_always", "rollback_on_failure", "rollback_always", "explicit"]
"""What becomes of what an execution did: it stays, unless it fails, or never, or as the transaction
that is open ends."""
POLICIES: tuple[TransactionPolicy, ...] = get_args(TransactionPolicy)
Guard = bool | Literal["auto"]
"""Whether a crash is undone: never, or back to right before the execution, or back to the last
snapshot that was cheap enough."""
_GUARDS = 'it must be True, False or "auto"'


@attrs.frozen(kw_only=True)
class Limits:
    """What one session may use; None lifts a limit.

    Raises ConfigInvalid.
    """

    memory_bytes: int | None = attrs.field(
        default=512 * 2**20, validator=number(32 * 2**20, whole=True, optional=True)
    )
    """Private writable memory (RLIMIT_DATA), in bytes: beyond it the code gets MemoryError."""
    execution_timeout_s: float | None = attrs.field(
        default=30.0, validator=number(0.001, optional=True)
    )
    """An execution's deadline where its caller names none."""
    output_bytes: int | None = attrs.field(default=100_000_000, validator=count_or_none)
    """Output of one execution; what comes beyond is told as one `Gap`."""
    open_files: int | None = attrs.field(
        default=100, validator=number(16, whole=True, optional=True)
    )
    """File descriptors of the process (RLIMIT_NOFILE)."""
    queued_executions: int = attrs.field(default=16, validator=count)
    """Executions that may wait behind the running one, before QUEUE_FULL."""
    code_bytes: int = attrs.field(default=2**20, validator=number(1, whole=True))
    """The longest code of one execution, in bytes of UTF-8, before CODE_TOO_LARGE."""
    copied_bytes: int = attrs.field(default=64 * 2**20, validator=number(1, whole=True))
    """Of its variables, the most that is copied where `allow_copy` lets that be, before
    SNAPSHOT_UNAVAILABLE: an eighth of the memory that a session has by default. That takes half a
    second in arrays, and six in a dict of lists."""

    def __attrs_post_init__(self) -> None:
        if self.code_bytes > 8 * 2**20:
            raise invalid(
                "Limits.code_bytes", self.code_bytes, "a frame holds 10 MiB", "Give 8 MiB or less"
            )


def _string_tuple(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        raise invalid("Template.preload", value, "it must be a tuple of names", "Write (name,)")
    if not isinstance(value, Iterable):
        raise invalid("Template.preload", value, "it must be a tuple of names", "Write (name,)")
    names: tuple[str, ...] = tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise invalid("Template.preload", value, "each must be a module's name", "Give strings")
    return names


def _check_environment(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Mapping):
        raise invalid("Template.env", value, "it maps names to values", "Give a dict of strings")
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


def _check_code(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise invalid(f"Template.{attribute.name}", value, "code is a string", "Give a string")


def _check_templates(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    name = f"{type(instance).__name__}.{attribute.name}"
    if not isinstance(value, Mapping):
        raise invalid(name, value, "it maps names to templates", "Give a dict")
    for key, template in value.items():
        if not isinstance(key, str) or not isinstance(template, Template):
            raise invalid(
                f"{name}[{key!r}]",
                template,
                "a name is a string, and a template a pyrepl3.Template(...)",
                "Give these",
            )


def _check_guard(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not _is_guard(value):
        raise invalid("Template.guard", value, _GUARDS, "Give one of these")


def _is_guard(value: object) -> bool:
    """A number is none, though 1 equals True."""
    return isinstance(value, bool) or value == "auto"


@attrs.frozen(kw_only=True)
class Template:
    """What sessions of one kind start from.

    ``python`` is the path of an interpreter (3.11 or newer; PyREPL3 need not be installed for
    it), None for the service's own. ``preload`` names modules to import, ``warmup_code`` runs
    after them, both once for all sessions of the template (with ``spawn="exec"``: in each).
    ``env`` is added to the allow-listed environment. ``async_library`` says what runs a
    top-level ``await``.
    """

    python: str | None = attrs.field(default=None, converter=path_text, validator=check_path)
    preload: tuple[str, ...] = attrs.field(default=(), converter=_string_tuple)
    warmup_code: str = attrs.field(default="", validator=_check_code)
    env: Mapping[str, str] = attrs.field(factory=dict, validator=_check_environment)
    cwd: str | None = attrs.field(default=None, converter=path_text, validator=check_path)
    spawn: Literal["fork", "exec"] = attrs.field(default="fork", validator=one_of("fork", "exec"))
    async_library: Literal["asyncio", "trio"] = attrs.field(
        default="asyncio", validator=one_of("asyncio", "trio")
    )
    limits: Limits | None = attrs.field(default=None, validator=instance_of(Limits, optional=True))
    """None: the limits of the `Config`."""
    transaction_policy: TransactionPolicy = attrs.field(
        default="commit_always", validator=one_of(*POLICIES)
    )
    """Of executions that name none."""
    guard: Guard = attrs.field(default=False, validator=_check_guard)
    """Whether a session outlives the crash of an execution that does not say."""
    report_namespace: bool = attrs.field(default=False, validator=truth)
    """Whether executions that do not say tell what they did to the session's names."""
    allow_copy: bool = attrs.field(default=False, validator=truth)
    """Whether the variables may be copied, for what is to be undone where the process cannot be."""


@attrs.frozen(kw_only=True)
class PoolConfig:
    """How many sessions there are, and how long things may take.

    Raises ConfigInvalid.
    """

    min_idle: int = attrs.field(default=2, validator=number(0, whole=True, maximum=GREATEST_COUNT))
    """Idle sessions to keep ready, for each template."""
    max_sessions: int = attrs.field(default=100, validator=count)
    """All of them: starting, idle, leased and stopping, of every template."""
    max_snapshots: int = attrs.field(default=32, validator=count)
    """Kept ones that have a name. Each is a process, with the memory that is its alone."""
    acquire_timeout_s: float = attrs.field(default=5.0, validator=seconds)
    idle_lifetime_s: float = attrs.field(default=600.0, validator=seconds)
    """An idle session is replaced by a new one after this, give or take a tenth by chance."""
    start_timeout_s: float = attrs.field(default=10.0, validator=seconds)
    """From the start of a process to its `ready`."""
    backoff_initial_s: float = attrs.field(default=0.1, validator=seconds)
    backoff_max_s: float = attrs.field(default=5.0, validator=seconds)
    """Pauses between starts that fail: doubled from the initial one up to this, with jitter."""
    breaker_failures: int = attrs.field(default=3, validator=count)
    """Failed starts of a template in a row that open its breaker."""
    breaker_reset_s: float = attrs.field(default=5.0, validator=seconds)
    """How long an open breaker refuses before one start is tried."""


@attrs.frozen(kw_only=True)
class Timeouts:
    """Bounds of the ladder and of shutting down."""

    interrupt_grace_s: float = attrs.field(default=2.0, validator=seconds)
    """From SIGINT to the next rung: a stack dump, then SIGKILL."""
    stack_dump_s: float = attrs.field(default=0.05, validator=seconds)
    """From SIGUSR1 to SIGKILL: time for the interpreter to write its stack."""
    close_grace_s: float = attrs.field(default=1.0, validator=seconds)
    """For a closed session to run its exit handlers, before SIGKILL."""
    drain_s: float = attrs.field(default=0.25, validator=seconds)
    """For output that is still in the pipes when a process has ended."""
    shutdown_s: float = attrs.field(default=5.0, validator=seconds)
    """For each part of the tree to end by itself, before it is cancelled."""


@attrs.frozen(kw_only=True)
class Config:
    """Everything `open_supervisor` may be told; each part has its defaults.

    Raises ConfigInvalid.
    """

    pool: PoolConfig = attrs.field(factory=PoolConfig, validator=instance_of(PoolConfig))
    templates: Mapping[str, Template] = attrs.field(
        factory=lambda: {DEFAULT_TEMPLATE: Template()}, validator=_check_templates
    )
    limits: Limits = attrs.field(factory=Limits, validator=instance_of(Limits))
    timeouts: Timeouts = attrs.field(factory=Timeouts, validator=instance_of(Timeouts))
    endpoint: EndpointConfig = attrs.field(
        factory=EndpointConfig, validator=instance_of(EndpointConfig)
    )
    hosting: HostingConfig = attrs.field(
        factory=HostingConfig, validator=instance_of(HostingConfig)
    )
    record_trace: str | None = attrs.field(default=None, converter=path_text, validator=check_path)
    """A file for a recording of what the pool and its sessions do (ids and numbers, no code and no
    output), for `pyrepl3 spec check`. It is overwritten. None: nothing is recorded.

    It belongs on a local disk: the event loop writes it, in batches, and waits for each. It says
    what happened, and does not show that the sessions which a killed service left were reaped."""

    def __attrs_post_init__(self) -> None:
        if not self.templates:
            raise invalid(
                "Config.templates", {}, "sessions start from a template", "Give at least one"
            )
        wanted = self.pool.min_idle * len(self.templates)
        if wanted > self.pool.max_sessions:
            raise invalid(
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


def check_protection(policy: object, guard: object, allow_copy: object = None) -> None:
    """What a caller says of undoing; None is the default. Raises ConfigInvalid."""
    if policy is not None and policy not in POLICIES:
        raise invalid(
            "transaction_policy",
            policy,
            "there is no such policy",
            f"Choose one of {', '.join(POLICIES)}",
        )
    if guard is not None and not _is_guard(guard):
        raise invalid("guard", guard, _GUARDS, "Give one of these")
    if allow_copy is not None and not isinstance(allow_copy, bool):
        raise invalid("allow_copy", allow_copy, "it must be True or False", "Give one of these")


def check_report(report_namespace: object) -> None:
    """A caller's wish for it; None is the default. Raises ConfigInvalid."""
    if report_namespace is not None and not isinstance(report_namespace, bool):
        raise invalid(
            "report_namespace", report_namespace, "it must be True or False", "Give one of these"
        )


def check_timeout(name: str, timeout_s: float | None) -> None:
    """A caller's timeout: positive seconds, or infinite for none; None is the default.

    Raises ConfigInvalid.
    """
    if timeout_s is None or timeout_s == math.inf:
        return
    check_number(name, timeout_s, minimum=0.001, whole=False)
