"""Unit tests: what a plain install leaves out is named where it is wanted, and there alone."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pyrepl3.errors import ConfigInvalid
from pyrepl3.extras import extra_needed

ROOT = Path(__file__).parents[2]
SERVER = ("h11", "litestar", "prometheus_client", "trio_websocket")
WITHOUT = f"""
import sys
for name in {SERVER!r}:
    if name != "h11":  # wsproto, which the client is on, needs that too
        sys.modules[name] = None
sys.argv[0] = "pyrepl3"
from pyrepl3.cli.main import main
main()
"""


def run_without(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_module_that_is_missing_is_told_with_the_extra_that_has_it() -> None:
    with pytest.raises(ConfigInvalid) as caught, extra_needed("server", what="the service"):
        raise ModuleNotFoundError("No module named 'litestar'", name="litestar.handlers")

    assert caught.value.how == (
        "python -m pip install 'pyrepl3[server]', or '.[server]' in a clone"
    )


def test_a_module_of_ours_that_is_missing_is_a_bug_and_told_as_one() -> None:
    with pytest.raises(ModuleNotFoundError), extra_needed("server", what="the service"):
        raise ModuleNotFoundError("No module named 'pyrepl3.gone'", name="pyrepl3.gone")


def test_the_extra_has_what_is_said_here() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[<>=]", each)[0].replace("-", "_") for each in extras["dependencies"]}
    server = extras["optional-dependencies"]["server"]

    assert sorted(re.split(r"[<>=]", each)[0].replace("-", "_") for each in server) == list(SERVER)
    assert needed.isdisjoint(SERVER)


def test_serve_names_the_extra_and_all_else_runs_without_it() -> None:
    serve, code = run_without("serve"), run_without("-c", "print(6 * 7)")

    assert (serve.returncode, serve.stdout) == (1, "")
    assert "pip install 'pyrepl3[server]'" in serve.stderr
    assert (code.returncode, code.stdout, code.stderr) == (0, "42\n", "")
