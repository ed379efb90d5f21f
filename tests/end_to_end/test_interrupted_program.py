"""End-to-end tests: Ctrl-C in a program that embeds the service ends the program, not the service.

The signal is raised inside an actor's turn, where a Ctrl-C lands now and then: it must come out of
the program's own task as a plain KeyboardInterrupt, with every process ended.
"""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import signal, sys
import psutil, trio
import pyrepl3
from {module} import {class_name}

original = {class_name}.{method}
strikes = []

def struck(self, *arguments, **options):
    if armed and not strikes:
        strikes.append(1)
        signal.raise_signal(signal.SIGINT)
    return original(self, *arguments, **options)

armed = []
{class_name}.{method} = struck

async def main():
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as session:
        await session.run("1")
        armed.append(1)
        while True:
            await session.run("1")

try:
    trio.run(main)
except KeyboardInterrupt:
    print("plain", len(strikes), len(psutil.Process().children(recursive=True)))
"""


@pytest.mark.parametrize(
    ("module", "class_name", "method"),
    [
        ("pyrepl3.session.session", "Session", "_decide"),
        ("pyrepl3.transport.transport", "Transport", "_send"),
        ("pyrepl3.transport.descriptors", "WorkerDescriptors", "receive"),
    ],
)
def test_a_ctrl_c_in_an_actors_turn_comes_out_of_the_program_itself(
    module: str, class_name: str, method: str
) -> None:
    program = PROGRAM.format(module=module, class_name=class_name, method=method)
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.stdout, ended.stderr) == ("plain 1 0\n", "")
