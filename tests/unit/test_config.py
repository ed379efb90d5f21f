"""Unit tests: defaults, and every configuration that cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from pyrepl3.config import (
    Config,
    EndpointConfig,
    Limits,
    PoolConfig,
    Template,
    Timeouts,
    check_timeout,
)
from pyrepl3.errors import Code, ConfigInvalid

KINDS: list[type[Any]] = [Limits, PoolConfig, Timeouts]


def defaults(kind: type[Any]) -> dict[str, Any]:
    return attrs.asdict(kind())


def number_fields() -> list[tuple[type[Any], str]]:
    return [(kind, name) for kind in KINDS for name in defaults(kind)]


def assert_refused(make: Callable[[], object], field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        make()
    error = caught.value

    assert error.code == Code.CONFIG_INVALID
    assert field in error.what
    assert error.why
    assert error.how
    assert field in error.details["field"]


def test_limits_default_to_what_the_design_states() -> None:
    assert defaults(Limits) == {
        "memory_bytes": 512 * 2**20,
        "execution_timeout_s": 30.0,
        "output_bytes": 100_000_000,
        "open_files": 100,
        "queued_executions": 16,
        "code_bytes": 2**20,
        "copied_bytes": 64 * 2**20,
    }


def test_the_pool_defaults_to_what_the_protocol_states() -> None:
    pool = PoolConfig()

    assert (pool.min_idle, pool.max_sessions, pool.acquire_timeout_s) == (2, 100, 5.0)
    assert pool.start_timeout_s == 10.0


def test_a_config_has_one_template_unless_told_otherwise() -> None:
    assert {"python": Template()} == Config().templates


@pytest.mark.parametrize(("kind", "name"), number_fields())
@pytest.mark.parametrize("value", ["1", b"1", True, math.nan, math.inf, -1, -0.5, [], object()])
def test_what_is_no_number_in_range_is_refused(kind: type[Any], name: str, value: object) -> None:
    assert_refused(lambda: kind(**{name: value}), f"{kind.__name__}.{name}")


@pytest.mark.parametrize(("kind", "name"), number_fields())
def test_zero_is_refused_except_for_idle_sessions(kind: type[Any], name: str) -> None:
    if name == "min_idle":
        assert PoolConfig(min_idle=0).min_idle == 0
        return
    assert_refused(lambda: kind(**{name: 0}), name)


@pytest.mark.parametrize(("kind", "name"), number_fields())
def test_only_limits_can_be_lifted(kind: type[Any], name: str) -> None:
    liftable = {"memory_bytes", "execution_timeout_s", "output_bytes", "open_files"}
    if kind is Limits and name in liftable:
        assert getattr(Limits(**{name: None}), name) is None
        return
    assert_refused(lambda: kind(**{name: None}), name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in KINDS
        for name, default in defaults(kind).items()
        if isinstance(default, int)
    ],
)
def test_a_fraction_of_a_whole_is_refused(kind: type[Any], name: str) -> None:
    assert_refused(lambda: kind(**{name: 10**9 + 0.5}), name)


@pytest.mark.parametrize(
    ("name", "least"),
    [("memory_bytes", 32 * 2**20), ("open_files", 16), ("output_bytes", 1), ("code_bytes", 1)],
)
def test_the_least_is_possible_and_less_is_not(name: str, least: int) -> None:
    assert least == getattr(Limits(**{name: least}), name)
    assert_refused(lambda: Limits(**{name: least - 1}), name)


def test_code_must_fit_into_a_frame() -> None:
    assert Limits(code_bytes=8 * 2**20).code_bytes == 8 * 2**20
    assert_refused(lambda: Limits(code_bytes=8 * 2**20 + 1), "code_bytes")


@pytest.mark.parametrize("preload", ["numpy", [1], (None,), [b"numpy"], 5, None])
def test_preloads_are_several_names(preload: Any) -> None:
    assert_refused(lambda: Template(preload=preload), "Template.preload")


def test_preloads_may_come_in_any_collection() -> None:
    assert Template(preload=["a", "b"]).preload == ("a", "b")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "env",
    [{"A": 1}, {1: "a"}, {"": "a"}, {"A=B": "a"}, {"A\0": "a"}, {"A": "\0"}, ["A=1"], None, "A=1"],
)
def test_an_environment_is_what_a_process_can_have(env: Any) -> None:
    assert_refused(lambda: Template(env=env), "Template.env")


@pytest.mark.parametrize("name", ["spawn", "async_library"])
@pytest.mark.parametrize("value", ["thread", "", None, "FORK", []])
def test_there_is_no_other_choice(name: str, value: Any) -> None:
    assert_refused(lambda: Template(**{name: value}), f"Template.{name}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("python", 3),
        ("python", ""),
        ("python", "py\0thon"),
        ("cwd", b"/tmp"),
        ("cwd", ""),
        ("cwd", "\0"),
        ("warmup_code", None),
        ("warmup_code", b"x = 1"),
    ],
)
def test_paths_and_code_are_text(name: str, value: Any) -> None:
    assert_refused(lambda: Template(**{name: value}), f"Template.{name}")


def test_a_config_without_templates_is_refused() -> None:
    assert_refused(lambda: Config(templates={}), "templates")


def test_idle_sessions_of_all_templates_must_fit_into_the_pool() -> None:
    templates = {"a": Template(), "b": Template()}
    fits = Config(pool=PoolConfig(min_idle=2, max_sessions=4), templates=templates)

    assert fits.pool.min_idle == 2
    assert_refused(
        lambda: Config(pool=PoolConfig(min_idle=2, max_sessions=3), templates=templates), "min_idle"
    )


def test_a_template_that_is_not_there_is_refused_with_those_that_are() -> None:
    config = Config(templates={"b": Template(), "a": Template()})

    with pytest.raises(ConfigInvalid, match="a, b") as caught:
        config.template("c")

    assert caught.value.details == {"template": "c", "templates": ["a", "b"]}


def test_a_template_has_the_limits_of_the_config_or_its_own() -> None:
    own = Limits(open_files=20)
    config = Config(
        templates={"own": Template(limits=own), "python": Template()}, limits=Limits(open_files=30)
    )

    assert own == config.limits_of("own")
    assert config.limits == config.limits_of("python")


def test_nothing_changes_once_it_is_made() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Config().pool.max_sessions = 1  # type: ignore[misc]


@pytest.mark.parametrize("timeout_s", [None, math.inf, 0.001, 5, 1e9])
def test_a_caller_may_wait_for_any_time_or_for_ever(timeout_s: float | None) -> None:
    check_timeout("timeout_s", timeout_s)


@pytest.mark.parametrize("timeout_s", [0, -1, -math.inf, math.nan, "5", True, 0.0001])
def test_no_caller_may_wait_for_no_time(timeout_s: Any) -> None:
    assert_refused(lambda: check_timeout("timeout_s", timeout_s), "timeout_s")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Config(limits={"memory_bytes": 2**30}), "Config.limits"),  # type: ignore[arg-type]
        (lambda: Config(limits=None), "Config.limits"),  # type: ignore[arg-type]
        (lambda: Config(pool=5), "Config.pool"),  # type: ignore[arg-type]
        (lambda: Config(timeouts=2.0), "Config.timeouts"),  # type: ignore[arg-type]
        (lambda: Config(templates=[Template()]), "Config.templates"),  # type: ignore[arg-type]
        (lambda: Config(templates={"a": {}}), "Config.templates['a']"),  # type: ignore[dict-item]
        (lambda: Config(templates={1: Template()}), "Config.templates[1]"),  # type: ignore[dict-item]
        (lambda: Template(limits={}), "Template.limits"),  # type: ignore[arg-type]
    ],
)
def test_each_part_is_of_its_own_class(make: Callable[[], object], field: str) -> None:
    assert_refused(make, field)


def test_a_path_may_be_a_path_object() -> None:
    template = Template(python=Path("/usr/bin/python3"), cwd=Path("/tmp"))

    assert (template.python, template.cwd) == ("/usr/bin/python3", "/tmp")


def test_nothing_is_recorded_unless_a_file_is_named() -> None:
    assert Config().record_trace is None
    assert Config(record_trace=Path("/tmp/trace")).record_trace == "/tmp/trace"


@pytest.mark.parametrize("path", [3, "", "tra\0ce", b"/tmp/trace", True])
def test_a_recordings_path_is_text(path: Any) -> None:
    assert_refused(lambda: Config(record_trace=path), "Config.record_trace")


@pytest.mark.parametrize(
    "make",
    [
        lambda: PoolConfig(max_sessions=2**31),
        lambda: PoolConfig(min_idle=2**31),
        lambda: PoolConfig(breaker_failures=10**12),
        lambda: Limits(queued_executions=2**31),
    ],
)
def test_what_is_counted_has_an_end(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigInvalid, match="the most is 2147483647"):
        make()


@pytest.mark.parametrize(
    ("settings", "field", "why"),
    [
        ({"host": "0.0.0.0"}, "host", "without TLS"),
        ({"host": "example.org"}, "host", "without TLS"),
        ({"host": "::"}, "host", "without TLS"),
        ({"host": ""}, "host", "a name or an address"),
        ({"host": 1}, "host", "a name or an address"),
        ({"port": 65536}, "port", "the most is 65535"),
        ({"tls_cert": "c"}, "tls_key", "TLS needs both"),
        ({"tls_key": "k"}, "tls_cert", "TLS needs both"),
        ({"insecure_bind": 1}, "insecure_bind", "True or False"),
        ({"allowed_hosts": "example.org"}, "allowed_hosts", "a list of names"),
        ({"allowed_origins": [""]}, "allowed_origins", "a list of names"),
    ],
)
def test_an_endpoint_that_cannot_be_or_lets_anybody_listen_in_is_refused(
    settings: dict[str, Any], field: str, why: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        EndpointConfig(**settings)
    assert caught.value.details["field"] == f"EndpointConfig.{field}"
    assert why in caught.value.why


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"host": "127.0.0.9"},
        {"host": "::1"},
        {"host": "LOCALHOST"},
        {"host": "0.0.0.0", "tls_cert": "c", "tls_key": "k"},
        {"host": "0.0.0.0", "insecure_bind": True},
    ],
)
def test_an_endpoint_listens_where_nobody_can_listen_in(settings: dict[str, Any]) -> None:
    assert EndpointConfig(**settings).host == settings.get("host", "127.0.0.1")


def test_names_of_the_endpoint_are_compared_in_lower_case() -> None:
    endpoint = EndpointConfig(allowed_hosts=["Example.ORG"], allowed_origins=["HTTPS://A"])

    assert (endpoint.allowed_hosts, endpoint.allowed_origins) == (("example.org",), ("https://a",))
