"""Unit tests: what the command imports, as its start is most of its time."""

import subprocess
import sys

import pytest

HEAVY = ("prompt_toolkit", "pygments", "psutil", "trio_websocket", "numpy", "argparse")


def _imported_by(*words: str) -> set[str]:
    code = (
        "import sys; from pyrepl3.cli.main import main; "
        f"main({list(words)!r}); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.split())


def test_a_script_needs_nothing_of_the_prompt() -> None:
    assert _imported_by("-c", "print(1)").isdisjoint(HEAVY)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_need_no_service(word: str) -> None:
    assert _imported_by(word).isdisjoint({*HEAVY, "trio"})
