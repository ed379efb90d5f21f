"""End-to-end tests: every example of the documents and of `examples/` does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trio

import pyrepl3

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python[ ]*(?P<mode>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
BOUND_S = 60.0


def blocks_of(document: str) -> list[object]:
    """The blocks of a document that are to be run, each named by its line."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        pytest.param(document, match["code"], id=f"{document}:{line_of(text, match)}")
        for match in BLOCK.finditer(text)
        if match["mode"] != "skip"
    ]


def line_of(text: str, match: re.Match[str]) -> int:
    """The line that a match begins in."""
    return text.count("\n", 0, match.start()) + 1


@pytest.mark.parametrize(("document", "code"), blocks_of("README.md"))
def test_a_block_of_the_readme_is_a_program_that_prints_what_it_says(
    document: str, code: str
) -> None:
    """Its comments behind `print` say what is printed."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        cwd=ROOT,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    promised = re.findall(r"\bprint\(.*\)  # (.+)$", code, re.MULTILINE)
    assert promised
    assert [line for line in ended.stdout.splitlines() if line] == promised


@pytest.mark.parametrize(
    ("document", "code"), [*blocks_of("docs/guide.md"), *blocks_of("docs/snapshots.md")]
)
async def test_a_block_of_the_guide_holds_what_it_asserts(document: str, code: str) -> None:
    """Each is the body of a coroutine with a session and its supervisor in scope."""
    names = {"pyrepl3": pyrepl3, "trio": trio}
    body = f"async def example(session, supervisor):\n{textwrap.indent(code, '    ')}"
    exec(compile(body, document, "exec"), names)

    with trio.fail_after(BOUND_S):
        async with (
            pyrepl3.open_supervisor() as supervisor,
            supervisor.session() as session,
        ):
            await names["example"](session, supervisor)


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_an_example_runs_to_its_end(example: str) -> None:
    """As the program that it is, and it says something."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / example)],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
