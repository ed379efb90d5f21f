"""Unit tests: which of the service's environment variables a session gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrepl3.transport.environment import (
    INHERITED,
    INHERITED_PREFIX,
    ONE_THREAD,
    build_environment,
)

NAMES = st.sampled_from([*sorted(INHERITED), "LC_ALL", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"])
ENVIRONMENTS = st.dictionaries(NAMES | st.text(min_size=1), st.text())


@pytest.mark.parametrize("name", ["SECRET", "PYTHONPATH", "LD_PRELOAD", "home", "LCX"])
def test_what_is_not_on_the_list_is_not_inherited(name: str) -> None:
    assert build_environment({}, {name: "x"}) == ONE_THREAD


@pytest.mark.parametrize("name", ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"])
def test_what_is_on_the_list_is_inherited(name: str) -> None:
    assert build_environment({}, {name: "x"}) == {**ONE_THREAD, name: "x"}


def test_native_thread_pools_are_off_whatever_the_service_uses_itself() -> None:
    assert build_environment({}, {"OMP_NUM_THREADS": "8"})["OMP_NUM_THREADS"] == "1"


def test_the_template_has_the_last_word() -> None:
    template = {"OMP_NUM_THREADS": "4", "PATH": "/mine", "SECRET": "meant"}

    assert build_environment(template, {"PATH": "/usr/bin"}) == {**ONE_THREAD, **template}


@given(template=ENVIRONMENTS, service=ENVIRONMENTS)
def test_every_variable_comes_from_the_template_or_the_list(
    template: dict[str, str], service: dict[str, str]
) -> None:
    for name, value in build_environment(template, service).items():
        if name in template:
            assert value == template[name]
        elif name in ONE_THREAD:
            assert value == "1"
        else:
            assert name in INHERITED or name.startswith(INHERITED_PREFIX)
            assert value == service[name]
