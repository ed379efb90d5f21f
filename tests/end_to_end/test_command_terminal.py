"""End-to-end tests: scripts on a terminal, which stays with the command."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest

from tests.end_to_end.command_driver import LIMIT_S, environment


@contextmanager
def on_terminal(code: str) -> Iterator["pexpect.spawn[str]"]:
    """The command with a script, on a terminal of its own."""
    process = pexpect.spawn(
        sys.executable,
        ["-m", "pyrepl3.cli", "-c", code],
        env=environment(TERM="xterm"),
        encoding="utf-8",
        timeout=LIMIT_S / 4,
    )
    try:
        yield process
    finally:
        process.close(force=True)


def _status(process: "pexpect.spawn[str]") -> int | None:
    process.expect(pexpect.EOF)
    process.close()
    return process.exitstatus


def test_a_script_knows_that_it_is_on_a_terminal() -> None:
    code = "import sys; print(*(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr)))"
    with on_terminal(code) as process:
        process.expect_exact("True True True")
        assert _status(process) == 0


def test_a_script_asks_at_the_terminal_and_both_streams_keep_their_order() -> None:
    code = (
        "import sys\nname = input('who? ')\nprint('hello', name)\n"
        "print('problem', file=sys.stderr)\nprint(repr(sys.stdin.readline()))\n"
        "for line in sys.stdin: print(line.upper(), end='')\nprint('end')"
    )
    with on_terminal(code) as process:
        process.expect_exact("who? ")
        process.sendline("Ada")
        process.expect("hello Ada\r\nproblem\r\n")
        process.sendline("two")
        process.expect_exact("'two\\n'")
        process.sendline("three")
        process.expect_exact("THREE")
        process.sendeof()
        process.expect_exact("end")
        assert _status(process) == 0


def test_a_password_is_not_shown() -> None:
    code = "import getpass; print(getpass.getpass('secret? ')[::-1])"
    with on_terminal(code) as process:
        process.expect_exact("secret? ")
        process.sendline("hush-hush")
        process.expect_exact("hsuh-hsuh")
        assert process.before is not None
        assert "hush" not in process.before
        assert _status(process) == 0


@pytest.mark.parametrize("ask", ["input('ready')", "__import__('getpass').getpass('ready')"])
def test_ctrl_c_ends_a_script_that_asks_and_leaves_the_terminal_as_it_was(ask: str) -> None:
    with on_terminal(ask) as process:
        process.expect_exact("ready")
        process.sendintr()
        process.expect_exact("KeyboardInterrupt")
        process.expect(pexpect.EOF)
        assert process.getecho()
        process.close()
        assert process.exitstatus == 130


def test_a_terminal_that_goes_away_ends_the_script() -> None:
    with on_terminal("import time; print('ready'); time.sleep(60)") as process:
        process.expect_exact("ready")
        process.close(force=False)

        assert process.signalstatus == 1 or process.exitstatus == 129
