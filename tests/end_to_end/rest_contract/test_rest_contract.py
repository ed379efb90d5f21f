"""End-to-end test: schemathesis finds nothing in which REST is not as its description says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

import pyrepl3
from pyrepl3.endpoint.access import Principal, Tokens
from pyrepl3.serving import open_endpoint

HERE = Path(__file__).parent
TOKEN = "contract-" + "c" * 40
TOKENS = Tokens.of([(TOKEN, Principal(name="ada", role="admin"))])
BOUND_S = 200.0


@pytest.mark.timeout(BOUND_S + 60)
async def test_rest_is_what_its_description_says(tmp_path: Path) -> None:
    """All checks, in all phases. Sessions start in a directory of their own, where what is asked
    for may be written and removed."""
    config = pyrepl3.Config(
        templates={"python": pyrepl3.Template(cwd=tmp_path)},
        pool=pyrepl3.PoolConfig(min_idle=1, max_sessions=20, acquire_timeout_s=1.0),
        # It tries without a token, too.
        endpoint=pyrepl3.EndpointConfig(port=0, failures_per_peer=10**6),
        hosting=pyrepl3.HostingConfig(idle_timeout_s=1.0),
    )
    async with (
        pyrepl3.open_supervisor(config) as supervisor,
        open_endpoint(supervisor, TOKENS) as served,
    ):
        with trio.fail_after(BOUND_S):
            ended = await trio.to_thread.run_sync(
                partial(hold, served.url, tmp_path), abandon_on_cancel=True
            )

    assert ended.returncode == 0, ended.stdout[-8000:]
    told = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", ended.stdout)
    assert told is not None, ended.stdout
    assert len(set(told.groups())) == 1
    assert int(told[1]) >= 17
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in ended.stdout


def hold(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Its report, with status 0 where there is nothing in it."""
    scratch = folder / "schemathesis"
    scratch.mkdir()
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"),
            *("--request-timeout", "10", "--no-color"),
            *("--seed", "1", "--max-examples", "30"),
        ],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        cwd=scratch,  # where it keeps its own database
        env={**os.environ, "PYTHONPATH": str(HERE)},
        check=False,
    )
