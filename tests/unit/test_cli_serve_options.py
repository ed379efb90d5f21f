"""Unit tests: what `pyrepl3 serve` cannot do is told of the options that it was given."""

from __future__ import annotations

import pytest

from pyrepl3.cli.arguments import Serve, parse
from pyrepl3.cli.serve import _ENDPOINT, _POOL, config_of
from pyrepl3.cli.serve_options import OPTIONS, in_options, told_by_options
from pyrepl3.errors import ConfigInvalid
from pyrepl3.service_config import EndpointConfig

SETTINGS = ("EndpointConfig", "PoolConfig", "Config.")


def refused(*words: str) -> ConfigInvalid:
    """What is said of that command line."""
    command = parse(["serve", *words])
    assert isinstance(command, Serve)
    with pytest.raises(ConfigInvalid) as caught, told_by_options():
        config_of(command)
    return caught.value


@pytest.mark.parametrize(
    ("words", "what", "how"),
    [
        (("--host", "0.0.0.0"), "--host '0.0.0.0' is not possible", "--insecure-bind"),
        (("--port", "70000"), "--port 70000 is not possible", "65535 or less"),
        (("--tls-cert", "c.pem"), "--tls-key is missing", "Give --tls-key too, or neither"),
        (("--tls-key", "k.pem"), "--tls-cert is missing", "Give --tls-cert too, or neither"),
        (("--max-sessions", "0"), "--max-sessions 0 is not possible", "Give 1 or more"),
        (
            ("--max-sessions", "1", "--min-idle", "5"),
            "--min-idle 5 is not possible",
            "Lower --min-idle or raise --max-sessions",
        ),
    ],
)
def test_a_setting_that_is_wrong_is_told_of_its_option(
    words: tuple[str, ...], what: str, how: str
) -> None:
    error = refused(*words)

    assert error.what == what
    assert how in error.how
    told = error.what + error.why + error.how
    assert not any(name in told for name in SETTINGS)
    assert not any(field.partition(".")[2] in told for field in OPTIONS if "_" in field)


def test_every_setting_that_an_option_makes_has_it_in_the_table() -> None:
    settings = {f"EndpointConfig.{name}" for name in _ENDPOINT}
    settings |= {f"PoolConfig.{name}" for name in _POOL} | {"Config.record_trace"}

    assert set(OPTIONS) == settings


@pytest.mark.parametrize(("field", "option"), sorted(OPTIONS.items()))
def test_the_option_in_the_table_makes_that_setting(field: str, option: str) -> None:
    words = [option] if option == "--insecure-bind" else [option, "7"]
    command = parse(["serve", *words])
    name = field.partition(".")[2]

    assert isinstance(command, Serve)
    assert str(getattr(command, name)) in ("7", "True", "('7',)")


def test_an_error_of_no_option_stays_as_it_is() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        EndpointConfig(path_prefix=5)
    other = ConfigInvalid(what="a", why="max_sessions = 0", how="b", details={"field": "token"})

    assert in_options(caught.value) is caught.value
    assert in_options(other) is other
